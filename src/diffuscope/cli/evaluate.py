"""``diffuscope evaluate RUN``: how good are its samples, and would something simpler do as well?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, Device, RunDir
from diffuscope.errors import InputError


def evaluate(
    run: RunDir,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Real data that the run never saw, as a table.", show_default=False),
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Measure simpler methods beside it.")] = True,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    html: Annotated[
        bool, typer.Option("--html", help="Of a table: a report in one file, RUN/report.html.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Measure a run's samples by every metric, beside simpler methods or, of a table, real rows."""
    from diffuscope.evaluation import Evaluation
    from diffuscope.evaluation import evaluate as measure
    from diffuscope.run import load

    opened = load(run, device=device)
    is_table = opened.model.rows is not None
    if html and not is_table:
        raise InputError("A report is made of a table's run, and this is one of points.", "Leave --html out.")
    unseen = None
    if held_out is not None:
        from diffuscope.datasets import load_dataset, read_rows

        unseen = read_rows(held_out) if is_table else load_dataset(held_out).x
    found = measure(opened, held_out=unseen, baselines=baselines, seed=seed)
    files = found.save(run) if isinstance(found, Evaluation) else found.save(run, report=html)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    typer.echo(f"{found}\n")
    for kind, file in zip(("picture", "report"), files, strict=False):
        typer.echo(f"{kind:<8} {file}")
