r"""How do rows with a target become points, and points rows and targets?

The coordinates of the features come first, those of the target, where there is one, behind them: to a
model they are alike, and either can be known while the other is drawn.

Last come those of *presence*. A value that is missing says something: a cause of death is missing for the
living. So for features with missing values, whether the value is there is a column of its own, coded as two
categories; columns whose values are missing in the same rows share one. A model learns
:math:`p(\text{presence})\, p(\text{values} \mid \text{presence})`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from diffuscope.data.tables.codec import TableCodec, decoded
from diffuscope.data.tables.columns.base import DtypeName, Floats, Name, Plain
from diffuscope.data.tables.columns.cast import Cast
from diffuscope.data.tables.columns.categories import Boolean, Category, Codes, Coding
from diffuscope.data.tables.columns.computed import Computed
from diffuscope.data.tables.columns.fitting import AnyColumn, fit_column
from diffuscope.data.tables.columns.identifiers import Identifier
from diffuscope.data.tables.columns.numeric import Integer, Lattice, Number
from diffuscope.data.tables.constraints import LONGEST, Constraint, Rule, in_order, read_constraint
from diffuscope.data.tables.dtypes import dtype_name, kind_of_dtype, named_dtype
from diffuscope.data.tables.equalities import Equalities, with_computed
from diffuscope.data.tables.frames import read_frame
from diffuscope.data.tables.presence import Patterns, Presence, are_there, fit_patterns, fit_presence
from diffuscope.data.tables.targets import (
    as_table,
    check_lengths,
    is_one,
    read_target,
    speaking_of_y,
    without_row,
)
from diffuscope.errors import InputError, unknown_column

__all__ = ["RowCodec"]

_MOST_CLASSES = 20


class RowCodec(Plain):
    """The columns of X, and that of y.

    ``presence`` says for which features missing values are learned, ``patterns`` which of them come together,
    where these are few. ``target_at`` is where the target stood
    in the table that it was taken from, if it was; ``classes`` the type of a target whose integers are the
    names of classes. ``constraints`` are relations between columns of that table, see
    :mod:`~diffuscope.data.tables.constraints`.
    """

    kind: ClassVar[str] = "table"

    format: Literal["diffuscope-rows-1"] = "diffuscope-rows-1"
    features: TableCodec
    target: TableCodec | None = None
    presence: tuple[Presence, ...] = ()
    patterns: Patterns | None = None
    target_at: Annotated[int, Field(ge=0, le=100_000)] | None = None
    classes: DtypeName | None = None
    constraints: tuple[Annotated[str, Field(max_length=LONGEST)], ...] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.target is not None and len(self.target.columns) != 1:
            raise ValueError("a target is one column")
        if self.target_at is not None and (
            self.target is None or self.target_at > len(self.features.columns) or not self.joinable
        ):
            raise ValueError("there is no such place for a target")
        if self.classes is not None and (self.target is None or kind_of_dtype(self.classes) != "integer"):
            raise ValueError("classes are a target's")
        owned = [j for one in self.presence for j in one.columns]
        if len(set(owned)) != len(owned) or any(j >= len(self.features.columns) for j in owned):
            raise ValueError("the presence of a column is one of its own")
        if self.patterns is not None and self.patterns.count != len(self.presence):
            raise ValueError("patterns are those of presence")
        if not self.width:
            raise ValueError("no column varies")
        computed = {column.name for column in self.features.columns if isinstance(column, Computed)}
        if computed != {rule.computes for rule in self.equalities.rules}:
            raise ValueError("what is computed, and nothing else, is said by a constraint")
        return self

    @classmethod
    def fit(
        cls,
        X: Any,
        y: Any = None,
        *,
        categories: Coding = "onehot",
        seed: int = 0,
        target_at: int | None = None,
        said: Mapping[Name, str] | None = None,
        weights: Floats | None = None,
        constraints: Sequence[str] = (),
    ) -> RowCodec:
        """Fit to a table and a target (n,), see :meth:`TableCodec.fit`; a target is no identifier.

        Integers of at most 20 distinct values are the names of classes; others, and floats, numbers.
        ``target_at`` is where y stood in a pandas table, of which X is the rest; ``weights`` (n,) what rows
        count. Raises an InputError when either cannot be modelled, they are not of one length, or nothing in
        them varies.
        """
        features = TableCodec.fit(X, categories=categories, seed=seed, said=said, weights=weights)
        if constraints:
            every = list(features.names)
            if target_at is not None:
                every.append(read_frame(as_table(y)).container.names[0])
            rules = [read_constraint(text, every, features.container.has_names) for text in constraints]
            features = with_computed(features, read_frame(X), in_order(rules))
        target = classes = None
        if y is not None:
            column, frame = read_target(y, read_frame(X).n)
            classes = _class_dtype(frame.column(0))
            name = frame.container.names[0]
            kind = (said or {}).get(name, "target")
            as_said = {name: "target" if kind == "id" else kind}
            with speaking_of_y(name, target_at is not None):
                target = TableCodec.fit(
                    column, categories=categories, seed=seed, said=as_said, weights=weights
                )
                if classes is not None:
                    values = frame.column(0).astype("category")
                    named = fit_column(values, target.names[0], categories, seed, weights=weights)
                    target = target.model_copy(update={"columns": (named,)})
        frame = read_frame(X)
        presence = fit_presence(frame, features, weights)
        codec = cls.model_construct(
            features=features,
            target=target,
            presence=presence,
            patterns=fit_patterns(frame, presence, weights),
            target_at=target_at,
            classes=classes,
            constraints=tuple(constraints),
        )
        if not codec.width:
            names = ", ".join(map(repr, codec.identifiers[:5]))
            but = f" but {names}, which holds identifiers" if names else ""
            raise InputError(
                f"No column varies{but}, so there is nothing to learn (n_samples = {read_frame(X).n}).",
                "Give rows that differ.",
            )
        return codec

    @classmethod
    def split(cls, table: Any, target: Name) -> tuple[Any, Any, int]:
        """Take a column out of a pandas table: return the others, it, and where it stood.

        Raises an InputError when there is no such column, or no other.
        """
        names = list(table.columns)
        if target not in names:
            raise unknown_column(target, names, "There is no column {} for the target.")
        if len(names) == 1:
            raise InputError(f"There is no column besides the target {target!r}.", "Give more columns.")
        return table.drop(columns=target), table[target], names.index(target)

    def decode(
        self,
        x: Floats | Tensor,
        given: Mapping[Any, Any] | None = None,
        start: int = 0,
        seed: int = 0,
        exact: bool = False,
    ) -> Any:
        """Return the rows that points (n, D) mean, the target among them where it came from the table.

        See :meth:`decode_features`.
        """
        points = x.double().cpu().numpy() if isinstance(x, Tensor) else x
        rows = self.decode_features(points, given, start, seed, exact)
        if self.target_at is not None:
            y = self.decode_target(points, given, exact)
            rows.insert(self.target_at, y.name, y)
        return rows

    def parted(self, table: Any, y: Any = None) -> tuple[Any, Any]:
        """Return the features and the target of a table that may have the target among its columns."""
        if y is None and self.target_name is not None and self.target_name in getattr(table, "columns", ()):
            return table.drop(columns=self.target_name), table[self.target_name]
        return table, y

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The constraints, read."""
        names = [*self.features.names, *([] if self.target_name is None else [self.target_name])]
        named = self.features.container.has_names
        return tuple(read_constraint(text, names, named) for text in self.constraints)

    @cached_property
    def equalities(self) -> Equalities:
        """The constraints that say what columns are."""
        return Equalities(self.features, in_order(self.rules))

    def shares_kept(self, frame: Any, constraints: Sequence[Constraint] = ()) -> dict[str, float]:
        """Return for each constraint, the model's and further ones, which share of the rows keeps it.

        ``frame`` is a pandas table of the features, and of the target where it was taken from the table. An
        equality is kept within the rounding of its column.
        """
        found = {}
        for rule in (*self.rules, *constraints):
            if isinstance(rule, Rule) and rule.computes is not None:
                kept = self.equalities.agree(frame, rule)
            else:
                kept = rule.kept(frame)
            found[rule.text] = float(kept.mean())
        return found

    @property
    def affine(self) -> None:
        """It is none: columns are of many kinds."""
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a point: (D,)."""
        return (self.width,)

    @property
    def target_name(self) -> Name | None:
        """The name of a target that is a column of the table; None where there is none."""
        return None if self.target is None or self.target_at is None else self.target.names[0]

    @property
    def joinable(self) -> bool:
        """Whether a target can stand among the features: both are pandas'."""
        kinds = [self.features.container.kind]
        kinds += [] if self.target is None else [self.target.container.kind]
        return set(kinds) == {"pandas"}

    @property
    def width(self) -> int:
        """Number of coordinates D of a row."""
        return self._ends[2]

    @cached_property
    def _ends(self) -> tuple[int, int, int]:
        """Where the coordinates of features, target and presence end."""
        features = self.features.width
        target = features + (0 if self.target is None else self.target.width)
        return features, target, target + sum(one.width for one in self.presence)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the table's columns in their order, the target's in its place; None where it has none."""
        if not self.features.container.has_names:
            return None
        names = list(map(str, self.features.names))
        if self.target_at is not None and self.target_name is not None:
            names.insert(self.target_at, str(self.target_name))
        return tuple(names)

    @property
    def all_columns(self) -> tuple[AnyColumn, ...]:
        """All columns, the target's last."""
        return self.features.columns + (() if self.target is None else self.target.columns)

    @property
    def identifiers(self) -> tuple[Name, ...]:
        """Names of the columns whose values are made up."""
        return tuple(column.name for column in self.all_columns if isinstance(column, Identifier))

    @property
    def groups(self) -> tuple[int, ...]:
        """Number of the column, counted from 0, that each coordinate belongs to; presence comes last."""
        widths = [column.width for column in (*self.all_columns, *self.presence)]
        return tuple(np.repeat(np.arange(len(widths)), widths).tolist())

    @property
    def owners(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Of each presence its number among the groups, and those of its columns."""
        first = len(self.all_columns)
        return tuple((first + i, one.columns) for i, one in enumerate(self.presence))

    @cached_property
    def coded(self) -> list[tuple[slice, Codes]]:
        """Place and codes of presence, and of each column of categories."""
        found: list[tuple[slice, Codes]] = [
            (where, one.codes) for where, one in zip(self.presence_at, self.presence, strict=True)
        ]
        start = 0
        for column in self.all_columns:
            if isinstance(column, Category | Boolean):
                found.append((slice(start, start + column.width), column.codes))
            start += column.width
        return found

    @property
    def choices(self) -> list[tuple[slice, tuple[float, ...], float]]:
        """Place, shares and scale of each column of categories that is coded as one of many."""
        return [(at, codes.shares, codes.scale) for at, codes in self.coded if codes.coding == "onehot"]

    @cached_property
    def presence_at(self) -> tuple[slice, ...]:
        """Where the coordinates of each presence are."""
        start = self._ends[1]
        return tuple(slice(start + 2 * i, start + 2 * i + 2) for i in range(len(self.presence)))

    @cached_property
    def values_of(self) -> tuple[NDArray[np.intp], ...]:
        """Of each presence the coordinates of its columns' values."""
        places = list(self.features.slices.values())
        return tuple(
            np.concatenate([np.arange(places[j].start, places[j].stop) for j in one.columns])
            for one in self.presence
        )

    def encode_presence(self, present: NDArray[np.bool_]) -> Floats:
        """Return the coordinates (n, 2p) of whether the values of p sets of columns are there, (n, p)."""
        coded = [one.codes.table[present[:, i].astype(int)] for i, one in enumerate(self.presence)]
        return np.concatenate(coded, 1) if coded else np.empty((len(present), 0))

    def decode_presence(self, points: Floats) -> NDArray[np.bool_]:
        """Return whether the values of p sets of columns are there, (n, p); NaN counts as True."""
        present = np.ones((len(points), len(self.presence)), dtype=bool)
        for i, (at, one) in enumerate(zip(self.presence_at, self.presence, strict=True)):
            present[:, i] = one.codes.decode(points[:, at]) != 0
        return present

    def blanked(self, points: Floats) -> Floats:
        """Return points (n, D) with NaN for the values that their presence says are missing."""
        if not self.presence:
            return points
        points, present = points.copy(), self.decode_presence(points)
        for i, values in enumerate(self.values_of):
            points[np.ix_(~present[:, i], values)] = np.nan
        return points

    @property
    def whole(self) -> bool:
        """Whether all columns are numbers or times, and no value was missing."""
        return not any(
            column.missing or isinstance(column, Category | Boolean) for column in self.all_columns
        )

    @property
    def is_target(self) -> NDArray[np.bool_]:
        """Which coordinates are the target's, shape (D,)."""
        where = np.arange(self.width)
        return (where >= self._ends[0]) & (where < self._ends[1])

    @property
    def is_presence(self) -> NDArray[np.bool_]:
        """Which coordinates are those of presence, shape (D,)."""
        return np.arange(self.width) >= self._ends[1]

    def place(self, name: Name) -> slice:
        """Return where the coordinates of a column of the features are; an InputError if none are."""
        if name not in self.features.slices:
            raise unknown_column(name, self.features.names)
        return self.features.slices[name]

    def columns_given(self, given: Mapping[Name, Any], n: int) -> dict[Name, Any]:
        """Return the values of n rows of columns of which values are given: one for all, or one each.

        Raises an InputError when there is no such column, or a value cannot be one of it.
        """
        import pandas as pd

        found = {}
        for name, value in given.items():
            self.place(name)  # it must be there
            many = [value] * n if is_one(value) else list(value)
            if len(many) != n:
                raise InputError(
                    f"Found input variables with inconsistent numbers of samples: {n} rows to draw, and "
                    f"{len(many)} values of {name!r}.",
                    "Give one value, or one for each row.",
                )
            column = self.features[name]
            values = pd.Series(many, dtype=object).infer_objects()
            if values.isna().any():
                raise InputError(f"A value given for {name!r} is missing.", "Omit unknown values.")
            try:
                found[name] = column.as_given(values)
            except InputError as error:
                if not is_one(value):
                    raise
                raise InputError(without_row(error.what), error.hint) from error
        return found

    def target_given(self, y: Any, n: int) -> Any:
        """Return targets (n,) that rows are drawn given as a column, as they are; y as in encode_target."""
        if self.target is None:
            raise InputError("This model was fitted without y.", "Fit with y, or omit y.")
        column, single = self.target.columns[0], is_one(y)
        with speaking_of_y(column.name, self.target_at is not None, single):
            values = self.target.aligned(self._target_table([y] * n if single else y), n).column(0)
            if values.isna().any():
                raise InputError("A value given for y is missing.", "Omit unknown values.")
            return column.as_given(values)

    def _target_table(self, y: Any) -> Any:
        """Return targets as a table of one column, whatever it is called."""
        assert self.target is not None
        return as_table(y, self.target.names[0] if self.target.container.has_names else None)

    def encode(
        self,
        X: Any,
        y: Any = None,
        *,
        dequantise: bool = False,
        seed: int = 0,
        meant: bool = True,
        new_as_missing: bool = False,
    ) -> Floats:
        """Return the coordinates of rows, shape (n, D), NaN where a value or the target is missing.

        What is missing is ``meant`` to be, or it is unknown whether there is a value: then the coordinates of
        its presence are NaN as well. Categories that were not seen are errors; ``new_as_missing`` they are
        NaN, though they are there. Raises an InputError when X or y is not of the kind that was fitted, or y
        is given without a target.
        """
        points = self.features.encode(X, dequantise=dequantise, seed=seed, new_as_missing=new_as_missing)
        if self.target is None and y is not None:
            raise InputError("This model was fitted without y.", "Fit with y, or omit y.")
        if self.width == self.features.width:
            return points
        wide = np.full((len(points), self.width), np.nan)
        features, target, _ = self._ends
        wide[:, :features] = points
        if y is not None:
            wide[:, features:target] = self.encode_target(y, len(points), dequantise, seed, new_as_missing)
        if self.presence:
            frame = self.features.aligned(X)
            present = are_there(frame, self.presence)
            wide[:, target:] = self.encode_presence(present)
            if not meant:
                for i, at in enumerate(self.presence_at):
                    wide[~present[:, i], at] = np.nan
        return wide

    def new_categories(self, X: Any, y: Any = None) -> dict[str, int]:
        """Return how many values are categories that were not seen, by what messages call their columns."""
        frame = self.features.aligned(X)
        found = {
            repr(column.name): int(column.is_new(frame.column(j)).sum())
            for j, column in enumerate(self.features.columns)
        }
        if y is not None and self.target is not None:
            column = self.target.columns[0]
            with speaking_of_y(column.name, self.target_at is not None):
                values = self.target.aligned(self._target_table(y)).column(0)
                name = "y" if self.target_at is None else repr(column.name)
                found[name] = int(column.is_new(values).sum())
        return {name: count for name, count in found.items() if count}

    def encode_target(
        self, y: Any, n: int, dequantise: bool = False, seed: int = 0, new_as_missing: bool = False
    ) -> Floats:
        """Return the coordinates of targets, shape (n, their width); y may be one value for all n rows."""
        if self.target is None:
            raise InputError("This model was fitted without y.", "Fit with y, or omit y.")
        single = is_one(y)
        with speaking_of_y(self.target.names[0], self.target_at is not None, single):
            column = self._target_table([y] * n if single else y)
            check_lengths(n, read_frame(column).n)
            return self.target.encode(
                column, dequantise=dequantise, seed=seed + 1, new_as_missing=new_as_missing
            )

    def decode_features(
        self,
        points: Floats,
        given: Mapping[Any, Any] | None = None,
        start: int = 0,
        seed: int = 0,
        exact: bool = False,
    ) -> Any:
        """Return the features that points (n, D) mean, as a table of the kind that was fitted.

        The values (n,) of columns that are ``given`` by name are handed back as they are. Identifiers are
        made up: those from ``start`` on of the sequence of a seed. ``exact``
        numbers may be out of their range, see :meth:`clipped`.
        """
        given, columns = given or {}, []
        points, present = self.blanked(points), self.decode_presence(points)
        for column, part in self.features.parts(points[:, : self.features.width]):
            if column.name in given:
                columns.append(given[column.name].reset_index(drop=True))
            elif isinstance(column, Identifier):
                columns.append(column.made(len(points), start, seed))
            else:
                columns.append(decoded(column, part, exact))
        there = np.ones((len(points), len(columns)), dtype=bool)
        for i, one in enumerate(self.presence):
            there[:, one.columns] = present[:, i, None]
            for j in one.columns:
                # A constant has no coordinate that could be NaN.
                column = self.features.columns[j]
                if not column.width and not isinstance(column, Computed):
                    columns[j] = columns[j].where(present[:, i])
        self.equalities.compute(columns, there)
        return self.features.container.assemble(columns)

    @cached_property
    def _limits(self) -> Floats:
        """The least and the greatest coordinate (2, D) of values that were seen."""
        ends, start = np.stack([np.full(self.width, -np.inf), np.full(self.width, np.inf)]), 0
        for column in self.all_columns:
            if isinstance(column, Lattice):
                ends[:, start] = column.line.forward(np.array([0.0, column.span]))
            elif isinstance(column, Number) and column.decimals is not None:
                ends[:, start] = column.line.forward(np.array([column.low, column.high]))
            start += column.width
        return ends

    def clipped(self, points: Tensor) -> Tensor:
        """Return points (n, D) with coordinates beyond what was seen of columns on a lattice cut off."""
        low, high = torch.from_numpy(self._limits).to(points)
        return points.clamp(low, high)

    def fill(self, X: Any, draws: Sequence[Floats], only: Sequence[Name] | None = None) -> Any:
        """Return X with its missing values filled by the average of draws (n, D), all others as they are.

        Of numbers it is the mean, rounded where they are integers; of categories the most frequent one; of
        times the mean of the coordinates. A value stays missing where most draws have none, and in columns
        other than ``only`` these. What is computed of other columns is, where these have values; where it is
        known, and some of them were not, the last of these is what makes it so. Raises an InputError where
        there is no such column.
        """
        points = draws[0] if len(draws) == 1 else _mean_of_most(np.stack(draws))
        left = self._left(points, only)
        if len(draws) == 1:
            return self.features.fill(
                X, points[:, : self.features.width], left, self.equalities.complete, exact=True
            )
        for column, where in zip(self.features.columns, self.features.slices.values(), strict=True):
            if isinstance(column, Number | Integer):
                points[:, where] = column.encode(
                    _mean([decoded(column, z[:, where], exact=True) for z in draws], column)
                )
        return self.features.fill(
            X, points[:, : self.features.width], left, self.equalities.complete, exact=True
        )

    def _left(self, points: Floats, only: Sequence[Name] | None) -> NDArray[np.bool_]:
        """Return which cells (n, columns) are not filled from points (n, D)."""
        left = np.zeros((len(points), len(self.features.columns)), dtype=bool)
        for name in only or ():
            self.place(name)  # it must be there
        for j, (name, where) in enumerate(self.features.slices.items()):
            left[:, j] = np.isnan(points[:, where]).any(axis=1) | (only is not None and name not in only)
        return left

    def fill_target(self, y: Any, points: Floats) -> Any:
        """Return a pandas target with its missing values taken from points (n, D)."""
        gaps = y.isna().to_numpy()
        if not gaps.any():
            return y
        made = self.decode_target(points, exact=True)
        filled = y.astype(object)
        filled[gaps] = made[gaps].to_numpy(dtype=object)
        return filled.astype(made.dtype)

    def read_value(self, name: Name, text: str) -> Any:
        """Return the value of a column, the target's included, that a word on a command line means.

        Raises an InputError when there is no such column, or the word is no value of it.
        """
        import pandas as pd

        known = {str(column.name): column for column in self.all_columns}
        if name not in known:
            raise unknown_column(name, known)
        column = known[str(name)]
        column = column.inner if isinstance(column, Computed) else column
        try:
            if isinstance(column, Category):
                return {str(label): label for label in column.labels.index}[text]
            if isinstance(column, Boolean):
                return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            if isinstance(column, Integer) or (isinstance(column, Identifier) and column.is_whole):
                return int(text)
            if isinstance(column, Identifier):
                return text
            if isinstance(column, Cast):
                return column.read(text)
            return float(text) if isinstance(column, Number) else pd.Timestamp(text)
        except (KeyError, ValueError) as error:
            few = [str(label) for label in column.labels.index[:10]] if isinstance(column, Category) else []
            raise InputError(
                f"{text!r} is not a value of the column {name!r}.",
                f"Values: {', '.join(few)}." if few else _example(column),
            ) from error

    def decode_target(
        self, points: Floats, given: Mapping[Any, Any] | None = None, exact: bool = False
    ) -> Any:
        """Return the targets that points (n, D) mean, of the kind that was fitted, shape (n,).

        Targets (n,) that are ``given``, under the name None, are handed back as they are.
        """
        assert self.target is not None
        coordinates, given = points[:, self.is_target], given or {}
        named = given[None].reset_index(drop=True) if None in given else None
        if self.classes is None:
            table = (
                self.target.decode(coordinates, exact=exact)
                if named is None
                else self.target.container.assemble([named])
            )
        else:
            named = self.target.columns[0].decode(coordinates) if named is None else named
            table = self.target.container.assemble([named.astype(named_dtype(self.classes))])
        if hasattr(table, "iloc"):
            return table.iloc[:, 0]
        if isinstance(table, list):
            return [row[0] for row in table]
        return table[:, 0] if isinstance(table, np.ndarray) else table.to_series()

    def log_abs_det_jacobian(self, X: Any, y: Any = None) -> Floats:
        """Return log |d coordinates / d values| of rows, shape (n,), see :meth:`TableCodec.log_volume`.

        With y that of the target is added.
        """
        volume = self.features.log_volume(X)
        if y is None or self.target is None:
            return volume
        return volume + self.target.log_volume(self._target_table(y))


def _example(column: AnyColumn) -> str:
    """Say which values a column has."""
    if isinstance(column, Boolean):
        return "Give true or false."
    if isinstance(column, Integer):
        return "Give a whole number, such as 3."
    return "Give a number, such as 0.5." if isinstance(column, Number) else "Give a date, such as 2025-01-31."


def _mean_of_most(draws: Floats) -> Floats:
    """Return the mean of draws (k, n, D), of those with a value; NaN where most have none."""
    missing = np.isnan(draws)
    if not missing.any():
        return np.asarray(draws.mean(axis=0))
    count = (~missing).sum(axis=0)
    mean = np.nan_to_num(draws).sum(axis=0) / np.maximum(count, 1)
    return np.where(2 * count > len(draws), mean, np.nan)


def _class_dtype(y: Any) -> str | None:
    """Return the type of a target that names classes by integers; None for all others."""
    name = dtype_name(y.dtype)
    if kind_of_dtype(name) != "integer" or y.nunique() > _MOST_CLASSES:
        return None
    return name


def _mean(draws: Sequence[Any], column: Number | Integer) -> Any:
    """Return the mean of draws of a column, as values that it can encode."""
    import pandas as pd

    mean = np.mean([draw.to_numpy(dtype=np.float64) for draw in draws], axis=0)
    return pd.Series(np.rint(mean) if isinstance(column, Integer) else mean)
