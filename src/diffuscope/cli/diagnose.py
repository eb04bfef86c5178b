"""``diffuscope diagnose RUN``: why are its samples bad, and what mends them?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, Device, RunDir


def diagnose(
    run: RunDir,
    sampler: Annotated[
        str | None, typer.Option(help="Diagnose another sampler. [default: the run's]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the walk. [default: the run's]")] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="Real data that the run never saw: a file, or a folder of images.", show_default=False
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed. [default: the run's]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print budget and findings as JSON.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Say which part of a run costs what, why its samples are bad, and what mends them."""
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
