r"""How is a network read rightly? By the entry of the dictionary with the least error.

A good network looks hopeless when its output is taken for another quantity, or when it is handed times, units
or columns that it was not trained with. Each entry of the dictionary makes an estimate :math:`\hat x_0` of
its output. On real points noised to a level, the mean squared error of an estimate is

.. math::  E|\hat x_0 - x_0|^2 = E|\hat x_0 - E[x_0 \mid x_t]|^2 + E|x_0 - E[x_0 \mid x_t]|^2,

and the second part is the same for all: the right entry has the least error, whether or not the law of the
data is known. It has to be much better than what the network is taken for, and at least as good as the best
linear estimate, which knows mean and covariance only. Whether samples are better is measured afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from diffuscope.data.affine import Scaling
from diffuscope.data.spread import standard_unit
from diffuscope.diagnosis.dictionary import (
    CAP,
    FITTED,
    Reading,
    capped_mean,
    errors_at,
    exact_error,
    linear_error,
    outputs_of,
    own_readings,
    places_of,
    readings_of,
)
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.errors import DiffuscopeError

__all__ = [
    "Readings",
    "Strange",
    "Units",
    "copies_input",
    "ignores_time",
    "read_network",
    "strange_levels",
    "units_of_training",
]

_FAIR_UNITS = 1.02  # of the best linear estimate's error
_FAR_OFF = 3 * CAP  # the most that the error of a point counts
_MORE = 4  # times the points, as units that are little off do little
_BETTER = 0.3  # of the error that can be avoided, the most that a better entry leaves
_AS_GOOD = 0.3  # of what the best linear estimate loses: entries that lie so near to the best are as good
_FAIR, _AT_LEVELS = 1.05, 0.5  # of the best linear estimate's error, at so many levels at least
_FAR = 0.05  # of the error that can be avoided: so near to the least, an entry need not be fair
_CERTAIN = 4.0  # standard errors
_A_SAY, _FAR_SAY = 0.5, 0.15  # of the error that can be avoided where the network answers 0, a fair guess
_NOISY, _NOISY_LEVELS = 0.5, 2  # deviations of the data: levels that are noisy; so many at least
_KNOWN, _STRANGE = 1.06, 4.0  # of the best linear estimate's error: what is learned, and what is strange
_TELLS = 0.9  # of the error of an answer of 0, that of the linear estimate where there is something to learn
_SOME, _TIMES_MORE = 0.3, 1.4  # of what a linear estimate knows: a little, and how much more than elsewhere
_AS_IF_SILENT, _STRANGE_LEVELS = 0.5, 2  # of the error of an answer of 0; so many levels at least
_COPY = 0.02  # of the input's square, the most by which a copy of it differs


@dataclass(frozen=True)
class Readings:
    """The present reading of a network, the best one if that is another, and what comes next."""

    own: Reading
    best: Reading | None
    second: Reading | None
    linear: float  # mean error of the best linear estimate
    least: float  # least mean error of all estimates that were tried
    ratio: tuple[float, ...] = ()  # σ/α of the levels
    linear_errors: tuple[float, ...] = ()  # of the best linear estimate, level by level

    @property
    def ratio_to_linear(self) -> float:
        """The errors of the best reading over those of the best linear estimate, mean over levels."""
        best = self.own if self.best is None or self.best.entry.time == FITTED else self.best
        return float(np.mean(best.errors.mean(axis=1) / np.array(self.linear_errors)))


def read_network(subject: Subject) -> Readings:
    """Look up what the network's output is."""
    places = places_of(subject)
    linear_errors = tuple(linear_error(subject, place) for place in places)
    linear = float(np.mean(linear_errors))
    ratio = tuple(place.level.ratio.item() for place in places)
    own: Reading | None = None
    found: list[Reading] = []
    for reading in readings_of(subject, places):
        entry = reading.entry
        is_own = not entry.is_read_otherwise and entry.time == "t" and not entry.columns
        if is_own and (own is None or reading.error < own.error):
            own = reading
        elif not is_own and np.isfinite(reading.error):
            found.append(reading)
    assert own is not None
    exact = np.full(len(places), np.inf)
    if subject.is_exact:
        exact = np.array([exact_error(subject, place) for place in places])
    best, second, least = _choose(own, found, np.array(linear_errors), exact)
    noisy = np.array([r >= _NOISY * subject.spread for r in ratio])
    if best is None and noisy.sum() >= _NOISY_LEVELS:
        # Near clean data a network of the data is far off, whatever it is taken for: samples will decide.
        plain = [r for r in found if r.entry.time == "t" and not r.entry.factor and not r.entry.columns]
        own_there, *there = (
            replace(r, errors=r.errors[noisy], silences=None if r.silences is None else r.silences[noisy])
            for r in (own, *plain)
        )
        chosen, *_ = _choose(own_there, there, np.array(linear_errors)[noisy], exact[noisy])
        best = next((r for r in found if chosen is not None and r.entry == chosen.entry), None)
    return Readings(own, best, second, linear, least, ratio, linear_errors)


