r"""How many nats does a model with T discrete steps need for a point, at most, and which step needs them?

The variational bound (Ho et al. 2020, Eq. 5) on the density that ancestral sampling has:

.. math::
    -\log p(x_0) \le L = E_q \Big[
        \underbrace{KL(q(x_T \mid x_0) \,\|\, p(x_T))}_{L_T}
        + \sum_{t=1}^{T-1} \underbrace{KL(q(x_{t-1} \mid x_t, x_0) \,\|\, p(x_{t-1} \mid x_t))}_{L_t}
        \underbrace{- \log p(x_0 \mid x_{t=0})}_{L_0} \Big]

Times are the schedule's 0 ... T - 1, one less than the paper's. The noisiest x_t is that at T - 1,
where :math:`p(x_T) = N(0, I)`. Steps are :math:`p(x_{t-1} \mid x_t) = N(\mu_q(x_t, \hat x_0), v_t I)`, with
:math:`\mu_q, \tilde\beta_t` the mean and variance of :math:`q(x_{t-1} \mid x_t, x_0)`, so that

.. math::
    L_t = E\left[\frac{|\mu_q(x_t, x_0) - \mu_q(x_t, \hat x_0)|^2}{2 v_t}\right]
        + \frac d2 \left(\frac{\tilde\beta_t}{v_t} - 1 - \log \frac{\tilde\beta_t}{v_t}\right).

The last step, to data, is :math:`N(\hat x_0(x_{t=0}), \beta_0 I)` for either choice of :math:`v_t`: the
posterior's variance is 0 there, and :math:`\beta_0` is right for data that are smooth at that scale. It is a
density for continuous data; for data in bins, such as the grey values of an image, the probability
of the bin (Ho et al. 2020, Eq. 13; Nichol & Dhariwal 2021, section 2.1).

Of d numbers in a point, :math:`L / (d \log 2)` is the bound in **bits per dimension**. A density depends on
the units: where the model sees z = f(x) of the data x, the density of x is
:math:`\log p(x) = \log p(z) + \log |\det \partial z / \partial x|`, which belongs to the step to data, L_0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import coefficient, q_posterior, q_sample, transition
from diffuscope.diffusion.schedules import DiscreteSchedule, Schedule
from diffuscope.errors import InputError, unknown_name
from diffuscope.oracle.boxes import log_mean_normal
from diffuscope.seeds import stream
from diffuscope.translations import term, translate
from diffuscope.translations.display import ljust, rjust, width

__all__ = ["Bins", "BitsPerDimension", "VariationalBound", "bits_per_dimension", "variational_bound"]

Variance = Literal["posterior", "beta"]

_ROWS = 2**14
_NUMBERS = 2**20
_MOST_LINES = 12


class Bins(NamedTuple):
    """Values that data can take: the middles of bins, in the units of the model.

    The width is 2/255 for grey values 0 ... 255 as numbers from -1 to 1. All that lies beyond the least and
    the largest value belongs to them.
    """

    width: float
    low: float = -1.0
    high: float = 1.0


class VariationalBound(NamedTuple):
    r"""The bound for each point (n,), and its terms (T + 1,), in nats; all tensors are float64.

    Attributes
    ----------
    value, error : Tensor of shape (n,)
        At least minus the point's log-density (log-probability with bins), on average over the noise; its
        standard error over the draws of noise.
    terms, terms_error : Tensor of shape (T + 1,)
        :math:`L_0, L_1, \dots, L_T`, means over the points, and their standard errors over the draws of noise
        for these points; that of L_T is 0. The terms sum to the mean of ``value``.
    dimension : int
        Numbers in a point.
    """

    value: Tensor
    error: Tensor
    terms: Tensor
    terms_error: Tensor
    dimension: int


@dataclass(frozen=True)
class BitsPerDimension:
    r"""The bound on a set of points in the units of the data, and what each step takes of it.

    Attributes
    ----------
    value, error : float
        Mean over the points in bits per dimension, and its standard error over points and noise.
    decoder, prior : float
        :math:`L_0`, in the units of the data, and :math:`L_T`, in nats a point.
    steps : tuple of T - 1 floats
        :math:`L_1, \dots, L_{T-1}` in nats a point.
    """

    value: float
    error: float
    decoder: float
    steps: tuple[float, ...]
    prior: float

    @property
    def nats(self) -> float:
        """The bound in nats a point, the sum of all terms."""
        return self.decoder + sum(self.steps) + self.prior

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers: bits per dimension, and the terms in nats a point."""
        return {
            "bits_per_dimension": self.value,
            "error": self.error,
            "nats": self.nats,
            "decoder": self.decoder,
            "terms": [{"t": t, "nats": nats} for t, nats in enumerate(self.steps, start=1)],
            "prior": self.prior,
        }

    def lines(self) -> list[str]:
        r"""Return at most 12 lines of text: the bound, then what each range of steps takes, data first.

        Shares are of all divergences, :math:`L_1 + \dots + L_T`; the decoder's term has none, as the
        logarithm of a density can have either sign.
        """
        divergence = sum(self.steps) + self.prior
        terms = []
        count = min(len(self.steps), _MOST_LINES - 4)
        for k in range(count):
            first, stop = (len(self.steps) * at // count for at in (k, k + 1))
            times = f"t = {first + 1}" if stop == first + 1 else f"t = {first + 1} to {stop}"
            terms.append((times, sum(self.steps[first:stop])))
        rows = [("decoder, t = 0", self.decoder, "")]
        for name, nats in (*terms, ("prior", self.prior)):
            rows.append((name, nats, f"{nats / divergence:.1%}" if divergence > 0 else ""))
        rows = [(term(name), nats, share) for name, nats, share in rows]
        wide = max(width(name) for name, _, _ in rows)
        bits = (
            f"{self.value:.4f} ± {self.error:.4f} bits per dimension ({self.nats:.4f} nats a point) at most"
        )
        return [
            translate(bits),
            f"{'':{wide}} {rjust(term('nats'), 10)} {rjust(term('share'), 6)}",
            *(f"{ljust(name, wide)} {nats:10.4f} {share:>6}".rstrip() for name, nats, share in rows),
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def bits_per_dimension(
    denoiser: DenoiserLike,
    schedule: Schedule,
    x: Tensor,
    log_abs_det: ArrayLike = 0.0,
    *,
    variance: Variance = "posterior",
    bins: Bins | None = None,
    draws: int = 2,
    seed: int = 0,
) -> BitsPerDimension:
    r"""Return the variational bound on points, in bits per dimension and in the units of the data.

    Parameters
    ----------
    denoiser, schedule, x, variance, bins, draws, seed
        As for :func:`variational_bound`.
    log_abs_det : array_like of shape () or (n,)
        :math:`\log |\det \partial x / \partial \mathrm{data}|` at the points: minus the sum of log scale,
        where they are standardised. 0 with ``bins``, whose probabilities have no units.
    """
    found = variational_bound(denoiser, schedule, x, variance=variance, bins=bins, draws=draws, seed=seed)
    volume = torch.as_tensor(log_abs_det, dtype=torch.float64).expand(len(x))
    bits = (found.value - volume) / (found.dimension * math.log(2))
    decoder, *steps, prior = found.terms.tolist()
    return BitsPerDimension(
        bits.mean().item(),
        bits.std().item() / math.sqrt(len(x)) if len(x) > 1 else math.inf,
        decoder - volume.mean().item(),
        tuple(steps),
        prior,
    )


@torch.no_grad()
def variational_bound(
    denoiser: DenoiserLike,
    schedule: Schedule,
    x: Tensor,
    *,
    variance: Variance = "posterior",
    bins: Bins | None = None,
    draws: int = 4,
    seed: int = 0,
) -> VariationalBound:
    r"""Return the variational bound of a model at points, all terms.

    Parameters
    ----------
    denoiser : DenoiserLike
    schedule : DiscreteSchedule
        Of T steps, each of which is evaluated ``draws`` times for every point.
    x : Tensor of shape (n, ...)
        Clean points in the units of the model; a density in the data's own units is larger by the sum of
        log scale. The work is done in their type and on their device.
    variance : {"posterior", "beta"}
        The steps' :math:`v_t`, as for :class:`~diffuscope.diffusion.samplers.DDPM`: :math:`\tilde\beta_t` or
        :math:`\beta_t`.
    bins : Bins, optional
        For data that lie in bins; without them the data are continuous.
    draws : int
        Draws of the noise for each term and point, at least 2.
    seed : int
        Of the noise, which does not depend on the model: differences between models are less
        uncertain than either.

    Raises
    ------
    InputError
        When the schedule is continuous, the variance unknown, or ``draws`` or the bins do not fit.
    """
    if not isinstance(schedule, DiscreteSchedule):
        raise InputError(
            "The variational bound needs a discrete schedule, and this schedule is continuous.",
            "Use log_density, which is exact.",
        )
    if variance not in ("posterior", "beta"):
        raise unknown_name("variance", variance, ("posterior", "beta"))
    if draws < 2 or not len(x) or (bins is not None and not (bins.width > 0 and bins.low < bins.high)):
        raise InputError(
            f"draws = {draws}, {len(x)} points and bins = {bins} are not valid for the variational bound.",
            "Give at least 2 draws and 1 point, and bins of width > 0 with low < high.",
        )
    n, d, T = len(x), math.prod(x.shape[1:]), schedule.T
    value, uncertain = torch.zeros(2, n, dtype=torch.float64)  # uncertain: variance of the value
    terms, terms_variance = torch.zeros(2, T + 1, dtype=torch.float64)
    rows = max(1, min(_ROWS, _NUMBERS // d) // draws)
    for piece, start in enumerate(range(0, n, rows)):
        here = slice(start, start + rows)
        points = x[here].repeat_interleave(draws, 0)
        generator = stream(seed, "bound", piece)
        for t in range(T):
            eps = torch.randn(points.shape, generator=generator, dtype=x.dtype).to(x.device)
            drawn = _term(denoiser, schedule, t, points, eps, variance, bins).double().cpu().view(-1, draws)
            mean, squared_error = drawn.mean(1), drawn.var(1) / draws
            value[here] += mean
            uncertain[here] += squared_error
            terms[t] += mean.sum() / n
            terms_variance[t] += squared_error.sum() / n**2
    level = schedule(torch.tensor(T - 1))  # L_T is the KL of q(x_t | x_0) at the noisiest time from N(0, I)
    signal = (coefficient(level.alpha, x) * x).flatten(1).square().sum(1)
    noise = level.sigma.square()
    last = ((signal + d * (noise - 1 - noise.log()).item()) / 2).double().cpu()
    value += last
    terms[T] = last.mean()
    return VariationalBound(value, uncertain.sqrt(), terms, terms_variance.sqrt(), d)


def _term(
    denoiser: DenoiserLike,
    schedule: DiscreteSchedule,
    t: int,
    x: Tensor,
    eps: Tensor,
    variance: Variance,
    bins: Bins | None,
) -> Tensor:
    """Return L_t (n,) for one draw of the noise."""
    now = schedule(torch.tensor(t))
    x_t = q_sample(x, now, eps)
    x_0 = denoiser(x_t, now)
    if t == 0:
        return _to_data(x, x_0, schedule.beta[0].item(), bins)
    earlier = schedule(torch.tensor(t - 1))
    true_mean, posterior = q_posterior(x, x_t, now, earlier)
    mean, _ = q_posterior(x_0, x_t, now, earlier)
    v = posterior if variance == "posterior" else transition(earlier, now).variance
    excess = posterior / v
    d = math.prod(x.shape[1:])
    constant = d / 2 * (excess - 1 - excess.log())
    return (true_mean - mean).flatten(1).square().sum(1) / (2 * v.item()) + constant.item()


def _to_data(x: Tensor, mean: Tensor, variance: float, bins: Bins | None) -> Tensor:
    """Return minus the log-density, or log-probability, (n,) of x after the step to data."""
    std = math.sqrt(variance)
    away = (x - mean) / std
    if bins is None:
        each = -0.5 * away.square() - 0.5 * math.log(2 * math.pi * variance)
    else:
        half, away = bins.width / (2 * std), away.double()
        inside = log_mean_normal(away - half, away + half) + math.log(2 * half)
        lowest, highest = x < bins.low + bins.width / 2, x > bins.high - bins.width / 2
        each = torch.where(lowest, torch.special.log_ndtr(away + half), inside)
        each = torch.where(highest, torch.special.log_ndtr(half - away), each)
    return -each.flatten(1).sum(1)
