"""What is a trained model? A denoiser with the codec of its data and a recipe; it samples.

``model.safetensors`` holds the network's weights; its metadata hold the recipe (TOML) and the codec (JSON).
A file is checked against the shapes that its recipe asks for before any memory is taken for it.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffuscope.data.base import Codec, columns_of
from diffuscope.data.kinds import codec_from_json, codec_to_json
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.samplers import SAMPLERS, Sampler, SamplingState, make_sampler, prior, trajectory
from diffuscope.diffusion.schedules import Grid, Schedule
from diffuscope.errors import DiffuscopeError, FormatError, InputError
from diffuscope.likelihood import log_density
from diffuscope.precision import arranged, autocast, half_type
from diffuscope.recipes import CUSTOM, Recipe
from diffuscope.recipes.schema import parse_recipe
from diffuscope.recipes.sections import MOST_STEPS
from diffuscope.recipes.settings import check_settings
from diffuscope.request import Request, as_numbers, check_count, read_request
from diffuscope.seeds import RowStreams, stream
from diffuscope.shares import shared
from diffuscope.tensors import load_tensors, save_tensors
from diffuscope.threads import going_on

__all__ = [
    "ORIGIN",
    "Begin",
    "Conditioned",
    "Model",
    "Rows",
    "around_mean",
    "fill",
    "pick_device",
    "rows_per_block",
    "sample_pieces",
]

ORIGIN = "origin"
"""In the extras of a model: the points (m, ...) from which its flow starts, in place of noise."""

_FORMAT = "diffuscope-model-2"
_EXTRA = "extra."
_POINTS_PER_PIECE, _POINTS_ON_GPU = 2**11, 2**17
_NUMBERS_PER_PIECE = 2**20
_PIXELS_PER_PIECE = 2**15
_ROWS_PER_BLOCK, _IMAGES_PER_BLOCK = 2**8, 2**4
_LOUD = 2.0  # deviation of noise that somebody gave
_LARGEST = 1e6  # weight of a model that says anything

Rows = NDArray[np.intp]
"""Numbers (m,) of the rows of a piece. The last piece is filled up with its last row to whole blocks."""
Conditioned = Callable[[Rows], DenoiserLike]
Begin = Callable[[Rows, Tensor], Tensor]
Keep = Callable[[Iterator[SamplingState]], Any]


def _end(states: Iterator[SamplingState]) -> Tensor:
    return deque(states, maxlen=1)[0].x


def _every(states: Iterator[SamplingState]) -> Tensor:
    return torch.stack([state.x for state in states])


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto``: CUDA, else Apple's, else the CPU.

    Of several processes under torchrun each has a GPU of its own. InputError where there is no such device.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        own, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if own >= count:
            raise InputError(
                f"This machine has {count} GPUs, and more processes that train.",
                f"Start as many: torchrun --nproc-per-node {count}. On CPUs: --device cpu.",
            )
        return torch.device("cuda", own)
    if name == "auto":
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"The device {name!r} is not available.", "Use auto, cpu, cuda or mps; auto chooses one."
        ) from error
    return device


@dataclass(repr=False)
class Model:
    """A denoiser in the units of its data."""

    recipe: Recipe  # how it was made, and how it samples by default
    denoiser: Denoiser
    codec: Codec  # between the units of the data and those of the denoiser
    sampler: Sampler | None = None  # a custom one, where the recipe has one
    notes: Mapping[str, str] = field(default_factory=dict)  # text that is kept beside the model
    extras: Mapping[str, Tensor] = field(
        default_factory=dict
    )  # tensors that its kind of data keeps beside it

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a point: (d,), or (channels, height, width) of an image."""
        return self.codec.shape

    def __repr__(self) -> str:
        weights = sum(p.numel() for p in self.denoiser.network.parameters())
        return f"Model({self.codec.kind} {self.shape}, {self.recipe.network.name}, {weights:,} weights)"

    @property
    def dimension(self) -> int:
        """Coordinates of a point."""
        return math.prod(self.shape)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the data's columns, where it had some."""
        return self.codec.columns

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.denoiser.network.parameters()).device

    def plan(self, request: Request | None = None) -> tuple[Grid, Sampler]:
        """Return the grid of noise levels and the sampler of a request; InputError where it is not valid."""
        request, section = request or Request(), self.recipe.sampling
        sampler, settings = request.sampler, request.settings
        if sampler is None and section.name == CUSTOM:
            sampler = self.sampler
            if sampler is None:
                raise InputError(
                    "The sampler of this run is a custom Python object.",
                    "Choose a sampler by name, or pass it: sampler=...",
                )
        if sampler is None or isinstance(sampler, str):
            name = sampler or section.name
            given = {**(section.settings if name == section.name else {}), **settings}
            if name in SAMPLERS:
                given = check_settings("sampler", name, SAMPLERS[name], given)
            sampler = make_sampler(name, **given)
        elif settings:
            raise InputError(
                f"A custom sampler takes no settings; got {', '.join(settings)}.",
                "Set them where the sampler is made.",
            )
        steps = section.steps if request.steps is None else request.steps
        if steps > MOST_STEPS:
            raise InputError(f"{steps:,} sampling steps are too many.", f"Choose at most {MOST_STEPS:,}.")
        grid = self.denoiser.schedule.grid(steps, request.spacing or section.spacing, section.rho)
        return grid, sampler

    def coordinates(
        self, n: int, request: Request | None = None, conditioned: Conditioned | None = None
    ) -> Iterator[Tensor]:
        """Sample as a request says, in pieces (m, ...) that add up to n points, see :meth:`ends`."""
        return self._sampled(n, request or Request(), conditioned, _end)

    def trajectory(
        self, n: int, request: Request | None = None, conditioned: Conditioned | None = None
    ) -> list[SamplingState]:
        """Sample as :meth:`coordinates` does; return the start and the state after each step.

        Each has x of shape (n, ...) in the units of the model.
        """
        request = request or Request()
        levels = self.plan(request)[0].levels
        x = torch.cat(list(self._sampled(n, request, conditioned, _every)), dim=1)
        return [SamplingState(step, x[step], levels.at(step)) for step in range(len(x))]

    def _sampled(
        self, n: int, request: Request, conditioned: Conditioned | None, keep: Keep
    ) -> Iterator[Any]:
        grid, sampler = self.plan(request)
        begin = self._begin(n, request, grid)
        return self.ends(n, grid, sampler, request.seed, conditioned, begin, keep)

    def _begin(self, n: int, request: Request, grid: Grid) -> Begin | None:
        """Return what puts the request's own noise in the place of the prior's, if it has some."""
        if request.noise is None:
            return None
        numbers, expected = as_numbers(request.noise), (n, *self.shape)
        if numbers is None or numbers.shape != expected or not np.isfinite(numbers).all():
            what = "initial is not finite everywhere."
            if numbers is None:
                what = "initial is no array of numbers."
            elif numbers.shape != expected:
                what = f"initial has shape {numbers.shape}, not {expected}."
            raise InputError(what, f"Give finite numbers of shape {expected}.")
        noise = torch.from_numpy(numbers.astype(np.float32))
        size = float(noise.square().mean().sqrt())
        if grid.prior_std > _LOUD < size:
            warnings.warn(
                f"initial has a deviation of {size:.3g}, where noise has 1: sampling multiplies it by "
                f"{grid.prior_std:.3g} itself. The first state of a trajectory is multiplied already.",
                stacklevel=2,
            )
        return lambda rows, x: grid.prior_std * noise[torch.from_numpy(rows)].to(x.device)

    def ends(
        self,
        n: int,
        grid: Grid,
        sampler: Sampler,
        seed: int = 0,
        conditioned: Conditioned | None = None,
        begin: Begin | None = None,
        keep: Keep = _end,
    ) -> Iterator[Any]:
        """Sample over a grid and yield where it ends, in pieces; memory stays flat for any ``n``.

        ``conditioned(rows)`` gives the denoiser of points with these numbers (m,), by default the model's
        own, and ``begin(rows, noise)`` the points to start from, by default noise (m, ...) of the prior.
        ``keep`` takes the states of a piece and returns what is yielded, a tensor: by default its last points
        (m, ...), in the units of the model.
        """

        def started(rows: Rows, noise: Tensor) -> Tensor:
            if begin is not None:
                return begin(rows, noise)
            return noise if conditioned is None else around_mean(conditioned(rows), noise, grid)

        return sample_pieces(
            n,
            self.shape,
            grid,
            sampler,
            seed,
            conditioned or (lambda rows: self.denoiser),
            started,
            self.device,
            self.piece,
            self.half,
            keep,
        )

    @property
    def half(self) -> torch.dtype | None:
        """The type of 16 bits in which the network multiplies in sampling; None: float32."""
        return half_type(self.recipe.sampling.precision, self.device)

    @property
    def piece(self) -> int:
        """Points that are sampled at a time, a whole multiple of the rows that share a stream."""
        numbers = _NUMBERS_PER_PIECE
        if len(self.shape) > 1 and self.device.type == "cpu":
            numbers = _PIXELS_PER_PIECE  # a network of images is large enough for few to fill a core
        block = rows_per_block(self.shape)
        points = _POINTS_ON_GPU if self.device.type == "cuda" else _POINTS_PER_PIECE
        return block * max(1, min(points, numbers // self.dimension) // block)

    def sample(self, n: int, **options: Any) -> Any:
        """Sample n points, unconditionally, as the codec decodes them: an array (n, ...) or a table.

        Options are fields of :class:`~diffuscope.request.Request` and settings of the sampler; InputError
        where one is not valid.
        """
        request, _ = read_request(options, self.recipe.sampling.name)
        return self.codec.decode(torch.cat(list(self.coordinates(n, request))))

    def log_density(
        self, x: NDArray[np.floating], conditioned: Conditioned | None = None, **options: Any
    ) -> NDArray[np.float64]:
        """Return the log-density (n,) at points (n, ...) through the probability-flow ODE, in nats.

        Both are in the units of the data. Options are ``tolerance``, ``probes``, ``seed``, ``batch`` and
        ``prior`` of :func:`diffuscope.likelihood.log_density`, which says which density this is;
        ``conditioned(rows)`` gives the denoiser of the points with these numbers, by default the model's own.
        InputError where points do not fit the model or are not finite, RunError where the integration fails.
        """
        points = np.asarray(x)
        points = points if points.dtype == np.uint8 else points.astype(np.float64)
        if points.shape[1:] != self.shape or not np.isfinite(points).all():
            raise InputError(
                f"Points of shape {points.shape} do not match a model of points of shape {self.shape}, "
                "or are not finite.",
                f"Give finite numbers of shape (n, {', '.join(map(str, self.shape))}).",
            )
        rows = self.codec.encode(points).to(self.device)
        own = self.denoiser
        value = log_density(own, own.schedule, rows, conditioned=conditioned, **options).value
        return value.numpy() + self.codec.log_abs_det_jacobian(points)

    def save(self, path: str | Path) -> None:
        """Write the model to a .safetensors file, whole or not at all."""
        tensors = {f"network.{name}": t for name, t in self.denoiser.network.state_dict().items()}
        tensors |= {f"{_EXTRA}{name}": tensor for name, tensor in self.extras.items()}
        codec = json.dumps(codec_to_json(self.codec), separators=(",", ":"))
        metadata = {**self.notes, "recipe": self.recipe.to_toml(), "codec": codec}
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

        ``network`` and ``schedule`` are the parts that were handed over from Python when it was made.
        InputError or FormatError where there is no such file, or it is not a whole model of this version.
        """
        tensors, metadata = load_tensors(path, _FORMAT)
        try:
            recipe = parse_recipe(metadata.get("recipe", ""), f"The recipe in {path}")
            codec = _codec(json.loads(metadata["codec"]), path)
            if codec.kind != recipe.data.kind:
                raise ValueError(f"its codec is for {codec.kind}, its recipe for {recipe.data.kind}")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            if isinstance(error, DiffuscopeError):
                raise
            raise FormatError(
                f"{path} is not a valid model file: {error}.", "Restore a copy, or train again."
            ) from error
        extras = {
            name.removeprefix(_EXTRA): tensors.pop(name) for name in list(tensors) if name.startswith(_EXTRA)
        }
        weights = {name.removeprefix("network."): tensor for name, tensor in tensors.items()}
        try:
            denoiser = recipe.make_denoiser(
                codec.shape, columns=columns_of(codec), network=network, schedule=schedule, empty=True
            )
        except InputError as error:
            if CUSTOM in (recipe.network.name, recipe.schedule.name):
                raise
            raise FormatError(f"{path} cannot be loaded: {error.what}", error.hint) from error
        if weights and all(weight.dtype == torch.float64 for weight in weights.values()):
            denoiser.double()
        fill(denoiser.network, weights, path)
        denoiser.to(pick_device(device)).eval()
        notes = {key: text for key, text in metadata.items() if key not in ("recipe", "codec")}
        return cls(recipe, denoiser, codec, notes=notes, extras=extras)


def _codec(data: Any, path: str | Path) -> Codec:
    try:
        return codec_from_json(data)
    except DiffuscopeError as error:
        raise FormatError(f"{path} is not a valid model file: {error.what}", error.hint) from error


def sample_pieces(
    n: int,
    shape: tuple[int, ...],
    grid: Grid,
    sampler: Sampler,
    seed: int,
    denoiser: Conditioned,
    begin: Begin,
    device: torch.device,
    size: int,
    half: torch.dtype | None,
    keep: Keep = _end,
    block: int | None = None,
    first: int = 0,
) -> Iterator[Any]:
    """Sample with any denoisers in pieces of about so many points (``size``); see :meth:`Model.ends`.

    Each point has noise of its own, and is worked on among whole blocks of points: on a CPU its bytes do not
    depend on how many there are, on the pieces, or on the number of cores. ``shape`` is that of a point;
    networks multiply in ``half`` where it is not None. ``block`` points share a stream, by default
    :func:`rows_per_block`. Points before ``first``, a multiple of ``block``, are left out.
    """
    check_count(n)

    block = block or rows_per_block(shape)
    size = block * max(1, size // block)

    def piece(start: int) -> Any:
        stop = min(start + size, n)
        count = block * math.ceil((stop - start) / block)
        rows = np.minimum(np.arange(start, start + count), n - 1)
        streams = RowStreams(seed, start, count, block, device)
        x = arranged(begin(rows, prior(grid, (count, *shape), streams)), half)
        generator = stream(seed, "step", start)  # for samplers of one's own that draw by themselves
        with autocast(half, device):  # of this thread
            states = going_on(trajectory(denoiser(rows), x, grid, sampler, generator, streams))
            return keep(state._replace(x=state.x[: stop - start]) for state in states)

    what = f"sampling {n:,} points of shape {shape} in {grid.n_steps} steps with seed {seed}"
    return shared(piece, range(first, n, size), device, what=what)


def rows_per_block(shape: tuple[int, ...]) -> int:
    """Return how many points of this shape share a stream, and are never parted: a power of two.

    A network's result for a point differs in its last digits where it stands among few others, as products of
    matrices do, but not among whole blocks.
    """
    most, numbers = (
        (_ROWS_PER_BLOCK, _NUMBERS_PER_PIECE) if len(shape) == 1 else (_IMAGES_PER_BLOCK, _PIXELS_PER_PIECE)
    )
    block = 1
    while 2 * block <= min(most, numbers // math.prod(shape)):
        block *= 2
    return block


@torch.no_grad()
def around_mean(denoiser: DenoiserLike, x: Tensor, grid: Grid) -> Tensor:
    """Move noise to where it lies around the mean of points of which something is known.

    The mean of all data is about 0, and lost in the noise; that of some may be far enough to be missed.
    """
    level = grid.levels.at(0)
    return x + coefficient(level.alpha, x) * denoiser(x, level)


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
            f"{path} has weights of another network than its recipe (first difference: {wrong[0]!r}).",
            "Restore the file, pass the network that it was trained with, or train again.",
        )
    for name, tensor in weights.items():
        if not (tensor.abs() <= _LARGEST).all():
            raise FormatError(
                f"{path} has weights that are not finite, or too large ({name!r}).",
                "Restore the file, or train again.",
            )
    # Copies: memory that is mapped from a file begins anywhere, fresh memory where products like it.
    network.load_state_dict({name: tensor.clone() for name, tensor in weights.items()}, assign=True)
