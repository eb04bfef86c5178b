"""What of rows that break a constraint? They are drawn again, until they keep it.

Of independent draws of a row the first one that keeps all constraints has the law of rows given that they
keep them. So a row is drawn whole: which of its values are missing, and the values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.tables import RowCodec, read_frame
from diffuscope.data.tables.constraints import Check, Constraint
from diffuscope.errors import RunError

__all__ = ["Filler", "Redrawn"]

_ATTEMPTS = 10
_MOST_EACH = 64  # draws of a row in an attempt
_MOST_IN_VAIN = 2**15  # draws of which not one keeps the constraints

Floats = NDArray[np.float64]
Draw = Callable[[NDArray[np.intp], int], tuple[Tensor, Any]]


class Redrawn:
    """The constraints of rows that are not computed, which draws of them break now and then."""

    def __init__(self, rows: RowCodec, checks: Sequence[Check]) -> None:
        self.rows = rows
        own = [rule for rule in rows.rules if rule.computes is None]
        self.rules: tuple[Constraint, ...] = (*own, *checks)
        self._kept: dict[str, int] = {}
        self._drawn = 0

    def until_kept(
        self, x: Tensor, frame: Any, draw: Draw, before: Any = None
    ) -> tuple[Tensor, NDArray[np.intp]]:
        """Return draws x (n, D) of rows that keep the constraints, and which rows (m,) still break one.

        ``frame`` is the pandas table that x means, and ``draw(which, attempt)`` gives independent draws of
        rows (k,) and their table. ``before`` is a table with holes that was filled: its rows without holes in
        the columns of a constraint stay as they are.
        """
        self._kept, self._drawn = dict.fromkeys((rule.text for rule in self.rules), 0), 0
        every = np.arange(len(x))
        left = every[~self._good(frame, before, every)]
        if not len(left):
            return x, left
        x, any_found = x.clone(), len(left) < len(x)
        for attempt in range(_ATTEMPTS):
            each = min(
                2**attempt, _MOST_EACH
            )  # whatever the number of rows: a row does not depend on later ones
            which = np.repeat(left, each)
            drawn, frame = draw(which, attempt)
            good = self._good(frame, before, which).reshape(len(left), each)
            found, first = good.any(axis=1), good.argmax(axis=1)
            x[left[found]] = drawn[np.flatnonzero(found) * each + first[found]].to(x)
            left, any_found = left[~found], any_found or bool(found.any())
            if not len(left) or (not any_found and self._drawn > _MOST_IN_VAIN):
                break
        return x, left

    def _good(self, frame: Any, before: Any, which: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which rows (n,) of a table keep all constraints, or break them by what is known of them."""
        good = np.ones(len(frame), dtype=bool)
        self._drawn += len(frame)
        holes = None if before is None else before.iloc[which].reset_index(drop=True)
        for rule in self.rules:
            kept = rule.kept(frame)
            self._kept[rule.text] += int(kept.sum())
            if holes is not None:
                some = holes if rule.columns is None else holes[list(rule.columns)]
                kept = kept | ~some.isna().any(axis=1).to_numpy()
            good &= kept
        if holes is not None:
            good &= ~self.rows.equalities.strays(holes, frame)
        return good

    @property
    def worst(self) -> str:
        """The constraint that the smallest share of the last draws kept, and that share."""
        if not self.rules:
            return "what an equality leaves for a column is out of its range"
        text = min(self._kept, key=lambda text: self._kept[text])
        return f"{text!r} is kept by {self._kept[text] / max(self._drawn, 1):.2%} of {self._drawn:,} drawn"

    def error(self) -> RunError:
        """Return the error for rows that cannot be had."""
        return RunError(
            f"Too few rows keep the constraints: {self.worst}.",
            "Give other values, or fewer constraints, or train longer.",
        )


class Filler:
    """A table whose holes are filled by draws, as a pandas table, rows at a time."""

    def __init__(self, rows: RowCodec, X: Any, y: Any, columns: list[Any] | None) -> None:
        self.rows, self.y, self.columns = rows, y, columns
        self.features = rows.features.aligned(X).data.reset_index(drop=True)
        self.before = self._joined(self.features, None if y is None else y.reset_index(drop=True))

    def frame(self, draw: Floats, which: NDArray[np.intp]) -> Any:
        """Return rows with their holes filled by a draw (m, D)."""
        some = self.features.iloc[which].reset_index(drop=True)
        y = None
        if self.y is not None and self.rows.target_at is not None:
            y = self.rows.fill_target(self.y.iloc[which].reset_index(drop=True), draw)
        return self._joined(read_frame(self.rows.fill(some, [draw], self.columns)).data, y)

    def _joined(self, features: Any, y: Any) -> Any:
        if y is None or self.rows.target_at is None:
            return features
        joined = features.copy()
        joined.insert(self.rows.target_at, self.rows.target_name, y)
        return joined
