"""What can a model of a table do? Sample rows, also given some columns or y, impute, and give densities.

One network serves them all (:mod:`diffuscope.diffusion.masked`). A coordinate that is known stays what it is
all along; one that is absent is sampled too, by itself, and thrown away.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.data.columnar.arrays import names_of
from diffuscope.data.columnar.recognition import plain_text
from diffuscope.data.columnar.schema import schema_of
from diffuscope.data.tables import RowCodec, read_frame
from diffuscope.data.tables.columns.constant import Constant
from diffuscope.data.tables.constraints import Check
from diffuscope.data.tables.section import TableSection
from diffuscope.data.tables.targets import is_one
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.masked import Mask, MaskedDenoiser
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.errors import FormatError, InputError, unknown_name
from diffuscope.modalities.generator import Generator, Writer, counted, refuse_guidance
from diffuscope.modalities.tables.denoising import denoise_table
from diffuscope.modalities.tables.density import Density
from diffuscope.modalities.tables.redrawing import Filler, Redrawn
from diffuscope.modalities.tables.refinement import CANDIDATES, NOTE, Refinement, fit_refinement
from diffuscope.model import Conditioned, Model, Rows
from diffuscope.progress import Reporter
from diffuscope.request import Request
from diffuscope.seeds import stream_seed
from diffuscope.threads import side_by_side
from diffuscope.training import validation_rows

__all__ = ["Only", "TableCondition", "TableGenerator", "read_only"]

_MOST_DRAWS = 10_000
_EXISTING = "existing"
Only = Literal["existing"] | Sequence[Any] | None
"""Which missing values are filled: all, those that exist, or those of some columns."""

_MISSING = ("modelled", "none")
_BLOCK = 2**14  # rows that are refined at a time
_APART = 1152  # rows that are refined at a time, where row i must not depend on how many there are: the first
# draw of a tenth more is then one of whole blocks of noise
_PROBED = 256  # rows that are drawn to see how long it takes
_PRODUCTS = 1e11  # of weights and numbers, to draw rows for the ratio: some seconds
_DRAWING = 0.6  # of the time of a refinement

Floats = NDArray[np.float64]


class TableCondition(NamedTuple):
    """What is known of rows."""

    known: Floats  # coordinates (n, D), NaN where unknown; one row may stand for n: memory stays flat
    absent: NDArray[np.bool_]  # (D,): coordinates that are left out where they are not known
    columns: dict[Any, Any]  # names of columns, None for y, to given values (n,), or (1,) for all rows
    present: NDArray[np.bool_] | None = None  # (n, p): which values there are, once that is drawn


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
        self.refinement = _refinement(model)
        self.redrawn: Redrawn = Redrawn(model.codec, checks)

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
            here, left_out = self._piece(condition, n, rows)
            some = torch.from_numpy(~np.isnan(here))
            values = torch.from_numpy(np.nan_to_num(here)).float()
            parts = (values, some, torch.from_numpy(left_out) & ~some)
            mask = Mask(*(part.to(self.model.device) for part in parts))
            if scale == 1 or not guides.any():
                return denoiser.conditioned(mask)
            return denoiser.guided(mask, guides.to(self.model.device), scale, *interval)

        return of_rows

    def _piece(
        self, condition: TableCondition, n: int, which: Rows | slice
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the known coordinates of some of n rows, (m, D), and which are absent, (m, D)."""
        known = np.array(np.broadcast_to(condition.known, (n, condition.known.shape[1]))[which])
        absent = np.tile(condition.absent, (len(known), 1))
        if condition.present is not None:
            present = condition.present[which]
            known[:, self.rows.is_presence] = self.rows.encode_presence(present)
            for i, values in enumerate(self.rows.values_of):
                absent[np.ix_(~present[:, i], values)] = True
        return known, absent

    def with_presence(self, n: int, request: Request) -> Request:
        """Return the request once it is drawn which values of n rows there are, given what is known."""
        rows = self.rows
        if not rows.presence or not isinstance(self.model.denoiser, MaskedDenoiser):
            return request
        condition = request.condition
        if condition is None:
            condition = TableCondition(np.full((1, rows.width), np.nan), np.zeros(rows.width, bool), {})
        if condition.present is not None:
            return request
        undecided = np.isnan(condition.known[:, rows.is_presence]).any()
        alone = condition._replace(absent=~rows.is_presence)
        if rows.patterns is not None and np.isnan(condition.known).all():
            present = rows.patterns.draw(n, int(stream_seed(request.seed, "presence")))
        elif undecided:
            seed = int(stream_seed(request.seed, "presence") % 2**32)
            asked = dataclasses.replace(request, condition=alone, seed=seed, guidance=None, interval=None)
            drawn = super().coordinates(n, asked)
            start, parts = 0, []
            for x in drawn:
                known, _ = self._piece(alone, n, slice(start, start + len(x)))
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
            for x in self._unrefined(n, request):
                yield self._kept(x, n, request, start) if self.redrawn.rules else x
                start += len(x)
            return
        said, condition, starts = Counter[str](), request.condition, range(0, n, _APART)
        block = partial(self._block, n, request)
        # What a constraint's error says is kept in one place, for one block at a time.
        in_turn = bool(self.redrawn.rules) or len(starts) == 1
        blocks = map(block, starts) if in_turn else side_by_side(block, starts, self.model.device)
        for x, start in zip(blocks, starts, strict=True):
            if self.refinement is not None and condition is not None:
                known = condition.known
                known = known if len(known) == 1 else known[start : start + len(x)]
                said += self.refinement.unkept(x.numpy(), known)
            yield x
        _warn_of_unkept(said, n)

    def _block(self, n: int, request: Request, start: int) -> Tensor:
        """Return coordinates (m, D) of the block of n rows from ``start`` on."""
        count = min(_APART, n - start)
        condition: TableCondition | None = request.condition
        alike = condition is None or (len(condition.known) == 1 and condition.present is None)
        # Of rows of one law a whole block is drawn, and the rest left: which are kept depends on all of it.
        size = _APART if alike else count
        seed = int(stream_seed(request.seed, "block", start) % 2**32)
        asked = _for_rows(request, start + np.arange(size), n, seed)
        x = torch.cat(list(self.unconstrained(size, asked)))
        return (self._kept(x, size, asked, 0) if self.redrawn.rules else x)[:count]

    def unconstrained(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample coordinates, whatever the constraints.

        They are refined, unless the request brings its own noise.
        """
        refinement, condition = self.refinement, request.condition
        if refinement is None or request.noise is not None:
            yield from self._unrefined(n, request)
            return
        for start in range(0, n, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, n))
            seed = int(stream_seed(request.seed, "refined", start))
            known = None
            if condition is not None and (condition.present is not None or _says(self.rows, condition.known)):
                known = condition.known if len(condition.known) == 1 else condition.known[rows]
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
        rows, condition = rows[chosen], request.condition
        if condition is not None and len(condition.known) > 1:
            condition = condition._replace(known=condition.known[rows])
        if condition is not None and condition.present is not None:
            condition = condition._replace(present=condition.present[rows])
        seed = int(stream_seed(seed, "round", round_) % 2**32)
        request = dataclasses.replace(request, condition=condition, seed=seed)
        return np.concatenate([self.finite(x).numpy() for x in self._unrefined(len(rows), request)])

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

    def _unrefined(self, n: int, request: Request) -> Iterator[Tensor]:
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
            asked = _for_rows(request, start + which, n, seed)
            drawn = torch.cat(list(self.unconstrained(len(which), asked)))
            return drawn, self._frame(drawn, len(which), asked)

        first = _for_rows(request, start + np.arange(len(x)), n, request.seed)
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
        known, absent = map(torch.from_numpy, self._piece(condition, n, slice(start, start + len(x))))
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
        return self._collected(self.coordinates(n, request), n, reporter)

    def _collected(self, pieces: Iterator[Tensor], n: int, reporter: Reporter | None) -> Floats:
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

    # --- what is missing ------------------------------------------------------------------------------------

    def fill(
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
        _warn_of_new(rows, X, y, "Their values stay, and tell nothing of those that are filled.", 4)
        existing, columns = read_only(only)
        _warn_of_empty(rows, X, columns, 4)
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
            _warn_of_unkept(said, len(known))
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
            asked = dataclasses.replace(request, seed=seed)
            made = self.completed(known[which], absent, asked, 1, existing)[0]
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
        many = np.tile(known[missing], (n_draws, 1))
        request = dataclasses.replace(request, condition=TableCondition(many, absent, {}))
        if refinement is None:
            filled = self._collected(self.unconstrained(len(many), request), len(many), reporter)
        else:
            filled = self._collected(self._unrefined(len(many), request), len(many), reporter)
            filled = refinement.resampled(filled, n_draws, many, request.seed)
        filled = rows.blanked(filled)
        left = np.isnan(filled).any(axis=1)
        if left.any() and not existing:
            rest = filled[left]
            rest[:, rows.is_presence] = rows.encode_presence(np.ones((len(rest), len(rows.presence)), bool))
            rest[np.isnan(many[left]) & absent] = np.nan
            seed = int(stream_seed(request.seed, "rest") % 2**32)
            request = dataclasses.replace(request, condition=TableCondition(rest, absent, {}), seed=seed)
            filled[left] = self._collected(self.unconstrained(len(rest), request), len(rest), reporter)
        for draw, part in zip(draws, np.split(filled, n_draws), strict=True):
            draw[missing] = part
        return draws

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
        rows, y, X = self.rows, None, frame
        request = self.request(options)
        target = rows.target_name
        if target is not None and target in frame.columns:
            X, y = frame.drop(columns=target), frame[target]
        draws = self.fill(
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
        _warn_of_new(rows, X, target, "Each has the probability of any new one.", 4)
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
            asked = np.isnan(known[:, rows.is_presence][:, ::2])
            p = self._density.presence(known)
            for i, one in enumerate(rows.presence):
                for j in one.columns:
                    found[asked[:, i], j] = p[asked[:, i], i]
        return found

    def denoise(self, X: Any, noise_std: ArrayLike, seed: int = 0) -> Any:
        """Return rows without the noise of their numbers, see :mod:`.denoising`."""
        return denoise_table(self.model, X, noise_std, seed)


def _warn_of_new(rows: RowCodec, X: Any, y: Any, meaning: str, level: int) -> None:
    """Say which columns have categories that were not seen in training."""
    new = rows.new_categories(X, y)
    if new:
        several = ", ".join(f"{count:,} in {name}" for name, count in list(new.items())[:10])
        what = f"There are values that were not seen in training: {several}. {meaning}"
        warnings.warn(what, UserWarning, stacklevel=level)


def _warn_of_empty(rows: RowCodec, X: Any, only: list[Any] | None, level: int) -> None:
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
        warnings.warn(what, UserWarning, stacklevel=level)


def _warn_of_unkept(said: Mapping[str, int], n: int) -> None:
    """Say in how many of n rows relations are broken because of what is known."""
    for text, count in said.items():
        warnings.warn(f"{text}: {count:,} of {n:,} rows.", UserWarning, stacklevel=4)


def _for_rows(request: Request, which: NDArray[np.intp], n: int, seed: int) -> Request:
    """Return a request for some of the n rows of one."""
    condition: TableCondition | None = request.condition
    if condition is not None:
        known, present = condition.known, condition.present
        one = len(known) == 1
        columns = {
            name: values if len(values) == 1 else values.iloc[which].reset_index(drop=True)
            for name, values in condition.columns.items()
        }
        condition = condition._replace(
            known=known if one else known[which],
            columns=columns,
            present=None if present is None else present[which],
        )
    return dataclasses.replace(request, condition=condition, seed=seed)


class _FrameWriter(TableWriter):
    """Writes tables of any kind as data frames."""

    def append(self, chunk: Any) -> None:
        """Write the next rows."""
        super().append(read_frame(chunk).data)


def _says(rows: RowCodec, known: Floats) -> bool:
    """Whether something is known of single rows; which values there are may be said of all alike."""
    return len(known) > 1 or bool((~np.isnan(known) & ~rows.is_presence).any())


def _by_weight(rows: NDArray[np.intp], weights: Floats, random: np.random.Generator) -> NDArray[np.intp]:
    """Return as many of the rows (n,), drawn in proportion to their weights (n,) where these differ."""
    if not weights.sum() > 0 or not np.ptp(weights):
        return rows
    return random.choice(rows, len(rows), p=weights / weights.sum())


def _refinement(model: Model) -> Refinement | None:
    """Return what refines a model's samples, if anything does; a FormatError where it is damaged."""
    text = model.notes.get(NOTE)
    if text is None:
        return None
    assert isinstance(model.codec, RowCodec)
    try:
        return Refinement.from_parts(model.extras, text, model.codec)
    except ValueError as error:
        raise FormatError(f"The model cannot be used: {error}.", "Restore a copy, or train again.") from error


def read_only(only: Only) -> tuple[bool, list[Any] | None]:
    """Return whether existing values alone are filled, and in which columns; None: in all."""
    if isinstance(only, str):
        return (True, None) if only == _EXISTING else (False, [only])
    return False, None if only is None else list(only)
