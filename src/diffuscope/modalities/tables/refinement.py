r"""How do a model's rows come nearer to the data? Rows that are improbable in the data are drawn again.

A network's rows are nearly right: a sum is missed by a cent, a value of one column comes with one of another
that it never comes with. Two things mend that, once the network is trained.

* Exact relations that all training rows keep (:mod:`diffuscope.data.tables.relations`): a column that others
  tell is computed from them.
* Boosted trees that tell training rows from the model's estimate :math:`r(x) = p_{data}(x) / p_{model}(x)`
  (:mod:`.boosting`); they see how many of the other relations a row breaks. A row is kept with probability
  :math:`\min(1, r(x) / c)`, else it is drawn again: rejection sampling with the ratio of a discriminator
  (Azadi et al. 2019). Where rows are drawn given some of their values, one of several draws is chosen in
  proportion to r, as rows that are rare in the data would never be kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.relations import Relations, find_relations
from diffuscope.data.tables.relations.kinds import OfTime, Sum
from diffuscope.data.tables.view import View
from diffuscope.errors import DiffuscopeError
from diffuscope.modalities.tables.boosting import LogRatio, fit_log_ratio, levelled

__all__ = ["CANDIDATES", "NOTE", "Refinement", "fit_refinement"]

NOTE = "refinement"
_ROUNDS = 30  # of drawing again
_MOST_TRIED, _MOST_EACH = 25, 4  # draws for each row, of all and in a round
_LEAST_SHARE, _MORE = 0.02, 8
_AGAIN = 10  # times that rows of which something is given are drawn
CANDIDATES = 4  # for a row of which something is given
_TOP = 0.95  # quantile of the model's rows whose ratio is c
_BROKEN = 8.0  # what a broken relation takes from the log-ratio, without trees
_MOST_BROKEN = 3  # that are counted
_ROWS = 150  # fewest training rows for the ratio
_DRAWN = 4.0  # rows of the model for each training row
_KEPT = 0.3  # least share of a model's rows that keep the relations
_MOST_SEEN = 100_000  # rows that have to keep a relation
_MOST_ROWS = 5_000  # training rows for the ratio
_DAY = 86_400.0
_FAR = 1e6  # ranges from the least value

Floats = NDArray[np.float64]
Draw = Callable[[NDArray[np.intp], int], Floats]
"""Returns coordinates (m, D) of the rows with these numbers (m,), drawn in a round.

