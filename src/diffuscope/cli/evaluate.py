"""``diffuscope evaluate RUN``: how good are its samples, and would something simpler do as well?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Option

from diffuscope.cli.common_options import Device, HeldOut, RunDir, SeedOfRun, among_processes, print_and_save
from diffuscope.cli.outcome import line
from diffuscope.terminal import echo

_INCEPTION = "For images: weights file of InceptionV3, to use its features (FID, KID)."


@among_processes
def evaluate(
    run: RunDir,
    held_out: HeldOut = None,
    baselines: Annotated[bool, Option(help="For points: also measure baselines.")] = True,
    seed: SeedOfRun = None,
    html: Annotated[bool, Option("--html", help="For tables: write a report, RUN/report.html.")] = False,
    samples: Annotated[
        int | None, Option("-n", "--samples", help="For images: number of samples. [default: 2000]")
    ] = None,
    inception: Annotated[Path | None, Option(help=_INCEPTION, show_default=False)] = None,
    as_json: Annotated[bool, Option("--json", help="Print the results as JSON.")] = False,
    device: Device = "auto",
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
    files = print_and_save(
        opened.path,
        lambda: measure(
            opened, held_out=held_out, baselines=baselines, seed=seed, samples=samples, extractor=extractor
        ),
        lambda found: echo(json.dumps(found.to_json()) if as_json else f"{found}\n", as_is=True),
        lambda found: found.save(opened.path, report=html),
    )
    for kind, file in zip(("picture", "report"), files, strict=False):
        if not as_json:
            line(kind, file, 8)
