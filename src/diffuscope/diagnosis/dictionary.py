r"""As what may a network be read? As an entry of a dictionary: a quantity, a factor, the time it is handed.

A good network looks hopeless when its output is taken for another quantity, or when it is handed times or
columns that it was not trained with. Each entry of the dictionary makes an estimate :math:`\hat x_0` of its
output, and has an error on real points noised to a few levels. :mod:`~diffuscope.diagnosis.readings` chooses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffuscope.diagnosis.levels import level_scale, telling_levels
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.predictions import Prediction, convert, input_scale, output_coefficients
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel, cosine, linear, quadratic, sigmoid

__all__ = [
    "CAP",
    "FITTED",
    "QUANTITIES",
    "Entry",
    "Place",
    "Reading",
    "capped_mean",
    "errors_at",
    "exact_error",
    "linear_error",
    "orders_of",
    "outputs_of",
    "own_readings",
    "places_of",
    "readings_of",
]

_LEVELS = 7
_POINTS, _NUMBERS = 512, 2**15  # points at a level, and numbers in them, at most
_PIXELS = 2**13  # the same of images, whose networks take long
_USUAL = 1_000  # steps of a discrete schedule
_TIMES = 21  # that are tried at each level, where no rule is known
CAP = 3.0  # the most that an error at a level counts: thrice that of any fair guess
_EACH, _ALIKE = 64, 0.1  # columns that get a factor of their own; how alike they are where they need none
_ABOUT_1, _SAME_AT_LEVELS = 0.14, 0.2  # the logarithm of a factor; how much it differs between levels
_PERMUTED = 4  # columns whose orders are all tried; of more, up to _SWAPPED, some are
_SWAPPED = 12
FITTED = "the times that fit its answers best"

QUANTITIES = {
    "noise": "the noise ε",
    "data": "the data x_0",
    "velocity": "the velocity v = α ε − σ x_0",
    "flow": "the flow ε − x_0",
    "score": "the score −ε/σ",
    "scaled noise": "the noise as it is added, σ ε",
    "residual": "the difference x_t − x_0",
    "edm": "the output F of EDM",
}
"""What a network may predict, in words."""

_Estimate = Callable[[Tensor, Tensor, NoiseLevel], Tensor]


class Entry(NamedTuple):
    """One way to read a network."""

    quantity: str  # of QUANTITIES
    sign: int
    time: str  # what it is handed, as a formula or in words
    assumed: str  # what its output is taken for now
    columns: tuple[int, ...] = ()  # the order in which it takes columns; () as they come
    factor: tuple[float, ...] = ()  # of its output, one for all or one for each column; () is 1

    @property
    def is_read_otherwise(self) -> bool:
        """Whether it predicts another quantity, its negative, or a multiple of it."""
        return self.sign < 0 or bool(self.factor) or self.quantity != self.assumed


@dataclass(frozen=True)
class Reading:
    """An entry, the denoiser that it makes of the network, and its errors on the scale of the levels."""

    entry: Entry
    denoiser: DenoiserLike
    errors: np.ndarray  # (levels, points): mean over coordinates
    silences: np.ndarray | None = None  # (levels,): mean errors where the network answers 0

    @property
    def error(self) -> float:
        """The mean error."""
        return float(self.errors.mean())

    @property
    def silence(self) -> float:
        """The mean error where the network answers 0."""
        return np.inf if self.silences is None else float(self.silences.mean())

    @property
    def capped(self) -> float:
        """The mean error, as :func:`capped_mean` has it."""
        return capped_mean(self.errors.mean(axis=1))


def capped_mean(errors: np.ndarray) -> float:
    """Return the mean of errors (levels,), where no level counts for more than thrice any fair guess.

    Near clean data a network of the data itself is far off on this scale, however well it is trained.
    """
    return float(np.minimum(np.nan_to_num(errors, nan=np.inf), CAP).mean())


class _Time(NamedTuple):
    """What a network is handed for a level."""

    name: str
    of: Callable[[NoiseLevel], Tensor]  # float64, shape ()


class Place(NamedTuple):
    """Real points noised to a level."""

    level: NoiseLevel
    x_0: Tensor  # (n, d)
    x_t: Tensor
    scale: float


def places_of(subject: Subject, times: int = 1) -> list[Place]:
    """Return training rows noised to a few levels of the trajectory, ``times`` as many as usual."""
    n = times * max(16, min(_POINTS, (_NUMBERS if subject.probe else _PIXELS) // subject.d))
    found = []
    for i in telling_levels(subject, _LEVELS):
        level = subject.grid.levels.at(i)
        x_0, x_t = _trained_on(subject, level, i, n)
        found.append(Place(level, x_0, x_t, level_scale(level.ratio, subject.spread)))
    return found


def _trained_on(subject: Subject, level: NoiseLevel, i: int, n: int) -> tuple[Tensor, Tensor]:
    """Return training rows and the same noised: a network that only remembers them is read as well."""
    generator = subject.generator("readings", i)
    x_0 = subject.x[torch.randperm(len(subject.x), generator=generator)[:n]]
    eps = torch.randn(x_0.shape, generator=generator)
    return x_0, (level.alpha * x_0 + level.sigma * eps).to(x_0.dtype)


def errors_at(place: Place, x_0: Tensor) -> np.ndarray:
    """Return the error of an estimate (..., n, d) on the scale of its level for each point, (..., n)."""
    return place.scale * (x_0 - place.x_0).double().square().mean(-1).cpu().numpy()


def linear_error(subject: Subject, place: Place) -> float:
    """Return the error of the best estimate that is linear in the noisy point."""
    x = subject.x.double()
    if subject.d > 2_000:  # mean and deviation only
        variance = x.var(0)
        gain = variance / (variance + place.level.ratio**2)
        z = place.x_t.double() / place.level.alpha - x.mean(0)
        return float(errors_at(place, x.mean(0) + gain * z).mean())
    covariance = torch.cov(x.T).reshape(subject.d, subject.d)
    noise = place.level.ratio**2 * torch.eye(subject.d, dtype=torch.float64)
    gain = torch.linalg.solve(covariance + noise, covariance)
    return float(
        errors_at(place, x.mean(0) + (place.x_t.double() / place.level.alpha - x.mean(0)) @ gain).mean()
    )


def exact_error(subject: Subject, place: Place) -> float:
    """Return the error of the exact denoiser."""
    return float(errors_at(place, subject.oracle(0)(place.x_t.double(), place.level)).mean())


class _Places:
    """Places in one: a level (levels,), rows and noisy rows (levels, n, d)."""

    def __init__(self, subject: Subject, places: Sequence[Place]) -> None:
        self.subject, self.each = subject, places
        self.level = NoiseLevel(*map(torch.stack, zip(*(place.level for place in places), strict=True)))
        self.x_0 = torch.stack([place.x_0 for place in places])
        self.x_t = torch.stack([place.x_t for place in places])
        self.scale = torch.tensor([place.scale for place in places], dtype=torch.float64)
        self._silences: dict[tuple[str, int], np.ndarray] = {}

    def errors(self, estimate: _Estimate, answers: Tensor) -> np.ndarray:
        """Return the errors of an estimate of answers (levels, n, d) at all levels, (levels, n)."""
        off = (estimate(answers, self.x_t, self.level) - self.x_0).double().square().mean(2)
        return (self.scale[:, None] * off).cpu().numpy()

    def silence(self, quantity: str, sign: int) -> np.ndarray:
        """Return the error at each level, (levels,), of the estimate that is made of an output of 0."""
        if (quantity, sign) not in self._silences:
            estimate = _estimate(self.subject, quantity, sign)
            errors = self.errors(estimate, torch.zeros_like(self.x_t))
            self._silences[quantity, sign] = errors.mean(axis=1)
        return self._silences[quantity, sign]


def readings_of(subject: Subject, places: Sequence[Place]) -> Iterator[Reading]:
    """Yield the network read by every entry."""
    at = _Places(subject, places)
    for output, assumed in outputs_of(subject):
        for time in _times(subject):
            entries = [(quantity, sign) for quantity in QUANTITIES for sign in (1, -1)]
            yield from _with_time(at, output, assumed, time, entries)
        yield from _with_any_time(at, output, assumed)
        yield from _with_columns(at, output, assumed)


def own_readings(subject: Subject, places: Sequence[Place]) -> Iterator[Reading]:
    """Yield the network read as it is used; of a function, as each quantity that it may be made of."""
    at = _Places(subject, places)
    for output, assumed in outputs_of(subject):
        time = _Time("t", lambda level: level.t.double())
        yield from itertools.islice(_with_time(at, output, assumed, time, [(assumed, 1)]), 1)


_Output = Callable[[Tensor, NoiseLevel, Tensor], Tensor]


def outputs_of(subject: Subject) -> Iterator[tuple[_Output, str]]:
    """Yield what the network itself answers to (x_t, level, time), and what that is taken for."""
    denoiser = subject.denoiser
    if type(denoiser) is Denoiser:  # others prepare what their networks get
        device = subject.device

        def raw(x_t: Tensor, level: NoiseLevel, time: Tensor) -> Tensor:
            c_in = coefficient(input_scale(denoiser.prediction, level, denoiser.sigma_data), x_t)
            condition = _typed(time, denoiser).to(device).expand(len(x_t))
            with torch.no_grad():
                return torch.as_tensor(denoiser.network((x_t * c_in).to(device), condition)).to(x_t)

        yield raw, denoiser.prediction
        return
    kinds: tuple[Prediction, ...] = ("noise", "data", "velocity", "flow")
    if isinstance(denoiser, Denoiser):
        kinds = (denoiser.prediction,)
    for kind in kinds:  # a function returns x_0; of what it was made is not known

        def of_function(x_t: Tensor, level: NoiseLevel, time: Tensor, kind: Prediction = kind) -> Tensor:
            own = time.round().to(level.t.dtype) if not level.t.dtype.is_floating_point else time
            x_0 = subject.ask(denoiser, x_t, level._replace(t=own))
            return convert(x_0, x_t, level, "data", kind)

        yield of_function, kind


def _typed(time: Tensor, denoiser: Denoiser) -> Tensor:
    """Return a time as the network takes it: whole numbers of a discrete schedule as such."""
    whole = bool(time == time.round()) and denoiser.schedule.discrete and denoiser.conditioning == "time"
    return time.long() if whole else time.float()


def _estimate(subject: Subject, quantity: str, sign: int) -> _Estimate:
    """Return what makes x_0 of an output (n, d), a point and its level."""
    s = float(getattr(subject.denoiser, "sigma_data", 1.0))

    def estimate(y: Tensor, x_t: Tensor, level: NoiseLevel) -> Tensor:
        sigma = coefficient(level.sigma, x_t)
        value = sign * y
        if quantity == "residual":
            return x_t - value
        kind: Prediction = "noise"
        if quantity == "score":
            value = -sigma * value
        elif quantity == "scaled noise":
            value = value / sigma
        else:
            kind = quantity  # type: ignore[assignment]
        skip, out = (coefficient(c, x_t) for c in output_coefficients(kind, level, s))
        return skip * x_t + out * value

    return estimate


def _with_time(
    at: _Places,
    output: _Output,
    assumed: str,
    time: _Time,
    entries: Sequence[tuple[str, int]],
) -> Iterator[Reading]:
    """Yield the readings of an output at one rule for the times."""
    subject, places, levels = at.subject, at.each, at.subject.grid.levels
    try:
        answers = [output(place.x_t, place.level, time.of(place.level)) for place in places]
        for i in (0, subject.grid.n_steps - 1):  # it has to walk through all of them
            output(places[0].x_t, levels.at(i), time.of(levels.at(i)))
    except Exception:  # whatever a network does with a time that is not its own
        return
    if any(y.shape != place.x_t.shape for y, place in zip(answers, places, strict=True)):
        return
    together = torch.stack(answers)
    for quantity, sign in entries:
        estimate = _estimate(subject, quantity, sign)
        errors = at.errors(estimate, together)
        entry = Entry(quantity, sign, time.name, assumed)
        silence = at.silence(quantity, sign)
        yield Reading(entry, _denoiser(output, estimate, time), errors, silence)
        # Of other quantities: a multiple of x_t, read as a multiple of the score, is a fair linear estimate.
        factor = _factor(at, together, estimate) if (quantity, sign) == (assumed, 1) else None
        if factor is not None:
            scaled = _multiplied(estimate, factor)
            errors = at.errors(scaled, together)
            factors = tuple(factor.abs().tolist() if len(factor) == 1 else factor.tolist())
            entry = Entry(
                quantity, -1 if len(factor) == 1 and factor < 0 else 1, time.name, assumed, (), factors
            )
            yield Reading(entry, _denoiser(output, scaled, time), errors, silence)


def _factor(at: _Places, answers: Tensor, estimate: _Estimate) -> Tensor | None:
    """Return by what an output has to be multiplied, (1,) or (d,); None where that is about 1.

    Estimates are affine in the output, and so it is a least-squares fit over all levels. Each level alone has
    to lead to about the same.
    """
    at_0 = estimate(torch.zeros_like(answers), at.x_t, at.level).double()
    part = estimate(answers, at.x_t, at.level).double() - at_0
    products = torch.stack([part * (at.x_0 - at_0), part.square()]).sum(2)  # (2, levels, d)
    products *= at.scale[:, None]
    above, below = products.sum(1)
    one = (above.sum() / below.sum()).reshape(1)
    each = above / below
    alike = len(each) > _EACH or bool(((each - one).abs() <= _ALIKE * one.abs()).all())
    factor = one if alike else each
    if not factor.isfinite().all() or (factor == 0).any():
        return None
    by_level = products[0].sum(1) / products[1].sum(1) / one
    if alike and not (by_level - 1).abs().median() < _SAME_AT_LEVELS:
        return None
    size = factor.abs() if alike else factor * factor[0].sign()  # a sign is an entry of its own
    return None if (size.log().abs() < _ABOUT_1).all() else factor


def _multiplied(estimate: _Estimate, factor: Tensor) -> _Estimate:
    """Return the estimate of a multiple of an output; other parts of it stay."""

    def of(y: Tensor, x_t: Tensor, level: NoiseLevel) -> Tensor:
        return estimate(y * factor.to(y), x_t, level)

    return of


def _denoiser(output: _Output, estimate: _Estimate, time: _Time) -> DenoiserLike:
    def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
        return estimate(output(x_t, level, time.of(level)), x_t, level)

    return denoise


# --- times --------------------------------------------------------------------------------------------------


def _times(subject: Subject) -> Iterator[_Time]:
    """Yield the rules by which a network may be handed a level."""
    schedule = subject.schedule
    denoiser = subject.denoiser
    if isinstance(denoiser, Denoiser) and denoiser.conditioning == "log_snr":
        yield _Time("t", lambda level: level.snr.log().clamp(-20.0, 20.0))
        yield _Time("log σ", lambda level: level.sigma.log())
        yield _Time("log(σ/α)/4", lambda level: level.ratio.log() / 4)
        yield _Time("t itself", lambda level: level.t.double())
        return
    last = schedule.t_max
    yield _Time("t", lambda level: level.t.double())
    if schedule.discrete:
        count = last + 1
        yield _Time("t + 1", lambda level: level.t.double() + 1)
        yield _Time("t − 1", lambda level: (level.t.double() - 1).clamp_min(0))
        yield _Time("T − 1 − t", lambda level: last - level.t.double())
        yield _Time("2 t", lambda level: 2 * level.t.double())
        yield _Time("t / 2", lambda level: (level.t.double() / 2).floor())
        yield _Time("t / T", lambda level: level.t.double() / count)
        yield _Time("T · t", lambda level: level.t.double() * count)
        if count != _USUAL:
            yield _Time("1000 t / T", lambda level: _USUAL * level.t.double() / count)
            yield _Time("T t / 1000", lambda level: level.t.double() * count / _USUAL)
    else:
        yield _Time("1 − t", lambda level: last - level.t.double())
        yield _Time("1000 t", lambda level: 1000 * level.t.double())
        yield _Time("999 t, rounded", lambda level: (999 * level.t.double()).round())
    yield _Time("σ", lambda level: level.sigma)
    yield _Time("σ/α", lambda level: level.ratio)
    yield _Time("log σ", lambda level: level.sigma.log())
    yield _Time("log(σ/α)", lambda level: level.ratio.log())
    yield _Time("log(σ/α)/4", lambda level: level.ratio.log() / 4)
    yield _Time("log SNR", lambda level: level.snr.log().clamp(-20, 20))
    yield _Time("log SNR / 4", lambda level: level.snr.log().clamp(-20, 20) / 4)
    yield _Time("ᾱ", lambda level: level.alpha.square())
    if schedule.discrete:
        count = int(last) + 1
        others = {
            "linear, 0.0001 to 0.02": linear(count),
            f"linear, {0.1 / count:.2g} to {min(0.9, 20 / count):.2g}": linear(
                count, min(0.1 / count, 0.05), min(20 / count, 0.9)
            ),
            "cosine": cosine(count),
            "quadratic": quadratic(count),
            "sigmoid": sigmoid(count),
        }
        if count != _USUAL:
            others["linear, 0.0001 to 0.02, of 1,000 steps"] = linear(_USUAL)
            others["cosine, of 1,000 steps"] = cosine(_USUAL)
        for name, other in others.items():
            same = count == other.T and bool(
                torch.allclose(other(torch.arange(count)).sigma, schedule(torch.arange(count)).sigma)
            )
            if not same:
                yield _Time(
                    f"the times of the schedule {name}",
                    lambda level, other=other: other.time_at_ratio(level.ratio).double(),  # type: ignore[misc]
                )


def _with_any_time(at: _Places, output: _Output, assumed: str) -> Iterator[Reading]:
    """Yield readings at the time of each level that fits best: no rule, but it shows that there is one."""
    subject, places = at.subject, at.each
    denoiser, schedule = subject.denoiser, subject.schedule
    if isinstance(denoiser, Denoiser) and denoiser.conditioning == "log_snr":
        return
    tried = torch.linspace(schedule.t_min, schedule.t_max, _TIMES, dtype=torch.float64)
    tried = torch.unique(tried.round()) if schedule.discrete else tried
    kinds = [(q, s) for q in ("noise", "data", "velocity", "flow") for s in (1, -1)]
    estimates = {kind: _estimate(subject, *kind) for kind in kinds}
    chosen: dict[tuple[str, int], list[tuple[np.ndarray, float]]] = {kind: [] for kind in kinds}
    for place in places:
        answers = []
        for time in tried:
            try:
                y = output(place.x_t, place.level, time)
            except Exception:
                return
            if y.shape != place.x_t.shape:
                return
            answers.append(y)
        together = torch.stack(answers)  # (times, n, d)
        for kind, estimate in estimates.items():
            errors = errors_at(place, estimate(together, place.x_t, place.level))
            best = int(np.nan_to_num(errors.mean(1), nan=np.inf).argmin())
            chosen[kind].append((errors[best], float(tried[best])))
    ratios = np.array([place.level.ratio.item() for place in places])
    for kind in kinds:
        errors = np.stack([one for one, _ in chosen[kind]])
        times = np.array([time for _, time in chosen[kind]])
        own = np.array([place.level.t.item() for place in places])
        if np.abs(times - own).max() <= 1.5 * (schedule.t_max - schedule.t_min) / (_TIMES - 1):
            continue  # the schedule's own
        time = _Time(FITTED, _interpolated(ratios, times, schedule.discrete))
        entry, estimate = Entry(*kind, FITTED, assumed), estimates[kind]
        yield Reading(entry, _denoiser(output, estimate, time), errors, at.silence(*kind))


def _interpolated(ratios: np.ndarray, times: np.ndarray, whole: bool) -> Callable[[NoiseLevel], Tensor]:
    order = np.argsort(ratios)
    at, values = np.log(ratios[order]), times[order]

    def of(level: NoiseLevel) -> Tensor:
        time = torch.tensor(np.interp(np.log(level.ratio.item()), at, values), dtype=torch.float64)
        return time.round() if whole else time

    return of


def orders_of(d: int) -> list[list[int]]:
    """Return the orders that d columns may have by mistake: of few all, else turned, shifted, exchanged."""
    if d <= _PERMUTED:
        return [list(order) for order in itertools.permutations(range(d))][1:]
    found = [list(range(d))[::-1], [*range(1, d), 0], [d - 1, *range(d - 1)]]
    for a, b in itertools.combinations(range(d), 2):
        order = list(range(d))
        order[a], order[b] = b, a
        found.append(order)
    return found


def _with_columns(at: _Places, output: _Output, assumed: str) -> Iterator[Reading]:
    """Yield readings with columns in another order, both in what the network sees and in what it answers."""
    subject, d = at.subject, at.subject.d
    if d > _SWAPPED or d < 2:
        return
    own = _estimate(subject, assumed, 1)
    for order in orders_of(d):
        there, back = order, np.argsort(order).tolist()

        def answer(
            x_t: Tensor,
            level: NoiseLevel,
            time: Tensor,
            there: list[int] = there,
            back: list[int] = back,
        ) -> Tensor:
            return output(x_t[:, there], level, time)[:, back]

        answers = torch.stack([answer(p.x_t, p.level, p.level.t.double()) for p in at.each])
        errors = at.errors(own, answers)
        time = _Time("t", lambda level: level.t.double())
        yield Reading(Entry(assumed, 1, "t", assumed, tuple(order)), _denoiser(answer, own, time), errors)
