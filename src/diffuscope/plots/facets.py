"""How does a column of a real table become an axis: from where to where, by which scale, with which ticks?

Real rows set the axis, as in all pictures: it holds their values from the 0.1% to the 99.9% quantile, and
synthetic ones beyond as far as half that range on either side. A category has a place for each of its eight
most common values and one for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.dtypes import dtype_name
from diffuscope.data.tables.frames import read_frame
from diffuscope.data.tables.values import as_floats, as_ticks, kind_of, label
from diffuscope.errors import InputError, unknown_column
from diffuscope.plots.fonts import plain
from diffuscope.plots.speech import months
from diffuscope.seeds import stream_seed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axis import Axis

Floats = NDArray[np.float64]

MOST_ROWS = 20_000
_MOST_NAMES = 8
_FEW = 40  # integers of so few values are spread
_DECADES = 1.7  # between the 1% and the 99% quantile, for a logarithm
_QUANTILE = 0.001
_CHOICE_ROWS = 5_000
_CHOICE_BINS = 8


@dataclass(frozen=True)
class Facet:
    """A column of both tables, in units of its axis.

    Attributes
    ----------
    name : str or int
    kind : {"number", "integer", "datetime", "boolean", "category"}
    values : pair of ndarrays of shape (n,) and (m,)
        Of real and of synthetic rows: numbers, logarithms to the base of ten, days since 1970, places of
        categories; NaN where missing.
    limits : (float, float)
    labels : list of str
        Of the places of a category.
    log : bool
    spread : pair of ndarrays of shape (n,) and (m,)
        Between -1 and 1, for integers of few values: how far they are moved, in units of a drawing's own.
    """

    name: str | int
    kind: str
    values: tuple[Floats, Floats]
    limits: tuple[float, float]
    labels: list[str]
    log: bool
    spread: tuple[Floats, Floats]

    @property
    def named(self) -> bool:
        """Whether the axis has places for categories."""
        return bool(self.labels)

    @property
    def drawn_labels(self) -> list[str]:
        """The labels as they are drawn, cut to 14 characters."""
        return [plain(text, 14) for text in self.labels]

    def n(self, which: int) -> int:
        """Return how many rows there are."""
        return len(self.values[which])

    def present(self, which: int) -> Floats:
        """Return the values that are not missing."""
        x = self.values[which]
        return x[np.isfinite(x)]

    def missing(self, which: int) -> float:
        """Return the share of values that are missing."""
        return 1 - len(self.present(which)) / max(self.n(which), 1)

    def shares(self, which: int) -> Floats:
        """Return the share of rows at each place of a category."""
        counts = np.bincount(self.present(which).astype(np.intp), minlength=len(self.labels))
        return np.asarray(counts / max(self.n(which), 1))

    def both(self, other: Facet, which: int, spread: float = 0.0) -> Floats:
        """Return rows that have this value and the other one, shape (l, 2), integers so far apart."""
        points = np.stack([f.values[which] + spread * f.spread[which] for f in (self, other)], axis=1)
        return np.asarray(points[np.isfinite(points).all(axis=1)])

    def table(self, other: Facet, which: int) -> Floats:
        """Return the shares of rows at each pair of places, shape (places, places)."""
        points = self.both(other, which).astype(np.intp)
        table = np.zeros((len(self.labels), len(other.labels)))
        np.add.at(table, (points[:, 0], points[:, 1]), 1)
        return table / max(self.n(which), 1)

    def edges(self) -> Floats:
        """Return edges of a histogram: fewer bins for few rows, each as wide as whole integers are."""
        low, high = self.limits
        bins = int(np.clip(2.6 * max(len(self.present(0)), 1) ** (1 / 3), 10, 40))
        if self.kind == "integer" and not self.log:
            step = max(1, int(np.ceil((high - low) / bins)))
            return np.arange(np.ceil(low) - 0.5, high + step, step)
        return np.linspace(low, high, bins + 1)

    def bandwidth(self, n: int, values: Floats | None = None) -> float:
        """Return how far a density of n points is smoothed, as a share of the axis (Silverman's rule)."""
        x = self.present(0) if values is None else values
        if len(x) < 2:
            return 0.02
        x = x / (self.limits[1] - self.limits[0])  # first, as squares of very large numbers overflow
        low, high = np.quantile(x, [0.25, 0.75])
        unit = min(float(x.std()), float(high - low) / 1.34) or float(x.std())
        return float(0.9 * unit * max(n, 2) ** (-1 / 5))

    def tick(self, axis: Axis, few: int) -> None:
        """Put a few ticks on an axis."""
        if self.named:
            axis.set_ticks(range(len(self.labels)), self.drawn_labels)
            return
        from matplotlib import dates, ticker

        locator: Any
        if self.kind == "datetime":
            # With fewer than five there are ranges for which it finds no interval.
            locator = dates.AutoDateLocator(minticks=2, maxticks=max(few, 5))  # type: ignore[no-untyped-call]
            formatter: Any = dates.ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
            formatter.formats[1] = formatter.zero_formats[2] = months()
        else:
            locator = ticker.MaxNLocator(few, integer=self.log or self.kind == "integer")
            formatter = ticker.FuncFormatter(lambda v, _: _short(10.0**v if self.log else v))
        axis.set_major_locator(locator)
        axis.set_major_formatter(formatter)


def _short(value: float) -> str:
    """Return a number in at most five characters or so: 0.05, 120, 12k, 3M."""
    if value == 0:
        return "0"
    for power, sign in ((9, "G"), (6, "M"), (3, "k")):
        if 10.0**power <= abs(value) < 10.0 ** (power + 3) and (power > 3 or abs(value) >= 1e4):
            return f"{value / 10.0**power:.4g}{sign}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def facets_of(
    real: pd.DataFrame, synthetic: pd.DataFrame, names: Sequence[str | int], seed: int = 0
) -> list[Facet]:
    """Return the axes of some columns."""
    tables = [_some_rows(table, seed) for table in (real, synthetic)]
    for table, kind in zip(tables, ("real", "synthetic"), strict=True):
        lost = [name for name in names if name not in table.columns]
        if lost:
            raise unknown_column(lost[0], table.columns, f"The {kind} rows have no column named {{}}.")
    return [
        _facet(name, (tables[0][name], tables[1][name]), stream_seed(seed, "spread", k))
        for k, name in enumerate(names)
    ]