def _choose(
    own: Reading, found: list[Reading], linear_errors: np.ndarray, exact: np.ndarray
) -> tuple[Reading | None, Reading | None, float]:
    """Return the best entry if it is better than the present one, the next best, and the least error."""
    found = sorted(found, key=lambda reading: reading.capped)
    linear = float(linear_errors.mean())
    least = float(min([linear, exact.mean(), own.capped, *(r.capped for r in found[:1])]))
    by_rule = [reading for reading in found if reading.entry.time != FITTED]
    candidates = [*by_rule, *found]  # times that were fitted explain a little of anything
    best = next((one for one in candidates if _is_better(one, own, linear_errors, least)), None)
    if best is None:
        return None, next(iter(found), None), least
    # Of entries that are as good the simplest is named.
    margin = _AS_GOOD * max(linear - least, best.capped - least)
    same = [reading for reading in found if reading.capped <= best.capped + margin]
    simple = [r for r in same if _is_better(r, own, linear_errors, least)]
    best = min(
        simple or [best],
        key=lambda r: (
            r.entry.time == FITTED,
            bool(r.entry.factor),
            r.entry.is_read_otherwise + (r.entry.time != "t"),
        ),
    )
    rest = (r for r in found if r.entry[:3] != best.entry[:3])
    return best, next(rest, None), least


def _is_better(best: Reading, own: Reading, linear: np.ndarray, least: float) -> bool:
    """Whether a reading has much less of the error that can be avoided, beyond chance."""
    entry = best.entry
    by_rule = entry.time == "t" or (entry.time != FITTED and not entry.is_read_otherwise)
    plain = by_rule and not entry.factor and not entry.columns
    capped, error = (
        (getattr(best, of) - least) / max(getattr(own, of) - least, 1e-12) for of in ("capped", "error")
    )
    far = plain and best.capped < own.capped and min(capped, error) <= _FAR
    # In many columns even a good network need not reach the linear estimate.
    fair = far or (best.errors.mean(axis=1) <= _FAIR * linear).mean() >= _AT_LEVELS
    if not np.isfinite(own.error):
        return bool(fair and best.error < best.silence)
    difference = (own.errors - best.errors).mean(axis=0)
    chance = difference.std() / np.sqrt(len(difference))
    much = far or capped <= _BETTER
    says = best.error - least <= (_FAR_SAY if far else _A_SAY) * (best.silence - least)
    return bool(fair and much and says and difference.mean() > _CERTAIN * chance)


class Strange(NamedTuple):
    """Levels where a network is handed times that it was not trained with."""

    ratio: tuple[float, ...]  # σ/α of the levels
    errors: tuple[float, ...]  # over those of the best linear estimate
    known: float  # the same at less noise, where it is least


def strange_levels(subject: Subject) -> Strange | None:
    """Return the levels where a network that is good at less noise answers as if it knew nothing.

    The noisy levels are the easy ones: a training that ended early, or went astray, never knows much of what
    a linear estimate knows at some levels and little of it at noisier ones. A network that is so gets times
    there that it was not trained with. None where there are no such levels, or none of which it knows
    anything.
    """
    places = places_of(subject)
    linear = np.array([linear_error(subject, place) for place in places])
    ratio = np.array([place.level.ratio.item() for place in places])
    found = []
    for reading in own_readings(subject, places):
        errors, silences = reading.errors.mean(axis=1), reading.silences
        assert silences is not None
        tells = linear < _TELLS * silences
        # of what a linear estimate knows, where that is something
        share = np.where(tells, silences - errors, 0.0) / np.where(tells, silences - linear, 1.0)
        strange = (errors > _STRANGE * linear) & (errors > _AS_IF_SILENT * silences)
        there = share[strange].mean() if strange.any() else 0.0
        more = (share > _SOME) & (share > _TIMES_MORE * there)
        known = tells & ((errors < _KNOWN * linear) | (more & ~strange))
        strange &= ratio > ratio[known].max(initial=0.0)
        if not known.any() or strange.sum() < _STRANGE_LEVELS:
            return None
        beside = errors / linear
        found.append(Strange(tuple(ratio[strange]), tuple(beside[strange]), float(beside[known].min())))
    return found[0] if found else None


