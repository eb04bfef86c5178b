"""``diffuscope sample RUN -o FILE``: points from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, Device, RunDir, free, read_settings


def sample(
    run: RunDir,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="FILE.npy, .npz, .csv, .tsv, .parquet or .png.", show_default=False),
    ],
    n: Annotated[int, typer.Option("-n", help="How many points.")] = 10_000,
    sampler: Annotated[
        str | None, typer.Option(help="diffuscope list samplers. [default: the run's]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the walk. [default: the run's]")] = None,
    spacing: Annotated[
        str | None, typer.Option(help="uniform, trailing or karras. [default: the run's]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the sampler, such as eta=0.5."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Draw points from a trained model into a file, or as a picture beside the data."""
    free(out, force)
    picture = out.suffix.lower() in (".png", ".svg", ".pdf")
    if not picture:
        from diffuscope.datasets import check_writable

        check_writable(out)
    from diffuscope.progress import Reporter
    from diffuscope.run import load

    opened = load(run, device=device)
    wanted = {
        "sampler": sampler,
        "steps": steps,
        "spacing": spacing,
        "seed": seed,
        **read_settings(set_ or []),
    }
    if picture:
        from diffuscope.plots import save_figure

        save_figure(opened.plot_samples(n, **wanted), out)
    else:
        opened.sample_to(out, n, reporter=Reporter(), **wanted)
    typer.echo(f"{n:,} points in {out}")
