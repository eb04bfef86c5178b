"""What are the settings of each part of a recipe? Its sections, with types, bounds and defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from diffuscope.diffusion.denoiser import Conditioning
from diffuscope.diffusion.losses import Distance, Loss, Target, Times, Weighting
from diffuscope.diffusion.masked import MaskedLoss
from diffuscope.diffusion.predictions import Prediction
from diffuscope.diffusion.samplers import SAMPLERS, make_sampler
from diffuscope.diffusion.schedules import SCHEDULES, Schedule, Spacing, make_schedule
from diffuscope.errors import InputError, unknown_name
from diffuscope.networks import NETWORKS
from diffuscope.precision import Precision
from diffuscope.recipes.settings import check_settings

__all__ = [
    "BY_DATA",
    "CUSTOM",
    "MOST_STEPS",
    "DenoiserSection",
    "LossSection",
    "NamedSection",
    "NetworkSection",
    "PicturesSection",
    "SamplingSection",
    "ScheduleSection",
    "Section",
    "TimesSection",
    "TrainingSection",
]

CUSTOM = "custom"
"""The name of a part that is a custom Python object, which a recipe alone cannot make again."""

MOST_STEPS = 100_000
"""Of a schedule or of sampling. Bounds keep a foreign recipe from using all memory."""

_MAY_BE_0 = ("depth", "n_directions", "embedding", "freq_shift", "downsample_padding")

BY_DATA = ("dimension", "n_steps", "flags", "shape", "classes", "conditions")
"""Arguments of a network that follow from the data and the other sections."""

_Count = Annotated[int, Field(ge=1, le=10**9)]  # of epochs, steps
_Milliseconds = Annotated[int, Field(ge=1, le=60_000)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A section of a recipe: frozen, without settings that are not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NamedSection(Section):
    """A section with the name of a part; further keys are that part's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    name: str
    """Name of the part (diffuscope list)."""

    @property
    def settings(self) -> dict[str, Any]:
        """The part's own settings."""
        return dict(self.__pydantic_extra__ or {})

    def _complete(
        self, kind: str, registry: Mapping[str, Callable[..., Any]], fixed: tuple[str, ...] = ()
    ) -> None:
        """Fill in the defaults of the part's own settings; refuse unknown ones."""
        if self.name == CUSTOM:
            if self.settings:
                raise InputError(
                    f"{next(iter(self.settings))} cannot be set: the {kind} is a custom Python object.",
                    f"Set it where the {kind} is made.",
                )
            return
        if self.name not in registry:
            raise unknown_name(kind, self.name, registry)
        extra = self.__pydantic_extra__
        assert extra is not None
        extra.update(check_settings(kind, self.name, registry[self.name], extra, fixed))


class ScheduleSection(NamedSection):
    """The schedule's name and its settings (start, end, T; sigma_min, ...)."""

    zero_terminal_snr: bool = False
    """Whether a discrete schedule is rescaled so that its last step is pure noise."""

    @model_validator(mode="after")
    def _check(self) -> ScheduleSection:
        self._complete("schedule", SCHEDULES)
        if self.settings.get("T", 1) > MOST_STEPS:
            raise InputError(
                f"A schedule of T = {self.settings['T']:,} steps is too long.",
                f"Choose T of at most {MOST_STEPS:,}.",
            )
        if self.name != CUSTOM:
            self.make()
        return self

    def make(self) -> Schedule:
        """Make the schedule."""
        return make_schedule(self.name, zero_terminal_snr=self.zero_terminal_snr, **self.settings)


class NetworkSection(NamedSection):
    """The network's name and its settings (width, depth, ...)."""

    @model_validator(mode="after")
    def _check(self) -> NetworkSection:
        self._complete("network", NETWORKS, fixed=BY_DATA)
        for key, value in self.settings.items():
            least = 0 if key in _MAY_BE_0 else 1
            most = 1000 if key == "depth" else 2**16
            if type(value) is int and not least <= value <= most:
                raise InputError(
                    f"{key} = {value:,} of the network {self.name!r} is out of range.",
                    f"Choose {least} to {most:,}.",
                )
        return self


