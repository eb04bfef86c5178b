"""``diffuscope sample RUN -o FILE``: points, rows of a table, or images from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from diffuscope.cli.common import (
    Debug,
    Device,
    Force,
    Guidance,
    Interval,
    Label,
    RunDir,
    SamplerName,
    Seed,
    Steps,
    conditions,
    free,
    read_settings,
)
from diffuscope.errors import InputError


def sample(
    run: RunDir,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="FILE.npy, .npz, .csv, .tsv, .parquet or .png; for images .png (one sheet), .npy, .npz "
            "or FOLDER.",
            show_default=False,
        ),
    ],
    n: Annotated[
        int | None, typer.Option("-n", help="Number of samples. [default: 10000, for images 64]")
    ] = None,
    sampler: SamplerName = None,
    steps: Steps = None,
    spacing: Annotated[
        str | None,
        typer.Option(help="Spacing of the steps: uniform, trailing or karras. [default: the run's]"),
    ] = None,
    seed: Seed = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the sampler, such as eta=0.5."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="For tables: condition on this value, such as sex=F."),
    ] = None,
    label: Label = None,
    guidance: Guidance = None,
    interval: Interval = None,
    force: Force = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Sample from a trained model into a file.

    Samples are points, rows of a table, or images.
    """
    if not out.is_dir():
        free(out, force)
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    opened = load(run, device=device)
    options: dict[str, Any] = {
        "sampler": sampler,
        "steps": steps,
        "spacing": spacing,
        "seed": seed,
        **read_settings(set_ or []),
        **conditions(label, guidance, interval),
    }
    if given:
        options["given"] = dict(map(_pair, given))
    options = opened.generator.read_words(options)
    n = opened.generator.count(options) if n is None else n
    if out.suffix.lower() in opened.generator.drawn_suffixes:
        from diffuscope.plots import save_figure

        save_figure(opened.plot_samples(n, **options), out)
    else:
        opened.sample_to(out, n, reporter=Reporter(), **options)
    typer.echo(f"{n:,} {opened.modality.unit} in {out}")


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InputError(f"{text!r} is not of the form COLUMN=VALUE.", "Write --given COLUMN=VALUE.")
    return name, value
