"""Which pictures does a run make? The data, its way into noise, its way back, and how near it came.

Everything is shown in the units of the data. :mod:`diffuscope.plots` and :mod:`diffuscope.plots.animation`
draw; this module says what.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.files import atomic_write
from diffuscope.model import Model
from diffuscope.plots import (
    GENERATED,
    NOISE,
    State,
    plot_dataset,
    plot_forward_grid,
    plot_loss,
    plot_samples,
    plot_walk_rows,
    save_figure,
)
from diffuscope.plots.animation import save_animation
from diffuscope.recipes.schema import PicturesSection
from diffuscope.seeds import stream

__all__ = ["forward_states", "moving", "reverse_row", "reverse_states", "save_epoch", "save_pictures"]

_SHOWN = 10_000
Points = NDArray[np.float64]


def forward_states(
    model: Model, x: NDArray[Any], pictures: PicturesSection, frames: int, seed: int
) -> list[State]:
    """Noise the data (n, ...) to ``frames`` levels, each drawn anew from q(x_t | x_0)."""
    x = x[:_SHOWN]
    levels, names = _forward_levels(model, pictures, frames)
    x_0 = model.scaling.to_model(x)
    generator = stream(seed, "forward")
    states = []
    for i, name in enumerate(names):
        level = levels.at(i)
        noisy = q_sample(x_0, level, torch.randn(x_0.shape, generator=generator))
        states.append(State(_shown(model, noisy, level), name, (i + 1) / len(names)))
    return states


def _forward_levels(model: Model, pictures: PicturesSection, frames: int) -> tuple[NoiseLevel, list[str]]:
    """Choose levels, and their names: steps counted from 1, or times."""
    schedule = model.denoiser.schedule
    if schedule.discrete:
        last = int(schedule.t_max)
        if pictures.forward == "first_steps":
            t = torch.arange(min(frames, last + 1))
        else:
            t = torch.linspace(0, last, min(frames, last + 1)).round().long()
        return schedule(t), [rf"$q(\mathbf{{x}}_{{{int(step) + 1}}})$" for step in t]
    # From data to noise in equal steps of the angle arctan(sigma / alpha), which looks even.
    ends = schedule(torch.tensor([schedule.t_min, schedule.t_max])).ratio.atan()
    angle = torch.linspace(ends[0].item(), ends[1].item(), frames, dtype=torch.float64)
    levels = schedule.at_ratio(angle.tan())
    return levels, [_continuous_name(t) for t in levels.t.tolist()]


def _continuous_name(t: float) -> str:
    return rf"$q(\mathbf{{x}}_{{t}}),\ t = {t:.2g}$"


def reverse_states(model: Model, states: Sequence[SamplingState]) -> list[State]:
    """Turn a walk into pictures, in the units of the data; every state, the start first."""
    steps = len(states) - 1
    return [
        State(
            _shown(model, state.x, state.level),
            _reverse_name(state.level, model.denoiser.schedule.discrete),
            state.step / steps,
        )
        for state in states
    ]


def _reverse_name(level: NoiseLevel, discrete: bool) -> str:
    """Name a state by its step, counted from 1, or its time; data is x_0."""
    if level.sigma == 0:
        return r"$\mathbf{x}_{0}$"
    t = level.t.item()
    return rf"$\mathbf{{x}}_{{{int(t) + 1}}}$" if discrete else rf"$\mathbf{{x}}_{{t}},\ t = {t:.2g}$"


def _shown(model: Model, x: torch.Tensor, level: NoiseLevel) -> NDArray[np.floating]:
    """Bring points to the data's units, at most as wide as data of variance 1 (matters where α = 1)."""
    width = math.hypot(level.alpha.item(), level.sigma.item())
    return model.scaling.to_data(x / max(1.0, width))


def reverse_row(model: Model, walk: Sequence[SamplingState]) -> list[State]:
    """Choose ten moments of a walk, equally many steps apart, the last of them the samples."""
    states = reverse_states(model, walk)
    return [states[round(i * (len(states) - 1) / 10)] for i in range(1, 11)]


def moving(model: Model, walk: Sequence[SamplingState]) -> list[State]:
    """Choose the states of the reverse GIF: every so-many-th from the noise on, and the samples."""
    states = reverse_states(model, walk)
    every = model.recipe.pictures.reverse_every
    return [state for i, state in enumerate(states) if i % every == 0 or i == len(states) - 1]


def save_epoch(model: Model, x: Points, folder: Path, epoch: int) -> None:
    """Write the row of a model in training, ``figures/epoch_01000.png``."""
    row = reverse_row(model, model.trajectory(_SHOWN, seed=model.recipe.seed))
    figure = plot_walk_rows([(f"epoch {epoch}", row)], reference=x[:_SHOWN])
    save_figure(figure, folder / "figures" / f"epoch_{epoch:05d}.png")


def save_pictures(
    model: Model, x: Points, folder: Path, ratio: float, metrics: Sequence[Mapping[str, float]]
) -> None:
    """Write all pictures of a finished run.

    Parameters
    ----------
    model : Model
    x : ndarray of shape (n, d)
        The data that it was trained on.
    folder : Path
        The run directory: figures/*.png, forward.gif, reverse.gif, and diffusion.gif if ``joined``.
    ratio : float
        The quality of its samples, for the caption.
    metrics : sequence of mappings
        The lines of metrics.jsonl.
    """
    seed, pictures, figures, shown = model.recipe.seed, model.recipe.pictures, folder / "figures", x[:_SHOWN]
    walk = model.trajectory(_SHOWN, seed=seed)
    save_figure(plot_dataset(shown, model.columns), figures / "dataset.png")
    first = forward_states(model, x, pictures, 10, seed)
    save_figure(plot_forward_grid(first, reference=shown), figures / "forward.png")
    save_figure(plot_walk_rows([("end", reverse_row(model, walk))], reference=shown), figures / "reverse.png")
    _stack([*sorted(figures.glob("epoch_*.png")), figures / "reverse.png"], figures / "epochs.png")
    samples = model.scaling.to_data(walk[-1].x)
    caption = f"sliced Wasserstein distance {ratio:.2f} × floor"
    save_figure(plot_samples(shown, samples, model.columns, caption), figures / "samples.png")
    steps, losses = [line["step"] for line in metrics], [line["loss"] for line in metrics]
    save_figure(plot_loss(steps, losses), figures / "loss.png")

    forward = forward_states(model, x, pictures, pictures.forward_frames, seed)
    reverse = moving(model, walk)
    there, back = pictures.forward_ms, pictures.reverse_ms
    save_animation(forward, folder / "forward.gif", frame_ms=there, color=NOISE, reference=shown)
    save_animation(reverse, folder / "reverse.gif", frame_ms=back, color=GENERATED, reference=shown)
    if pictures.joined:
        save_animation(forward + reverse, folder / "diffusion.gif", frame_ms=back, reference=shown)


def _stack(rows: Sequence[Path], path: Path) -> None:
    """Put the rows of all epochs under one another, where there are several."""
    if len(rows) < 2:
        return
    images = [Image.open(row).convert("RGB") for row in rows]
    whole = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    with atomic_write(path) as temporary:
        whole.save(temporary)