class DenoiserSection(Section):
    """How the network's output is read."""

    prediction: Prediction = "noise"
    """What the output means: noise, data, velocity, flow or edm."""
    sigma_data: _PositiveFloat = 1.0
    """Standard deviation of the data in the units of the model, for edm."""
    conditioning: Conditioning | None = None
    """How the level is given to the network, time or log_snr; None: as the network says."""
    partial: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the training rows of which some coordinates are masked (known or absent); 0: no masks."""
    factors: Annotated[int, Field(ge=0, le=256)] = 0
    """Number of factors of a normal distribution to which the output of such a network is added; 0: none."""

    @model_validator(mode="after")
    def _check(self) -> DenoiserSection:
        if self.factors and (self.prediction != "edm" or not self.partial):
            raise InputError(
                "denoiser.factors needs denoiser.prediction = 'edm' and denoiser.partial above 0.",
                "Set these, or denoiser.factors = 0.",
            )
        return self


class LossSection(Section):
    """Distance and weighting of the loss."""

    distance: Distance | Literal["custom"] = "l2"
    """Between output and target: l2, l1 or huber."""
    weighting: Weighting = "none"
    """Of the noise levels: none, min_snr or edm."""
    gamma: _PositiveFloat = 5.0
    """The upper bound of min_snr."""
    delta: _PositiveFloat = 1.0
    """Where huber changes from squared to linear."""
    target: Target = "sample"
    """The clean point itself (sample), the mean of its group by posterior probabilities (posterior), or that
    of a mixture of Gaussians fitted to the points (mixture)."""
    group: Annotated[int, Field(ge=1, le=2**20)] = 256
    """Points in a group of the posterior target."""
    components: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Gaussians in a fit of the mixture target; None: as many as make held-out points most likely."""
    fits: Annotated[int, Field(ge=1, le=16)] | None = None
    """Fits, each from a start of its own, whose average is the mixture target; None: 3."""

    def make(self, partial: float = 0.0) -> Loss:
        """Make the loss; a share ``partial`` of the points is masked."""
        if self.distance == "custom":
            raise InputError("The loss of this recipe is a custom Python object.", "Pass it again: loss=...")
        if partial and self.target == "mixture":
            raise InputError(
                "loss.target = 'mixture' is for points of which all numbers are there.",
                "Set loss.target = 'sample', or denoiser.partial = 0.",
            )
        settings = self.settings()
        return MaskedLoss(**settings, partial=partial) if partial else Loss(**settings)

    def settings(self) -> dict[str, Any]:
        """Return the settings of a loss: all but those of the mixture, which is fitted before."""
        return self.model_dump(exclude={"components", "fits"})


class TimesSection(Section):
    """How the times of training are drawn."""

    kind: Literal["uniform", "antithetic", "log_normal"] = "uniform"
    """How noise levels are drawn in training: uniform, antithetic (pairs t and T - 1 - t) or log_normal."""
    mean: _Finite = -1.2
    """Of the logarithm of the noise-to-signal ratio, for log_normal."""
    std: _PositiveFloat = 1.2
    """Of the logarithm of the noise-to-signal ratio, for log_normal."""
    stratified: bool = False
    """Whether a batch covers the levels evenly, which lowers the variance of its loss."""

    def make(self) -> Times:
        """Make the drawing of times."""
        return Times(**self.model_dump())


