"""What is a trained model? A denoiser with the units of its data and a recipe; it samples.

``model.safetensors`` holds the network's weights and the scaling; its metadata hold the recipe (TOML)
and the names of the columns (JSON). A file is checked against the shapes that its recipe asks for
before any memory is taken for it.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffuscope.data.affine import Scaling
from diffuscope.data.tables import RowCodec
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.samplers import SAMPLERS, Sampler, SamplingState, make_sampler, prior, trajectory
from diffuscope.diffusion.schedules import Grid, Schedule, Spacing
from diffuscope.errors import DiffuscopeError, FormatError, InputError
from diffuscope.likelihood import log_density
from diffuscope.precision import autocast, half_type
from diffuscope.recipes import CUSTOM, Recipe
from diffuscope.recipes.schema import MOST_STEPS, parse_recipe
from diffuscope.recipes.settings import check_settings
from diffuscope.seeds import stream
from diffuscope.tensors import load_tensors, save_tensors
from diffuscope.threads import side_by_side

__all__ = ["Model", "fill", "pick_device"]

_FORMAT = "diffuscope-model-1"
_POINTS_PER_PIECE = 2**12
_NUMBERS_PER_PIECE = 2**20
_PIXELS_PER_PIECE = 2**15
_LARGEST = 1e6  # weight of a model that says anything

_T = TypeVar("_T")
Told = Callable[[int, int], DenoiserLike]
Begin = Callable[[int, int, Tensor], Tensor]


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto``: CUDA, else Apple's, else the CPU.

    Raises
    ------
    InputError
        When there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"There is no device {name!r} here.", "Use auto, cpu, cuda or mps; auto takes what there is."
        ) from error
    return device


@dataclass
class Model:
    """A denoiser in the units of its data.

    Attributes
    ----------
    recipe : Recipe
        How it was made, and how it samples if nothing else is asked for.
    denoiser : Denoiser
    scaling : Scaling
    columns : tuple of str or None
        Names of the data's columns, where it had some.
    sampler : Sampler or None
        A sampler handed over from Python, where the recipe's is one.
    rows : RowCodec or None
        What the coordinates of a table's rows mean; the "data" of all methods here are these coordinates.
    notes : mapping of str to str
        Text that is kept beside the model.
    """

    recipe: Recipe
    denoiser: Denoiser
    scaling: Scaling
    columns: tuple[str, ...] | None = None
    sampler: Sampler | None = None
    rows: RowCodec | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a point: (d,), or (channels, height, width) of an image."""
        return self.scaling.shift.shape

    @property
    def dimension(self) -> int:
        """Coordinates of a point."""
        return math.prod(self.shape)

    @property
    def is_of_images(self) -> bool:
        """Whether its points are images."""
        return len(self.shape) == 3

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.denoiser.network.parameters()).device

    def plan(
        self,
        sampler: str | Sampler | None = None,
        steps: int | None = None,
        spacing: Spacing | None = None,
        **settings: Any,
    ) -> tuple[Grid, Sampler]:
        """Turn what :meth:`sample` takes into a grid of noise levels and a sampler."""
        section = self.recipe.sampling
        if sampler is None and section.name == CUSTOM:
            sampler = self.sampler
            if sampler is None:
                raise InputError(
                    "This run's sampler was handed over from Python.",
                    "Name one, or hand it over: sampler=...",
                )
        if sampler is None or isinstance(sampler, str):
            own = section.settings if sampler in (None, section.name) else {}
            name = sampler or section.name
            given = {**own, **settings}
            if name in SAMPLERS:
                given = check_settings("sampler", name, SAMPLERS[name], given)
            sampler = make_sampler(name, **given)
        elif settings:
            raise InputError(
                f"A sampler that is handed over has its settings already; got {', '.join(settings)} besides."
            )
        steps = section.steps if steps is None else steps
        if steps > MOST_STEPS:
            raise InputError(f"A walk of {steps:,} steps is too long.", f"Ask for at most {MOST_STEPS:,}.")
        grid = self.denoiser.schedule.grid(steps, spacing or section.spacing, section.rho)
        return grid, sampler

    def trajectory(
        self,
        n: int,
        *,
        sampler: str | Sampler | None = None,
        steps: int | None = None,
        spacing: Spacing | None = None,
        seed: int = 0,
        told: Told | None = None,
        **settings: Any,
    ) -> list[SamplingState]:
        """Sample as :meth:`sample` does, and return all states of the walk.

        Returns
        -------
        list of SamplingState
            The start and the state after each step, with x of shape (n, ...) in the units of the model;
            the last is what :meth:`sample` returns for the same arguments.
        """
        grid, way = self.plan(sampler, steps, spacing, **settings)
        pieces = list(self._pieces(n, grid, way, seed, list, told))
        return [
            SamplingState(states[0].step, torch.cat([state.x for state in states]), states[0].level)
            for states in zip(*pieces, strict=True)
        ]

    def batches(
        self,
        n: int,
        *,
        sampler: str | Sampler | None = None,
        steps: int | None = None,
        spacing: Spacing | None = None,
        seed: int = 0,
        told: Told | None = None,
        **settings: Any,
    ) -> Iterator[NDArray[np.floating]]:
        """Sample as :meth:`sample` does, and hand out the points in pieces: memory stays flat for any ``n``.

        Parameters
        ----------
        told : callable, optional
            ``told(start, stop)`` gives the denoiser of these points, such as one that is told what is known
            of each; the model's own by default.

        Yields
        ------
        ndarray of shape (m, ...)
            In the units of the data; the m add up to ``n``.
        """
        grid, way = self.plan(sampler, steps, spacing, **settings)
        for x in self.ends(n, grid, way, seed, told):
            yield self.scaling.to_data(x)

    def ends(
        self,
        n: int,
        grid: Grid,
        sampler: Sampler,
        seed: int = 0,
        told: Told | None = None,
        begin: Begin | None = None,
    ) -> Iterator[Tensor]:
        """Sample over a grid and hand out where it leads, in pieces; memory stays flat for any ``n``.

        Parameters
        ----------
        n : int
        grid : Grid
        sampler : Sampler
        seed : int
        told : callable, optional
            As in :meth:`batches`.
        begin : callable, optional
            ``begin(start, stop, noise)`` turns noise (m, ...) of the prior into the points from which these
            walks start; the noise itself by default.

        Yields
        ------
        Tensor of shape (m, ...)
            In the units of the model; the m add up to ``n``.
        """
        for state in self._pieces(n, grid, sampler, seed, _last, told, begin):
            yield state.x

    def _pieces(
        self,
        n: int,
        grid: Grid,
        sampler: Sampler,
        seed: int,
        keep: Callable[[Iterator[SamplingState]], _T],
        told: Told | None = None,
        begin: Begin | None = None,
    ) -> Iterator[_T]:
        """Sample in pieces, each with a random stream of its own, and yield what ``keep`` takes of each.

        The bytes do not depend on the number of cores.
        """
        if n < 1:
            raise InputError(f"Cannot sample {n} points.", "Ask for at least 1.")
        numbers = _NUMBERS_PER_PIECE
        if self.is_of_images and self.device.type == "cpu":
            numbers = _PIXELS_PER_PIECE  # a network of images is large enough for few to fill a core
        half = half_type(self.recipe.sampling.precision, self.device)
        size = max(1, min(_POINTS_PER_PIECE, numbers // self.dimension))

        def piece(start: int) -> _T:
            generator = stream(seed, "sample", start // size)
            stop = min(start + size, n)
            denoiser = self.denoiser if told is None else told(start, stop)
            x = prior(grid, (stop - start, *self.shape), generator).to(self.device)
            if begin is not None:
                x = begin(start, stop, x)
            elif told is not None:
                x = _around_mean(denoiser, x, grid)
            with autocast(half, self.device):  # of this thread
                return keep(trajectory(denoiser, x, grid, sampler, generator))

        return side_by_side(piece, range(0, n, size), self.device)

    def sample(
        self,
        n: int,
        *,
        sampler: str | Sampler | None = None,
        steps: int | None = None,
        spacing: Spacing | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> NDArray[np.floating]:
        """Draw points.

        Parameters
        ----------
        n : int
            How many.
        sampler : str or Sampler, optional
            A name (``diffuscope list samplers``) or a function ``(context, x) -> x``; the recipe's by
            default.
        steps : int, optional
            Steps of the walk, at most T for a discrete schedule; the recipe's by default.
        spacing : {"uniform", "trailing", "karras"}, optional
            The recipe's by default.
        seed : int
            The same seed gives the same bytes.
        **settings
            The sampler's own, such as ``eta=0.5`` for ``ddim``.

        Returns
        -------
        ndarray of shape (n, ...), float32 (float64 where the data lie far from zero)
            In the units of the data.

        Raises
        ------
        InputError
            When the sampler, its settings or the number of steps cannot be had.
        """
        wanted = {"sampler": sampler, "steps": steps, "spacing": spacing, "seed": seed, **settings}
        return np.concatenate(list(self.batches(n, **wanted)))

    def log_density(self, x: NDArray[np.floating], **options: Any) -> NDArray[np.float64]:
        """Return the log-density of the model at points, through its probability-flow ODE.

        Parameters
        ----------
        x : ndarray of shape (n, d) or (n, channels, height, width)
            In the units of the data.
        **options
            ``tolerance``, ``probes``, ``seed``, ``batch``, ``prior`` of
            :func:`diffuscope.likelihood.log_density`; its docstring says which density this is.

        Returns
        -------
        ndarray of shape (n,), float64
            In nats, in the units of the data.

        Raises
        ------
        InputError
            When the points do not fit the model or are not finite.
        RunError
            When the model's flow cannot be followed.
        """
        points = np.asarray(x, dtype=np.float64)
        if points.shape[1:] != self.shape or not np.isfinite(points).all():
            raise InputError(
                f"Points of shape {points.shape} do not fit a model of points of shape {self.shape}, "
                "or are not finite.",
                f"Give finite numbers of shape (n, {', '.join(map(str, self.shape))}).",
            )
        rows = self.scaling.to_model(points).to(self.device)
        value = log_density(self.denoiser, self.denoiser.schedule, rows, **options).value
        return value.numpy() - np.log(self.scaling.scale).sum()  # type: ignore[no-any-return]

    def save(self, path: str | Path) -> None:
        """Write the model to a .safetensors file, whole or not at all."""
        tensors = {f"network.{name}": t for name, t in self.denoiser.network.state_dict().items()}
        tensors["scaling.shift"] = torch.from_numpy(self.scaling.shift)
        tensors["scaling.scale"] = torch.from_numpy(self.scaling.scale)
        metadata = {**self.notes, "recipe": self.recipe.to_toml(), "columns": json.dumps(self.columns)}
        if self.rows is not None:
            metadata["rows"] = json.dumps(self.rows.to_json(), separators=(",", ":"))
        save_tensors(path, tensors, _FORMAT, metadata)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        network: nn.Module | None = None,
        schedule: Schedule | None = None,
    ) -> Model:
        """Read a model file. Nothing in it is ever run as code.

        Parameters
        ----------
        path : str or Path
        device : str
        network, schedule : optional
            The parts that were handed over from Python when it was made.

        Raises
        ------
        InputError, FormatError
            When there is no such file, or it is not a whole model of this version.
        """
        tensors, metadata = load_tensors(path, _FORMAT)
        try:
            recipe = parse_recipe(metadata.get("recipe", ""), f"The recipe in {path}")
            scaling = _scaling(tensors.pop("scaling.shift"), tensors.pop("scaling.scale"))
            columns = _columns(json.loads(metadata.get("columns", "null")), scaling.shift.size)
            rows = _rows(metadata.get("rows"), scaling.shift.size)
        except (KeyError, ValueError, RecursionError) as error:
            if isinstance(error, DiffuscopeError):
                raise
            raise FormatError(f"{path} is not a whole model file: {error}.", "Make it again.") from error
        weights = {name.removeprefix("network."): tensor for name, tensor in tensors.items()}
        denoiser = recipe.make_denoiser(scaling.shift.shape, network=network, schedule=schedule, empty=True)
        fill(denoiser.network, weights, path)
        denoiser.to(pick_device(device)).eval()
        notes = {key: text for key, text in metadata.items() if key not in ("recipe", "columns", "rows")}
        return cls(recipe, denoiser, scaling, columns, rows=rows, notes=notes)


def _scaling(shift: Tensor, scale: Tensor) -> Scaling:
    for tensor in (shift, scale):
        if tensor.dtype != torch.float64 or tensor.ndim not in (1, 3) or not tensor.isfinite().all():
            raise ValueError("its scaling is not of points or images")
    if shift.shape != scale.shape or not shift.numel() or not (scale > 0).all():
        raise ValueError("its scaling does not fit together")
    return Scaling(shift.numpy(), scale.numpy())


def _rows(text: str | None, dimension: int) -> RowCodec | None:
    if text is None:
        return None
    rows = RowCodec.from_json(json.loads(text))
    if rows.width != dimension:
        raise ValueError("its table has another number of coordinates")
    return rows


@torch.no_grad()
def _around_mean(denoiser: DenoiserLike, x: Tensor, grid: Grid) -> Tensor:
    """Move noise to where it lies around the mean of points of which something is known.

    The mean of all data is about 0, and lost in the noise; that of some may be far enough to be missed.
    """
    level = grid.levels.at(0)
    return x + coefficient(level.alpha, x) * denoiser(x, level)


def _last(states: Iterator[SamplingState]) -> SamplingState:
    return deque(states, maxlen=1)[0]


def _columns(value: Any, dimension: int) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(c, str) for c in value) or len(value) != dimension:
        raise ValueError("the names of its columns are not names, one for each")
    return tuple(value)


def fill(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Put ``weights`` in the place of the network's, once names, shapes and types are the same."""
    expected = network.state_dict()
    wrong: Sequence[str] = sorted(set(expected) ^ set(weights)) or [
        name
        for name, tensor in expected.items()
        if tensor.shape != weights[name].shape or tensor.dtype != weights[name].dtype
    ]
    if wrong:
        raise FormatError(
            f"{path} does not hold the weights that its recipe asks for (first difference: {wrong[0]!r}).",
            "Give the network that it was made with, or make it again.",
        )
    for name, tensor in weights.items():
        if not (tensor.abs() <= _LARGEST).all():
            raise FormatError(
                f"{path} holds weights that are not finite, or too large ({name!r}).", "Make it again."
            )
    # Copies: memory that is mapped from a file begins anywhere, fresh memory where products like it.
    network.load_state_dict({name: tensor.clone() for name, tensor in weights.items()}, assign=True)
