"""Of what in a table is its user warned? Of categories never seen, and of relations that cannot be kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.view import View
from diffuscope.modalities.tables.support import MOST_GIVEN, Floats, Support

__all__ = ["warn_of_few", "warn_of_new", "warn_of_unkept"]


def warn_of_new(rows: RowCodec, X: Any, y: Any, meaning: str, level: int) -> None:
    """Say which columns have categories that were not seen in training."""
    new = rows.new_categories(X, y)
    if new:
        several = ", ".join(f"{count:,} in {name}" for name, count in list(new.items())[:10])
        what = f"There are values that were not seen in training: {several}. {meaning}"
        warnings.warn(what, UserWarning, stacklevel=level)


def warn_of_few(support: Support, view: View, known: Floats) -> None:
    """Say where two of the values that are known, coordinates (n, D), hardly ever came together."""
    known = known[:MOST_GIVEN]
    found = support.fewest(np.where(view.known(known), view.numbers(np.nan_to_num(known)), np.nan))
    if found is None:
        return
    rows, columns = found
    names = ", ".join(str(view.columns[j].name) for j in columns)
    what = (
        f"Of {support.n:,} training rows {rows} have such values of {names} as are given: what goes with "
        "them is known from few rows."
    )
    warnings.warn(what, UserWarning, stacklevel=5)


def warn_of_unkept(said: Mapping[str, int], n: int) -> None:
    """Say in how many of n rows relations are broken because of what is known."""
    for text, count in said.items():
        warnings.warn(f"{text}: {count:,} of {n:,} rows.", UserWarning, stacklevel=4)