class TrainingSection(Section):
    """Length, batches and optimiser. Exactly one of ``epochs`` and ``steps`` is set."""

    epochs: _Count | None = None
    """Number of passes over the data; or set steps."""
    steps: _Count | None = None
    """Number of optimiser steps; or set epochs."""
    batch_size: Annotated[int, Field(ge=1, le=2**20)] = 128
    """Examples in a batch."""
    batches: Literal["shuffled", "stream"] = "shuffled"
    """``shuffled``: the last batch of an epoch may be smaller; ``stream``: all batches are full."""
    learning_rate: _PositiveFloat = 1e-3
    """Learning rate of Adam."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Decays of the moments of Adam."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the steps over which the learning rate rises from 0."""
    decay: Literal["none", "linear"] = "none"
    """Whether the learning rate then falls to 0 at the end."""
    clip_norm: _PositiveFloat | None = None
    """The largest norm of a gradient; None: not clipped."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the average of weights; 0: none. It warms up, so that short runs are not spoilt."""
    hold_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows that are held out; their loss decides which weights are kept, and when training
    stops. 0: none are held out."""
    checkpoint_every: _Count = 5000
    """Steps between checkpoints."""
    accumulate: Annotated[int, Field(ge=1, le=2**20)] = 1
    """Number of parts into which a batch is split to save memory (gradient accumulation)."""
    exact: bool | None = None
    """Whether gradients are summed in an order that depends on neither processes nor threads, so that the
    weights are the same, byte for byte; None: on a CPU."""
    precision: Precision = "float32"
    """Precision of the network's matrix products; weights stay in float32. ``auto``: 16 bits where the device
    supports them in hardware."""
    reflow: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Pairs of start and end, drawn with the run to start from, on which a flow is trained again; 0: none."""
    drop_labels: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the images that are trained without their class, for classifier-free guidance."""
    compile: bool = False
    """Whether to use ``torch.compile``: faster steps after a minute or more of compilation."""
    noise: Literal["host", "device"] | None = None
    """Where the noise of training is drawn: host, the CPU; device, where the network is, in other numbers.
    None: decided and recorded when a training begins, device on GPUs of CUDA."""
    cuda_graph: bool | None = None
    """Whether a step is recorded and replayed (CUDA graphs); None: on GPUs of CUDA, for small networks."""

    @model_validator(mode="after")
    def _check(self) -> TrainingSection:
        if (self.epochs is None) == (self.steps is None):
            raise InputError("A recipe must set exactly one of training.epochs and training.steps.")
        return self


class SamplingSection(NamedSection):
    """The sampler (``name``), its number of steps, their spacing, and its own settings."""

    name: str = "ddpm"
    """The sampler, see diffuscope list samplers."""
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 100
    """Number of sampling steps."""
    spacing: Spacing = "uniform"
    """Of the steps: uniform, trailing or karras."""
    rho: _PositiveFloat = 7.0
    """The exponent of the spacing karras."""
    precision: Precision = "float32"
    """Precision of the network's matrix products in sampling."""
    guidance: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Scale of classifier-free guidance for conditional samples."""
    guidance_interval: tuple[_NotNegative, Annotated[float, Field(gt=0)]] = (0.0, math.inf)
    """Noise-to-signal ratios between which guidance is applied."""

    @model_validator(mode="after")
    def _check(self) -> SamplingSection:
        self._complete("sampler", SAMPLERS)
        if self.name != CUSTOM:
            make_sampler(self.name, **self.settings)
        low, high = self.guidance_interval
        if low >= high:
            raise InputError(
                f"sampling.guidance_interval = [{low:g}, {high:g}] is not valid.",
                "Give two noise-to-signal ratios, the smaller first, such as [0.2, 5.0].",
            )
        return self


class PicturesSection(Section):
    """What a finished run draws."""

    forward: Literal["first_steps", "whole"] = "whole"
    """Figure and GIF of the forward process: the first steps of the schedule, or all from data to noise."""
    forward_frames: Annotated[int, Field(ge=1, le=1000)] = 30
    """Frames of the animation of the forward process."""
    forward_ms: _Milliseconds = 60
    """How long each of them is shown, in milliseconds."""
    reverse_every: _Count = 1
    """The GIF of sampling shows every so many steps."""
    reverse_ms: _Milliseconds = 60
    """How long each frame of sampling is shown, in milliseconds."""
    row_every: _Count | None = None
    """Epochs between figures of sampling during training."""
    joined: bool = False
    """Whether to also write one GIF of the forward process followed by sampling."""
