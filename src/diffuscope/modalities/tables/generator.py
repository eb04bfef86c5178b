"""What can be asked of a model of rows, in the words of its table?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.data.tables import RowCodec
from diffuscope.errors import InputError
from diffuscope.modalities.tables.denoising import denoise_table
from diffuscope.modalities.tables.density import Density
from diffuscope.modalities.tables.drawing import drawn
from diffuscope.model import Model
from diffuscope.progress import Reporter

__all__ = ["Draws", "RowModel"]

Floats = NDArray[np.float64]


class Draws(NamedTuple):
    """Rows that are being drawn.

    Attributes
    ----------
    pieces : iterator of ndarray of shape (m, D)
        Their coordinates.
    given : dict
        Names of columns to the values (n,) that were given for them.
    """

    pieces: Iterator[Floats]
    given: dict[Any, Any]


class RowModel:
    """A model whose points are rows of a table.

    Parameters
    ----------
    model : Model

    Attributes
    ----------
    model : Model
    rows : RowCodec
        What its coordinates mean.

    Raises
    ------
    InputError
        When its points are no rows.
    """

    def __init__(self, model: Model) -> None:
        if model.rows is None:
            raise InputError(
                "This is a model of points, not of a table's rows.", "Train it with the recipe 'table'."
            )
        self.model = model
        self.rows: RowCodec = model.rows

    @cached_property
    def density(self) -> Density:
        """The density of its rows."""
        return Density(self.model)

    def draws(
        self,
        n: int,
        *,
        y: Any = None,
        given: Mapping[Any, Any] | None = None,
        with_target: bool = False,
        guidance: float = 1.0,
        seed: int = 0,
        **wanted: Any,
    ) -> Draws:
        """Draw rows, see :meth:`diffuscope.DiffusionModel.sample`; memory stays flat where values are shared.

        Parameters
        ----------
        given : mapping, optional
            The target may be among them.
        with_target : bool
            Whether the target is drawn where it is not given; otherwise it has no say.
        **wanted
            ``sampler``, ``steps`` and others of :meth:`Model.sample`.
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise InputError(
                f"Invalid value for 'n_samples': {n!r} rows cannot be drawn.", "Ask for at least 1."
            )
        rows, given = self.rows, dict(given or {})
        target = None if rows.target is None else rows.target.names[0]
        if y is None and target in given and target not in rows.features.slices:
            y = given.pop(target)
        shared = (y is None or _is_one(y)) and all(map(_is_one, given.values()))
        count = 1 if shared else int(n)
        columns = rows.columns_given(given, count)
        known = np.full((count, rows.width), np.nan)
        for name, values in columns.items():
            known[:, rows.place(name)] = rows.features[name].encode(values)
        if y is not None:
            known[:, rows.is_target] = rows.encode_target(y, count)
        absent = rows.is_target & (not with_target)
        pieces = drawn(
            self.model,
            np.broadcast_to(known, (int(n), rows.width)),
            absent,
            seed=seed,
            guiding=rows.is_target,
            guidance=guidance,
            **wanted,
        )
        return Draws(pieces, columns)

    def sample(
        self, n: int, *, reporter: Reporter | None = None, **wanted: Any
    ) -> tuple[Floats, dict[Any, Any]]:
        """Draw rows as :meth:`draws` does; return their coordinates (n, D), and the given columns (n,)."""
        pieces, given = self.draws(n, **wanted)
        with (reporter or Reporter(False)).bar("sampling", n, "rows") as bar:
            points = np.concatenate(list(_counted(pieces, bar)))
        return points, _repeated(given, n)

    def tables(self, n: int, *, reporter: Reporter | None = None, **wanted: Any) -> Iterator[Any]:
        """Draw rows with their target, as tables of some of them each; memory stays flat for any n."""
        pieces, given = self.draws(n, with_target=True, **wanted)
        start = 0
        with (reporter or Reporter(False)).bar("sampling", n, "rows") as bar:
            for points in _counted(pieces, bar):
                stop = start + len(points)
                here = {name: values.iloc[start:stop] for name, values in given.items() if len(values) > 1}
                shared = {name: values for name, values in given.items() if len(values) == 1}
                yield self.rows.join(points, {**here, **_repeated(shared, len(points))})
                start = stop

    def fill(
        self,
        X: Any,
        y: Any = None,
        *,
        n_draws: int = 1,
        with_target: bool = False,
        seed: int = 0,
        reporter: Reporter | None = None,
        **wanted: Any,
    ) -> list[Floats]:
        """Draw what is missing of rows given the rest; return the coordinates of each draw, (n, D).

        Parameters
        ----------
        X, y
            y may be missing for some rows.
        n_draws : int
        with_target : bool
            Whether a y that is missing is drawn too; otherwise it has no say.
        """
        if n_draws < 1:
            raise InputError(f"n_draws = {n_draws!r} is not above 0.", "Ask for at least one draw.")
        rows = self.rows
        known = rows.encode(X, y)
        absent = rows.is_target & (not with_target)
        holes = np.isnan(known[:, ~absent]).any(axis=1)
        draws = [np.nan_to_num(known) for _ in range(n_draws)]
        if holes.any():
            many = np.tile(known[holes], (n_draws, 1))
            pieces = drawn(self.model, many, absent, seed=seed, **wanted)
            with (reporter or Reporter(False)).bar("filling", len(many), "rows") as bar:
                filled = np.concatenate(list(_counted(pieces, bar)))
            for draw, part in zip(draws, np.split(filled, n_draws), strict=True):
                draw[holes] = part
        return draws

    def impute(self, frame: Any, *, n_draws: int = 1, average: bool = False, **wanted: Any) -> list[Any]:
        """Fill the holes of a pandas table that may have the target among its columns, which is filled too.

        Parameters
        ----------
        frame : pandas.DataFrame of shape (n, d) or (n, d + 1)
            In any order of columns, which is kept.
        n_draws, average
            See :meth:`diffuscope.DiffusionModel.impute`.
        **wanted
            Of :meth:`fill`.

        Returns
        -------
        list of DataFrame
            One of each draw, or one of their average.
        """
        rows, y, X = self.rows, None, frame
        target = None if rows.target is None or rows.target_at is None else rows.target.names[0]
        if target is not None and target in frame.columns:
            X, y = frame.drop(columns=target), frame[target]
        draws = self.fill(X, y, n_draws=n_draws, with_target=y is not None, **wanted)
        filled = []
        for some in [draws] if average else [[draw] for draw in draws]:
            table = rows.fill(X, some)
            if y is not None:
                table[target] = rows.fill_target(y, np.mean(some, axis=0))
            filled.append(table[list(frame.columns)])
        return filled

    def log_density(self, X: Any, y: Any = None) -> Floats:
        """Return log-densities (n,) of rows in nats, given their y if there is one."""
        rows = self.rows
        condition = None if y is None else rows.is_target
        return self.density(rows.encode(X, y), condition) + rows.log_volume(X)

    def denoise(self, X: Any, noise_std: ArrayLike, seed: int = 0) -> Any:
        """Return rows without the noise of their numbers, see :mod:`.denoising`."""
        return denoise_table(self.model, X, noise_std, seed)


def _is_one(value: Any) -> bool:
    return isinstance(value, str | bytes) or np.ndim(value) == 0


def _repeated(given: Mapping[Any, Any], n: int) -> dict[Any, Any]:
    """Return given columns of one value as columns of n."""
    first = np.zeros(n, dtype=int)
    return {name: values.iloc[first] if len(values) == 1 else values for name, values in given.items()}


def _counted(pieces: Iterator[Floats], bar: Any) -> Iterator[Floats]:
    done = 0
    for piece in pieces:
        done += len(piece)
        bar.update(done)
        yield piece