def _some_rows(table: Any, seed: int, most: int = MOST_ROWS) -> pd.DataFrame:
    frame = read_frame(table).data
    if len(frame) <= most:
        return frame
    chosen = np.random.default_rng(stream_seed(seed, "pairs")).permutation(len(frame))[:most]
    return frame.iloc[np.sort(chosen)]


def _facet(name: str | int, parts: tuple[pd.Series[Any], pd.Series[Any]], seed: int) -> Facet:
    kinds = [kind_of(part, name) for part in parts]
    kind = kinds[0] if kinds[0] != "empty" else kinds[1]
    if kind in ("boolean", "category", "empty"):
        return _named(name, kind, parts)
    if "empty" not in kinds and ("datetime" in kinds) != (kinds == ["datetime", "datetime"]):
        raise InputError(f"{label(name)} has times in only one table.", "Give both tables the same types.")
    if kind == "datetime":
        values = tuple(_days(part, name) for part in parts)
    else:
        values = tuple(as_floats(part, name) for part in parts)
    if kind != "datetime":  # floats are whole where some values are missing, and for other reasons
        whole = all((x[np.isfinite(x)] % 1 == 0).all() for x in values)
        kind = "integer" if whole else "number"
    log = kind != "datetime" and _spans_decades(*values)
    if log:
        values = tuple(np.log10(x) for x in values)
    limits = _limits(values[0], values[1])
    spread = tuple(np.zeros(len(x)) for x in values)
    if kind == "integer" and not log and limits[1] - limits[0] <= _FEW:
        random = np.random.default_rng(seed)
        spread = tuple(random.uniform(-1, 1, len(x)) for x in values)
    return Facet(name, kind, values, limits, [], log, spread)  # type: ignore[arg-type]  # pairs


def _days(column: pd.Series[Any], name: str | int) -> Floats:
    if kind_of(column, name) == "empty":
        return np.full(len(column), np.nan)
    zone = getattr(column.dtype, "tz", None) is not None or "tz=" in dtype_name(column.dtype)
    ticks = as_ticks(column, name, f"datetime64[us{', UTC' if zone else ''}]", local=False)
    return np.where(ticks == np.iinfo(np.int64).min, np.nan, ticks / 86_400e6)


def _spans_decades(real: Floats, synthetic: Floats) -> bool:
    """Whether numbers are positive and skewed so far that only their logarithms can be told apart."""
    both = np.concatenate([real, synthetic])
    here = real[np.isfinite(real)]
    if len(here) < 10 or not (np.nanmin(both) > 0):
        return False
    low, middle, high = np.quantile(here, [0.01, 0.5, 0.99])
    return bool(np.log10(high / low) > _DECADES and high - middle > 3 * (middle - low))


def _limits(real: Floats, synthetic: Floats) -> tuple[float, float]:
    there = [x[np.isfinite(x)] for x in (real, synthetic)]
    boxes = [np.quantile(x, [_QUANTILE, 1 - _QUANTILE]) for x in there if len(x)]
    if not boxes:
        return (-0.5, 0.5)
    low, high = boxes[0].tolist()
    room = (high - low) / 2 or max(0.5, 0.01 * abs(low))
    for box in boxes[1:]:
        low, high = max(min(low, box[0]), low - room), min(max(high, box[1]), high + room)
    margin = 0.05 * (high - low) or room
    return float(low - margin), float(high + margin)