What is not known is within the range that was seen, see :meth:`RowCodec.clipped`.
"""


@dataclass(frozen=True)
class Refinement:
    """What is known of a model's rows beside its network.

    Attributes
    ----------
    view : View
    relations : Relations
    log_ratio : LogRatio or None
        Of rows as :meth:`seen`.
    log_top : float
        The logarithm of c.
    """

    view: View
    relations: Relations
    log_ratio: LogRatio | None
    log_top: float

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return bool(self.relations.found) or self.log_ratio is not None

    def mended(self, points: Floats, seed: tuple[int, ...], known: Floats | None = None) -> Floats:
        """Return coordinates (n, D) of rows that keep the relations which tell a column.

        What is ``known``, (n, D) with NaN elsewhere, stays. Of points that mean the same value one is random:
        for the first rows the same, however many follow.
        """
        if not self.relations.derived:
            return points
        x = self.view.exact(points)
        fixed = np.zeros(x.shape, bool) if known is None else self.view.known(known)
        mended, changed = self.relations.mended(x, fixed, self.view.columns)
        if not changed.any():
            return points
        points = points.copy()
        for j in np.flatnonzero(changed.any(axis=0)):
            which = changed[:, j]
            random = np.random.default_rng((*seed, int(j))).random(len(points))
            self.view.put(points, int(j), which, mended[which, j], random[which])
        return points

    def unkept(self, points: Floats, known: Floats) -> Counter[str]:
        """Return what to say of relations that rows (n, D) break because of what is known, and how often.

        ``known`` (1 or n, D) is NaN elsewhere.
        """
        fixed = np.broadcast_to(self.view.known(known), (len(points), len(self.view.columns)))
        said = Counter[str]()
        if not fixed.any():
            return said
        x = self.view.exact(points)
        names = [one.name for one in self.view.columns]
        for one in self.relations.found:
            broken = ~one.kept(x) & fixed[:, one.concerns].any(axis=1)
            given = fixed[:, one.concerns].all(axis=1)
            words = one.words(names)
            said[f"What is given contradicts {words}"] += int((broken & given).sum())
            if isinstance(one, Sum | OfTime):
                for j in one.concerns:
                    at_fault = broken & ~fixed[:, j] & ~np.isnan(x[:, j])
                    text = f"No value of {names[j]} that can be represented keeps {words}"
                    said[text] += int(at_fault.sum())
        return +said

    def log_weights(self, points: Floats, ratio: bool = True) -> Floats:
        """Return log min(1, r / c) (n,) of rows with coordinates (n, D)."""
        return self._weighed(points, ratio)[0]

    def _weighed(self, points: Floats, ratio: bool) -> tuple[Floats, NDArray[np.intp]]:
        """Return the logarithms of weights (n,), and how many relations each row breaks (n,)."""
        x = self.view.exact(points)
        broken = self.relations.broken(x)
        if not ratio or self.log_ratio is None:
            return np.asarray(-_BROKEN * broken, dtype=np.float64), broken
        log_r = self.log_ratio(seen(self.view, x, broken)) - self.log_top
        log_w = np.minimum(log_r, 0.0) - _BROKEN * self.relations.beyond(x)
        return np.asarray(log_w, dtype=np.float64), broken

    def refined(self, draw: Draw, n: int, seed: int, known: Floats | None, ratio: bool = True) -> Floats:
        """Draw coordinates (n, D) of rows until they are as probable as in the data.

        Parameters
        ----------
        draw : callable
        n, seed : int
        known : array (1 or n, D) or None
            What is known of the rows, NaN elsewhere; the first rows are then the same, however many follow.
            None where all rows are of one law: which are kept then depends on all.
        ratio : bool
            Whether the ratio counts, or only relations do.
        """
        if known is not None:
            return self._best(draw, n, seed, np.broadcast_to(known, (n, known.shape[1])), ratio)
        random = np.random.default_rng(seed)
        made, left, tried, share = [], n, 0, 1.0
        for round_ in range(_ROUNDS):
            size = min(int(1.1 * left / max(share, _LEAST_SHARE)) + _MORE, _MOST_EACH * n + _MORE)
            points = self.mended(draw(np.zeros(size, dtype=np.intp), round_), (seed, round_))
            log_w = self.log_weights(points, ratio)
            kept = np.log(random.random(size)) <= log_w
            made.append(points[kept][:left])
            tried, left = tried + size, left - len(made[-1])
            share = (n - left) / tried
            if not left or tried > _MOST_TRIED * n:
                break
        if left:  # hardly any is kept: those that come nearest
            order = np.argsort(np.where(kept, np.inf, -log_w - random.gumbel(size=size)), kind="stable")
            made.append(points[order[:left]])
        return np.concatenate(made)

    def _best(self, draw: Draw, n: int, seed: int, known: Floats, ratio: bool) -> Floats:
        """Return for each row one of several draws, in proportion to its weight.

        Rows that break a relation are drawn some times more. The draws of a row stand side by side, before
        those of later rows, so that these do not change them.
        """
        made, waiting = np.empty((0, 0)), np.arange(n)
        for round_ in range(_AGAIN):
            every = np.repeat(waiting, CANDIDATES)
            points = self.mended(draw(every, round_), (seed, round_), known[every])
            log_w, breaks = (one.reshape(-1, CANDIDATES) for one in self._weighed(points, ratio))
            random = np.random.default_rng((seed, round_))
            chosen = (log_w + random.gumbel(size=log_w.shape)).argmax(axis=1)
            rows = np.arange(len(waiting))
            best = points.reshape(len(waiting), CANDIDATES, -1)[rows, chosen]
            broken = breaks[rows, chosen] > 0
            if not round_:
                made = best
            made[waiting[~broken]] = best[~broken]
            waiting = waiting[broken]
            if not len(waiting):
                break
        return made

    def resampled(self, points: Floats, count: int, known: Floats, seed: int) -> Floats:
        """Return draws (n · count, D) of n rows, those of a row side by side, in proportion to r.

        The mean over those of a row is that over all draws with r as their weights, but for rounding
        (systematic resampling). What is ``known``, (n · count, D) with NaN elsewhere, stays.
        """
        points = self.mended(points, (seed,), known)
        log_r = self.log_weights(points).reshape(-1, count)
        w = np.exp(log_r - log_r.max(axis=1, keepdims=True))
        total = np.cumsum(w, axis=1) / w.sum(axis=1, keepdims=True)
        total[:, -1] = 1.0
        first = np.random.default_rng(seed).random((len(log_r), 1))
        places = (np.arange(count) + first) / count
        chosen = np.stack([(total < place[:, None]).sum(axis=1) for place in places.T], axis=1)
        rows = np.arange(len(log_r))[:, None]
        made: Floats = points.reshape(len(log_r), count, -1)[rows, chosen]
        return made.reshape(points.shape)

    # --- in a file ------------------------------------------------------------------------------------------

    def to_parts(self) -> tuple[dict[str, Tensor], str]:
        """Return the tensors and the text that :meth:`from_parts` reads."""
        arrays = {} if self.log_ratio is None else self.log_ratio.to_arrays()
        tensors = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in arrays.items()}
        text = {"relations": self.relations.to_json(), "log_top": self.log_top}
        return tensors, json.dumps(text, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_parts(cls, tensors: Mapping[str, Tensor], text: str, rows: RowCodec) -> Refinement:
        """Check and take what :meth:`to_parts` returned; a ValueError says what does not fit the codec."""
        view = View(rows)
        try:
            about = json.loads(text)
            relations, log_top = Relations.from_json(about["relations"]), float(about["log_top"])
        except (KeyError, TypeError, RecursionError, DiffuscopeError) as error:
            raise ValueError(f"its relations are damaged: {error}") from error
        relations.check_columns(len(view.columns))
        if any(view.columns[j].kind == "nothing" for one in relations.found for j in one.concerns):
            raise ValueError("relations are between columns that can be compared")
        if not np.isfinite(log_top):
            raise ValueError("a ratio is not finite")
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        features = seen(view, np.zeros((1, len(view.columns))), np.zeros(1)).shape[1]
        log_ratio = LogRatio.from_arrays(arrays, features) if arrays else None
        return cls(view, relations, log_ratio, log_top)


def seen(view: View, x: Floats, broken: NDArray[Any]) -> Floats:
    """Return rows of numbers (n, columns), with how many relations they break (n,), as trees look at them.

    Categories are ranked by frequency, and a time shows its weekday and its time of the day as well. Numbers
    are parts of their range, so that single precision is enough.
    """
    parts = [x.copy(), np.minimum(broken, _MOST_BROKEN)[:, None].astype(np.float64)]
    columns = view.rows.all_columns
    for j, one in enumerate(view.columns):
        if one.kind == "category":
            shares = np.array(columns[j].codes.shares)  # type: ignore[union-attr]
            ranks = np.argsort(np.argsort(-shares, kind="stable"), kind="stable").astype(float)
            missing = np.isnan(x[:, j])
            parts[0][:, j] = np.where(missing, np.nan, ranks[np.where(missing, 0, x[:, j]).astype(np.intp)])
        else:
            half = one.high / 2 - one.low / 2  # the range may be beyond float64
            parts[0][:, j] = np.clip((x[:, j] / 2 - one.low / 2) / half, -_FAR, _FAR)
        if one.kind == "time":
            parts.append(np.column_stack([x[:, j] // _DAY % 7, x[:, j] % _DAY]))
    return np.concatenate(parts, axis=1)


def fit_refinement(
    rows: RowCodec, real: Floats, new: Floats | None, draw: Draw, seed: int, most: int | None = None
) -> Refinement:
    """Find the relations between the columns of the data, and fit the ratio of the data and a model's rows.

    Parameters
    ----------
    rows : RowCodec
    real : array (n, D)
        Coordinates of the training rows.
    new : array (m, D) or None
        Those of rows that training held out, which say how many trees are kept; without, some others do.
    draw : callable
        Draws the model's rows.
    seed : int
    most : int, optional
        Rows of the model that are drawn, at most; few make a coarse ratio.
    """
    view = View(rows)
    random = np.random.default_rng(seed)
    every = real if new is None else np.concatenate([real, new])
    if len(every) > _MOST_SEEN:
        every = every[np.sort(random.choice(len(every), _MOST_SEEN, replace=False))]
    relations = find_relations(view.numbers(every), view.columns, view.labels)
    bare = Refinement(view, relations, None, 0.0)
    if new is None or not len(new):
        order = random.permutation(len(real))
        new, real = real[order[: len(real) // 10]], real[order[len(real) // 10 :]]
    if len(real) < _ROWS or (most is not None and most < _ROWS):
        x = view.numbers(bare.mended(draw(np.arange(_ROWS), 0), (seed,)))
        return Refinement(view, relations.worth_keeping(x, _KEPT), None, 0.0)
    if len(real) > _MOST_ROWS:
        real = real[np.sort(random.choice(len(real), _MOST_ROWS, replace=False))]
    new = new[:_MOST_ROWS]
    count = round(_DRAWN * (len(real) + len(new)))
    count = count if most is None else min(count, most)
    x = view.numbers(bare.mended(draw(np.arange(count), 0), (seed,)))
    relations = relations.worth_keeping(x, _KEPT)
    broken = relations.broken(x)
    made = seen(view, x, broken)
    held = round(len(made) * len(new) / (len(real) + len(new)))
    real_seen, new_seen = (_shown(view, relations, part) for part in (real, new))
    log_ratio = fit_log_ratio(real_seen, made[held:], new_seen, made[:held], seed)
    if log_ratio is None:
        return Refinement(view, relations, None, 0.0)
    keeping = made[broken == 0] if (broken == 0).any() else made
    log_top = float(np.quantile(log_ratio(keeping), _TOP))
    log_ratio = levelled(log_ratio, np.concatenate([real_seen, new_seen]), made, log_top)
    return Refinement(view, relations, log_ratio, log_top)


def _shown(view: View, relations: Relations, points: Floats) -> Floats:
    x = view.numbers(points)
    return seen(view, x, relations.broken(x))
