"""Which metrics are available, and how are all of them computed for a set of draws?

Metrics that share computations (precision, recall, density and coverage) are measured together. Expensive
ones use fewer points, draws and real pairs than cheap ones, see ``_FAMILIES``. ``FEATURE_METRICS`` are for
features, such as those of a network for images, and the last two for its class probabilities. They are
measured only on request: for points in the units of the data the others are more sensitive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from diffuscope.errors import InputError, unknown_name
from diffuscope.metrics.classes import judge_classes
from diffuscope.metrics.clouds import Points, checked_pair, subsample
from diffuscope.metrics.floor import Ideal, Measured, relate
from diffuscope.metrics.frechet import extrapolated_frechet, frechet_distance
from diffuscope.metrics.kernel import kernel_distance
from diffuscope.metrics.likelihood import LogDensity, excess_divergence
from diffuscope.metrics.neighbours import memorisation, neighbourhoods
from diffuscope.metrics.transport import sliced_wasserstein, wasserstein
from diffuscope.metrics.two_sample import classifier_two_sample, energy_distance, median_distance, mmd
from diffuscope.threads import side_by_side

__all__ = ["FEATURE_METRICS", "METRICS", "Measurements", "Metric", "MetricSuite"]


@dataclass(frozen=True)
class Metric:
    """Description of a metric.

    Attributes
    ----------
    name, title : str
        Identifier in files, and display name.
    ideal : {"floor", "zero"}
        Whether the ratio of perfect samples is 1 or 0, see :mod:`diffuscope.metrics.floor`.
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


def _registry(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS = _registry(
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
FEATURE_METRICS = _registry(
    Metric("frechet_distance", "Fréchet distance", "floor", "low"),
    Metric("frechet_extrapolated", "Fréchet distance, extrapolated", "zero", "low"),
    Metric("kernel_distance", "Kernel distance", "zero", "low"),
    Metric("class_imbalance", "Class imbalance", "floor", "low"),
    Metric("entropy_gap", "Class entropy gap (nats)", "floor", "low"),
)
_KNOWN = METRICS | FEATURE_METRICS


class Measurements(dict[str, Measured]):
    """Measured metrics by name, in the order of the registries; ``left_out`` says why others were omitted."""

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}


@dataclass(frozen=True)
class _Family:
    """Metrics that are measured together, on at most so many points, draws and real pairs."""

    names: tuple[str, ...]
    measure: Callable[[Points, Points, MetricSuite], float | tuple[float, ...]]
    points: int = 10_000
    points_above: int | None = None  # in more than four columns, where neighbour searches are slow
    draws: int | None = None
    pairs: int | None = None
    least: int = 2


_FAMILIES = (
    _Family(("sliced_wasserstein",), lambda x, y, s: sliced_wasserstein(x, y, seed=s.seed), least=1),
    _Family(("wasserstein",), lambda x, y, s: wasserstein(x, y, seed=s.seed), 1_000, None, 8, 16, least=1),
    _Family(("energy_distance",), lambda x, y, s: energy_distance(x, y, seed=s.seed), draws=8, pairs=32),
    _Family(("mmd",), lambda x, y, s: mmd(x, y, s.bandwidth, seed=s.seed), draws=8, pairs=32),
    _Family(
        ("classifier_accuracy",),
        lambda x, y, s: classifier_two_sample(x, y, seed=s.seed).accuracy,
        *(2_000, None, 8, 8),
        least=50,
    ),
    _Family(
        ("precision", "recall", "density", "coverage"),
        lambda x, y, s: neighbourhoods(x, y),
        *(5_000, 2_000, 8, 16),
        least=20,
    ),
    _Family(("memorisation",), lambda x, y, s: memorisation(x, y, s.training), 5_000, 500, 8, 16, least=50),
    _Family(("kl",), lambda x, y, s: excess_divergence(x, y, s.log_density), 5_000, 2_000, 8, 32, least=20),
    _Family(("frechet_distance",), lambda x, y, s: frechet_distance(x, y)),
    _Family(("frechet_extrapolated",), lambda x, y, s: extrapolated_frechet(x, y, s.seed)),
    _Family(("kernel_distance",), lambda x, y, s: kernel_distance(x, y, s.seed).value, least=4),
    _Family(
        ("class_imbalance", "entropy_gap"),
        lambda x, y, s: ((judged := judge_classes(x, y)).imbalance, judged.entropy_gap),
    ),
)


class MetricSuite:
    """Real draws with their floors, which are measured once for any number of models.

    Parameters
    ----------
    real : sequence of arrays of shape (n, d)
        Independent draws, in units in which all columns have equal weight.
    floor_pairs : sequence of pairs of arrays of shape (n, d)
        Independent real pairs. All clouds are reduced to the size of the smallest, and to the limit of a
        metric, so that values and floors have equal sizes.
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
        self.training: Any = training
        self.log_density: Any = log_density
        self.seed: int = seed
        self.bandwidth: float = median_distance(*self.pairs[0], seed=seed)
        self._floors: dict[tuple[tuple[str, ...], int], Points] = {}

    def measure(self, generated: Sequence[Points]) -> Measurements:
        """Measure independent draws of samples, each of shape (n, d): as many as ``real``, pair by pair.

        With a single one the intervals are infinite.
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
        few = family.points_above if draws[0][0].shape[1] > 4 else None
        smallest = min(len(cloud) for pair in [*draws, *self.pairs] for cloud in pair)
        n = min(few or family.points, smallest)
        names = [name for name in family.names if name in self.names]
        try:
            self._check_needs(family, n)
            if (family.names, n) not in self._floors:
                self._floors[family.names, n] = self._values(family, self.pairs[: family.pairs], n)
            values = self._values(family, draws[: family.draws], n)
        except InputError as error:
            made.left_out.update(dict.fromkeys(names, error.what))
            return
        found = zip(family.names, values.T, self._floors[family.names, n].T, strict=True)
        for name, value, floor in found:
            if name not in names:
                continue
            if not (np.isfinite(value).all() and np.isfinite(floor).all()):
                made.left_out[name] = "It is infinite: some points have a true density of 0."
                continue
            try:
                made[name] = relate(value, floor, _KNOWN[name].ideal)
            except InputError as error:
                made.left_out[name] = error.what

    def _check_needs(self, family: _Family, n: int) -> None:
        needs = _KNOWN[family.names[0]].needs
        if needs == "training" and self.training is None:
            raise InputError("It needs both training points and held-out points.")
        if needs == "density" and self.log_density is None:
            raise InputError("It needs the true density, which is unknown.")
        if n < family.least:
            raise InputError(f"It needs clouds of at least {family.least} points; there are {n}.")

    def _values(self, family: _Family, pairs: Sequence[tuple[Points, Points]], n: int) -> Points:
        """Return the family's metrics between ``n`` points of each cloud, shape (pairs, metrics)."""

        def measure(place: int) -> float | tuple[float, ...]:
            x, y = (subsample(cloud, n, self.seed, place, i) for i, cloud in enumerate(pairs[place]))
            return family.measure(x, y, self)

        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # nested threads would wait for each other
            return np.array(list(side_by_side(measure, range(len(pairs))))).reshape(len(pairs), -1)