def _named(name: str | int, kind: str, parts: tuple[pd.Series[Any], pd.Series[Any]]) -> Facet:
    """Give the most common values of the real rows a place each, and the rest one together."""
    import pandas as pd

    objects = [part.astype(object).to_numpy() for part in parts]
    if kind == "boolean":
        objects = [np.array([None if pd.isna(v) else bool(v) for v in x], dtype=object) for x in objects]
    codes, levels = pd.factorize(np.concatenate(objects), use_na_sentinel=True)
    real, synthetic = codes[: len(objects[0])], codes[len(objects[0]) :]
    often = np.bincount(real[real >= 0], minlength=len(levels)) + 1e-9 * np.bincount(
        synthetic[synthetic >= 0], minlength=len(levels)
    )
    order = np.argsort(-often, kind="stable")
    shown = order if len(order) <= _MOST_NAMES + 1 else order[:_MOST_NAMES]
    if kind == "boolean" or (isinstance(parts[0].dtype, pd.CategoricalDtype) and parts[0].cat.ordered):
        ordered: list[Any] = [False, True] if kind == "boolean" else list(parts[0].cat.categories)
        ranks = {value: k for k, value in enumerate(ordered)}
        shown = np.array(sorted(shown, key=lambda k: ranks.get(levels[k], len(ranks))), dtype=np.intp)
    place = np.full(len(levels) + 1, len(shown), dtype=np.float64)
    place[shown] = np.arange(len(shown))
    place[-1] = np.nan  # missing
    labels = [str(levels[k]) for k in shown]
    if len(shown) < len(levels):
        labels.append(f"({len(levels) - len(shown):,} others)")
    labels = labels or [""]
    values = (place[real], place[synthetic])
    spread = (np.zeros(len(real)), np.zeros(len(synthetic)))
    return Facet(name, kind, values, (-0.6, len(labels) - 0.4), labels, False, spread)


# --- which columns -----------------------------------------------------------------------------------------


def telling_columns(real: Any, synthetic: Any, most: int, seed: int = 0) -> list[Any]:
    """Return the columns that say most about the others in either table, in the order of the table.

    Of each two columns the mutual information, in nats, of values in eight bins of equal counts (or of the
    eight most common categories, or missing) of 5,000 rows at most, less its bias (Miller 1955); the larger
    one of the two tables, and how far they differ, summed over the other columns.
    """
    tables = [_some_rows(table, seed, _CHOICE_ROWS) for table in (real, synthetic)]
    names = list(tables[0].columns)
    if len(names) <= most:
        return names
    facets = facets_of(tables[0], tables[1], names, seed)
    own = [np.stack([_bins(facet, which) for facet in facets]) for which in (0, 1)]
    shared = [_informations(bins) for bins in own]
    score = (np.maximum(*shared) + np.abs(shared[0] - shared[1])).sum(axis=1)
    best = np.argsort(-score, kind="stable")[:most]
    return [names[k] for k in sorted(best)]


def _bins(facet: Facet, which: int) -> NDArray[np.intp]:
    """Return which bin of the real rows each row is in; the last is for missing values."""
    x = facet.values[which]
    if facet.named:
        bins = np.minimum(np.nan_to_num(x), _CHOICE_BINS - 1)
    else:
        cuts = (
            np.unique(np.quantile(facet.present(0), np.arange(1, _CHOICE_BINS) / _CHOICE_BINS))
            if len(facet.present(0))
            else np.zeros(0)
        )
        bins = np.searchsorted(cuts, np.nan_to_num(x)).astype(np.float64)
    return np.where(np.isfinite(x), bins, _CHOICE_BINS).astype(np.intp)


def _informations(bins: NDArray[np.intp]) -> Floats:
    """Return the mutual information of every two of d columns (d, n), shape (d, d), 0 on the diagonal."""
    d, n = bins.shape
    width = _CHOICE_BINS + 1
    found = np.zeros((d, d))
    for a in range(d):
        for b in range(a):
            cells = np.bincount(bins[a] * width + bins[b], minlength=width * width).reshape(width, width)
            p = cells / n
            expected = p.sum(axis=1)[:, None] * p.sum(axis=0)
            there = cells > 0
            rows, columns = int(there.any(axis=1).sum()), int(there.any(axis=0).sum())
            raw = float((p[there] * np.log(p[there] / expected[there])).sum())
            found[a, b] = found[b, a] = max(0.0, raw - (rows - 1) * (columns - 1) / (2 * n))
    return found
