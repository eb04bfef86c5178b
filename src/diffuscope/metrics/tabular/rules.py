"""What is an exact relation between columns? A rule that says of each row whether it is kept.

A relation counts as one only if it holds in all training rows to which it applies, and chance would not have
it: were the columns independent, the probability of that would be below :math:`e^{-14}` over the number of
relations that were tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Name
from diffuscope.metrics.tabular.tables import Column, Floats, Table

__all__ = ["FEWEST", "Rule", "RuleKind", "enough", "quoted", "reduced"]

RuleKind = Literal["equation", "function", "missing", "order"]

FEWEST = 30  # rows to which a relation must apply
_NATS = 14.0


@dataclass(frozen=True)
class Rule:
    """A relation.

    Attributes
    ----------
    kind : {"equation", "function", "missing", "order"}
    words : str
        What holds.
    columns : tuple of names
        The first can be had from the others, but for an order.
    kept : callable
        ``kept(table)``, shape (n,): 1 where it holds, 0 where not, NaN where a value for it is missing.
    """

    kind: RuleKind
    words: str
    columns: tuple[Name, ...]
    kept: Callable[[Table], Floats]


def enough(nats: float, tried: int) -> bool:
    """Return whether evidence against chance, in nats, is enough among so many relations tried."""
    return nats > _NATS + math.log(max(tried, 1))


def quoted(column: Column) -> str:
    """Return the name of a column in words."""
    return f"'{column.name}'"


def reduced(follows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the arrows (k, k) of a relation without those that follow from two others, and without loops."""
    arrows = follows.copy()
    np.fill_diagonal(arrows, False)
    through = (arrows.astype(np.float32) @ arrows.astype(np.float32)) > 0
    return np.asarray(arrows & ~through)
