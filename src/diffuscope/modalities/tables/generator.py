"""What can a model of a table do? Sample rows, also given some columns or y, impute, and give densities.

One network serves them all (:mod:`diffuscope.diffusion.masked`). A coordinate that is known stays what it is
all along; one that is absent is sampled too, by itself, and thrown away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.data.columnar.arrays import names_of
from diffuscope.data.tables import RowCodec, read_frame
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.masked import Mask, MaskedDenoiser
from diffuscope.errors import InputError
from diffuscope.modalities.generator import Generator, Writer, counted, refuse_guidance
from diffuscope.modalities.tables.denoising import denoise_table
from diffuscope.modalities.tables.density import Density
from diffuscope.model import Conditioned, Model
from diffuscope.progress import Reporter
from diffuscope.request import Request

__all__ = ["TableCondition", "TableGenerator"]

Floats = NDArray[np.float64]


class TableCondition(NamedTuple):
    """What is known of rows."""

    known: Floats  # coordinates (n, D), NaN where unknown; one row may stand for n: memory stays flat
    absent: NDArray[np.bool_]  # (D,): coordinates that are left out where they are not known
    columns: dict[Any, Any]  # names of columns, None for y, to given values (n,), or (1,) for all rows


class TableGenerator(Generator):
    """A model whose points are the coordinates of rows; ``rows`` is what these mean."""

    conditions: ClassVar[tuple[str, ...]] = ("y", "given")
    unit: ClassVar[str] = "rows"

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        assert isinstance(model.codec, RowCodec)
        self.rows: RowCodec = model.codec

    @cached_property
    def _density(self) -> Density:
        return Density(self.model)

    def read_words(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return options with the values of columns, and of the target, in their types."""
        read = dict(options)
        if "given" in options:
            read["given"] = {
                name: self.rows.read_value(name, text) for name, text in options["given"].items()
            }
        if "y" in options and self.rows.target is not None:
            read["y"] = self.rows.read_value(str(self.rows.target.names[0]), options["y"])
        return read

    # --- rows -----------------------------------------------------------------------------------------------

    def conditional(
        self, request: Request, condition: Mapping[str, Any], n: int, with_target: bool = True
    ) -> Request:
        """Return the request with the known values of n rows.

        ``y`` is a value of the target for all rows, or one for each; ``given`` maps names of columns, the
        target's among them, to the same. An unknown target is absent, unless it is sampled ``with_target``.
        """
        rows, y, given = self.rows, condition.get("y"), dict(condition.get("given", {}))
        target = None if rows.target is None else rows.target.names[0]
        if y is None and target in given and target not in rows.features.slices:
            y = given.pop(target)
        if y is None:
            refuse_guidance(request)
        shared = (y is None or _is_one(y)) and all(map(_is_one, given.values()))
        count = 1 if shared else int(n)
        columns: dict[Any, Any] = {**rows.columns_given(given, count)}
        known = np.full((count, rows.width), np.nan)
        for name, values in columns.items():
            known[:, rows.place(name)] = rows.features[name].encode(values)
        if y is not None:
            known[:, rows.is_target] = rows.encode_target(y, count)
            columns[None] = rows.target_given(y, count)
        absent = rows.is_target & (not with_target)
        return dataclasses.replace(request, condition=TableCondition(known, absent, columns))

    def conditioned(self, request: Request, n: int) -> Conditioned | None:
        """Return the denoisers of rows with known or absent coordinates; InputError without masks."""
        condition: TableCondition | None = request.condition
        if condition is None:
            return None
        known, absent, _ = condition
        observed = ~np.isnan(known)
        if not observed.any() and not absent.any():
            return None
        denoiser = self.model.denoiser
        if not isinstance(denoiser, MaskedDenoiser):
            raise InputError(
                "This model was not trained with masks, so it cannot be conditioned on known values or "
                "missing ones.",
                "Train with partial above 0 (the recipe 'table').",
            )
        every = np.broadcast_to(known, (n, known.shape[1]))
        scale = 1.0 if request.guidance is None else request.guidance
        guides = torch.from_numpy(self.rows.is_target & observed.all(axis=0))
        interval = request.interval or (0.0, np.inf)

        def of_rows(start: int, stop: int) -> DenoiserLike:
            here = every[start:stop]
            some = torch.from_numpy(~np.isnan(here))
            values = torch.from_numpy(np.nan_to_num(here)).float()
            parts = (values, some, torch.from_numpy(absent) & ~some)
            mask = Mask(*(part.to(self.model.device) for part in parts))
            if scale == 1 or not guides.any():
                return denoiser.conditioned(mask)
            return denoiser.guided(mask, guides.to(self.model.device), scale, *interval)

        return of_rows

    def coordinates(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample coordinates (m, D), float64, piece by piece, with what is known as it was."""
        condition: TableCondition | None = request.condition
        start = 0
        for x in super().coordinates(n, request):
            piece = x.double().cpu()
            if condition is not None:
                every = np.broadcast_to(condition.known, (n, condition.known.shape[1]))
                known = torch.from_numpy(np.array(every[start : start + len(piece)]))
                piece = piece.where(known.isnan(), known)
                start += len(piece)
            yield piece

    def points(self, n: int, request: Request, reporter: Reporter | None = None) -> Floats:
        """Sample coordinates (n, D), all finite."""
        pieces = counted(self.coordinates(n, request), n, "rows", reporter)
        return np.concatenate([self.finite(x).numpy() for x in pieces])

    def given_columns(self, n: int, request: Request, start: int = 0) -> dict[Any, Any]:
        """Return the columns (n,) that were given, from row ``start`` on."""
        condition: TableCondition | None = request.condition
        columns = {} if condition is None else condition.columns
        first = np.zeros(n, dtype=int)
        return {
            name: values.iloc[first if len(values) == 1 else slice(start, start + n)]
            for name, values in columns.items()
        }

    def sample(self, n: int, request: Request | None = None, **options: Any) -> Any:
        """Sample rows with their target, as a table of the kind that was trained on."""
        request = self.request(options, n) if request is None else request
        return self.rows.decode(self.points(n, request), self.given_columns(n, request))

    def batches(self, n: int, request: Request) -> Iterator[Any]:
        """Sample rows with their target, as tables of some of them each; memory stays flat for any n."""
        start = 0
        for x in self.coordinates(n, request):
            yield self.rows.decode(self.finite(x).numpy(), self.given_columns(len(x), request, start))
            start += len(x)

    def trajectory(self, n: int, request: Request) -> list[Any]:
        """Sample, and return all states as tables, from noise to rows."""
        return [self.rows.decode(state.x.double().cpu().numpy()) for state in self.states(n, request)]

    def frame(self, n: int, request: Request) -> Any:
        """Sample a DataFrame."""
        return read_frame(self.sample(n, request)).data

    def check_path(self, path: Path, n: int) -> None:
        """Make sure that rows can be written there."""
        check_writable(path)

    def writer(self, path: Path, n: int, first: Any, request: Request) -> Writer:
        """Return what writes n rows to .csv, .tsv, .parquet, or numbers to .npy and .npz."""
        frame = read_frame(first).data
        return _FrameWriter(path, n, frame.shape[1], names_of(frame))

    # --- what is missing ------------------------------------------------------------------------------------

    def fill(
        self,
        X: Any,
        y: Any = None,
        request: Request | None = None,
        *,
        n_draws: int = 1,
        with_target: bool = False,
        reporter: Reporter | None = None,
    ) -> list[Floats]:
        """Impute missing values given the others; return the coordinates of each draw, (n, D).

        A missing y is absent, unless it is drawn ``with_target``.
        """
        if n_draws < 1:
            raise InputError(f"n_draws must be at least 1, not {n_draws!r}.", "Use 1, for example.")
        rows = self.rows
        return self.completed(
            rows.encode(X, y), rows.is_target & (not with_target), request or Request(), n_draws, reporter
        )

    def completed(
        self,
        known: Floats,
        absent: NDArray[np.bool_],
        request: Request,
        n_draws: int = 1,
        reporter: Reporter | None = None,
    ) -> list[Floats]:
        """Draw the missing coordinates (NaN) of points (n, D) given the others; one array for each draw."""
        missing = np.isnan(known[:, ~absent]).any(axis=1)
        draws = [np.nan_to_num(known) for _ in range(n_draws)]
        if missing.any():
            many = np.tile(known[missing], (n_draws, 1))
            request = dataclasses.replace(request, condition=TableCondition(many, absent, {}))
            filled = self.points(len(many), request, reporter)
            for draw, part in zip(draws, np.split(filled, n_draws), strict=True):
                draw[missing] = part
        return draws

    def impute(
        self,
        frame: Any,
        *,
        n_draws: int = 1,
        average: bool = False,
        reporter: Reporter | None = None,
        **options: Any,
    ) -> list[Any]:
        """Fill missing values of a pandas table, also of the target where it is among the columns.

        Returns a DataFrame for each draw, or one of their average, with columns in the same order; see
        :meth:`diffuscope.DiffusionModel.impute`. Options are fields of :class:`~diffuscope.request.Request`.
        """
        rows, y, X = self.rows, None, frame
        request = self.request(options)
        target = rows.target_name
        if target is not None and target in frame.columns:
            X, y = frame.drop(columns=target), frame[target]
        draws = self.fill(X, y, request, n_draws=n_draws, with_target=y is not None, reporter=reporter)
        filled = []
        for some in [draws] if average else [[draw] for draw in draws]:
            table = rows.fill(X, some)
            if y is not None:
                table[target] = rows.fill_target(y, np.mean(some, axis=0))
            filled.append(table[list(frame.columns)])
        return filled

    # --- densities ------------------------------------------------------------------------------------------

    def log_density(self, data: Any, y: Any = None, **options: Any) -> Floats:
        """Return log-densities (n,) of rows in nats, of all their columns, or given their y (n,).

        Missing values are marginalised out. A target among the columns is part of the density.
        """
        for word in options:
            raise InputError(f"log_density of rows has no option {word!r}.", "Omit it; the only option is y.")
        rows = self.rows
        X, target = rows.parted(data, y)
        condition = None if y is None else rows.is_target
        return self._density(rows.encode(X, target), condition) + rows.log_abs_det_jacobian(
            X, target if y is None else None
        )

    def denoise(self, X: Any, noise_std: ArrayLike, seed: int = 0) -> Any:
        """Return rows without the noise of their numbers, see :mod:`.denoising`."""
        return denoise_table(self.model, X, noise_std, seed)


class _FrameWriter(TableWriter):
    """Writes tables of any kind as data frames."""

    def append(self, chunk: Any) -> None:
        """Write the next rows."""
        super().append(read_frame(chunk).data)


def _is_one(value: Any) -> bool:
    return isinstance(value, str | bytes) or np.ndim(value) == 0
