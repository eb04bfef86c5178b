"""``diffuscope evaluate RUN``: how good are its samples, and would something simpler do as well?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from diffuscope.cli.common import Debug, Device, RunDir
from diffuscope.errors import InputError


def evaluate(
    run: RunDir,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="Real data that the run never saw: a table, or a folder of images.", show_default=False
        ),
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Measure simpler methods beside it.")] = True,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    html: Annotated[
        bool, typer.Option("--html", help="Of a table: a report in one file, RUN/report.html.")
    ] = False,
    samples: Annotated[
        int | None, typer.Option("-n", "--samples", help="Of images: how many to draw. [default: 2000]")
    ] = None,
    inception: Annotated[
        Path | None,
        typer.Option(
            help="Of images: the weights of InceptionV3, to compare in its features.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Measure a run's samples by every metric, beside simpler methods or, of a table, real rows."""
    from diffuscope.modalities.tables.evaluation import TableEvaluation
    from diffuscope.runs.evaluate import evaluate as measure
    from diffuscope.runs.run import load

    opened = load(run, device=device)
    is_table = opened.model.rows is not None
    if html and not is_table:
        raise InputError("A report is made of a table's run, and this is none.", "Leave --html out.")
    unseen: Any = None
    if held_out is not None:
        from diffuscope.data.columnar import read_rows
        from diffuscope.data.images import load_images
        from diffuscope.data.points import load_dataset

        if is_table:
            unseen = read_rows(held_out)
        elif opened.model.is_of_images:
            shape = opened.model.shape
            unseen = load_images(held_out, size=shape[1:], channels=shape[0])
        else:
            unseen = load_dataset(held_out).x
    extractor = None
    if inception is not None:
        from diffuscope.metrics.features import InceptionFeatures

        if not opened.model.is_of_images:
            raise InputError("Features of InceptionV3 are those of images.", "Leave --inception out.")
        extractor = InceptionFeatures(inception, str(opened.model.device))
    found = measure(
        opened, held_out=unseen, baselines=baselines, seed=seed, samples=samples, extractor=extractor
    )
    files = found.save(run, report=html) if isinstance(found, TableEvaluation) else found.save(run)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    typer.echo(f"{found}\n")
    for kind, file in zip(("picture", "report"), files, strict=False):
        typer.echo(f"{kind:<8} {file}")
