r"""Which part causes the distance between samples and data?

Parts of the pipeline are exchanged, one after the other, for their exact versions, and each time samples are
measured anew. From perfection upwards:

====================  ==========================================================================
floor                 two clouds of real points
discretisation        + this sampler with so many steps, of an exact denoiser from the true q(x_T)
prior                 + the start that sampling really has
finite data           + the training set in place of its law
network               + the network in place of the exact denoiser
rest                  + whatever else the user's own samples have
====================  ==========================================================================

The rows add up to what the user sees. With :math:`W(\cdot)` the mean distance from real points of a
configuration, the prior's share is :math:`W(\text{exact}, \text{own}) - W(\text{exact}, q(x_T))`, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffuscope.diagnosis.clouds import Clouds, Configuration, Share
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.samplers import sampler_name

__all__ = ["Budget", "Row", "Walks", "measure_budget", "measure_walks"]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One line of the budget.

    Attributes
    ----------
    part : str
        floor, discretisation, prior, finite_data, network, rest or total.
    title : str
        The same for people.
    share : Share
    """

    part: str
    title: str
    share: Share

    def to_json(self) -> dict[str, str | float]:
        """Return the row as plain data."""
        share = self.share
        return {
            "part": self.part,
            "value": share.value,
            "ratio": share.ratio,
            "low": share.low,
            "high": share.high,
        }


@dataclass(frozen=True)
class Walks:
    """Distances from real points, one number a cloud, of the configurations that make up the budget.

    Attributes
    ----------
    true_start : ndarray
        An exact denoiser from the true q(x_T).
    own_start : ndarray
        An exact denoiser from the start that sampling has.
    memory : ndarray
        The training set, drawn from as if it were the law.
    network : ndarray
        The pipeline as it is; NaN where samples were not finite.
    given : ndarray or None
        The samples that the user handed over.
    """

    true_start: Values
    own_start: Values
    memory: Values
    network: Values
    given: Values | None


@dataclass(frozen=True)
class Budget:
    """The error budget: rows from the floor to the total."""

    rows: tuple[Row, ...]

    def get(self, part: str) -> Share | None:
        """Return the share of a part, None if there is no such row."""
        return next((row.share for row in self.rows if row.part == part), None)

    def __getitem__(self, part: str) -> Share:
        """Return the share of a part."""
        share = self.get(part)
        if share is None:
            raise KeyError(part)
        return share

    def __contains__(self, part: object) -> bool:
        """Return whether there is such a part."""
        return any(row.part == part for row in self.rows)


def measure_walks(subject: Subject, clouds: Clouds) -> Walks:
    """Sample every configuration of the budget."""
    given = None
    if subject.samples is not None:
        given = _given(subject, clouds)
    return Walks(
        true_start=clouds.distances(Configuration(subject.perfect, true_start=True)),
        own_start=clouds.distances(Configuration(subject.perfect)),
        memory=clouds.remembered(),
        network=clouds.distances(Configuration(subject.denoiser)),
        given=given,
    )


def _given(subject: Subject, clouds: Clouds) -> Values:
    """Measure clouds out of the user's samples, drawn anew where there are too few for all."""
    samples, n = subject.samples, subject.cloud_size
    assert samples is not None
    rng = np.random.default_rng(subject.seed)
    order = rng.permutation(len(samples))
    picks = [
        order[k * n : (k + 1) * n] if (k + 1) * n <= len(samples) else rng.choice(len(samples), n)
        for k in range(clouds.count)
    ]
    return np.array([clouds.distance_from_real(subject.shown(samples[p]), k) for k, p in enumerate(picks)])


def measure_budget(subject: Subject, clouds: Clouds, walks: Walks) -> Budget:
    """Turn the distances of all configurations into the rows that lead from the floor to the total."""
    rows = [Row("floor", "floor: real points against the same real points", clouds.share(clouds.baseline))]
    if subject.is_exact:
        discretisation = clouds.above_floor(walks.true_start)
        remembered = walks.memory - clouds.baseline
    else:  # an empirical oracle's limit of many steps is its own set of points
        discretisation = clouds.share(walks.true_start, walks.memory)
        remembered = np.zeros(clouds.count)
    rows.append(Row("discretisation", _title_of_steps(subject), discretisation))
    start = f"prior: the start, noise of std {subject.start_std:.3g}"
    rows.append(Row("prior", start, clouds.share(walks.own_start, walks.true_start)))
    data = f"finite data: {len(subject.data.x):,} training points"
    rows.append(Row("finite_data", data, clouds.above_floor(walks.memory)))
    total = walks.network
    if np.isfinite(walks.network).all():
        rows.append(Row("network", "network", clouds.share(walks.network - remembered, walks.own_start)))
        if walks.given is not None:
            rows.append(Row("rest", "rest: your own sampling code", clouds.share(walks.given, walks.network)))
            total = walks.given
        rows.append(Row("total", "total: what you see", clouds.total(total)))
    return Budget(tuple(rows))


def _title_of_steps(subject: Subject) -> str:
    name = sampler_name(subject.sampler)
    return f"discretisation: {subject.grid.n_steps} steps of {name}"
