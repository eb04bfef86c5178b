"""Which metrics are available, and how are all of them computed for a set of draws?

Metrics that share computations (precision, recall, density and coverage) are measured together.
Expensive ones use fewer points, draws and real pairs than cheap ones:

=================================== ============= ===== ==========
metrics                             points, most  draws real pairs
=================================== ============= ===== ==========
``sliced_wasserstein``              10,000        all   all
``wasserstein``                     1,000         8     16
``energy_distance``                 10,000        8     32
``mmd``                             10,000        8     32
``classifier_accuracy``             2,000         8     8
``precision`` to ``coverage``       5,000         8     16
``memorisation``                    5,000         8     16
``kl``                              5,000         8     32
``frechet_distance``                10,000        all   all
``frechet_extrapolated``            10,000        all   all
``kernel_distance``                 10,000        all   all
``class_imbalance``                 10,000        all   all
``entropy_gap``                     10,000        all   all
=================================== ============= ===== ==========

Above four columns, where neighbour searches are slow, ``precision`` to ``kl`` use 2,000, 500 and 2,000
points. From ``frechet_distance`` on they are for features, such as those of a network for images, and the
last two for its class probabilities; these are measured only on request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError, unknown_name
from diffuscope.metrics.classes import class_imbalance, entropy_gap
from diffuscope.metrics.clouds import Points, checked_pair, subsample
from diffuscope.metrics.frechet import extrapolated_frechet, frechet_distance
from diffuscope.metrics.kernel import kernel_distance
from diffuscope.metrics.likelihood import LogDensity, excess_divergence
from diffuscope.metrics.measured import Ideal, Measured, relate
from diffuscope.metrics.neighbours import memorisation, neighbourhoods
from diffuscope.metrics.transport import sliced_wasserstein, wasserstein
from diffuscope.metrics.two_sample import classifier_two_sample, energy_distance, median_distance, mmd

__all__ = ["FEATURE_METRICS", "METRICS", "Measurements", "Metric", "MetricSuite"]

_FEW_COLUMNS = 4


@dataclass(frozen=True)
class Metric:
    """Description of a metric.

    Attributes
    ----------
    name, title : str
        Identifier in files, and display name.
    ideal : {"floor", "zero"}
        Whether the ratio of perfect samples is 1 or 0, see :mod:`diffuscope.metrics.measured`.
    better : {"low", "high"}
        Whether lower or higher ratios are better.
    needs : {"real", "training", "density", "likelihood"}
        What it takes besides samples and real draws. One that needs the model's own likelihood is not
        measured here: see :func:`~diffuscope.runs.evaluate.evaluate`.
    """

    name: str
    title: str
    ideal: Ideal
    better: Literal["low", "high"]
    needs: Literal["real", "training", "density", "likelihood"] = "real"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("sliced_wasserstein", "Sliced Wasserstein distance", "floor", "low"),
        Metric("wasserstein", "Wasserstein distance", "floor", "low"),
        Metric("energy_distance", "Energy distance", "zero", "low"),
        Metric("mmd", "Maximum mean discrepancy", "zero", "low"),
        Metric("classifier_accuracy", "Two-sample classifier accuracy", "floor", "low"),
        Metric("precision", "Precision", "floor", "high"),
        Metric("recall", "Recall", "floor", "high"),
        Metric("density", "Density", "floor", "high"),
        Metric("coverage", "Coverage", "floor", "high"),
        Metric("memorisation", "Copies of training points", "floor", "low", "training"),
        Metric("kl", "Divergence from the truth (nats)", "zero", "low", "density"),
        Metric("log_likelihood_gap", "Log-likelihood gap (nats)", "zero", "low", "likelihood"),
    )
}


# For features and class probabilities; for points in the units of the data the others are more sensitive.
FEATURE_METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("frechet_distance", "Fréchet distance", "floor", "low"),
        Metric("frechet_extrapolated", "Fréchet distance, extrapolated", "zero", "low"),
        Metric("kernel_distance", "Kernel distance", "zero", "low"),
        Metric("class_imbalance", "Class imbalance", "floor", "low"),
        Metric("entropy_gap", "Class entropy gap (nats)", "floor", "low"),
    )
}

_KNOWN = {**METRICS, **FEATURE_METRICS}


class Measurements(dict[str, Measured]):
    """Measured metrics by name, in the order of ``METRICS`` and ``FEATURE_METRICS``.

    Attributes
    ----------
    left_out : dict of str to str
        Omitted metrics, each with the reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}


