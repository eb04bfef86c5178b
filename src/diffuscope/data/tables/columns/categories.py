r"""How do categories and truth values become coordinates, and back?

With k categories of shares p, category i is the point :math:`c_i` of one of two codings.

``onehot``. :math:`c_i = s\,(e_i - p)` in k coordinates, with mean 0. The variances of the coordinates are
:math:`s^2 p_j (1 - p_j)`; s is chosen so that they are 1 on average, as the model expects of every
coordinate, but at most 4: with many or rare categories a coordinate would otherwise jump to
:math:`\sqrt k` standard deviations, which no network fits well, and be decided at noise levels where
numbers of unit variance are not yet visible.

On purely categorical and on mixed tables of known laws ``onehot`` comes nearer to the law than ``bits``, and
has probabilities of its categories: a network answers with them, and is trained by cross-entropy
(:mod:`diffuscope.diffusion.masked.categorical`). It is the default; docs/en/own/tables.md has the figures,
and those of multinomial diffusion, which is nearer still where all columns are categories.

``bits``. The number of the category in base 2, as ±1 in :math:`\lceil \log_2 k \rceil` coordinates (Chen
et al. 2023, "Analog bits", section 2.1).

Decoding takes the nearest code among those of the k categories,
:math:`\arg\max_i\; z \cdot c_i - |c_i|^2 / 2`: for ``onehot`` the largest of :math:`z + s p`, and a pattern
of bits that no category has is never decoded.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Column, Floats, Name, Plain, share_of_new
from diffuscope.data.tables.columns.labels import Labels
from diffuscope.data.tables.dtypes import dtype_name
from diffuscope.data.tables.values import as_truths, is_present, kind_of, label, restore, shown
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_CATEGORIES", "Boolean", "Category", "Codes", "Coding"]

MOST_CATEGORIES = 1000
Coding = Literal["onehot", "bits"]
_LARGEST_SCALE = 4.0
_STRAY = 0.2  # share of text below which a column was meant to hold numbers
_MOST_CODES = 30  # distinct numbers that may be codes, among them text
_BLOCK = 2**22  # products at a time


class Codes(Plain):
    """The points that stand for k categories, each seen as often as its share; they sum to 1."""

    coding: Coding
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=2, max_length=MOST_CATEGORIES)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(math.fsum(self.shares) - 1) > 1e-6:
            raise ValueError("shares must sum to 1")
        return self

    @property
    def width(self) -> int:
        """Number of coordinates."""
        return int(self.table.shape[1])

    @cached_property
    def scale(self) -> float:
        """The s of ``onehot``."""
        p = np.array(self.shares)
        return min(math.sqrt(len(p) / float((p * (1 - p)).sum())), _LARGEST_SCALE)

    @cached_property
    def table(self) -> Floats:
        """The points, shape (k, width)."""
        k = len(self.shares)
        if self.coding == "onehot":
            return np.asarray(self.scale * (np.eye(k) - np.array(self.shares)))
        bits = np.arange(k)[:, None] >> np.arange((k - 1).bit_length()) & 1
        return (2.0 * bits - 1.0).astype(np.float64)

    def encode(self, numbers: NDArray[np.intp]) -> Floats:
        """Return the points (n, width) of categories by their numbers (n,), NaN for -1."""
        points = self.table[numbers]
        points[numbers < 0] = np.nan
        return points

    def decode(self, points: Floats) -> NDArray[np.intp]:
        """Return the numbers (n,) of the nearest categories, -1 where a coordinate of (n, width) is NaN."""
        present = ~np.isnan(points).any(axis=1)
        if self.coding == "onehot":
            numbers = np.argmax(np.nan_to_num(points) + self.scale * np.array(self.shares), axis=1)
            return np.where(present, numbers, -1)
        numbers = np.full(len(points), -1)
        rows = max(_BLOCK // len(self.shares), 1)
        for start in range(0, len(points), rows):
            block = np.nan_to_num(points[start : start + rows])
            numbers[start : start + rows] = np.argmax(block @ self.table.T, axis=1)
        return np.where(present, numbers, -1)

    def __repr__(self) -> str:
        return f"Codes({self.coding}, k={len(self.shares)}, width={self.width})"


def _codes_of(
    numbers: NDArray[np.intp], k: int, coding: Coding, weights: Floats | None
) -> tuple[bool, Codes]:
    """Return whether one of the numbers is missing (-1), and the codes of the others."""
    present = numbers >= 0
    own = None if weights is None else weights[present]
    counts = np.bincount(numbers[present], own, minlength=k)
    return bool((numbers < 0).any()), Codes(coding=coding, shares=tuple((counts / counts.sum()).tolist()))


class Boolean(Column):
    """A column of truth values; the codes are those of false and true."""

    kinds = ("boolean", "object")
    kind: Literal["boolean"] = "boolean"
    codes: Codes

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.codes.shares) != 2:
            raise ValueError("truth values are two")
        return self

    @classmethod
    def fit(cls, values: pd.Series[Any], name: Name, coding: Coding, weights: Floats | None = None) -> Self:
        """Fit to values (n,), both of them among them."""
        missing, codes = _codes_of(as_truths(values, name), 2, coding, weights)
        return cls(name=name, dtype=dtype_name(values.dtype), missing=missing, codes=codes)

    @property
    def width(self) -> int:
        """Number of coordinates."""
        return self.codes.width

    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return coordinates (n, width), see :meth:`Column.encode`; 0 and 1 count as truth values."""
        return self.codes.encode(as_truths(values, self.name))

    def numbers(self, coordinates: Floats) -> Floats:
        """Return the numbers (n,) of the categories of coordinates (n, width), NaN where missing."""
        numbers = self.codes.decode(coordinates)
        return np.where(numbers < 0, np.nan, numbers)

    def of_numbers(self, numbers: Floats, within: Floats | None = None) -> Floats:
        """Return the coordinates (n, width) of categories by their numbers (n,)."""
        return self.codes.encode(numbers.astype(np.intp))

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return the truth values of coordinates (n, width)."""
        numbers = self.codes.decode(coordinates)
        return restore(numbers == 1, numbers >= 0, self.dtype, self.name)

    def _about(self) -> str:
        return f"{self.codes.coding}, {self.codes.shares[1]:.0%} true"


class Category(Column):
    """A column of categories: text, bytes or a pandas categorical.

    Only categories that were seen have a code: ``labels``, in their own order for a categorical, sorted
    otherwise. A categorical keeps all its categories (``all_labels``) and their order in its type. ``new`` is
    the probability of a category that was not seen.
    """

    kinds = ("category", "object")
    kind: Literal["category"] = "category"
    labels: Labels
    all_labels: Labels | None
    ordered: bool
    codes: Codes
    new: Annotated[float, Field(gt=0, lt=1)] = 1e-3

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.labels.index) != len(self.codes.shares):
            raise ValueError("every category needs one code")
        if (self.all_labels is None) == (self.dtype == "category"):
            raise ValueError("a categorical, and nothing else, has all_labels")
        if self.all_labels is None and self.labels.kind not in ("text", "bytes"):
            raise ValueError("categories are text, but for those of a categorical")
        if self.all_labels is not None and not self.labels.index.isin(self.all_labels.index).all():
            raise ValueError("all_labels must hold the labels")
        return self

    @classmethod
    def fit(
        cls,
        values: pd.Series[Any],
        name: Name,
        coding: Coding,
        said: bool = False,
        weights: Floats | None = None,
    ) -> Self:
        """Fit to values (n,), two of them distinct.

        Raises an InputError when there are more than 1,000 categories, categories are no plain values, or the
        column holds many numbers and a few stray words, unless it is ``said`` to be of categories.
        """
        import pandas as pd

        dtype = dtype_name(values.dtype)
        if dtype == "category":
            every = values.cat.categories
            raw = values.cat.codes.to_numpy().astype(np.intp)
            seen = np.unique(raw[raw >= 0])
            _check_few(len(seen), len(values), name)
            index, all_labels = every[seen], Labels.of(every, name)
            numbers, ordered = np.where(raw >= 0, np.searchsorted(seen, raw), -1), bool(values.cat.ordered)
        else:
            numbers, uniques = pd.factorize(values, sort=False)
            if not said:
                _check_no_numbers(numbers, uniques, name)
            _check_few(len(uniques), len(values), name)
            order = np.argsort(np.asarray(uniques, dtype=object), kind="stable")
            index, all_labels, ordered = pd.Index(uniques)[order], None, False
            rank = np.append(np.argsort(order), -1)  # the last for those that are missing
            numbers = rank[numbers]
        missing, codes = _codes_of(numbers, len(index), coding, weights)
        present = numbers >= 0
        times = np.bincount(numbers[present], minlength=len(index))
        rows = times if weights is None else np.bincount(numbers[present], weights[present], len(index))
        return cls(
            name=name,
            dtype=dtype,
            missing=missing,
            labels=Labels.of(index, name),
            all_labels=all_labels,
            ordered=ordered,
            codes=codes,
            new=share_of_new(rows.astype(np.float64), times),
        )

    @property
    def width(self) -> int:
        """Number of coordinates."""
        return self.codes.width

    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return coordinates (n, width), see :meth:`Column.encode`."""
        return self.codes.encode(self._numbers(values))

    def is_new(self, values: pd.Series[Any]) -> NDArray[np.bool_]:
        """Return which values (n,) are categories that were not seen."""
        return (self._found(values) < 0) & is_present(values)

    def log_volume(self, values: pd.Series[Any]) -> Floats:
        """Return the log-probability that a category is new, or is not (n,); 0 where it is missing."""
        found = self._found(values)
        logs = np.where(found < 0, math.log(self.new), math.log1p(-self.new))
        return np.where(is_present(values), logs, 0.0)

    def _found(self, values: pd.Series[Any]) -> NDArray[np.intp]:
        """Return the numbers (n,) of categories, -1 for missing and new ones."""
        import pandas as pd

        if isinstance(values.dtype, pd.CategoricalDtype):
            raw, uniques = values.cat.codes.to_numpy(), values.cat.categories
        else:
            try:
                raw, uniques = pd.factorize(values)
            except TypeError:  # lists and other things without a hash
                kind_of(values, self.name)
                raise
        return np.append(self.labels.find(uniques), -1)[raw].astype(np.intp)

    def _numbers(self, values: pd.Series[Any]) -> NDArray[np.intp]:
        numbers = self._found(values)
        unseen = np.flatnonzero((numbers < 0) & is_present(values))
        if unseen.size:
            value = values.iloc[unseen[0]]
            known = ", ".join(map(shown, self.labels.index.tolist()[:10]))
            more = ", …" if len(self.labels.index) > 10 else ""
            raise InputError(
                f"{label(self.name)} has the value {shown(value)} in row {unseen[0]} (counted from 0), "
                f"which was not seen when the table was fitted. Known: {known}{more}.",
                "Replace it by a known or missing value, or fit on a table that has it.",
            )
        return numbers

    def numbers(self, coordinates: Floats) -> Floats:
        """Return the numbers (n,) of the categories of coordinates (n, width), NaN where missing."""
        numbers = self.codes.decode(coordinates)
        return np.where(numbers < 0, np.nan, numbers)

    def of_numbers(self, numbers: Floats, within: Floats | None = None) -> Floats:
        """Return the coordinates (n, width) of categories by their numbers (n,)."""
        return self.codes.encode(numbers.astype(np.intp))

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return the categories of coordinates (n, width)."""
        numbers = self.codes.decode(coordinates)
        if self.all_labels is not None:
            places = np.append(self.all_labels.find(self.labels.index), -1)
            return self.all_labels.categorical(places[numbers], self.ordered)
        texts = self.labels.index.to_numpy(dtype=object)
        return restore(texts[numbers], numbers >= 0, self.dtype, self.name)

    def _about(self) -> str:
        return f"{len(self.labels.index)} categories, {self.codes.coding}"


def _check_no_numbers(numbers: NDArray[np.intp], uniques: Any, name: Name) -> None:
    """Refuse text that is many numbers but for a few words: these are what the user must see."""
    import pandas as pd

    strays = pd.to_numeric(pd.Series(uniques, dtype=object), errors="coerce").isna().to_numpy()
    rows = strays[numbers[numbers >= 0]]
    if 0 < rows.mean() < _STRAY and (~strays).sum() > _MOST_CODES:
        row = int(np.flatnonzero((numbers >= 0) & strays[numbers])[0])
        raise InputError(
            f"{label(name)} has numbers, except for {int(rows.sum())} value(s) of text, the first "
            f"{shown(uniques[numbers[row]])} in row {row} (counted from 0).",
            "Convert them to numbers, or leave missing values empty; of a file say which words are missing "
            f"(--missing), or that it has categories (--types {name}=category).",
        )


def _check_few(k: int, n: int, name: Name) -> None:
    if k > MOST_CATEGORIES:
        raise InputError(
            f"{label(name)} has {k} different values in {n} rows; a category has at most {MOST_CATEGORIES}.",
            "Remove the column if it is an identifier or free text (of a file: --types "
            f"{name}=id or {name}=ignored), or group its values.",
        )
