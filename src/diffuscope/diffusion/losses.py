r"""What does training minimise, and at which times?

.. math::  L = E_{t, x_0, \epsilon}\; w(t)\; d\bigl(F(c_{in} x_t, t),\; F^*(x_0, \epsilon, t)\bigr)

d is the square, the absolute value or Huber's mixture of both, averaged over coordinates; F and its
target F* are those of the denoiser's prediction type. A weighting is named after its effect on the
squared error of the *data* estimate; dividing by :math:`c_{out}^{-2}` turns it into w(t):

* ``none``: w = 1, the plain loss of F (for noise prediction Ho et al. 2020, Eq. 14);
* ``min_snr``: min(SNR, γ) on the data error (Hang et al. 2023, Eq. 8);
* ``edm``: :math:`(\sigma^2 + \alpha^2 s^2)/(\sigma s)^2` on the data error (Karras et al. 2022, Table 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser, in_type_of
from diffuscope.diffusion.predictions import input_scale, output_coefficients, training_target
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.schedules import NoiseLevel, Schedule
from diffuscope.errors import unknown_name

__all__ = ["Distance", "Examples", "Loss", "Target", "Times", "Weighting", "posterior_means"]

Distance = Literal["l2", "l1", "huber"]
Weighting = Literal["none", "min_snr", "edm"]
Target = Literal["sample", "posterior", "teacher", "mixture"]
Kind = Literal["uniform", "antithetic", "log_normal"]


class Examples(NamedTuple):
    """A batch of training examples: what the network sees and what it is compared with.

    ``inputs``, the scaled noisy data, and ``target`` have shape (n, ...), ``condition`` on the noise level
    (n,), ``weight`` (n, 1, ...) or None where all are 1. ``label`` are classes (n,), int64, or numbers
    (n, k), if any.
    """

    inputs: Tensor
    condition: Tensor
    target: Tensor
    weight: Tensor | None
    label: Tensor | None = None

    def at(self, index: slice) -> Examples:
        """Return the examples at ``index``."""
        return Examples(*(None if part is None else part[index] for part in self))  # type: ignore[arg-type]

    def predict(self, network: Callable[..., Tensor]) -> Tensor:
        """Return the output of a network, shape (n, ...)."""
        label = () if self.label is None else (self.label,)
        return network(in_type_of(network, self.inputs), in_type_of(network, self.condition), *label)


@dataclass(frozen=True)
class Loss:
    """A distance with a weighting.

    Parameters
    ----------
    distance : {"l2", "l1", "huber"}
    weighting : {"none", "min_snr", "edm"}
    gamma : float
        The upper bound of ``min_snr``.
    delta : float
        Where ``huber`` changes from squared to linear.
    target : {"sample", "posterior", "teacher", "mixture"}
        The training target: the clean point itself, or the mean of all points of its group, weighted by
        their posterior probabilities (Xu et al. 2023, Eq. 6). Both have the same expectation; the second
        has a much smaller variance in low dimensions. "teacher" is for
        :class:`~diffuscope.diffusion.distillation.DistillationLoss` alone, "mixture" for
        :class:`~diffuscope.diffusion.mixture_loss.MixtureLoss`.
    group : int
        Group size of ``posterior``.
    """

    distance: Distance = "l2"
    weighting: Weighting = "none"
    gamma: float = 5.0
    delta: float = 1.0
    target: Target = "sample"
    group: int = 256

    def __post_init__(self) -> None:
        for kind, known in (("distance", Distance), ("weighting", Weighting), ("target", Target)):
            if getattr(self, kind) not in get_args(known):
                raise unknown_name(kind, getattr(self, kind), get_args(known))

    def examples(
        self,
        denoiser: Denoiser,
        x_0: Tensor,
        level: NoiseLevel,
        eps: Tensor,
        label: Tensor | None = None,
    ) -> Examples:
        """Add the noise ``eps`` to ``x_0`` (n, ...) at ``level`` (n,); return inputs and targets.

        ``label`` are the classes (n,) or the numbers (n, k) passed to the network, if any. Means of groups
        are of one class each; of points with numbers there are none.
        """
        prediction, sigma_data = denoiser.prediction, denoiser.sigma_data
        c_in = coefficient(input_scale(prediction, level, sigma_data), x_0)
        weight = self._weight(denoiser, level)
        x_t = q_sample(x_0, level, eps)
        x_0, eps = self.means(denoiser, x_t, x_0, level, eps, label)
        return Examples(
            inputs=c_in * x_t,
            condition=denoiser.condition(level, x_0),
            target=training_target(prediction, x_0, eps, level, sigma_data),
            weight=None if weight is None else coefficient(weight, x_0),
            label=label,
        )

    def means(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        x_0: Tensor,
        level: NoiseLevel,
        eps: Tensor,
        label: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return what stands for data and noise of noisy points (n, ...): their own, or posterior means."""
        if self.target != "posterior":
            return x_0, eps
        labels = None if label is None else (label, denoiser.classes)
        return posterior_means(x_0, level, eps, self.group, labels)

    def _weight(self, denoiser: Denoiser, level: NoiseLevel) -> Tensor | None:
        if self.weighting == "none" or (self.weighting == "edm" and denoiser.prediction == "edm"):
            return None
        _, out = output_coefficients(denoiser.prediction, level, denoiser.sigma_data)
        if self.weighting == "min_snr":
            return level.snr.clamp_max(self.gamma) * out.square()
        _, edm_out = output_coefficients("edm", level, denoiser.sigma_data)
        return (out / edm_out).square()

    def value(self, output: Tensor, examples: Examples) -> Tensor:
        """Return the mean loss, shape (), of a network's ``output`` (n, ...)."""
        error = output - examples.target
        if self.distance == "l2":
            each = error.square()
        elif self.distance == "l1":
            each = error.abs()
        else:
            each = torch.nn.functional.huber_loss(output, examples.target, reduction="none", delta=self.delta)
        return (each if examples.weight is None else examples.weight * each).mean()

    def __call__(self, denoiser: Denoiser, x_0: Tensor, level: NoiseLevel, eps: Tensor) -> Tensor:
        """Return the loss, shape (), on data (n, ...) at ``level`` (n,) with noise ``eps`` (n, ...)."""
        examples = self.examples(denoiser, x_0, level, eps)
        return self.value(examples.predict(denoiser.network), examples)


