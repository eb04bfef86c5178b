"""What do processes gain that share sampling? ``torchrun --nproc-per-node 2 benchmarks/sharing.py RUN``.

Each prints the seconds of its processor and of the clock for 200,000 points, without starting and loading.
"""

from __future__ import annotations

import sys
import time

import diffuscope

run = diffuscope.load(sys.argv[1], device="cpu")
run.sample(3000)  # what is built once is built
with diffuscope.sharing() as own:
    clock, processor = time.perf_counter(), time.process_time()
    run.sample(200_000)
    took = time.perf_counter() - clock, time.process_time() - processor
    sys.stdout.write(
        f"process {own.rank} of {own.size}: {took[1]:.1f} s of its processor in {took[0]:.1f} s\n"
    )
