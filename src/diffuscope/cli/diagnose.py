"""``diffuscope diagnose RUN``: why are its samples bad, and how can they be improved?"""

from __future__ import annotations

import json
from typing import Annotated

from typer import Option

from diffuscope.cli.common_options import (
    Device,
    HeldOut,
    RunDir,
    SeedOfRun,
    Steps,
    among_processes,
    print_and_save,
)
from diffuscope.cli.outcome import line
from diffuscope.terminal import echo


@among_processes
def diagnose(
    run: RunDir,
    sampler: Annotated[str | None, Option(help="Sampler to diagnose. [default: the run's]")] = None,
    steps: Steps = None,
    held_out: HeldOut = None,
    seed: SeedOfRun = None,
    html: Annotated[bool, Option("--html", help="Write a page with pictures, RUN/diagnosis.html.")] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print the error budget and the findings as JSON.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Find out why samples are bad, and how to improve them.

    The error is split into the shares of schedule, sampler, data and network.
    """
    from diffuscope.diagnosis import diagnose as find_out

    files = print_and_save(
        run,
        lambda: find_out(run, sampler=sampler, steps=steps, held_out=held_out, seed=seed, device=device),
        lambda found: echo(json.dumps(found.to_json()) if as_json else found.text(), as_is=True),
        lambda found: found.save(run, html=html) if found.budget.rows or html else [],
    )
    if files and not as_json:
        echo()
        for file in files:
            line("report" if file.suffix == ".html" else "picture", file, 8)
