"""How does a whole table become points, and points a table?

The coordinates of a row are those of its columns, one column after the other. They are float64 and NaN
where a value is missing; a network may be conditioned on any subset of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Floats, Name, Plain
from diffuscope.data.tables.columns.categories import Coding
from diffuscope.data.tables.columns.computed import Computed, in_type
from diffuscope.data.tables.columns.fitting import AnyColumn, fit_column
from diffuscope.data.tables.columns.identifiers import Identifier
from diffuscope.data.tables.columns.numeric import Integer, Number, precision_of
from diffuscope.data.tables.containers import Container
from diffuscope.data.tables.dtypes import dtype_name, kind_of_dtype
from diffuscope.data.tables.frames import Frame, read_frame
from diffuscope.errors import InputError, unknown_name
from diffuscope.seeds import stream_seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableCodec", "filled_in", "known_of"]


class TableCodec(Plain):
    """The columns of a table, and what kind of table it was."""

    format: Literal["diffuscope-table-1"] = "diffuscope-table-1"
    container: Container
    columns: Annotated[tuple[AnyColumn, ...], Field(min_length=1, max_length=100_000)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if tuple(column.name for column in self.columns) != self.container.names:
            raise ValueError("the columns must have the table's names")
        if len(set(self.container.names)) != len(self.container.names):
            raise ValueError("names must be distinct")
        typed = {column.name for column in self.columns if column.dtype == "category"}
        if not set(self.container.enums) <= typed:
            raise ValueError("enums must be categories")
        one = [column.decode(np.zeros((1, column.width))) for column in self.columns]
        kind = "arrow" if self.container.kind == "polars" else self.container.kind  # without polars
        try:
            self.container.model_copy(update={"kind": kind}).assemble(one)
        except (TypeError, ValueError, ArithmeticError, NotImplementedError) as error:
            raise ValueError(f"the columns do not suit the table: {error}") from error
        return self

    @classmethod
    def fit(
        cls,
        X: Any,
        *,
        categories: Coding = "onehot",
        seed: int = 0,
        said: Mapping[Name, str] | None = None,
        weights: Floats | None = None,
    ) -> TableCodec:
        """Choose how each column of a table becomes coordinates.

        A table is whatever :func:`diffuscope.data.tables.frames.read_frame` reads, a column at a time: of an
        array in a file only one column is in memory at once. ``categories`` is the coding of
        :mod:`diffuscope.data.tables.columns.categories`. The seed chooses the rows that maps are fitted to,
        of more than 200,000. ``said`` are kinds of columns that are not to be recognised, see
        :func:`~diffuscope.data.tables.columns.fitting.fit_column`; ``weights`` (n,) what rows count. Raises
        an InputError when X is no table, or a column cannot be modelled.
        """
        if categories not in get_args(Coding):
            raise unknown_name("coding of categories", str(categories), get_args(Coding))
        frame, said = read_frame(X), said or {}
        columns = tuple(
            fit_column(
                frame.column(j), name, categories, stream_seed(seed, "rows", j), said.get(name), weights
            )
            for j, name in enumerate(frame.container.names)
        )
        return cls.model_construct(container=frame.container, columns=columns)

    @property
    def names(self) -> tuple[Name, ...]:
        """Names of the columns; their positions where they have none."""
        return self.container.names

    @property
    def width(self) -> int:
        """Number of coordinates D."""
        return sum(column.width for column in self.columns)

    @cached_property
    def slices(self) -> dict[Name, slice]:
        """Where the coordinates of each column are."""
        ends = np.cumsum([0, *(column.width for column in self.columns)]).tolist()
        return {name: slice(*ends[j : j + 2]) for j, name in enumerate(self.names)}

    def __repr__(self) -> str:
        columns = "".join(f"\n    {column!r}," for column in self.columns)
        return f"TableCodec({self.container.kind}, width={self.width}, columns=[{columns}\n])"

    __str__ = __repr__

    def __getitem__(self, name: Name) -> AnyColumn:
        """Return a column by its name."""
        return self.columns[self.names.index(name)]

    def encode(
        self, X: Any, *, dequantise: bool = False, seed: int = 0, new_as_missing: bool = False
    ) -> Floats:
        """Return the coordinates of rows, shape (n, D), float64, NaN where a value is missing.

        Columns are recognised by their names where both tables have names, in whatever order they stand
        there, and by their positions where one of them has none. The result is the only copy of the whole
        that is made. To dequantise spreads integers, times and often repeated floats over the coordinates
        that mean them, as in training; otherwise they stand in the middle of these. Categories that were not
        seen are errors, or coded as missing ones. Raises an InputError when columns are missing, new or of
        other types, or a value cannot be encoded.
        """
        frame = self.aligned(X)
        points = np.empty((frame.n, self.width))
        for j, (column, part) in enumerate(self.parts(points)):
            within = None
            if dequantise and column.spreads:
                within = np.random.default_rng(stream_seed(seed, "dequantise", j)).random(frame.n)
            values = frame.column(j)
            if new_as_missing:
                values = known_of(column, values)
            part[:] = column.encode(values, within)
        return points

    def decode(self, points: Any, like: Any = None, index: Any = None, exact: bool = False) -> Any:
        """Return the rows that points (n, D) mean, as a table of the kind that was fitted.

        NaN means missing, and can be decoded only where a column's type can say so. With ``like``, a table of
        n rows, the result is of its kind, and has its index, unless another ``index`` is given. Raises an
        InputError when the points are not of this shape or infinite. ``exact`` is as in :func:`decoded`.
        """
        points = self._as_points(points)
        frame = None if like is None else self.aligned(like, len(points))
        columns = [decoded(column, part, exact) for column, part in self.parts(points)]
        if frame is None:
            return self.container.assemble(columns, index)
        return frame.container.assemble(columns, frame.index if index is None else index)

    def parts(self, points: Floats) -> Iterator[tuple[AnyColumn, Floats]]:
        """Yield each column with a view of its coordinates in points (n, D)."""
        for column, where in zip(self.columns, self.slices.values(), strict=True):
            yield column, points[:, where]

    def fill(
        self,
        X: Any,
        points: Any,
        left: NDArray[np.bool_] | None = None,
        finish: Callable[[list[pd.Series[Any]], NDArray[np.bool_]], None] | None = None,
        exact: bool = False,
    ) -> Any:
        """Return X with its missing values taken from points (n, D); all others are unchanged.

        Identifiers are left missing: nothing in a row tells which it is. So are cells that are ``left``, (n,
        columns). ``finish`` gets the filled columns, and which cells were to be filled (n, columns), to
        change them; computed columns are left to it. Raises an InputError when X does not have the columns
        that were fitted, a value of a column with missing ones is not one of that column, or the points are
        not of X's shape.
        """
        points = self._as_points(points)
        frame = self.aligned(X, len(points))
        filled, holes = [], np.zeros((frame.n, len(self.columns)), dtype=bool)
        for j, (column, part) in enumerate(self.parts(points)):
            given = frame.column(j).reset_index(drop=True)
            gaps = given.isna().to_numpy()
            if left is not None:
                gaps = gaps & ~left[:, j]
            holes[:, j] = gaps
            if gaps.any() and not isinstance(column, Identifier | Computed):
                # What is given must be one of this column's values to share its type, or a new category.
                column.encode(known_of(column, given))
                given = filled_in(given, gaps, decoded(column, part[gaps], exact))
            filled.append(given)
        if finish is not None:
            finish(filled, holes)
        return frame.container.assemble(filled, frame.index)

    def log_volume(self, X: Any) -> Floats:
        """Return log |d coordinates / d values|, summed over the columns that are not missing; shape (n,).

        Added to a log-density of coordinates it gives that of rows: per unit of numbers, and as a
        probability for integers and times. Categories add nothing.
        """
        frame = self.aligned(X)
        total = np.zeros(frame.n)
        for j, column in enumerate(self.columns):
            total += column.log_volume(frame.column(j))
        return total

    def _as_points(self, given: Any) -> Floats:
        points: Floats = np.asarray(given, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.width:
            raise InputError(
                f"Points have shape {points.shape}; expected (n, {self.width}).",
                "Give one coordinate vector per row.",
            )
        if np.isinf(points).any():
            row = int(np.argmax(np.isinf(points).any(axis=1)))
            raise InputError(f"Point {row} (counted from 0) is infinite.", "Give finite points.")
        return points

    def aligned(self, X: Any, n: int | None = None) -> Frame:
        """Read a table and bring its columns into the order that was fitted."""
        frame = read_frame(X)
        if n is not None and frame.n != n:
            raise InputError(f"There are {n} points for {frame.n} rows.", "Give as many points as rows.")
        names, known = frame.container.names, self.names
        if not (frame.container.has_names and self.container.has_names):
            if len(names) != len(known):
                raise InputError(
                    f"X has {len(names)} features, but TableCodec is expecting {len(known)} features "
                    "as input.",
                    "Give the same columns as in fit.",
                )
            return frame
        if names == known:
            return frame
        place, there = {name: j for j, name in enumerate(names)}, set(known)
        lost = [name for name in known if name not in place]
        new = [name for name in names if name not in there]
        if lost or new:
            parts = [f"missing: {_some(lost)}"] * bool(lost) + [f"new: {_some(new)}"] * bool(new)
            raise InputError(
                f"The columns of the table differ from those that were fitted: {'; '.join(parts)}.",
                "Give the same columns as in fit.",
            )
        order = [place[name] for name in known]
        return Frame(frame.data.iloc[:, order], frame.container.ordered(order), frame.index)


def decoded(column: AnyColumn, z: Floats, exact: bool = False) -> pd.Series[Any]:
    """Return the values of coordinates (n, width) of a column; ``exact`` numbers may be out of its range."""
    made = column.decode(z)
    if not exact or not isinstance(column, Number | Integer):
        return made
    if isinstance(column, Integer):
        low, high, unit = float(column.low), float(column.low + column.span), 1.0
    elif column.decimals is not None:
        low, high, unit = column.low, column.high, 10.0**-column.decimals
    else:
        return made  # these are not cut
    x = column.unclipped(z)
    beyond = (x < low - unit / 2) | (x > high + unit / 2)
    return filled_in(made, beyond, in_type(column, x[beyond])) if beyond.any() else made


def known_of(column: AnyColumn, values: pd.Series[Any]) -> pd.Series[Any]:
    """Return values (n,) of a column with those missing that are new categories."""
    new = column.is_new(values)
    return values.mask(new) if new.any() else values


def filled_in(given: Any, gaps: Any, made: Any) -> Any:
    """Return a column with its gaps (n,) filled by values made for them.

    It is in its own type, or in the fitted one if the kinds differ.

    An imputed table of integers comes as floats, since some are missing.
    """
    own, fitted = dtype_name(given.dtype), dtype_name(made.dtype)
    same = given.dtype == made.dtype or kind_of_dtype(own) == kind_of_dtype(fitted) == "number"
    if same and own != fitted:
        most = float(np.finfo(precision_of(own)).max)
        if most < float(np.finfo(precision_of(fitted)).max):
            made = made.clip(-most, most)
        made = made.astype(given.dtype)
    filled = given.copy() if same else given.astype(object)
    filled[gaps] = made.to_numpy(dtype=None if same else object)
    if not same and fitted == "category":  # it may have new categories
        known = made.dtype.categories
        made = made.cat.add_categories([one for one in filled.dropna().unique() if one not in known])
    return filled if same else filled.astype(made.dtype)


def _some(names: list[Name]) -> str:
    return ", ".join(map(repr, names[:10])) + (", …" if len(names) > 10 else "")
