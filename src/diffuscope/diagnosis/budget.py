r"""Which part causes the distance between samples and data?

Parts of the pipeline are exchanged, one after the other, for their exact versions, and each time samples are
measured anew. From perfection upwards:

====================  ==========================================================================
floor                 two clouds of real points
discretisation        + this sampler with so many steps, of an exact denoiser from the true q(x_T)
prior                 + the start that sampling really has
finite data           + the training set in place of its law
network               + the network in place of the exact denoiser
classes               + the class of each sample told to it, where it knows classes
guidance              + classifier-free guidance, where the run has some
rest                  + whatever else the user's own samples have
====================  ==========================================================================

The rows add up to what the user sees. With :math:`W(\cdot)` the mean distance from real points of a
configuration, the prior's share is :math:`W(\text{exact}, \text{own}) - W(\text{exact}, q(x_T))`, and so on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from diffuscope.diagnosis.distances import FIRST_CLOUDS, Clouds, Share, decided
from diffuscope.diffusion.samplers import sampler_name

__all__ = ["Budget", "Row", "measure_budget", "network_share"]


@dataclass(frozen=True)
class Row:
    """One line of the budget.

    ``part`` is floor, discretisation, prior, finite_data, network, classes, guidance, rest or total;
    ``title`` is for people.
    """

    part: str
    title: str
    share: Share

    def to_json(self) -> dict[str, str | float]:
        """Return the row as plain data."""
        return {"part": self.part, "title": self.title, **asdict(self.share)}


@dataclass(frozen=True)
class Budget:
    """The error budget: rows from the floor to the total."""

    rows: tuple[Row, ...]

    def get(self, part: str) -> Share | None:
        """Return the share of a part, None if there is no such row."""
        return next((row.share for row in self.rows if row.part == part), None)

    def __getitem__(self, part: str) -> Share:
        """Return the share of a part."""
        return {row.part: row.share for row in self.rows}[part]

    def __contains__(self, part: object) -> bool:
        """Return whether there is such a part."""
        return part in {row.part for row in self.rows}


def network_share(clouds: Clouds, budget: Budget, mended: Clouds, worth: float) -> Share:
    """Return the share of the network, told classes but not guided, once what surrounds it is ``mended``.

    More than few clouds are drawn only where these do not say whether it is more than ``worth``.
    """
    if mended is clouds and "classes" not in budget:
        return budget["network"]
    mended = mended.brief
    subject, of_network = mended.subject, mended.unguided
    remembered = clouds.memory - clouds.baseline if clouds.subject.is_exact else np.zeros(clouds.count)

    def of_first(count: int) -> Share:
        exact = mended.distances(subject.perfect, count) if count < mended.count else mended.own_start
        return mended.share(of_network.first_distances(count) - remembered[:count], exact)

    share = of_first(FIRST_CLOUDS)
    return share if decided(share, worth) else of_first(mended.count)


def measure_budget(clouds: Clouds) -> Budget:
    """Sample every configuration, and turn their distances into rows from the floor to the total."""
    subject, given = clouds.subject, clouds.given
    true_start, own_start = clouds.true_start, clouds.own_start
    memory, network = clouds.memory, clouds.network
    if subject.is_exact:
        discretisation, remembered = clouds.share(true_start, clouds.baseline), memory - clouds.baseline
    else:  # an empirical oracle's limit of many steps is its own set of points
        discretisation, remembered = clouds.share(true_start, memory), np.zeros(clouds.count)
    steps = f"{subject.grid.n_steps} steps of {sampler_name(subject.sampler)}"
    rows = [
        Row("floor", "floor: real points against the same real points", clouds.share(clouds.baseline)),
        Row("discretisation", f"discretisation: {steps}", discretisation),
        Row(
            "prior",
            f"prior: the start, noise of std {subject.start_std:.3g}",
            clouds.share(own_start, true_start),
        ),
        Row(
            "finite_data",
            f"finite data: {len(subject.data.x):,} training points",
            clouds.share(memory, clouds.baseline),
        ),
    ]
    if np.isfinite(network).all():
        of_classes, alone = clouds.unguided.network, clouds.unconditional.network
        rows.append(Row("network", "network", clouds.share(alone - remembered, own_start)))
        if subject.conditioned is not None:
            rows.append(Row("classes", "classes: each sample has its own", clouds.share(of_classes, alone)))
        if subject.unguided is not None:
            guidance = clouds.share(network, of_classes)
            rows.append(Row("guidance", f"guidance: {subject.guidance:g}", guidance))
        if given is not None:
            rows.append(Row("rest", "rest: your own sampling code", clouds.share(given, network)))
        total = network if given is None else given
        rows.append(Row("total", "total: what you see", clouds.total(total)))
    return Budget(tuple(rows))
