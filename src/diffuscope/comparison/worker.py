"""How does a worker process run jobs of a comparison? It reads each as a line of JSON, and answers it.

``python -m diffuscope.comparison.worker`` is started by :mod:`~diffuscope.comparison.pool`. It computes
on one thread. When its input closes, because the comparison is stopped or was killed, it interrupts itself: a
training writes its checkpoint, and the process ends.

    > {"recipe": "...", "folder": "...", ...}
    < {"what": null}                              done
    < {"what": "The loss ...", "hint": "..."}     failed; ready for the next job
"""

from __future__ import annotations

import _thread
import json
import os
import queue
import signal
import sys
import threading
from typing import TextIO

from diffuscope.errors import foreseen

__all__ = ["main"]


def main() -> None:
    """Run the jobs on standard input until it closes."""
    # Only answers go to the standard output that was inherited; what others print goes to the errors.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell had it ignored
    jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(sys.stdin, jobs, busy), daemon=True).start()
    try:
        import torch

        from diffuscope.comparison.jobs import Job, run_job

        torch.set_num_threads(1)
        while (line := jobs.get()) is not None:
            answer: dict[str, str | None] = {"what": None}
            busy.set()
            try:
                run_job(Job(**json.loads(line)))
            except Exception as error:  # whatever a cell may raise: the others continue
                known = foreseen(error)
                answer = {"what": f"{type(error).__name__}: {error}", "hint": None}
                if known is not None:
                    answer = {"what": known.what, "hint": known.hint}
            busy.clear()
            answers.write(json.dumps(answer) + "\n")
    except (KeyboardInterrupt, BrokenPipeError):
        pass


def _listen(lines: TextIO, jobs: queue.SimpleQueue[str | None], busy: threading.Event) -> None:
    """Queue the jobs; once the input closes, interrupt the running one."""
    for line in lines:
        jobs.put(line)
    jobs.put(None)
    if busy.is_set():
        _thread.interrupt_main()


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # all is written; to take torch down takes most of a second more
