"""How are missing values of rows imputed? By draws from their law, given the other values of the row."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.columns.constant import Constant
from diffuscope.errors import InputError
from diffuscope.modalities.tables.condition import TableCondition
from diffuscope.modalities.tables.notices import warn_of_new, warn_of_unkept
from diffuscope.modalities.tables.redrawing import Filler, Redrawn
from diffuscope.modalities.tables.refinement import CANDIDATES, Refinement
from diffuscope.progress import Reporter
from diffuscope.request import Request
from diffuscope.seeds import stream_seed

__all__ = ["Filling", "Only", "read_only"]

_MOST_DRAWS = 10_000
_EXISTING = "existing"
Only = Literal["existing"] | Sequence[Any] | None
"""Which missing values are filled: all, those that exist, or those of some columns."""

Floats = NDArray[np.float64]


class Drawing(Protocol):
    """What draws rows: a generator of a table."""

    rows: RowCodec
    refinement: Refinement | None
    redrawn: Redrawn

    def unconstrained(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample coordinates, refined, whatever the constraints."""

    def unrefined(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample coordinates as the network says."""

    def collected(self, pieces: Iterator[Tensor], n: int, reporter: Reporter | None) -> Floats:
        """Return pieces as one array (n, D), all finite."""


class Filling:
    """The imputing of missing values by what a generator draws."""

    def __init__(self, generator: Drawing) -> None:
        self.generator = generator
        self.rows, self.refinement, self.redrawn = generator.rows, generator.refinement, generator.redrawn

    def draws(
        self,
        X: Any,
        y: Any = None,
        request: Request | None = None,
        *,
        n_draws: int = 1,
        average: bool = False,
        with_target: bool = False,
        only: Only = None,
        reporter: Reporter | None = None,
    ) -> list[Floats]:
        """Impute missing values given the others; return the coordinates of each draw, (n, D).

        To be averaged there may be more of them than ``n_draws``, which cost no more. A missing y is absent,
        unless it is drawn ``with_target``. With ``only="existing"``, NaN stays where the model draws that
        there is no value; with ``only`` some columns, values that are missing elsewhere are meant to be.
        """
        if not 1 <= n_draws <= _MOST_DRAWS:
            raise InputError(
                f"n_draws must be at least 1, not {n_draws!r}."
                if n_draws < 1
                else f"n_draws = {n_draws:,} are too many.",
                f"Choose 1 to {_MOST_DRAWS:,}.",
            )
        rows = self.rows
        warn_of_new(rows, X, y, "Their values stay, and tell nothing of those that are filled.", 4)
        existing, columns = read_only(only)
        _warn_of_empty(rows, X, columns)
        known = rows.encode(X, y, meant=False, new_as_missing=True)
        absent = rows.is_target & (not with_target and self.refinement is None)
        for one, at in zip(rows.presence, rows.presence_at, strict=True):
            if columns is not None and not any(rows.features.names[j] in columns for j in one.columns):
                known[np.isnan(known[:, at.start]), at] = one.codes.table[0]
        request = request or Request()
        draws = self.completed(known, absent, request, n_draws, existing, reporter, average)
        if self.redrawn.rules or rows.equalities.rules:
            filler = Filler(rows, X, y if with_target else None, columns)
            for i, draw in enumerate(draws):
                draws[i] = self._kept_in_fill(filler, known, absent, draw, request, i, existing)
        if self.refinement is not None:
            rest = np.isnan(known[:, ~rows.is_target & ~rows.is_presence]).any(axis=1)
            said = self.refinement.unkept(draws[0][rest], known[rest])
            warn_of_unkept(said, len(known))
        return draws

    def _kept_in_fill(
        self,
        filler: Filler,
        known: Floats,
        absent: NDArray[np.bool_],
        draw: Floats,
        request: Request,
        number: int,
        existing: bool,
    ) -> Floats:
        """Return a draw (n, D) with the rows drawn again that break a constraint because of filled values."""

        def again(which: NDArray[np.intp], attempt: int) -> tuple[Tensor, Any]:
            seed = int(stream_seed(request.seed, "filled again", number, attempt) % 2**32)
            once_more = dataclasses.replace(request, seed=seed)
            made = self.completed(known[which], absent, once_more, 1, existing)[0]
            return torch.from_numpy(made), filler.frame(made, which)

        every = np.arange(len(draw))
        before = filler.before
        kept, left = self.redrawn.until_kept(
            torch.from_numpy(draw), filler.frame(draw, every), again, before=before
        )
        if len(left):
            warnings.warn(
                f"{len(left):,} of {len(draw):,} rows break a constraint with the values that were drawn for "
                f"them, however often: {self.redrawn.worst}.",
                UserWarning,
                stacklevel=4,
            )
        return kept.numpy()

    def completed(
        self,
        known: Floats,
        absent: NDArray[np.bool_],
        request: Request,
        n_draws: int = 1,
        existing: bool = False,
        reporter: Reporter | None = None,
        average: bool = False,
    ) -> list[Floats]:
        """Draw the missing coordinates (NaN) of points (n, D) given the others; one array for each draw.

        To be averaged all of those of which a refinement would choose one are returned, each as often as it
        is chosen.

        First it is drawn which of the missing values exist; these are drawn given that the others do not, as
        a model has seen rows. The others stay NaN where only ``existing`` values are filled; else they are
        drawn last, given all, as if they existed.
        """
        rows = self.rows
        holes, present = np.isnan(known) & ~absent, rows.decode_presence(known)
        for there, values in zip(present.T, rows.values_of, strict=True):
            holes[np.ix_(~there, values)] = False  # these are meant to be missing
        missing, refinement = holes.any(axis=1), self.refinement if average else None
        n_draws *= 1 if refinement is None else CANDIDATES
        draws = [rows.blanked(np.nan_to_num(known)) for _ in range(n_draws)]
        if not missing.any():
            return draws
        many = np.repeat(known[missing], n_draws, axis=0)  # side by side: later rows do not change them
        request = dataclasses.replace(request, condition=TableCondition(many, absent, {}))
        generator = self.generator
        drawn = generator.unconstrained if refinement is None else generator.unrefined
        filled = generator.collected(drawn(len(many), request), len(many), reporter)
        if refinement is not None:
            filled = refinement.resampled(filled, n_draws, many, request.seed)
        filled = rows.blanked(filled)
        left = np.isnan(filled).any(axis=1)
        if left.any() and not existing:
            rest = filled[left]
            rest[:, rows.is_presence] = rows.encode_presence(np.ones((len(rest), len(rows.presence)), bool))
            rest[np.isnan(many[left]) & absent] = np.nan
            seed = int(stream_seed(request.seed, "rest") % 2**32)
            request = dataclasses.replace(request, condition=TableCondition(rest, absent, {}), seed=seed)
            pieces = generator.unconstrained(len(rest), request)
            filled[left] = generator.collected(pieces, len(rest), reporter)
        for k, draw in enumerate(draws):
            draw[missing] = filled[k::n_draws]
        return draws

    def tables(
        self,
        frame: Any,
        request: Request,
        *,
        n_draws: int = 1,
        average: bool = False,
        only: Only = None,
        reporter: Reporter | None = None,
    ) -> list[Any]:
        """Return a pandas table filled, once for each draw, or once with their average.

        A target among the columns is filled as well.
        """
        rows, y, X = self.rows, None, frame
        target = rows.target_name
        if target is not None and target in frame.columns:
            X, y = frame.drop(columns=target), frame[target]
        draws = self.draws(
            X,
            y,
            request,
            n_draws=n_draws,
            average=average,
            with_target=y is not None,
            only=only,
            reporter=reporter,
        )
        filled = []
        _, columns = read_only(only)
        for some in [draws] if average else [[draw] for draw in draws]:
            table = rows.fill(X, some, columns)
            if y is not None and (columns is None or target in columns):
                table[target] = rows.fill_target(y, np.mean(some, axis=0))
            elif y is not None:
                table[target] = y
            filled.append(table[list(frame.columns)])
        return filled


def _warn_of_empty(rows: RowCodec, X: Any, only: list[Any] | None) -> None:
    """Say which columns stay missing, because they had no value in training."""
    frame = rows.features.aligned(X).data
    empty = [
        column.name
        for j, column in enumerate(rows.features.columns)
        if isinstance(column, Constant) and column.value is None
        if (only is None or column.name in only) and bool(frame.iloc[:, j].isna().any())
    ]
    if empty:
        named = ", ".join(map(repr, empty[:10])) + f" and {len(empty) - 10:,} more" * (len(empty) > 10)
        what = f"Without any value in training, and so left missing: {named}."
        warnings.warn(what, UserWarning, stacklevel=4)


def read_only(only: Only) -> tuple[bool, list[Any] | None]:
    """Return whether existing values alone are filled, and in which columns; None: in all."""
    if isinstance(only, str):
        return (True, None) if only == _EXISTING else (False, [only])
    return False, None if only is None else list(only)
