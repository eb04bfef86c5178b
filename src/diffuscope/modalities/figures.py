"""Which figures does a run make? Data, forward process, sampling, samples, loss, and animations.

:mod:`diffuscope.plots` draws; this module says what. A kind of data says how its points are shown.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.base import Dataset
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.files import atomic_write
from diffuscope.metrics import Measured
from diffuscope.model import Model
from diffuscope.plots import (
    GENERATED,
    NOISE,
    State,
    plot_forward_grid,
    plot_loss,
    plot_walk_rows,
    save_figure,
)
from diffuscope.request import Request
from diffuscope.seeds import stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from diffuscope.modalities.generator import Generator

__all__ = ["SHOWN", "Figures", "loss_figure"]

SHOWN = 10_000
_ROW = 10  # moments of a trajectory in one row
_BOARD = 2_000


class Figures(ABC):
    """Draws a model: one method a figure, and all of them into a run directory.

    Parameters
    ----------
    data : Dataset or None
        What it was trained on; None where that is not at hand: then only samples are drawn.
    """

    measured = "sliced Wasserstein distance"
    sample_files: tuple[str, ...] = ("samples.png",)

    def __init__(self, model: Model, generator: Generator, data: Dataset | None) -> None:
        self.model, self.generator, self.data = model, generator, data

    # --- what a kind of data says ---------------------------------------------------------------------------

    @cached_property
    def shown(self) -> Any:
        """Some of the data, as the codec encodes it; needs the data."""
        assert self.data is not None
        return self.data.x[:SHOWN]

    def encoded(self, shown: Any) -> Tensor:
        """Return some of the data in the units of the model, (n, ...), finite."""
        encoded: Tensor = self.model.codec.encode(shown)
        return encoded

    def display(self, x: Tensor) -> NDArray[Any]:
        """Return points (n, ...) of the model as the arrays that are drawn."""
        return np.asarray(self.model.codec.decode(x))

    @property
    @abstractmethod
    def limits(self) -> NDArray[np.float64] | None:
        """The points (n, d) that set the axes; None where they cannot be had or are not needed."""

    def sampled(self) -> tuple[int, Request]:
        """Return how many samples are drawn for the figures, and under which condition."""
        return SHOWN, Request()

    @abstractmethod
    def draw_data(self) -> Figure:
        """Draw the data."""

    def draw_states(self, states: Sequence[State], label: str = "") -> Figure:
        """Draw ten moments of a trajectory from noise in one row."""
        return plot_walk_rows([(label, states)], reference=self.limits)

    def draw_forward(self, states: Sequence[State]) -> Figure:
        """Draw ten moments of the forward process."""
        return plot_forward_grid(states, reference=self.limits)

    @abstractmethod
    def draw_samples(
        self, samples: Any, caption: str | None = None, request: Request | None = None
    ) -> Figure:
        """Draw samples, beside the data where it is available."""

    # --- trajectories ---------------------------------------------------------------------------------------

    def states(self, seed: int) -> list[SamplingState]:
        """Sample for the figures, and return all states."""
        n, request = self.sampled()
        return self.generator.states(n, dataclasses.replace(request, seed=seed))

    def forward(self, frames: int, seed: int) -> list[State]:
        """Noise the data to ``frames`` levels, each drawn anew from q(x_t | x_0)."""
        levels, names = self._forward_levels(frames)
        x_0 = self.encoded(self.shown)
        generator = stream(seed, "forward")
        states = []
        for i, name in enumerate(names):
            level = levels.at(i)
            noisy = q_sample(x_0, level, torch.randn(x_0.shape, generator=generator))
            states.append(State(self._shown(noisy, level), name, (i + 1) / len(names)))
        return states

    def _forward_levels(self, frames: int) -> tuple[NoiseLevel, list[str]]:
        """Choose levels, and their names: steps counted from 1, or times."""
        schedule = self.model.denoiser.schedule
        if schedule.discrete:
            last = int(schedule.t_max)
            if self.model.recipe.pictures.forward == "first_steps":
                t = torch.arange(min(frames, last + 1))
            else:
                t = torch.linspace(0, last, min(frames, last + 1)).round().long()
            return schedule(t), [rf"$q(\mathbf{{x}}_{{{int(step) + 1}}})$" for step in t]
        # From data to noise in equal steps of the angle arctan(sigma / alpha), which looks even.
        ends = schedule(torch.tensor([schedule.t_min, schedule.t_max])).ratio.atan()
        angle = torch.linspace(ends[0].item(), ends[1].item(), frames, dtype=torch.float64)
        levels = schedule.at_ratio(angle.tan())
        return levels, [rf"$q(\mathbf{{x}}_{{t}}),\ t = {t:.2g}$" for t in levels.t.tolist()]

    def row(self, trajectory: Sequence[SamplingState]) -> list[State]:
        """Choose ten moments of a trajectory, equally many steps apart, the last of them the samples."""
        last = len(trajectory) - 1
        steps = [round(i * last / _ROW) for i in range(1, _ROW + 1)]
        states = {step: self._reverse_at(trajectory, step) for step in set(steps)}
        return [states[step] for step in steps]

    def _moving(self, trajectory: Sequence[SamplingState]) -> list[State]:
        """Choose the states of the reverse GIF: every so-many-th from the noise on, and the samples."""
        every, last = self.model.recipe.pictures.reverse_every, len(trajectory) - 1
        return [self._reverse_at(trajectory, i) for i in range(last + 1) if i % every == 0 or i == last]

    def _reverse_at(self, trajectory: Sequence[SamplingState], step: int) -> State:
        """Turn one state into a picture, named by its step, counted from 1, or its time; data is x_0."""
        state, discrete = trajectory[step], self.model.denoiser.schedule.discrete
        t = state.level.t.item()
        if state.level.sigma == 0:
            name = r"$\mathbf{x}_{0}$"
        elif discrete:
            name = rf"$\mathbf{{x}}_{{{int(t) + 1}}}$"
        else:
            name = rf"$\mathbf{{x}}_{{t}},\ t = {t:.2g}$"
        return State(self._shown(state.x, state.level), name, state.step / (len(trajectory) - 1))

    def _shown(self, x: Tensor, level: NoiseLevel) -> NDArray[Any]:
        """Return points as they are drawn, at most as wide as data of variance 1 (matters where α = 1)."""
        width = math.hypot(level.alpha.item(), level.sigma.item())
        return self.display(x / max(1.0, width))

    # --- files ----------------------------------------------------------------------------------------------

    def save_epoch(self, folder: Path, epoch: int) -> None:
        """Write the row of a model in training, ``figures/epoch_01000.png``."""
        row = self.row(self.states(self.model.recipe.seed))
        figure = self.draw_states(row, f"epoch {epoch}")
        save_figure(figure, folder / "figures" / f"epoch_{epoch:05d}.png")

    def save(self, folder: Path, metrics: Sequence[Mapping[str, float]]) -> Tensor:
        """Write the figures of a finished run: figures/*.png, forward.gif, reverse.gif, maybe diffusion.gif.

        ``metrics`` are the lines of metrics.jsonl. Returns the samples, in the units of the model, which
        :meth:`save_samples` draws.
        """
        pictures, seed, figures = self.model.recipe.pictures, self.model.recipe.seed, folder / "figures"
        trajectory = self.states(seed)
        save_figure(self.draw_data(), figures / "dataset.png")
        save_figure(self.draw_forward(self.forward(_ROW, seed)), figures / "forward.png")
        epochs = sorted(figures.glob("epoch_*.png"))
        save_figure(self.draw_states(self.row(trajectory), "end"), figures / "reverse.png")
        _stack([*epochs, figures / "reverse.png"], figures / "epochs.png")
        save_figure(loss_figure(metrics), figures / "loss.png")

        forward = self.forward(pictures.forward_frames, seed)
        reverse = self._moving(trajectory)
        self._animate(forward, folder / "forward.gif", pictures.forward_ms, NOISE)
        self._animate(reverse, folder / "reverse.gif", pictures.reverse_ms, GENERATED)
        if pictures.joined:
            self._animate(forward + reverse, folder / "diffusion.gif", pictures.reverse_ms, NOISE)
        return trajectory[-1].x

    def save_samples(self, folder: Path, x: Tensor, quality: Measured) -> None:
        """Write figures/samples.png of what :meth:`save` returned; the caption says its quality."""
        samples = self.model.codec.decode(x)
        drawn = self.draw_samples(samples, f"{self.measured} {quality.brief}", self.sampled()[1])
        for name in self.sample_files:
            save_figure(drawn, folder / "figures" / name)

    def animate(self, path: Path, forward: bool, reverse: bool, seed: int) -> None:
        """Write an animation of the forward process, of sampling, or of one after the other."""
        pictures = self.model.recipe.pictures
        states = self.forward(pictures.forward_frames, seed) if forward else []
        if reverse:
            states += self._moving(self.states(seed))
        ms = pictures.reverse_ms if reverse else pictures.forward_ms
        self._animate(states, path, ms, GENERATED if reverse and not forward else NOISE)

    def _animate(self, states: Sequence[State], path: Path, ms: float, color: str) -> None:
        from diffuscope.plots.animation import save_animation

        save_animation(states, path, frame_ms=ms, color=color, reference=self.limits)

    def board(self, seed: int) -> NDArray[np.uint8]:
        """Return samples of a model in training as one picture (height, width, 3)."""
        from diffuscope.plots.style import DPI, pixels

        n, request = self.sampled()
        request = dataclasses.replace(request, seed=seed)
        samples = self.generator.sample(min(n, _BOARD), request)
        return pixels(self.draw_samples(samples, None, request), DPI)


def loss_figure(metrics: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the loss over the steps of a training."""
    return plot_loss([line["step"] for line in metrics], [line["loss"] for line in metrics])


def _stack(rows: Sequence[Path], path: Path) -> None:
    """Put the rows of all epochs under one another, where there are several."""
    if len(rows) < 2:
        return
    from PIL import Image

    images = [Image.open(row).convert("RGB") for row in rows]
    whole = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), "white")
    for image, top in zip(images, itertools.accumulate((i.height for i in images), initial=0), strict=False):
        whole.paste(image, (0, top))
    with atomic_write(path) as temporary:
        whole.save(temporary)
