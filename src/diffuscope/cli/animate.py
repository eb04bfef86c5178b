"""``diffuscope animate RUN``: animations of the forward process and of sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from diffuscope.cli.common_options import Device, Force, RunDir, Seed, free
from diffuscope.terminal import echo, one_line


def animate(
    run: RunDir,
    forward: Annotated[
        bool, Option("--forward", help="Animate the forward process, from data to noise.")
    ] = False,
    reverse: Annotated[
        bool, Option("--reverse", help="Animate sampling, from noise to data. [default]")
    ] = False,
    out: Annotated[
        Path | None, Option("--out", "-o", help="FILE.gif, .mp4 or .html. [default: a .gif in RUN]")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Animate the forward process, sampling, or both."""
    if out is not None:
        free(out, force)
    path = out or run / f"{'both' if forward and reverse else 'forward' if forward else 'reverse'}.gif"
    from diffuscope.plots.animation import check_animation
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    check_animation(path)
    opened = load(run, device=device)
    with Reporter().stage("drawing"):
        opened.animate(path, forward=forward, reverse=reverse or not forward, seed=seed)
    echo(one_line(path))
