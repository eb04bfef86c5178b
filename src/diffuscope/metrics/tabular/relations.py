r"""Which relations hold in all real rows, and how many synthetic rows keep them?

Relations are looked for in the training rows, where all must keep them: equations
(:mod:`~diffuscope.metrics.tabular.equations`), functions and what decides whether values are missing
(:mod:`~diffuscope.metrics.tabular.dependencies`), and orders (:mod:`~diffuscope.metrics.tabular.orders`).

**Relations kept** is the mean over relations of the share of rows that keep it, among those to which it
applies; the floor is that of held-out rows, since a relation may hold in all training rows by accident; one
that fewer than nine tenths of held-out rows keep is none. One is named as broken where synthetic rows keep
it less often, significantly at the 1% level after Bonferroni's correction (one-sided normal test of two
shares), and by at least 1% of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from diffuscope.data.tables.columns.base import Name
from diffuscope.metrics import Measured
from diffuscope.metrics.tabular.dependencies import dependencies
from diffuscope.metrics.tabular.equations import Numbers, equations
from diffuscope.metrics.tabular.orders import orders
from diffuscope.metrics.tabular.rules import Rule, RuleKind
from diffuscope.metrics.tabular.splits import Splits, relate_parts
from diffuscope.metrics.tabular.tables import Floats, Table, made_not_real, percent, some_rows

__all__ = ["Relation", "Relations", "find_rules", "measure_relations"]

_MOST = 60
_LEVEL = 0.01
_LEAST = 0.01
_GENERAL = 0.9


@dataclass(frozen=True)
class Relation:
    """A relation that all training rows keep.

    Attributes
    ----------
    kind : {"equation", "function", "missing", "order"}
    words : str
    columns : tuple of names
        The first can be had from the others, but for an order.
    real, synthetic : float or None
        The shares of held-out and of synthetic rows that keep it; None where it applies to none.
    broken : bool
        Whether synthetic rows keep it significantly less often.
    """

    kind: RuleKind
    words: str
    columns: tuple[Name, ...]
    real: float | None
    synthetic: float | None
    broken: bool

    def line(self) -> str:
        """Return the relation with its shares, as text."""
        if self.synthetic is None:
            return f"{self.words} applies to no row"
        shares = percent(self.synthetic) if self.real is None else made_not_real(self.synthetic, self.real)
        return f"{self.words} in {shares} of the rows"


@dataclass(frozen=True)
class Relations:
    """The relations of a table, worst first; of more than sixty, equations and functions before orders."""

    found: tuple[Relation, ...]

    @property
    def off(self) -> bool:
        """Whether any relation is broken."""
        return bool(self.broken)

    @property
    def broken(self) -> tuple[Relation, ...]:
        """Those that synthetic rows break."""
        return tuple(relation for relation in self.found if relation.broken)

    def line(self) -> str:
        """Return what was found in one sentence."""
        n, broken = len(self.found), self.broken
        count = f"Relations: {n} hold{'s' * (n == 1)} in all training rows"
        if not broken:
            return f"{count}, and synthetic rows keep {'it' if n == 1 else 'them'} as held-out rows do."
        return f"{count}, {len(broken)} broken; worst: {broken[0].line()}."

    def to_json(self) -> list[dict[str, Any]]:
        """Return everything as plain data."""
        return [{**vars(r), "columns": [str(name) for name in r.columns]} for r in self.found]


def find_rules(table: Table, seed: int = 0) -> list[Rule]:
    """Return the relations that all rows of a table keep, at most sixty."""
    numbers = Numbers(table, seed)
    equal, lines, columns = equations(numbers)
    functions = [
        rule
        for rule in dependencies(table, [numbers.places[k] for k in lines], seed)
        if not any(set(rule.columns) <= set(known.columns) for known in equal)
    ]
    return [*equal, *functions, *orders(numbers, lines, columns)][:_MOST]


def measure_relations(splits: Splits) -> tuple[dict[str, Measured], Relations] | None:
    """Measure how many rows keep the relations of the training rows; None where these have none."""
    rules = [rule for rule in find_rules(splits.train, splits.seed) if _is_general(rule.kept(splits.unseen))]
    if not rules:
        return None
    made, real = (
        np.stack([rule.kept(table) for rule in rules], axis=1) for table in (splits.synthetic, splits.unseen)
    )
    found = [
        _relation(rule, own, other, len(rules))
        for rule, own, other in zip(rules, made.T, real.T, strict=True)
    ]
    size = max(splits.smallest // 2, 1)
    values, floors = (
        np.array(
            [_mean_share(kept[some_rows(len(kept), size, splits.seed, "relations", i, k)]) for i in range(8)]
        )
        for k, kept in enumerate((made, real))
    )
    factor = max(sum(q / (1 - q) for q in (size / len(made), size / len(real))) / 2, 1 / 8)
    usable = bool(np.isfinite(values).all() and np.isfinite(floors).all())
    metrics = {"relations_kept": relate_parts(values, floors, factor)} if usable else {}
    worst = sorted(found, key=lambda r: (not r.broken, (r.synthetic or 0.0) - (r.real or 0.0)))
    return metrics, Relations(tuple(worst))


def _is_general(kept: Floats) -> bool:
    """Return whether held-out rows keep a rule, so that training rows do so by more than accident."""
    kept = kept[~np.isnan(kept)]
    return len(kept) == 0 or bool(kept.mean() >= _GENERAL)


def _mean_share(kept: Floats) -> float:
    """Return the mean over relations of the share that is kept; one that applies to no row does not count."""
    there = ~np.isnan(kept)
    shares = np.where(there, kept, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    applies = there.any(axis=0)
    return float(shares[applies].mean()) if applies.any() else float("nan")


def _relation(rule: Rule, made: Floats, real: Floats, tests: int) -> Relation:
    from scipy.special import ndtri

    made, real = made[~np.isnan(made)], real[~np.isnan(real)]
    broken, shares = False, [float(kept.mean()) if len(kept) else None for kept in (real, made)]
    if len(made) and len(real):
        pooled = float(np.concatenate([made, real]).mean())
        error = np.sqrt(pooled * (1 - pooled) * (1 / len(made) + 1 / len(real)))
        gap = float(real.mean() - made.mean())
        broken = gap >= _LEAST and gap > -ndtri(_LEVEL / tests) * error
    return Relation(rule.kind, rule.words, rule.columns, shares[0], shares[1], bool(broken))