def posterior_means(
    x_0: Tensor, level: NoiseLevel, eps: Tensor, group: int, labels: tuple[Tensor, int] | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return :math:`E[x_0 \mid x_t]` and :math:`E[\epsilon \mid x_t]` under each group's empirical law.

    With :math:`r = \alpha/\sigma` the weight of point j for the noisy point i is
    :math:`\mathrm{softmax}_j\; r_i (\epsilon_i + r_i x_i) \cdot x_j - r_i^2 |x_j|^2 / 2`. A point whose class
    is in ``labels``, (n,) with a last one for none, is one of that class alone.
    """
    flat = x_0.flatten(1)
    r = coefficient(1 / level.ratio, flat)
    label, none = (
        (torch.zeros(len(flat), dtype=torch.int64, device=flat.device), 0) if labels is None else labels
    )
    groups = (torch.split(tensor, group) for tensor in (flat, eps.flatten(1), r, label))
    means = []
    for x, e, rate, own in zip(*groups, strict=True):
        logits = rate * (e + rate * x) @ x.T - rate.square() * x.square().sum(1) / 2
        if labels is not None:
            logits = logits.masked_fill((own[:, None] != own) & (own[:, None] != none), -torch.inf)
        means.append(torch.softmax(logits, dim=1) @ x)
    mean = torch.cat(means)
    return mean.view_as(x_0), (eps.flatten(1) - r * (mean - flat)).view_as(eps)


@dataclass(frozen=True)
class Times:
    r"""Distribution of the training times.

    Parameters
    ----------
    kind : {"uniform", "antithetic", "log_normal"}
        ``uniform``: over all times. ``antithetic``: t for the first half of a batch and its mirror
        image T - 1 - t (or t_min + t_max - t) for the second. ``log_normal``:
        :math:`\log(\sigma/\alpha) \sim N(mean, std^2)` (Karras et al. 2022, Table 1).
    mean, std : float
        Of ``log_normal``.
    stratified : bool
        For ``log_normal``: one draw in each of n equally likely strata, which removes most of the
        variance between batches (Kingma et al. 2021, appendix I.1).
    """

    kind: Kind = "uniform"
    mean: float = -1.2
    std: float = 1.2
    stratified: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown_name("kind of times", self.kind, get_args(Kind))

    def draw(self, schedule: Schedule, batches: int, n: int, generator: torch.Generator) -> Tensor:
        """Draw times for ``batches`` batches of ``n`` examples; shape (batches, n), on the CPU."""
        if self.kind == "log_normal":
            u = torch.rand((batches, n), generator=generator, dtype=torch.float64)
            if self.stratified:
                u = (torch.arange(n) + u) / n
            normal = torch.special.ndtri(u.clamp(1e-12, 1 - 1e-12))
            return schedule.time_at_ratio((self.mean + self.std * normal).exp())
        shape = (batches, (n + 1) // 2 if self.kind == "antithetic" else n)
        if schedule.discrete:
            t = torch.randint(0, int(schedule.t_max) + 1, shape, generator=generator)
        else:
            u = torch.rand(shape, generator=generator, dtype=torch.float64)
            t = schedule.t_min + (schedule.t_max - schedule.t_min) * u
        return t if self.kind == "uniform" else torch.cat([t, schedule.t_min + schedule.t_max - t], 1)[:, :n]
