"""``diffuscope animate RUN``: animations of the forward process and of sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from diffuscope.cli.common_options import Device, Force, RunDir, SamplerName, Seed, Steps, free, present
from diffuscope.cli.outcome import written


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
    frames: Annotated[
        int | None, Option(help="Frames of the forward process and of sampling. [default: the run's]")
    ] = None,
    frame_ms: Annotated[
        float | None, Option(help="Milliseconds of a frame, at least 20 of a .gif. [default: the run's]")
    ] = None,
    size: Annotated[int | None, Option(help="Width in pixels, 160 to 4096. [default: 480]")] = None,
    color: Annotated[
        str | None,
        Option(help="Colour of the points, such as teal or '#2b6cb8'. [default: by what is shown]"),
    ] = None,
    sampler: SamplerName = None,
    steps: Steps = None,
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
        opened.animate(
            path,
            forward=forward,
            reverse=reverse or not forward,
            seed=seed,
            frames=frames,
            frame_ms=frame_ms,
            size=size,
            color=color,
            **present(None, sampler=sampler, steps=steps),
        )
    written(path)
