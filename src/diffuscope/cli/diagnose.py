"""``diffuscope diagnose RUN``: why are its samples bad, and how can they be improved?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, Device, RunDir, Steps


def diagnose(
    run: RunDir,
    sampler: Annotated[str | None, typer.Option(help="Sampler to diagnose. [default: the run's]")] = None,
    steps: Steps = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="Held-out data: real data that was not used for training (a file, or a folder of images).",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed. [default: the run's]")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the error budget and the findings as JSON.")
    ] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Find out why samples are bad, and how to improve them.

    The error is split into the shares of schedule, sampler, data and network.
    """
    from diffuscope.diagnosis import diagnose as find_out

    found = find_out(run, sampler=sampler, steps=steps, held_out=held_out, seed=seed, device=device)
    if found.budget.rows:
        found.save(run)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    typer.echo(str(found))
    if found.budget.rows:
        typer.echo(f"\npicture  {run / 'figures' / 'diagnosis.png'}")
