"""Which metrics are there, and what are all of them for a set of draws?

Metrics that share work (the balls of precision, recall, density and coverage) are measured together.
Expensive ones use fewer points, draws and real pairs than cheap ones:

=================================== ============= ===== ==========
metrics                             points, most  draws real pairs
=================================== ============= ===== ==========
``sliced_wasserstein``              10,000        all   all
``wasserstein``                     1,000         8     16
``energy_distance``                 10,000        8     32
``mmd``                             10,000        8     32
``classifier_accuracy``             2,000         8     16
``precision`` to ``coverage``       5,000         8     16
``memorisation``                    5,000         8     16
``kl``                              5,000         8     32
=================================== ============= ===== ==========
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from diffuscope.errors import InputError, unknown_name
from diffuscope.metrics.clouds import Points, checked_pair, subsample
from diffuscope.metrics.likelihood import LogDensity, excess_divergence
from diffuscope.metrics.measured import Ideal, Measured, relate
from diffuscope.metrics.neighbours import memorisation, neighbourhoods
from diffuscope.metrics.transport import sliced_wasserstein, wasserstein
from diffuscope.metrics.two_sample import classifier_two_sample, energy_distance, median_distance, mmd

__all__ = ["METRICS", "Measurements", "Metric", "measure_all"]


@dataclass(frozen=True)
class Metric:
    """What a reader of a table must know of a metric.

    Attributes
    ----------
    name, title : str
        For files, and for people.
    ideal : {"floor", "zero"}
        Whether the ratio of perfect samples is 1 or 0, see :mod:`diffuscope.metrics.measured`.
    better : {"low", "high"}
        Which way from there is better, or less bad.
    needs : {"real", "training", "density"}
        What it takes besides samples and real draws.
    """

    name: str
    title: str
    ideal: Ideal
    better: Literal["low", "high"]
    needs: Literal["real", "training", "density"] = "real"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("sliced_wasserstein", "Sliced Wasserstein distance", "floor", "low"),
        Metric("wasserstein", "Wasserstein distance", "floor", "low"),
        Metric("energy_distance", "Energy distance", "zero", "low"),
        Metric("mmd", "Maximum mean discrepancy", "zero", "low"),
        Metric("classifier_accuracy", "Accuracy of a classifier", "floor", "low"),
        Metric("precision", "Precision", "floor", "high"),
        Metric("recall", "Recall", "floor", "high"),
        Metric("density", "Density", "floor", "high"),
        Metric("coverage", "Coverage", "floor", "high"),
        Metric("memorisation", "Copies of training points", "floor", "low", "training"),
        Metric("kl", "Divergence from the truth (nats)", "zero", "low", "density"),
    )
}


class Measurements(dict[str, Measured]):
    """What was measured, by name, in the order of ``METRICS``.

    Attributes
    ----------
    left_out : dict of str to str
        Why a metric could not be had, a sentence each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}


@dataclass(frozen=True)
class _Facts:
    """What metrics use besides the two clouds."""

    training: Points | None
    log_density: LogDensity | None
    bandwidth: float
    seed: int


@dataclass(frozen=True)
class _Family:
    """Metrics that are measured together."""

    names: tuple[str, ...]
    measure: Callable[[Points, Points, _Facts], tuple[float, ...]] = field(repr=False)
    points: int = 5_000
    draws: int | None = 8
    pairs: int | None = 16
    least: int = 2


def _memorisation(x: Points, y: Points, facts: _Facts) -> tuple[float]:
    assert facts.training is not None  # a missing one is found before
    return (memorisation(x, y, facts.training),)


def _kl(x: Points, y: Points, facts: _Facts) -> tuple[float]:
    assert facts.log_density is not None
    return (excess_divergence(x, y, facts.log_density),)


_FAMILIES = (
    _Family(
        ("sliced_wasserstein",),
        lambda x, y, f: (sliced_wasserstein(x, y, seed=f.seed),),
        10_000,
        None,
        None,
        1,
    ),
    _Family(("wasserstein",), lambda x, y, f: (wasserstein(x, y, seed=f.seed),), 1_000, least=1),
    _Family(("energy_distance",), lambda x, y, f: (energy_distance(x, y, seed=f.seed),), 10_000, 8, 32),
    _Family(("mmd",), lambda x, y, f: (mmd(x, y, f.bandwidth, seed=f.seed),), 10_000, 8, 32),
    _Family(
        ("classifier_accuracy",),
        lambda x, y, f: (classifier_two_sample(x, y, seed=f.seed).accuracy,),
        2_000,
        least=50,
    ),
    _Family(("precision", "recall", "density", "coverage"), lambda x, y, f: neighbourhoods(x, y), least=20),
    _Family(("memorisation",), _memorisation, least=50),
    _Family(("kl",), _kl, pairs=32, least=20),
)


