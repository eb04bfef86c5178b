"""Which values of a row are there? Sets of columns that are missing together, and how they come together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.codec import TableCodec
from diffuscope.data.tables.columns.base import Floats, Plain, share_of_new
from diffuscope.data.tables.columns.categories import Codes
from diffuscope.data.tables.columns.computed import Computed
from diffuscope.data.tables.frames import Frame

__all__ = ["Patterns", "Presence", "are_there", "fit_patterns", "fit_presence"]

Bools = NDArray[np.bool_]

_NEW = 0.02  # most probable share of rows with a pattern that was not seen


class Presence(Plain):
    """Whether the values of some features, which were missing in the same rows, are there."""

    columns: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)  # positions among the features
    codes: Codes  # of missing and present

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.codes.coding != "onehot" or len(self.codes.shares) != 2:
            raise ValueError("a value is there, or not")
        return self

    @property
    def width(self) -> int:
        """Number of coordinates: 2."""
        return self.codes.width


class Patterns(Plain):
    """Which sets of values are there together: patterns, texts of 0 and 1, and their shares of the rows."""

    present: tuple[Annotated[str, Field(pattern="^[01]+$", max_length=100_000)], ...] = Field(min_length=1)
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.present) != len(self.shares) or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError("every pattern has a share, and they sum to 1")
        if len(set(self.present)) != len(self.present) or len(set(map(len, self.present))) != 1:
            raise ValueError("patterns are distinct, and of one length")
        return self

    @cached_property
    def _table(self) -> Bools:
        return np.array([[letter == "1" for letter in one] for one in self.present])

    @property
    def count(self) -> int:
        """Number p of sets."""
        return len(self.present[0])

    def draw(self, n: int, seed: int) -> Bools:
        """Draw which of p sets of values are there in n rows, shape (n, p)."""
        shares = np.array(self.shares)
        chosen = np.random.default_rng(seed).choice(len(shares), n, p=shares / shares.sum())
        return np.asarray(self._table[chosen])


def are_there(frame: Frame, presence: Sequence[Presence]) -> Bools:
    """Return which of p sets of values are there in the rows of a frame, shape (n, p)."""
    present = np.ones((frame.n, len(presence)), dtype=bool)
    for i, one in enumerate(presence):
        present[:, i] = ~np.logical_and.reduce([frame.column(j).isna().to_numpy() for j in one.columns])
    return present


def fit_presence(frame: Frame, features: TableCodec, weights: Floats | None = None) -> tuple[Presence, ...]:
    """Return the sets of columns whose values are missing in the same rows, some but not all."""
    sets = dict[bytes, tuple[list[int], Bools]]()
    for j, column in enumerate(features.columns):
        if column.missing and not (isinstance(column, Computed) and column.follows):
            missing = frame.column(j).isna().to_numpy()
            if not missing.all():
                sets.setdefault(np.packbits(missing).tobytes(), ([], missing))[0].append(j)
    found = []
    for columns, missing in sets.values():
        share = float(np.average(missing, weights=weights))
        codes = Codes(coding="onehot", shares=(share, 1 - share))
        found.append(Presence(columns=tuple(columns), codes=codes))
    return tuple(found)


def fit_patterns(
    frame: Frame, presence: Sequence[Presence], weights: Floats | None = None
) -> Patterns | None:
    """Return the patterns of presence in the rows of a frame.

    None where there is no presence, or by Good's estimate many rows would have a pattern that was not seen:
    then a network knows more.
    """
    if not presence:
        return None
    present = are_there(frame, presence)
    weights = np.ones(frame.n) if weights is None else weights
    patterns, own, times = np.unique(present, axis=0, return_inverse=True, return_counts=True)
    if share_of_new(np.bincount(own.ravel(), weights).astype(np.float64), times) > _NEW:
        return None
    shares = np.bincount(own.ravel(), weights / weights.sum())
    kept = shares > 0
    return Patterns(
        present=tuple("".join("1" if one else "0" for one in row) for row in patterns[kept]),
        shares=tuple((shares[kept] / shares.sum()).tolist()),
    )
