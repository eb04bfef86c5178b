"""``diffuscope animate RUN``: moving pictures of a walk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, Device, RunDir, free


def animate(
    run: RunDir,
    forward: Annotated[bool, typer.Option("--forward", help="The walk from data to noise.")] = False,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="The walk from noise to data. [default]")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="FILE.gif, .mp4 or .html. [default: RUN/WALK.gif]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Make a moving picture of the forward walk, the reverse walk, or one after the other."""
    name = "both" if forward and reverse else "forward" if forward else "reverse"
    path = out or run / f"{name}.gif"
    if out is not None:
        free(path, force)
    from diffuscope.plots.animation import check_animation
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    check_animation(path)
    opened = load(run, device=device)
    with Reporter().stage("drawing"):
        opened.animate(path, forward=forward, reverse=reverse or not forward, seed=seed)
    typer.echo(f"{path}")