def measure_all(
    generated: Sequence[Points],
    real: Sequence[Points],
    floor_pairs: Sequence[tuple[Points, Points]],
    *,
    training: Points | None = None,
    log_density: LogDensity | None = None,
    seed: int = 0,
    only: Sequence[str] | None = None,
) -> Measurements:
    """Measure all metrics, or some, on the same draws.

    Parameters
    ----------
    generated, real : sequence of arrays of shape (n, d)
        Independent draws in units in which all columns count alike; ``generated[i]`` meets ``real[i]``.
        Two at least, or the intervals are infinite.
    floor_pairs : sequence of pairs of arrays of shape (n, d)
        Independent real pairs. All clouds are cut to the size of the smallest (and to the most that a
        metric uses, see the table above), so that the floor is that of equal sizes.
    training : ndarray of shape (l, d), optional
        What the model was trained on; ``real`` and ``floor_pairs`` hold none of it.
    log_density : callable, optional
        The truth's, (n, d) to (n,), nats, in the units of the clouds.
    seed : int
        Of subsamples, directions and folds.
    only : sequence of str, optional
        Names from ``METRICS``.

    Returns
    -------
    Measurements
        A dict of name to :class:`Measured`; ``left_out`` says why others are missing.

    Raises
    ------
    InputError
        When a name is unknown, a draw is missing, or a cloud is empty, of another dimension or not finite.
    """
    for name in only or ():
        if name not in METRICS:
            raise unknown_name("metric", name, METRICS)
    if not generated or len(generated) != len(real) or not floor_pairs:
        raise InputError(
            f"{len(generated)} generated and {len(real)} real draws with {len(floor_pairs)} real pairs.",
            "Give as many real draws as generated ones, and at least one pair.",
        )
    pairs = [checked_pair(x, y) for x, y in zip(generated, real, strict=True)]
    floors = [checked_pair(x, y) for x, y in floor_pairs]
    for _, y in [*pairs[1:], *floors]:
        checked_pair(pairs[0][1][:1], y[:1])  # of one dimension all of them
    facts = _Facts(training, log_density, median_distance(*floors[0], seed=seed), seed)
    wanted = set(METRICS if only is None else only)
    found: dict[str, Measured] = {}
    made = Measurements()
    for family in _FAMILIES:
        if not wanted.isdisjoint(family.names):
            _measure_family(family, pairs, floors, facts, found, made.left_out)
    made.update((name, found[name]) for name in METRICS if name in found and name in wanted)
    made.left_out = {name: why for name, why in made.left_out.items() if name in wanted}
    return made


def _measure_family(
    family: _Family,
    pairs: Sequence[tuple[Points, Points]],
    floors: Sequence[tuple[Points, Points]],
    facts: _Facts,
    found: dict[str, Measured],
    left_out: dict[str, str],
) -> None:
    """Add a family's metrics to ``found``, or why they cannot be had to ``left_out``."""
    n = min(family.points, *(len(cloud) for pair in [*pairs, *floors] for cloud in pair))
    why = _missing(family, facts, n)
    if why is not None:
        left_out.update(dict.fromkeys(family.names, why))
        return
    both = [*pairs[: family.draws], *floors[: family.pairs]]

    def measure(place: int) -> tuple[float, ...]:
        x, y = both[place]
        return family.measure(
            subsample(x, n, facts.seed, place, 0), subsample(y, n, facts.seed, place, 1), facts
        )

    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # what takes long lets go of Python's lock
            table = np.array(list(pool.map(measure, range(len(both)))))
    except InputError as error:
        left_out.update(dict.fromkeys(family.names, error.what))
        return
    draws = len(pairs[: family.draws])
    for name, column in zip(family.names, table.T, strict=True):
        if not np.isfinite(column).all():
            left_out[name] = "It is infinite: points lie where the true density is 0."
            continue
        try:
            found[name] = relate(column[:draws].tolist(), column[draws:].tolist(), METRICS[name].ideal)
        except InputError as error:
            left_out[name] = error.what


def _missing(family: _Family, facts: _Facts, n: int) -> str | None:
    """Return why a family cannot be measured, or None."""
    needs = METRICS[family.names[0]].needs
    if needs == "training" and facts.training is None:
        return "It needs real points that the model was not trained on, beside those that it was."
    if needs == "density" and facts.log_density is None:
        return "It needs the true density, which is not known."
    if n < family.least:
        return f"It needs clouds of at least {family.least} points; there are {n}."
    return None
