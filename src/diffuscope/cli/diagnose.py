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
        typer.Option(help="Real data that the run never saw, as a table.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print budget and findings as JSON.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Say which part of a run costs what, why its samples are bad, and what mends them."""
    from diffuscope.diagnosis import diagnose as find_out

    unseen = None
    if held_out is not None:
        from diffuscope.data.points import load_dataset

        unseen = load_dataset(held_out).x
    found = find_out(run, sampler=sampler, steps=steps, held_out=unseen, seed=seed, device=device)
    if found.budget.rows:
        found.save(run)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    typer.echo(str(found))
    if found.budget.rows:
        typer.echo(f"\npicture  {run / 'figures' / 'diagnosis.png'}")
