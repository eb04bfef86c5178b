"""Which figures does a run make? Data, forward process, sampling, samples, loss, and animations.

:mod:`diffuscope.plots` draws; this module says what. A kind of data says how its points are shown.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from diffuscope.errors import InputError
from diffuscope.files import atomic_write
from diffuscope.metrics import Measured
from diffuscope.modalities.watched import Watched, WatchedColumns
from diffuscope.model import ORIGIN, Model
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

__all__ = ["SHOWN", "Figures", "Look", "loss_figure"]

SHOWN = 10_000
_ROW = 10  # moments of a trajectory in one row
_BOARD = 2_000
_MOST_FRAMES = 1_000  # as in a recipe
_WIDER = 1.01  # noisy points that are so many times as wide as data are drawn smaller


@dataclass(frozen=True)
class Look:
    """How an animation looks; None: as the recipe says."""

    frames: int | None = None  # of each walk
    frame_ms: float | None = None
    size: int | None = None  # pixels
    color: str | None = None


class Figures(ABC):
    """Draws a model: one method a figure, and all of them into a run directory.

    Parameters
    ----------
    data : Dataset or None
        What it was trained on; None where that is not at hand: then only samples are drawn.
    """

    measured = "sliced Wasserstein distance"
    sample_files: tuple[str, ...] = ("samples.png",)
    estimates = True  # whether what the network takes a noisy point for can be drawn

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
        return plot_walk_rows([(label, states)], reference=self.limits, caption=self.rescaled)

    def draw_forward(self, states: Sequence[State]) -> Figure:
        """Draw ten moments of the forward process."""
        return plot_forward_grid(states, reference=self.limits, caption=self.rescaled)

    @cached_property
    def rescaled(self) -> str | None:
        """What pictures of noisy points say where these are drawn smaller than they are; None elsewhere."""
        schedule = self.model.denoiser.schedule
        last = schedule(torch.tensor(schedule.t_max))
        if math.hypot(last.alpha.item(), last.sigma.item()) < _WIDER:
            return None
        return "x_t is drawn divided by √(α² + σ²): its noise has no bound"

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
            noisy = q_sample(x_0, level, self.noise(x_0, generator))
            states.append(State(self._shown(noisy, level), name, (i + 1) / len(names)))
        return states

    def noise(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """Return what the forward process adds to points (n, ...): noise, or where a flow starts."""
        origin = self.model.extras.get(ORIGIN)
        if origin is not None:
            return origin.cpu()[torch.randint(len(origin), (len(x_0),), generator=generator)]
        return torch.randn(x_0.shape, generator=generator)

    def _forward_levels(self, frames: int) -> tuple[NoiseLevel, list[str]]:
        """Choose levels, and their names: steps counted from 1, or times."""
        schedule = self.model.denoiser.schedule
        if schedule.discrete and self.model.recipe.pictures.forward == "first_steps":
            t = torch.arange(min(frames, int(schedule.t_max) + 1))
            return schedule(t), [rf"$q(\mathbf{{x}}_{{{int(step) + 1}}})$" for step in t]
        # Where the data dissolves: in equal steps of r / (r + 1/2), r = sigma / alpha in units of its spread.
        # Below, nothing is to be seen yet; far above, one noise looks like the other.
        spread = float(self.encoded(self.shown).std()) if self.data is not None else 1.0
        ends = schedule(torch.tensor([schedule.t_min, schedule.t_max]))
        half = 0.5 * (spread if spread > 0 else 1.0)
        low, high = (1 / (1 + half / ends.ratio)).tolist()
        share = torch.linspace(low, high, frames, dtype=torch.float64)
        t = schedule.time_at_ratio(half * share / (1 - share))
        t[0], t[-1] = schedule.t_min, schedule.t_max
        if schedule.discrete:
            t = torch.unique(t.long())
            return schedule(t), [rf"$q(\mathbf{{x}}_{{{int(step) + 1}}})$" for step in t]
        levels = schedule(t)
        return levels, [rf"$q(\mathbf{{x}}_{{t}}),\ t = {t:.2g}$" for t in levels.t.tolist()]

    def telling_levels(self) -> list[NoiseLevel]:
        """Return four levels, at which the data dissolves."""
        levels, _ = self._forward_levels(_ROW)
        k = len(levels.t)
        return [levels.at(min(k - 1, round(share * k))) for share in (0.1, 0.3, 0.5, 0.8)]

    def row(self, trajectory: Sequence[SamplingState]) -> list[State]:
        """Choose ten moments of a trajectory, equally many steps apart, the last of them the samples."""
        last = len(trajectory) - 1
        steps = [round(i * last / _ROW) for i in range(1, _ROW + 1)]
        states = {step: self._reverse_at(trajectory, step) for step in set(steps)}
        return [states[step] for step in steps]

    def _moving(self, trajectory: Sequence[SamplingState], frames: int | None = None) -> list[State]:
        """Choose the states of the reverse GIF: every so-many-th from the noise on, and the samples."""
        every, last = self.model.recipe.pictures.reverse_every, len(trajectory) - 1
        if frames is not None:
            if frames > last + 1:
                raise InputError(
                    f"Sampling in {last} steps has {last + 1} frames, and {frames} were asked for.",
                    f"Give fewer --frames, or --steps {frames - 1}.",
                )
            return [self._reverse_at(trajectory, round(i * last / (frames - 1))) for i in range(frames)]
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

    @property
    def bytes_shown(self) -> float:
        """About how many bytes a sample takes in a page, at one moment."""
        return 2.0 * math.prod(self.model.shape)

    def watched(self, states: Sequence[SamplingState], request: Request) -> Watched:
        """Return what a page shows of some states (n, ...) of sampling as the request says."""
        import pandas as pd

        moments = [self._shown(state.x, state.level) for state in states]
        width = moments[0][0].size
        names = self.model.columns or [f"x{k + 1}" for k in range(width)]

        def frame(x: NDArray[Any]) -> pd.DataFrame:
            return pd.DataFrame(x.reshape(len(x), width), columns=list(names))

        real = frame(moments[0][:0]) if self.data is None else frame(self.display(self.encoded(self.shown)))
        return WatchedColumns.of(real, [frame(x) for x in moments])

    # --- files ----------------------------------------------------------------------------------------------

    def save_epoch(self, folder: Path, epoch: int) -> None:
        """Write the row of a model in training, ``figures/epoch_01000.png``."""
        row = self.row(self.states(self.model.recipe.seed))
        figure = self.draw_states(row, f"epoch {epoch}")
        save_figure(figure, folder / "figures" / f"epoch_{epoch:05d}.png")

    def save_data(self, folder: Path) -> None:
        """Write what can be seen before training: figures/dataset.png, figures/forward.png, forward.gif."""
        pictures, seed = self.model.recipe.pictures, self.model.recipe.seed
        save_figure(self.draw_data(), folder / "figures" / "dataset.png")
        save_figure(self.draw_forward(self.forward(_ROW, seed)), folder / "figures" / "forward.png")
        forward = self.forward(pictures.forward_frames, seed)
        self._animate(forward, folder / "forward.gif", pictures.forward_ms, NOISE)

    def save(
        self, folder: Path, metrics: Sequence[Mapping[str, float]], perfect_loss: float | None = None
    ) -> Tensor:
        """Write the figures of a finished run: figures/*.png, reverse.gif, maybe diffusion.gif.

        ``metrics`` are the lines of metrics.jsonl, ``perfect_loss`` is the irreducible loss. Returns the
        samples, in the units of the model, which :meth:`save_samples` draws.
        """
        pictures, seed, figures = self.model.recipe.pictures, self.model.recipe.seed, folder / "figures"
        trajectory = self.states(seed)
        epochs = sorted(figures.glob("epoch_*.png"))
        save_figure(self.draw_states(self.row(trajectory), "after training"), figures / "reverse.png")
        _stack([*epochs, figures / "reverse.png"], figures / "epochs.png")
        save_figure(loss_figure(metrics, perfect_loss), figures / "loss.png")

        reverse = self._moving(trajectory)
        self._animate(reverse, folder / "reverse.gif", pictures.reverse_ms, GENERATED)
        if pictures.joined:
            forward = self.forward(pictures.forward_frames, seed)
            self._animate(forward + reverse, folder / "diffusion.gif", pictures.reverse_ms, NOISE)
        return trajectory[-1].x

    def save_samples(self, folder: Path, x: Tensor, quality: Measured | None) -> None:
        """Write figures/samples.png of what :meth:`save` returned; the caption says its quality, if known."""
        samples, request = self.model.codec.decode(x), self.sampled()[1]
        made = self.said(dataclasses.replace(request, seed=self.model.recipe.seed))
        caption = made if quality is None else f"{self.measured} {quality.brief}\n{made}"
        drawn = self.draw_samples(samples, caption, request)
        for name in self.sample_files:
            save_figure(drawn, folder / "figures" / name)

    def said(self, request: Request) -> str:
        """Return how samples were drawn: sampler, steps, seed, and what else was asked for."""
        section, sampler = self.model.recipe.sampling, request.sampler
        name = section.name if sampler is None else sampler
        name = name if isinstance(name, str) else getattr(name, "__name__", type(name).__name__)
        words = [name, f"{request.steps or section.steps} steps", f"seed {request.seed}"]
        words += [f"{key} = {value}" for key, value in request.settings.items()]
        if request.condition is not None and (request.guidance or section.guidance) != 1:
            words.append(f"guidance {request.guidance or section.guidance:g}")
        if request.noise is not None:
            words.append("noise as given")
        return ", ".join(words)

    def animate(self, path: Path, forward: bool, reverse: bool, request: Request, look: Look) -> None:
        """Write an animation of the forward process, of sampling, or of one after the other."""
        pictures = self.model.recipe.pictures
        if look.frames is not None and not 2 <= look.frames <= _MOST_FRAMES:
            what = "does not move" if look.frames < 2 else "is too long"
            raise InputError(
                f"An animation of {look.frames:,} frames {what}.", f"Give 2 to {_MOST_FRAMES:,}."
            )
        states = self.forward(look.frames or pictures.forward_frames, request.seed) if forward else []
        if reverse:
            trajectory = self.generator.states(self.sampled()[0], request)
            states += self._moving(trajectory, look.frames)
        ms = look.frame_ms or (pictures.reverse_ms if reverse else pictures.forward_ms)
        color = look.color or (GENERATED if reverse and not forward else NOISE)
        self._animate(states, path, ms, color, look.size)

    def _animate(
        self, states: Sequence[State], path: Path, ms: float, color: str, size: int | None = None
    ) -> None:
        from matplotlib.colors import is_color_like

        from diffuscope.plots.animation import save_animation

        if not is_color_like(color):
            raise InputError(f"{color!r} is not a colour.", "Give a name or a code, such as '#2b6cb8'.")
        title = None if self.rescaled is None else r"$\mathbf{x}_t\,/\,\sqrt{\alpha^2 + \sigma^2}$"
        more = {} if size is None else {"size_px": size}
        save_animation(states, path, frame_ms=ms, color=color, title=title, reference=self.limits, **more)

    def board(self, seed: int) -> NDArray[np.uint8]:
        """Return samples of a model in training as one picture (height, width, 3)."""
        from diffuscope.plots.style import DPI, pixels

        n, request = self.sampled()
        request = dataclasses.replace(request, seed=seed)
        samples = self.generator.sample(min(n, _BOARD), request)
        return pixels(self.draw_samples(samples, None, request), DPI)


def loss_figure(metrics: Sequence[Mapping[str, float]], perfect_loss: float | None = None) -> Figure:
    """Draw the loss over the steps of a training, and the irreducible loss where it is known."""
    return plot_loss([line["step"] for line in metrics], [line["loss"] for line in metrics], perfect_loss)


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