@dataclass(frozen=True)
class _Facts:
    """Inputs of metrics besides the two clouds."""

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
    points_above: int | None = None  # in more than a few columns
    draws: int | None = 8
    pairs: int | None = 16
    least: int = 2

    def most(self, d: int) -> int:
        """Return the largest number of points used."""
        return self.points_above if self.points_above and d > _FEW_COLUMNS else self.points


def _memorisation(x: Points, y: Points, facts: _Facts) -> tuple[float]:
    assert facts.training is not None  # checked before
    return (memorisation(x, y, facts.training),)


def _kl(x: Points, y: Points, facts: _Facts) -> tuple[float]:
    assert facts.log_density is not None
    return (excess_divergence(x, y, facts.log_density),)


_FAMILIES = (
    _Family(
        ("sliced_wasserstein",),
        lambda x, y, f: (sliced_wasserstein(x, y, seed=f.seed),),
        points=10_000,
        draws=None,
        pairs=None,
        least=1,
    ),
    _Family(("wasserstein",), lambda x, y, f: (wasserstein(x, y, seed=f.seed),), points=1_000, least=1),
    _Family(
        ("energy_distance",), lambda x, y, f: (energy_distance(x, y, seed=f.seed),), points=10_000, pairs=32
    ),
    _Family(("mmd",), lambda x, y, f: (mmd(x, y, f.bandwidth, seed=f.seed),), points=10_000, pairs=32),
    _Family(
        ("classifier_accuracy",),
        lambda x, y, f: (classifier_two_sample(x, y, seed=f.seed).accuracy,),
        points=2_000,
        pairs=8,
        least=50,
    ),
    _Family(
        ("precision", "recall", "density", "coverage"),
        lambda x, y, f: neighbourhoods(x, y),
        points_above=2_000,
        least=20,
    ),
    _Family(("memorisation",), _memorisation, points_above=500, least=50),
    _Family(("kl",), _kl, points_above=2_000, pairs=32, least=20),
    _Family(
        ("frechet_distance",),
        lambda x, y, f: (frechet_distance(x, y),),
        points=10_000,
        draws=None,
        pairs=None,
    ),
    _Family(
        ("frechet_extrapolated",),
        lambda x, y, f: (extrapolated_frechet(x, y, f.seed),),
        points=10_000,
        draws=None,
        pairs=None,
    ),
    _Family(
        ("kernel_distance",),
        lambda x, y, f: (kernel_distance(x, y, f.seed).value,),
        points=10_000,
        draws=None,
        pairs=None,
        least=4,
    ),
    _Family(
        ("class_imbalance", "entropy_gap"),
        lambda x, y, f: (class_imbalance(x, y), entropy_gap(x, y)),
        points=10_000,
        draws=None,
        pairs=None,
    ),
)


