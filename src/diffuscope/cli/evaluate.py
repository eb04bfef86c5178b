"""``diffuscope evaluate RUN``: how good are its samples, and would something simpler do as well?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, Device, RunDir


def evaluate(
    run: RunDir,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="Held-out data: real data that was not used for training (a file, or a folder of images).",
            show_default=False,
        ),
    ] = None,
    baselines: Annotated[bool, typer.Option(help="For points: also measure baselines.")] = True,
    seed: Annotated[int | None, typer.Option(help="Random seed. [default: the run's]")] = None,
    html: Annotated[
        bool, typer.Option("--html", help="For tables: write a report, RUN/report.html.")
    ] = False,
    samples: Annotated[
        int | None, typer.Option("-n", "--samples", help="For images: number of samples. [default: 2000]")
    ] = None,
    inception: Annotated[
        Path | None,
        typer.Option(
            help="For images: weights file of InceptionV3, to use its features (FID, KID).",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Measure the quality of a run's samples by all metrics."""
    from diffuscope.runs.evaluate import evaluate as measure
    from diffuscope.runs.run import load

    opened = load(run, device=device)
    extractor = None
    if inception is not None:
        from diffuscope.metrics.features import InceptionFeatures

        opened.require("images")
        extractor = InceptionFeatures(inception, str(opened.model.device))
    if html:
        opened.require("table")
    found = measure(
        opened, held_out=held_out, baselines=baselines, seed=seed, samples=samples, extractor=extractor
    )
    files = found.save(run, report=html)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    typer.echo(f"{found}\n")
    for kind, file in zip(("picture", "report"), files, strict=False):
        typer.echo(f"{kind:<8} {file}")
