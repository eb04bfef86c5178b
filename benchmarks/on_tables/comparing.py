r"""Who is best, and who is as good as the best? Marks of several seeds become a table.

Methods are compared seed by seed: of the differences from another method, mean and 95% interval by Student's
t. Where seeds mean new splits of the same rows, these are not independent; their variance is multiplied by
:math:`1 + n\, n_{held} / n_{train}` for n seeds (Nadeau & Bengio 2003). Who differs from the best by an
interval that holds 0 is as good as the best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from report import table as markdown
from scipy import stats

from on_tables.marks import MARKS, Mark

__all__ = ["Compared", "compare", "difference", "write_table"]

OURS, MEMORY = "diffusion", "training rows"
_RATIO = 0.25  # held-out rows to training rows

Values = Mapping[int, float]
"""Of each seed."""


class Compared:
    """One mark of several methods.

    Attributes
    ----------
    middle : dict of str to float
        Medians over the seeds.
    best : set of str
        The best method, and those that are as good.
    beside : tuple of (str, float, float, float) or None
        The best method but ours; by how much ours is better, with its interval.
    """

    def __init__(self, mark: Mark, values: Mapping[str, Values], reused: bool) -> None:
        self.mark = mark
        self.middle = {name: float(np.median(list(own.values()))) for name, own in values.items()}
        losses = {
            name: {seed: mark.loss(value) for seed, value in own.items()}
            for name, own in values.items()
            if name != MEMORY
        }
        mean = {name: float(np.mean(list(own.values()))) for name, own in losses.items()}
        first = min(mean, key=mean.__getitem__, default="")
        self.best = {first} if first else set()
        for name in losses:
            _, low, high = difference(losses[first], losses[name], reused)
            if low <= 0 <= high:
                self.best.add(name)
        others = [name for name in mean if not name.startswith(OURS)]
        self.beside = None
        if OURS in losses and others:
            other = min(others, key=mean.__getitem__)
            self.beside = (other, *difference(losses[OURS], losses[other], reused))


def difference(ours: Values, other: Values, reused: bool) -> tuple[float, float, float]:
    """Return the mean of ``other - ours`` over the seeds of both, and its 95% interval."""
    seeds = sorted(ours.keys() & other.keys())
    if len(seeds) < 2:
        return float("nan"), np.nan, np.nan
    values = np.array([other[seed] - ours[seed] for seed in seeds])
    factor = 1 / len(values) + (_RATIO if reused else 0.0)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) * factor**0.5
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def compare(marks: Mapping[str, Mapping[int, Mapping[str, float]]], reused: bool) -> dict[str, Compared]:
    """Compare methods by all their marks.

    Parameters
    ----------
    marks : mapping
        Of a method's name to a seed to a mark's name to its value.
    reused : bool
        Whether the seeds share their rows.
    """
    compared = {}
    for key, mark in MARKS.items():
        values = {
            name: {seed: own[key] for seed, own in seeds.items() if key in own}
            for name, seeds in marks.items()
        }
        values = {name: own for name, own in values.items() if own}
        if values:
            compared[key] = Compared(mark, values, reused)
    return compared


def write_table(compared: Mapping[str, Compared], names: Sequence[str]) -> str:
    """Return the table: medians, the best and those as good in bold, and ours beside the best other."""
    rows = []
    for one in compared.values():
        cells = []
        for name in names:
            text = f"{one.middle[name]:.{one.mark.digits}f}" if name in one.middle else ""
            cells.append(f"**{text}**" if name in one.best and text else text)
        rows.append([one.mark.title, *cells, _beside(one)])
    return markdown(["", *names, "ours better than the best other by"], rows)


def _beside(one: Compared) -> str:
    if one.beside is None or np.isnan(one.beside[1]):
        return ""
    other, mean, low, high = one.beside
    digits = one.mark.digits
    return f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f}), {other}"
