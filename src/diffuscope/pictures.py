"""Which pictures does a run make? The data, its way into noise, its way back, and how near it came.

Everything is shown in the units of the data. :mod:`diffuscope.plots` and :mod:`diffuscope.animate` draw;
this module says what.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.animate import save_animation
from diffuscope.forward import q_sample
from diffuscope.model import Model
from diffuscope.plots import (
    GENERATED,
    NOISE,
    State,
    plot_dataset,
    plot_forward_grid,
    plot_walk_rows,
    save_figure,
)
from diffuscope.recipes.schema import PicturesSection
from diffuscope.samplers import WalkState
from diffuscope.schedules import NoiseLevel
from diffuscope.seeds import stream

__all__ = ["forward_states", "reverse_states", "save_rows", "save_walks"]

_SHOWN = 10_000
Points = NDArray[np.float64]


def forward_states(model: Model, x: Points, pictures: PicturesSection, frames: int, seed: int) -> list[State]:
    """Noise the data (n, d) to ``frames`` levels, each drawn anew from q(x_t | x_0)."""
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


def reverse_states(model: Model, states: Sequence[WalkState]) -> list[State]:
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


def _shown(model: Model, x: torch.Tensor, level: NoiseLevel) -> NDArray[np.float32]:
    """Bring points to the data's units, at most as wide as data of variance 1 (matters where α = 1)."""
    width = math.hypot(level.alpha.item(), level.sigma.item())
    return model.scaling.to_data(x / max(1.0, width))


def save_walks(model: Model, x: Points, walk: Sequence[WalkState], folder: Path, seed: int) -> list[Path]:
    """Write the data set, the forward grid and the GIFs of both walks; return what was written."""
    pictures = model.recipe.pictures
    figures = folder / "figures"
    shown = x[:_SHOWN]
    save_figure(plot_dataset(shown, model.columns), figures / "dataset.png")
    grid = forward_states(model, x, pictures, 10, seed)
    save_figure(plot_forward_grid(grid, reference=shown), figures / "forward.png")
    reverse = reverse_states(model, walk)
    every = pictures.reverse_every
    # As the article: every second state from the noise on, here with the last one, the samples.
    moving = [s for i, s in enumerate(reverse) if i % every == 0 or i == len(reverse) - 1]
    forward = forward_states(model, x, pictures, pictures.forward_frames, seed)
    written = [figures / "dataset.png", figures / "forward.png"]
    for name, states, ms, color in (
        ("forward.gif", forward, pictures.forward_ms, NOISE),
        ("reverse.gif", moving, pictures.reverse_ms, GENERATED),
    ):
        save_animation(states, folder / name, frame_ms=ms, color=color, reference=shown)
        written.append(folder / name)
    if pictures.joined:
        save_animation(
            forward + moving, folder / "diffusion.gif", frame_ms=pictures.reverse_ms, reference=shown
        )
        written.append(folder / "diffusion.gif")
    return written


def save_rows(model: Model, x: Points, walk: Sequence[WalkState], name: str, path: Path) -> None:
    """Write a row of ten panels of the reverse walk, the last of them the samples."""
    states = reverse_states(model, walk)
    panels = [states[round(i * (len(states) - 1) / 10)] for i in range(1, 11)]
    save_figure(plot_walk_rows([(name, panels)], reference=x[:_SHOWN]), path)
