r"""Given a noisy point, what was the data?

A denoiser is anything that maps :math:`(x_t, \text{level})` to an estimate :math:`\hat x_0` of
:math:`E[x_0 \mid x_t]`: a network that predicts one of what :mod:`diffuscope.diffusion.predictions` lists, or
an exact oracle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from diffuscope.diffusion.predictions import PREDICTIONS, Prediction, input_scale, output_coefficients
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel, Schedule
from diffuscope.errors import InputError, unknown_name
from diffuscope.transfers import upload

__all__ = [
    "ConditionedDenoiser",
    "Conditioning",
    "Denoiser",
    "DenoiserLike",
    "in_type_of",
]

Conditioning = Literal["time", "log_snr"]


class DenoiserLike(Protocol):
    """The interface that samplers, metrics and plots use; learned denoisers and oracles both have it."""

    def __call__(self, x_t: Tensor, level: NoiseLevel, /) -> Tensor:
        """Return the estimate of x_0, the shape of ``x_t`` (n, ...), at a level of shape () or (n,)."""
        ...


def in_type_of(network: Any, x: Tensor) -> Tensor:
    """Return floats in the type of a network's weights: a network of float64 computes in float64."""
    weight = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    if weight is None or not weight.is_floating_point() or not x.is_floating_point():
        return x
    return x.to(weight.dtype)


class Denoiser(nn.Module):
    r"""A network wrapped as an estimator of the data.

    Parameters
    ----------
    network : nn.Module
        Maps ``(x, condition)``, of shapes (n, ...) and (n,), to the shape of x.
    schedule : Schedule
        The schedule of its training.
    prediction : {"noise", "data", "velocity", "flow", "edm"}
        What the network predicts. Noise prediction needs a schedule that keeps some signal (InputError).
    sigma_data : float
        Standard deviation of the data, for ``edm``.
    conditioning : {"time", "log_snr"}, optional
        How the network is conditioned on the noise level: by the schedule's time (an integer for discrete
        schedules), or by :math:`\log(\alpha^2/\sigma^2)` clipped to [-20, 20]. By default the network's
        attribute ``conditioning`` if it has one, else the time.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        prediction: Prediction = "noise",
        sigma_data: float = 1.0,
        conditioning: Conditioning | None = None,
    ) -> None:
        super().__init__()
        if prediction not in PREDICTIONS:
            raise unknown_name("prediction", prediction, PREDICTIONS)
        if prediction == "noise" and schedule(torch.tensor(schedule.t_max)).alpha.item() == 0:
            raise InputError(
                "Noise prediction is undefined at zero terminal SNR: "
                "the last level of this schedule has no signal left.",
                "Predict velocity, data, flow or edm instead.",
            )
        self.network, self.schedule, self.sigma_data = network, schedule, sigma_data
        self.prediction: Prediction = prediction
        default: Conditioning = getattr(network, "conditioning", "time")
        self.conditioning: Conditioning = conditioning or default

    def condition(self, level: NoiseLevel, x: Tensor) -> Tensor:
        """Return the network's conditioning on ``level``, of the level's shape, on the device of ``x``."""
        if self.conditioning == "log_snr":
            c = level.snr.log().clamp(-20.0, 20.0).to(x.dtype)
        else:
            c = level.t.long() if self.schedule.discrete else level.t.to(x.dtype)
        if c.ndim or c.device == x.device:
            return upload(c, x.device)
        return torch.full((), c.item(), dtype=c.dtype, device=x.device)  # filled there, not copied

    @property
    def classes(self) -> int:
        """Number of classes that the network is conditioned on; 0: on none."""
        return int(getattr(self.network, "classes", 0))

    @property
    def conditions(self) -> int:
        """How many numbers the network is conditioned on; 0: on none."""
        return int(getattr(self.network, "conditions", 0))

    def conditioned(self, label: Tensor) -> ConditionedDenoiser:
        """Return the denoiser conditioned on labels, one for each point; see :meth:`forward`."""
        return ConditionedDenoiser(self, label)

    def network_output(self, x_t: Tensor, level: NoiseLevel, label: Tensor | None = None) -> Tensor:
        """Return F, the raw output of the network, shape (n, ...)."""
        c_in = coefficient(input_scale(self.prediction, level, self.sigma_data), x_t)
        condition = self.condition(level, x_t).expand(x_t.shape[0])
        inputs = in_type_of(self.network, x_t * c_in), in_type_of(self.network, condition)
        output: Tensor = self.network(*inputs, *(() if label is None else (label,)))
        return output.to(x_t.dtype)  # autocast may return fewer bits

    def forward(self, x_t: Tensor, level: NoiseLevel, label: Tensor | None = None) -> Tensor:
        """Return the estimate of x_0, shape (n, ...), at a level of shape () or (n,).

        ``label`` are classes (n,), int64, of which ``classes`` is none, or numbers (n, ``conditions``) in the
        units of the network, of which NaN is none. Without it the estimate is unconditional.
        """
        skip, out = output_coefficients(self.prediction, level, self.sigma_data)
        output = self.network_output(x_t, level, label)
        return coefficient(skip, x_t) * x_t + coefficient(out, x_t) * output

    def with_trace(
        self, x_t: Tensor, level: NoiseLevel, label: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Return the estimate (n, d) at a level of shape (), and the trace of its Jacobian by x_t (n,).

        None where the network has no ``with_trace``, or may draw random numbers.
        """
        derive = getattr(self.network, "with_trace", None)
        if derive is None or type(self) is not Denoiser or self.network.training:
            return None
        c_in = coefficient(input_scale(self.prediction, level, self.sigma_data), x_t)
        skip, out = (
            coefficient(c, x_t) for c in output_coefficients(self.prediction, level, self.sigma_data)
        )
        condition = self.condition(level, x_t).expand(x_t.shape[0])
        inputs = in_type_of(self.network, x_t * c_in), in_type_of(self.network, condition)
        output, trace = derive(*inputs, *(() if label is None else (label,)))
        output, trace = output.to(x_t.dtype), trace.to(x_t.dtype)
        return skip * x_t + out * output, skip * x_t.shape[1] + out * c_in * trace


@dataclass(frozen=True)
class ConditionedDenoiser:
    """A denoiser of points with these labels, (n,) or (n, k)."""

    denoiser: Denoiser
    label: Tensor

    @property
    def conditioning(self) -> Conditioning:
        """How its network is conditioned on the noise level."""
        return self.denoiser.conditioning

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimate of x_0, shape (n, ...), at a level of shape () or (n,)."""
        estimate: Tensor = self.denoiser(x_t, level, self.label)
        return estimate

    def with_trace(self, x_t: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor] | None:
        """Return what :meth:`Denoiser.with_trace` does."""
        return self.denoiser.with_trace(x_t, level, self.label)
