"""What can a model of a table do? Sample rows, also given some columns or y, and give densities.

One network serves them all (:mod:`diffuscope.diffusion.masked`). A coordinate that is known stays what it is
all along; one that is absent is sampled too, by itself, and thrown away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.data.columnar.arrays import names_of
from diffuscope.data.columnar.recognition import plain_text
from diffuscope.data.columnar.schema import schema_of
from diffuscope.data.tables import AnyColumn, RowCodec, read_frame
from diffuscope.data.tables.columns.categories import Boolean, Category
from diffuscope.data.tables.columns.computed import Computed
from diffuscope.data.tables.columns.constant import Constant
from diffuscope.data.tables.columns.identifiers import Identifier
from diffuscope.data.tables.constraints import Check
from diffuscope.data.tables.section import TableSection
from diffuscope.data.tables.targets import is_one
from diffuscope.data.tables.view import View
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.masked import Mask, MaskedDenoiser
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.errors import FormatError, InputError, unknown_name
from diffuscope.modalities.generator import Generator, Writer, counted, refuse_guidance
from diffuscope.modalities.tables.condition import TableCondition
from diffuscope.modalities.tables.denoising import denoise_table
from diffuscope.modalities.tables.density import Density
from diffuscope.modalities.tables.filling import Filling, Only
from diffuscope.modalities.tables.notices import warn_of_few, warn_of_new, warn_of_unkept
from diffuscope.modalities.tables.redrawing import Redrawn
from diffuscope.modalities.tables.refinement import NOTE, Refinement, fit_refinement
from diffuscope.modalities.tables.support import NOTE as SUPPORT
from diffuscope.modalities.tables.support import Support
from diffuscope.modalities.watched import Choice
from diffuscope.model import Conditioned, Model, Rows
from diffuscope.progress import Reporter
from diffuscope.request import Request
from diffuscope.seeds import stream_seed
from diffuscope.shares import shared
from diffuscope.training import validation_rows

__all__ = ["TableGenerator"]

_MISSING = ("modelled", "none")
_BLOCK = 2**14  # rows that are refined at a time
_APART = 1152  # rows that are refined at a time, where row i must not depend on how many there are: the first
# draw of a tenth more is then one of whole blocks of noise
_PROBED = 256  # rows that are drawn to see how long it takes
_PRODUCTS = 1e11  # of weights and numbers, to draw rows for the ratio: some seconds
_DRAWING = 0.6  # of the time of a refinement

Floats = NDArray[np.float64]


class TableGenerator(Generator):
    """A model whose points are the coordinates of rows; ``rows`` is what these mean.

    Rows that break a constraint of ``rows``, or one of further ``checks``, are drawn again.
    """

    conditions: ClassVar[tuple[str, ...]] = ("y", "given", "missing")
    unit: ClassVar[str] = "rows"

    def __init__(self, model: Model, checks: Sequence[Check] = ()) -> None:
        super().__init__(model)
        assert isinstance(model.codec, RowCodec)
        self.rows: RowCodec = model.codec
        self.refinement: Refinement | None = None
        self.support: Support | None = None
        with _reading():
            if NOTE in model.notes:
                self.refinement = Refinement.from_parts(model.extras, model.notes[NOTE], model.codec)
            if SUPPORT in model.notes:
                self.support = Support.from_note(model.notes[SUPPORT], len(model.codec.all_columns))
        self.redrawn: Redrawn = Redrawn(model.codec, checks)

    @cached_property
    def _view(self) -> View:
        return View(self.rows)

    @cached_property
    def _density(self) -> Density:
        return Density(self.model)

    def read_words(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return options with the values of columns, and of the target, in their types.

        They may be written as in the file that the model was trained on.
        """
        read, section = dict(options), self.model.recipe.data
        assert isinstance(section, TableSection)
        schemas = schema_of(section.columns)

        def value(name: str, text: str) -> Any:
            plain = plain_text(text, schemas[name], section) if name in schemas else text
            return self.rows.read_value(name, plain)

        if "given" in options:
            read["given"] = {name: value(name, text) for name, text in options["given"].items()}
        if "y" in options and self.rows.target is not None:
            read["y"] = value(str(self.rows.target.names[0]), options["y"])
        return read

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The columns, with the values of categories; the target is guided. None without masks."""
        if not isinstance(self.model.denoiser, MaskedDenoiser):
            return ()
        rows = self.rows
        target = None if rows.target is None else rows.target.names[0]
        own = [one for one in rows.all_columns if not isinstance(one, Identifier | Constant)]
        own.sort(key=lambda one: one.name != target)
        return tuple(Choice(str(one.name), _values(one), guided=one.name == target) for one in own)

    def chosen(self, condition: Mapping[str, str]) -> dict[str, Any]:
        """Return the options ``y`` and ``given`` for values of columns, as they are written in a file."""
        self._check_choices(condition, "column")
        target = "" if self.rows.target is None else str(self.rows.target.names[0])
        given = {name: text for name, text in condition.items() if name != target}
        options: dict[str, Any] = {"given": given} if given else {}
        if self.rows.target is not None and target in condition:
            options["y"] = condition[target]
        return self.read_words(options)

    # --- rows -----------------------------------------------------------------------------------------------

    def conditional(
        self, request: Request, condition: Mapping[str, Any], n: int, with_target: bool = True
    ) -> Request:
        """Return the request with the known values of n rows.

        ``y`` is a value of the target for all rows, or one for each; ``given`` maps names of columns, the
        target's among them, to the same. An unknown target is absent, unless it is sampled ``with_target``.
        With ``missing="none"`` all values are there; by default as many are missing as in the data, where
        they were missing there.
        """
        rows, y, given = self.rows, condition.get("y"), dict(condition.get("given", {}))
        target = None if rows.target is None else rows.target.names[0]
        if y is None and target in given and target not in rows.features.slices:
            y = given.pop(target)
        if y is None:
            refuse_guidance(request)
        shared = (y is None or is_one(y)) and all(map(is_one, given.values()))
        count = 1 if shared else int(n)
        columns: dict[Any, Any] = {**rows.columns_given(given, count)}
        known = np.full((count, rows.width), np.nan)
        for name, values in columns.items():
            known[:, rows.place(name)] = rows.features[name].encode(values)
        if y is not None:
            known[:, rows.is_target] = rows.encode_target(y, count)
            columns[None] = rows.target_given(y, count)
        missing = condition.get("missing", "modelled")
        if missing not in _MISSING:
            raise unknown_name("way of missing values", str(missing), _MISSING)
        for one, at in zip(rows.presence, rows.presence_at, strict=True):
            if missing == "none" or any(rows.features.names[j] in columns for j in one.columns):
                known[:, at] = one.codes.table[1]
        absent = rows.is_target & (not with_target and self.refinement is None)
        if columns and self.support is not None:
            warn_of_few(self.support, self._view, known)
        return dataclasses.replace(request, condition=TableCondition(known, absent, columns))

    def conditioned(self, request: Request, n: int) -> Conditioned | None:
        """Return the denoisers of rows with known or absent coordinates; InputError without masks."""
        condition: TableCondition | None = request.condition
        if condition is None:
            return None
        known, absent = condition.known, condition.absent
        observed = ~np.isnan(known)
        if not observed.any() and not absent.any() and condition.present is None:
            return None
        denoiser = self.model.denoiser
        if not isinstance(denoiser, MaskedDenoiser):
            raise InputError(
                "This model was not trained with masks, so it cannot be conditioned on known values or "
                "missing ones.",
                "Train with partial above 0 (the recipe 'table').",
            )
        scale = 1.0 if request.guidance is None else request.guidance
        guides = torch.from_numpy(self.rows.is_target & observed.all(axis=0))
        interval = request.interval or (0.0, np.inf)

        def of_rows(rows: Rows) -> DenoiserLike:
            here, left_out = condition.coordinates(self.rows, n, rows)
            some = torch.from_numpy(~np.isnan(here))
            values = torch.from_numpy(np.nan_to_num(here)).float()
            parts = (values, some, torch.from_numpy(left_out) & ~some)
            mask = Mask(*(part.to(self.model.device) for part in parts))
            if scale == 1 or not guides.any():
                return denoiser.conditioned(mask)
            return denoiser.guided(mask, guides.to(self.model.device), scale, *interval)

        return of_rows

    def with_presence(self, n: int, request: Request) -> Request:
        """Return the request once it is drawn which values of n rows there are, given what is known."""
        rows = self.rows
        if not rows.presence or not isinstance(self.model.denoiser, MaskedDenoiser):
            return request
        condition = request.condition
        if condition is None:
            condition = TableCondition.empty(rows)
        if condition.present is not None:
            return request
        undecided = np.isnan(condition.known[:, rows.is_presence]).any()
        alone = condition._replace(absent=~rows.is_presence)
        if rows.patterns is not None and np.isnan(condition.known).all():
            present = rows.patterns.draw(n, int(stream_seed(request.seed, "presence")))
        elif undecided:
            seed = int(stream_seed(request.seed, "presence") % 2**32)
            first = dataclasses.replace(request, condition=alone, seed=seed, guidance=None, interval=None)
            drawn = super().coordinates(n, first)
            start, parts = 0, []
            for x in drawn:
                known, _ = alone.coordinates(rows, n, slice(start, start + len(x)))
                parts.append(rows.decode_presence(np.where(np.isnan(known), x.double().cpu(), known)))
                start += len(x)
            present = np.concatenate(parts)
        else:
            present = np.broadcast_to(rows.decode_presence(condition.known), (n, len(rows.presence)))
        return dataclasses.replace(request, condition=condition._replace(present=present))

    def coordinates(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample coordinates (m, D), float64, in pieces, with what is known as it was, 0 where absent.

        All rows keep the constraints; a RunError where too few of those that are drawn do. Rows that are
        drawn again are so in blocks of a fixed size, so that row i is the same however many are asked for.
        """
        if request.noise is not None or (self.refinement is None and not self.redrawn.rules):
            start = 0
            for x in self.unrefined(n, request):
                yield self._kept(x, n, request, start) if self.redrawn.rules else x
                start += len(x)
            return
        said, condition, starts = Counter[str](), request.condition, range(0, n, _APART)
        block = partial(self._block, n, request)
        if len(starts) == 1:
            blocks: Iterator[Tensor] = map(block, starts)
        else:  # what a constraint's error says is kept in one place, for one block at a time
            workers = 1 if self.redrawn.rules else None
            what = f"{n:,} rows with seed {request.seed}"
            blocks = shared(block, starts, self.model.device, workers, what=what)
        for x, start in zip(blocks, starts, strict=True):
            if self.refinement is not None and condition is not None:
                known = condition.known
                known = known if len(known) == 1 else known[start : start + len(x)]
                said += self.refinement.unkept(x.numpy(), known)
            yield x
        warn_of_unkept(said, n)

    def _block(self, n: int, request: Request, start: int) -> Tensor:
        """Return coordinates (m, D) of the block of n rows from ``start`` on."""
        count = min(_APART, n - start)
        condition: TableCondition | None = request.condition
        alike = condition is None or not condition.tells_apart(self.rows)
        # Of rows of one law a whole block is drawn, and the rest left: which are kept depends on all of it.
        size = _APART if alike and self.refinement is not None else count
        seed = int(stream_seed(request.seed, "block", start) % 2**32)
        part = _for_rows(request, start + np.arange(size), seed)
        x = torch.cat(list(self.unconstrained(size, part)))
        return (self._kept(x, size, part, 0) if self.redrawn.rules else x)[:count]

    def unconstrained(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample coordinates, whatever the constraints.

        They are refined, unless the request brings its own noise.
        """
        refinement, condition = self.refinement, request.condition
        if refinement is None or request.noise is not None:
            yield from self.unrefined(n, request)
            return
        for start in range(0, n, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, n))
            seed = int(stream_seed(request.seed, "refined", start))
            known = None
            if condition is not None and condition.tells_apart(self.rows):
                known = condition.known if condition.is_of_all else condition.known[rows]
            refined = refinement.refined(
                partial(self._drawn, request, rows, seed),
                len(rows),
                seed,
                known,
                ratio=request.guidance in (None, 1.0),
            )
            yield torch.from_numpy(refined)

    def _drawn(
        self, request: Request, rows: NDArray[np.intp], seed: int, chosen: NDArray[np.intp], round_: int
    ) -> Floats:
        """Return coordinates (m, D) of the chosen (m,) ones of the rows of a request, not refined."""
        seed = int(stream_seed(seed, "round", round_) % 2**32)
        request = _for_rows(request, rows[chosen], seed)
        return np.concatenate([self.finite(x).numpy() for x in self.unrefined(len(chosen), request)])

    def fit_refinement(
        self, x: Floats, seed: int, seconds: float | None = None, weights: Floats | None = None
    ) -> Refinement:
        """Fit what refines samples to the coordinates (n, D) of the data, see :mod:`.refinement`.

        ``weights`` (n,) are what rows count, ``seconds`` about how long it may take.
        """
        recipe, network = self.model.recipe, self.model.denoiser.network
        size = sum(parameter.numel() for parameter in network.parameters())
        most = round(_PRODUCTS / (size * recipe.sampling.steps))
        first, second = np.arange(len(x)), np.arange(0)
        if recipe.training.hold_out and len(x) > 1:
            rows = validation_rows(len(x), recipe.training.hold_out, recipe.seed)
            first, second = (part.numpy() for part in rows)
        if weights is not None:
            random = np.random.default_rng(seed)
            first, second = (_by_weight(part, weights[part], random) for part in (first, second))
        request = Request(seed=seed)

        def draw(chosen: NDArray[np.intp], round_: int) -> Floats:
            return self._drawn(request, chosen, seed, np.arange(len(chosen)), round_)

        if seconds is not None:
            begun = time.perf_counter()
            draw(np.arange(_PROBED), 0)
            most = min(most, round(seconds * _DRAWING * _PROBED / (time.perf_counter() - begun)))
        return fit_refinement(self.rows, x[first], x[second] if len(second) else None, draw, seed, most)

    def unrefined(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample coordinates as the network says."""
        request = self.with_presence(n, request)
        start = 0
        for x in super().coordinates(n, request):
            yield self._as_known(x, request.condition, n, start)
            start += len(x)

    def _kept(self, x: Tensor, n: int, request: Request, start: int) -> Tensor:
        """Return rows (m, D) from ``start`` on with those that break a constraint drawn again."""

        def draw(which: NDArray[np.intp], attempt: int) -> tuple[Tensor, Any]:
            seed = int(stream_seed(request.seed, "again", start, attempt) % 2**32)
            again = _for_rows(request, start + which, seed)
            drawn = torch.cat(list(self.unconstrained(len(which), again)))
            return drawn, self._frame(drawn, len(which), again)

        first = _for_rows(request, start + np.arange(len(x)), request.seed)
        kept, left = self.redrawn.until_kept(x, self._frame(x, len(x), first), draw)
        if len(left):
            raise self.redrawn.error()
        return kept

    def _frame(self, x: Tensor, n: int, request: Request) -> Any:
        """Return coordinates (n, D) as a pandas table, with what was given."""
        table = self.rows.decode(
            self.finite(x).numpy(), self.given_columns(n, request), 0, request.seed, True
        )
        return read_frame(table).data

    def _as_known(self, x: Tensor, condition: TableCondition | None, n: int, start: int) -> Tensor:
        """Return sampled coordinates (m, D), float64, with the known ones as they were, 0 where absent."""
        piece = self.rows.clipped(x.double().cpu())
        if condition is None:
            return piece
        which = slice(start, start + len(x))
        known, absent = map(torch.from_numpy, condition.coordinates(self.rows, n, which))
        return piece.masked_fill(absent, 0.0).where(known.isnan(), known)

    def states(self, n: int, request: Request) -> list[SamplingState]:
        """Sample, and return all states, in the units of the model."""
        request = self.with_presence(n, request)
        found = self.model.trajectory(n, request, self.conditioned(request, n))
        if request.condition is None or request.condition.present is None:
            return found
        present = torch.from_numpy(self.rows.encode_presence(request.condition.present))
        where = torch.from_numpy(self.rows.is_presence)
        for state in found:
            state.x[:, where] = present.to(state.x)
        return found

    def points(self, n: int, request: Request, reporter: Reporter | None = None) -> Floats:
        """Sample coordinates (n, D), all finite."""
        return self.collected(self.coordinates(n, request), n, reporter)

    def collected(self, pieces: Iterator[Tensor], n: int, reporter: Reporter | None) -> Floats:
        """Return pieces as one array (n, D), all finite."""
        counting = counted(pieces, n, "rows", reporter)
        return np.concatenate([self.finite(x).numpy() for x in counting])

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
        return self.rows.decode(
            self.points(n, request), self.given_columns(n, request), 0, request.seed, True
        )

    def batches(self, n: int, request: Request) -> Iterator[Any]:
        """Sample rows with their target, as tables of some of them each; memory stays flat for any n."""
        start = 0
        for x in self.coordinates(n, request):
            given = self.given_columns(len(x), request, start)
            yield self.rows.decode(self.finite(x).numpy(), given, start, request.seed, True)
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
        """Return what writes n rows to .csv, .tsv, .xlsx, .parquet, or numbers to .npy and .npz.

        In text they are written in the form in which the columns were read.
        """
        frame, section = read_frame(first).data, self.model.recipe.data
        assert isinstance(section, TableSection)
        return _FrameWriter(path, n, frame.shape[1], names_of(frame), section.columns, section)

    # --- missing values -------------------------------------------------------------------------------------

    @property
    def filling(self) -> Filling:
        """What imputes missing values."""
        return Filling(self)

    def impute(
        self,
        frame: Any,
        *,
        n_draws: int = 1,
        average: bool = False,
        only: Only = None,
        reporter: Reporter | None = None,
        **options: Any,
    ) -> list[Any]:
        """Fill missing values of a pandas table, also of the target where it is among the columns.

        Returns a DataFrame for each draw, or one of their average, with columns in the same order; see
        :meth:`diffuscope.DiffusionModel.impute`. Options are fields of :class:`~diffuscope.request.Request`.
        """
        request = self.request(options)
        return self.filling.tables(
            frame, request, n_draws=n_draws, average=average, only=only, reporter=reporter
        )

    # --- densities ------------------------------------------------------------------------------------------

    def log_density(
        self, data: Any, y: Any = None, missing: Literal["modelled", "ignored"] = "modelled", **options: Any
    ) -> Floats:
        """Return log-densities (n,) of rows in nats, of all their columns, or given their y (n,).

        Missing values are marginalised out. That they are missing is part of the density in columns where
        values were missing in training, unless that is ``ignored``. A target among the columns is part too. A
        category that was not seen in training has the probability of a new one, whatever the others are.
        """
        for word in options:
            raise InputError(f"log_density of rows has no option {word!r}.", "Use y or missing.")
        if missing not in ("modelled", "ignored"):
            raise unknown_name("way of missing values", str(missing), ("modelled", "ignored"))
        rows = self.rows
        X, target = rows.parted(data, y)
        condition = None if y is None else rows.is_target
        warn_of_new(rows, X, target, "Each has the probability of any new one.", 4)
        points = rows.encode(X, target, new_as_missing=True)
        if missing == "ignored":
            points[:, rows.is_presence] = np.nan
        return self._density(points, condition) + rows.log_abs_det_jacobian(X, target if y is None else None)

    def probability_of_existing(self, X: Any, y: Any = None) -> Floats:
        """Return of each cell the probability that there is a value, given the others, shape (n, columns).

        It is 1 where there is one, and where values were never missing in training.
        """
        rows = self.rows
        known = rows.encode(X, y, meant=False, new_as_missing=True)
        found = np.ones((len(known), len(rows.features.columns)))
        if rows.presence:
            missing = np.isnan(known[:, rows.is_presence][:, ::2])
            p = self._density.presence(known)
            for i, one in enumerate(rows.presence):
                for j in one.columns:
                    found[missing[:, i], j] = p[missing[:, i], i]
        return found

    def denoise(self, X: Any, noise_std: ArrayLike, seed: int = 0) -> Any:
        """Return rows without the noise of their numbers, see :mod:`.denoising`."""
        return denoise_table(self.model, X, noise_std, seed)


def _for_rows(request: Request, which: NDArray[np.intp], seed: int) -> Request:
    """Return a request for some of the rows of one."""
    condition: TableCondition | None = request.condition
    return dataclasses.replace(
        request, condition=None if condition is None else condition.of(which), seed=seed
    )


def _values(column: AnyColumn) -> tuple[str, ...]:
    """Return the values of a category or a truth value, as text; none of other columns."""
    inner = column.inner if isinstance(column, Computed) else column
    if isinstance(inner, Category):
        return tuple(map(str, inner.labels.index))
    return ("true", "false") if isinstance(inner, Boolean) else ()


class _FrameWriter(TableWriter):
    """Writes tables of any kind as data frames."""

    def append(self, chunk: Any) -> None:
        """Write the next rows."""
        super().append(read_frame(chunk).data)


def _by_weight(rows: NDArray[np.intp], weights: Floats, random: np.random.Generator) -> NDArray[np.intp]:
    """Return as many of the rows (n,), drawn in proportion to their weights (n,) where these differ."""
    if not weights.sum() > 0 or not np.ptp(weights):
        return rows
    return random.choice(rows, len(rows), p=weights / weights.sum())


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Raise a FormatError where a note of a model is damaged."""
    try:
        yield
    except ValueError as error:
        raise FormatError(f"The model cannot be used: {error}.", "Restore a copy, or train again.") from error
