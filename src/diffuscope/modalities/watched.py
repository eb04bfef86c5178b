"""What of a trajectory does a page show? Rows, as points in the plane of two of their columns.

They travel as whole numbers of two bytes within the limits of an axis. A kind of data may be shown otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from diffuscope.plots.facets import Facet

__all__ = ["Choice", "Watched", "WatchedColumns"]

_STEPS, _MISSING = 65_534, 65_535
_MOST_REAL = 2_000
_SPREAD = 0.3  # of integers of few values, in units of their own

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """Something that samples can be conditioned on; without ``values`` any text that can be read as one."""

    name: str
    values: tuple[str, ...] = ()
    guided: bool = False  # whether guidance acts on it

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; of very many values the first ones, as examples."""
        return {"name": self.name, "values": list(self.values[:200]), "guided": self.guided}


class Watched(ABC):
    """Moments of a trajectory, as a page shows them."""

    look: ClassVar[str]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return plain data, and arrays of uint16."""


@dataclass(frozen=True)
class WatchedColumns(Watched):
    """Rows at k moments in each of d columns, beside real ones.

    Attributes
    ----------
    facets : list of Facet
        An axis for each column; their values are m real rows, and k times n rows one after the other.
    n : int
    first : tuple of int
        The two columns that are shown first.
    with_real : bool
        Whether there are real rows.
    associations : pair of ndarrays of shape (d, d), optional
        How strongly columns depend on each other, in real rows and in the last ones.
    """

    look: ClassVar[str] = "columns"
    facets: list[Facet]
    n: int
    first: tuple[int, int]
    with_real: bool
    associations: tuple[Floats, Floats] | None = None

    @classmethod
    def of(
        cls,
        real: pd.DataFrame,
        moments: Sequence[pd.DataFrame],
        associations: tuple[Floats, Floats] | None = None,
    ) -> WatchedColumns:
        """Return the columns of real rows, of which at most 2,000 are shown, and of moments of n rows each.

        All moments together are at most :data:`diffuscope.plots.facets.MOST_ROWS` rows.
        """
        import pandas as pd

        from diffuscope.plots.facets import MOST_ROWS, facets_of, telling_columns

        if len(real) > _MOST_REAL:
            real = real.iloc[np.linspace(0, len(real) - 1, _MOST_REAL).astype(np.intp)]
        names = list(moments[-1].columns)
        both = pd.concat(list(moments), ignore_index=True)
        assert len(both) <= MOST_ROWS
        for name, least in _above_0(real, moments[-1]).items():  # a logarithmic axis has no place for 0
            if both[name].dtype.kind in "iuf":
                both[name] = both[name].clip(lower=least)
        axes = real if len(real) else moments[-1]
        telling = telling_columns(axes, moments[-1], min(2, len(names)))
        first = [names.index(name) for name in (*telling, *telling)[:2]]
        facets = facets_of(axes, both, names)
        return cls(facets, len(moments[-1]), (first[0], first[1]), len(real) > 0, associations)

    def to_json(self) -> dict[str, Any]:
        """Return the axes, and the places of rows on them."""
        return {
            "look": self.look,
            "n": self.n,
            "first": list(self.first),
            "columns": [
                {
                    "name": str(one.name),
                    "limits": list(one.limits),
                    "labels": one.drawn_labels if one.named else [],
                    "log": one.log,
                    "time": one.kind == "datetime",
                    "real": _placed(one, 0) if self.with_real else [],
                    "states": _placed(one, 1),
                }
                for one in self.facets
            ],
            "associations": None
            if self.associations is None
            else [np.round(matrix, 3).tolist() for matrix in self.associations],
        }


def _above_0(real: pd.DataFrame, last: pd.DataFrame) -> dict[Any, float]:
    """Return the columns of numbers that are above 0 in real rows and in samples, with their least values."""
    found = {}
    for name in last.columns:
        ends = [part[name] for part in (real, last) if len(part)]
        if all(part.dtype.kind in "iuf" for part in ends):
            least = min(float(part.min()) for part in ends)
            if least > 0:
                found[name] = least
    return found


def _placed(facet: Facet, which: int) -> NDArray[np.uint16]:
    """Return the places of rows between the limits of their axis, 0 to 65,534, and 65,535 where missing."""
    low, high = facet.limits
    x = facet.values[which] + _SPREAD * facet.spread[which]
    part = np.clip((x - low) / (high - low), 0, 1)
    return np.where(np.isfinite(part), np.round(_STEPS * np.nan_to_num(part)), _MISSING).astype(np.uint16)