def ignores_time(subject: Subject) -> bool:
    """Whether the network's output is the same at all times, though not for all points.

    Of a function (x_t, level) -> x_0 that is so where what it made of an output shows the same output at the
    first and at the last level.
    """
    place, schedule = places_of(subject)[0], subject.schedule
    own = type(subject.denoiser) is Denoiser
    for output, _ in outputs_of(subject):
        answers = []
        for t in (schedule.t_min, schedule.t_max):
            time = torch.tensor(float(t), dtype=torch.float64)
            level = place.level if own else schedule(time.to(subject.grid.levels.t.dtype))
            try:
                answers.append(output(place.x_t, level, time))
            except Exception:  # whatever a network does with a time that is not its own
                return False
        spread = float((answers[0] - answers[1]).abs().max())
        # A dead network answers the same for all points.
        of_points = float((answers[0] - answers[0].mean(0)).abs().max())
        if spread < 1e-4 * of_points:
            return True
    return False


def copies_input(subject: Subject) -> bool:
    """Whether the network answers its own input at all levels."""
    for output, _ in outputs_of(subject):
        for place in places_of(subject):
            rest = (output(place.x_t, place.level, place.level.t.double()) - place.x_t).square().mean()
            if not rest <= _COPY * place.x_t.square().mean():
                break
        else:
            return True
    return False


class Units(NamedTuple):
    """Units in which the network's answers are better: their name, the map to them, and both errors."""

    name: str
    scaling: Scaling
    error: float
    own_error: float
    linear: float  # of the best linear estimate in these units
    errors: tuple[float, ...] = ()  # level by level
    own_errors: tuple[float, ...] = ()
    ratio: tuple[float, ...] = ()  # σ/α of the levels


def units_of_training(subject: Subject) -> Units | None:
    """Look whether the network answers much better in other units than those that it is said to see."""
    x = subject.data.x.astype(np.float64)
    middle, half = (x.max(0) + x.min(0)) / 2, (x.max(0) - x.min(0)) / 2
    center, reach = (x.max() + x.min()) / 2, (x.max() - x.min()) / 2
    same = np.ones(subject.d)
    candidates = {
        "the data as it is": Scaling(np.zeros(subject.d), np.ones(subject.d)),
        "each column standardised": Scaling(x.mean(0), standard_unit(x)),
        "one mean and deviation for all columns": Scaling(
            np.full(subject.d, x.mean()), np.full(subject.d, x.std())
        ),
        "each column from −1 to 1": Scaling(middle, np.where(half > 0, half, 1.0)),
        "all columns from −1 to 1 by one scale": Scaling(center * same, reach * same),
        "all columns from 0 to 1 by one scale": Scaling(x.min() * same, 2 * reach * same),
        "each column from 0 to 1": Scaling(x.min(0), np.where(half > 0, 2 * half, 1.0)),
    }
    now = _in_units(subject)
    found = []
    for name, scaling in candidates.items():
        try:
            found.append((_in_units(replace(subject, scaling=scaling)), name, scaling))
        except DiffuscopeError:
            continue
    if not found:
        return None
    # In units in which one column is all that counts, a linear estimate knows nearly everything.
    best, name, scaling = min(found, key=lambda one: one[0].capped / one[0].linear)
    least = min(now.capped, best.capped, best.linear)
    if best.capped - least > _BETTER * (now.capped - least) or best.capped > _FAIR_UNITS * best.linear:
        return None
    # Rows and noise are the same: pairs of errors differ less by chance than their means do.
    before, after = (np.minimum(one.by_point, _FAR_OFF) for one in (now, best))
    apart = (before - after).mean(axis=0)
    if not apart.mean() > _CERTAIN * apart.std() / np.sqrt(len(apart)):
        return None
    ratio = tuple(place.level.ratio.item() for place in places_of(subject))
    return Units(
        name, scaling, best.capped, now.capped, best.linear, tuple(best.errors), tuple(now.errors), ratio
    )


class _InUnits(NamedTuple):
    """Errors of a network by level and point where it sees certain units, and linear ones by level."""

    by_point: np.ndarray  # (levels, points)
    linear_errors: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        return np.asarray(self.by_point.mean(axis=1))

    @property
    def capped(self) -> float:
        return capped_mean(self.errors)

    @property
    def linear(self) -> float:
        return float(self.linear_errors.mean())


def _in_units(subject: Subject) -> _InUnits:
    """Return how good a denoiser is where it sees the units of a subject."""
    places = places_of(subject, _MORE if subject.probe else 1)
    errors = [errors_at(place, subject.ask(subject.denoiser, place.x_t, place.level)) for place in places]
    return _InUnits(np.array(errors), np.array([linear_error(subject, place) for place in places]))