class MetricSuite:
    """Real draws with their floors, which are measured once for any number of models.

    Parameters
    ----------
    real : sequence of arrays of shape (n, d)
        Independent draws, in units in which all columns have equal weight.
    floor_pairs : sequence of pairs of arrays of shape (n, d)
        Independent real pairs. All clouds are reduced to the size of the smallest (and to the limit of a
        metric, see the table above), so that values and floors have equal sizes.
    training : ndarray of shape (l, d), optional
        The training points of the model, disjoint from ``real`` and ``floor_pairs``.
    log_density : callable, optional
        That of the truth, (n, d) to (n,), nats, in the units of the clouds.
    seed : int
        Of subsamples, directions and folds.
    only : sequence of str, optional
        Names from ``METRICS`` and ``FEATURE_METRICS``; all of the former by default.

    Raises
    ------
    InputError
        When a name is unknown, there are no draws, or a cloud is empty, of another dimension or not finite.
    """

    def __init__(
        self,
        real: Sequence[Points],
        floor_pairs: Sequence[tuple[Points, Points]],
        *,
        training: Points | None = None,
        log_density: LogDensity | None = None,
        seed: int = 0,
        only: Sequence[str] | None = None,
    ) -> None:
        for name in only or ():
            if name not in _KNOWN:
                raise unknown_name("metric", name, _KNOWN)
        if not len(real) or not len(floor_pairs):
            raise InputError(
                f"{len(real)} real draws and {len(floor_pairs)} real pairs are too few for a comparison.",
                "Give at least one of each, or two for intervals.",
            )
        self.real = [checked_pair(cloud, real[0][:1])[0] for cloud in real]
        self.pairs = [(checked_pair(x, real[0][:1])[0], checked_pair(x, y)[1]) for x, y in floor_pairs]
        self.names = set(METRICS if only is None else only)
        self._facts = _Facts(training, log_density, median_distance(*self.pairs[0], seed=seed), seed)
        self._floors: dict[tuple[tuple[str, ...], int], NDArray[np.float64]] = {}

    def measure(self, generated: Sequence[Points]) -> Measurements:
        """Measure samples.

        Parameters
        ----------
        generated : sequence of arrays of shape (n, d)
            Independent draws; ``generated[i]`` is compared with ``real[i]``. With a single one the intervals
            are infinite.

        Raises
        ------
        InputError
            When their number is not that of ``real``, or one is empty, of another dimension or not finite.
        """
        if len(generated) != len(self.real):
            raise InputError(
                f"Got {len(generated)} generated draws, expected {len(self.real)}: one for each real draw.",
                "Give equal numbers of generated and real draws.",
            )
        draws = [checked_pair(x, y) for x, y in zip(generated, self.real, strict=True)]
        made = Measurements()
        for family in _FAMILIES:
            if not self.names.isdisjoint(family.names):
                self._add(family, draws, made)
        return made

    def _add(self, family: _Family, draws: Sequence[tuple[Points, Points]], made: Measurements) -> None:
        """Add the metrics of a family to ``made``, or the reason for omitting them."""
        names = [name for name in family.names if name in self.names]
        smallest = min(len(cloud) for pair in [*draws, *self.pairs] for cloud in pair)
        n = min(family.most(draws[0][0].shape[1]), smallest)
        why = _missing(family, self._facts, n)
        if why is not None:
            made.left_out.update(dict.fromkeys(names, why))
            return
        try:
            if (family.names, n) not in self._floors:
                self._floors[family.names, n] = _values(family, self.pairs[: family.pairs], n, self._facts)
            values = _values(family, draws[: family.draws], n, self._facts)
        except InputError as error:
            made.left_out.update(dict.fromkeys(names, error.what))
            return
        floors = self._floors[family.names, n]
        for name in names:
            value, floor = values[:, family.names.index(name)], floors[:, family.names.index(name)]
            if not (np.isfinite(value).all() and np.isfinite(floor).all()):
                made.left_out[name] = "It is infinite: some points have a true density of 0."
                continue
            try:
                made[name] = relate(value, floor, _KNOWN[name].ideal)
            except InputError as error:
                made.left_out[name] = error.what


def _values(
    family: _Family, pairs: Sequence[tuple[Points, Points]], n: int, facts: _Facts
) -> NDArray[np.float64]:
    """Return the family's metrics between ``n`` points of each cloud, shape (pairs, metrics)."""

    def measure(place: int) -> tuple[float, ...]:
        x, y = (subsample(cloud, n, facts.seed, place, i) for i, cloud in enumerate(pairs[place]))
        return family.measure(x, y, facts)

    from threadpoolctl import threadpool_limits

    # Long computations release the global interpreter lock. Nested threads would wait for each other.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.array(list(pool.map(measure, range(len(pairs)))))


def _missing(family: _Family, facts: _Facts, n: int) -> str | None:
    """Return why a family cannot be measured, or None."""
    needs = _KNOWN[family.names[0]].needs
    if needs == "training" and facts.training is None:
        return "It needs both training points and held-out points."
    if needs == "density" and facts.log_density is None:
        return "It needs the true density, which is unknown."
    if n < family.least:
        return f"It needs clouds of at least {family.least} points; there are {n}."
    return None
