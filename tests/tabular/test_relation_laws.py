"""The laws of exact relations, on random tables: what was put in is found, and kept whatever is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.relations import Relations, find_relations
from diffuscope.data.tables.view import View

Law = tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]  # columns, and which rows keep it


MANY = [6, pytest.param(40, marks=pytest.mark.slow)]  # random tables


class World:
    """A random table of which some columns are functions of others."""

    def __init__(self, seed: int, n: int = 1000) -> None:
        self.r, self.n = np.random.default_rng(seed), n
        self.columns: list[np.ndarray] = []
        self.decimals: list[int] = []
        self.laws: list[Law] = []
        for _ in range(self.r.integers(3, 6)):
            if self.r.random() < 0.5:
                self.add(np.round(self.r.gamma(2, 10.0 ** self.r.integers(1, 4), n), 2), 2)
            else:
                self.add(self.r.integers(0, 10 ** self.r.integers(2, 4), n).astype(float), 0)
        for _ in range(self.r.integers(1, 5)):
            [self.put_sum, self.put_copy, self.put_rate, self.put_mean][self.r.integers(4)]()
        names = [f"c{j}" for j in range(len(self.columns))]
        self.order = self.r.permutation(len(names))
        self.table = pd.DataFrame({names[j]: self.columns[j] for j in self.order})
        place = np.argsort(self.order)
        self.laws = [
            (tuple(int(place[j]) for j in own), lambda x, kept=kept, own=own: kept(x[:, place[list(own)]]))
            for own, kept in self.laws
        ]

    def add(self, x: np.ndarray, decimals: int) -> int:
        self.columns.append(x)
        self.decimals.append(decimals)
        return len(self.columns) - 1

    def put_sum(self) -> None:
        own = self.r.choice(len(self.columns), self.r.integers(2, 4), replace=False)
        signs = self.r.choice([1, 1, -1], len(own))
        places = max(self.decimals[j] for j in own)
        total = np.round(sum(s * self.columns[j] for s, j in zip(signs, own, strict=True)), places)
        made = self.add(total, places)
        unit = 10.0**-places
        self.laws.append(((*own, made), lambda x: np.abs(x[:, :-1] @ signs - x[:, -1]) < 0.1 * unit))

    def put_copy(self) -> None:
        one = int(self.r.integers(len(self.columns)))
        made = self.add(self.columns[one].copy(), self.decimals[one])
        self.laws.append(((one, made), lambda x: np.abs(x[:, 0] - x[:, 1]) < 1e-3))

    def put_rate(self) -> None:
        one, rate = int(self.r.integers(len(self.columns))), float(self.r.choice([0.05, 0.19, 0.2, 0.0725]))
        made = self.add(np.round(rate * self.columns[one], 2), 2)
        self.laws.append(((one, made), lambda x: np.abs(rate * x[:, 0] - x[:, 1]) < 0.00501))

    def put_mean(self) -> None:
        own = self.r.choice(len(self.columns), 3, replace=False)
        made = self.add(np.round(np.mean([self.columns[j] for j in own], axis=0), 1), 1)
        self.laws.append(((*own, made), lambda x: np.abs(x[:, :-1].mean(axis=1) - x[:, -1]) < 0.0501))

    def found(self) -> tuple[View, np.ndarray, Relations]:
        view = View(RowCodec.fit(self.table))
        x = view.numbers(view.rows.encode(self.table))
        return view, x, find_relations(x, view.columns, view.labels)

    def kept(self, x: np.ndarray) -> np.ndarray:
        """Return which laws (k, n) rows keep."""
        return np.array([kept(x) for _, kept in self.laws])


def mixed(x: np.ndarray, seed: int) -> np.ndarray:
    """Return rows of which every column is permuted by itself."""
    r = np.random.default_rng(seed)
    return np.column_stack([r.permutation(column) for column in x.T])


@pytest.mark.parametrize("worlds", MANY)
def test_laws_are_found_and_kept_by_rows_of_which_nothing_is_fixed(worlds: int) -> None:
    good = 0
    for seed in range(worlds):
        world = World(seed)
        view, x, relations = world.found()
        assert not relations.broken(x).any() or (relations.broken(x) > 0).mean() < 0.01
        mended, _ = relations.mended(mixed(x, seed), np.zeros(x.shape, bool), view.columns)
        inside = relations.beyond(mended) == 0
        kept = world.kept(mended[inside])
        good += bool(inside.mean() > 0.01 and (kept.mean(axis=1) > 0.999).all())
    assert good >= 0.95 * worlds


@pytest.mark.parametrize("worlds", MANY)
def test_laws_are_kept_whatever_is_fixed(worlds: int) -> None:
    """What is fixed is that of a real row, so that there is a solution; what is free is another row's."""
    shares = []
    for seed in range(worlds):
        world = World(seed)
        view, x, relations = world.found()
        r = np.random.default_rng(seed)
        fixed = (r.random((20, x.shape[1])) < r.random((20, 1)))[r.integers(0, 20, len(x))]
        wrong = np.where(fixed, x, mixed(x, seed))
        mended, _ = relations.mended(wrong, fixed, view.columns)
        np.testing.assert_array_equal(mended[fixed], x[fixed])
        shares.append((relations.beyond(mended) == 0).mean())
    assert np.mean(shares) > 0.99
    assert min(shares) > 0.9


def test_rounded_sums_are_taken_in_the_direction_in_which_they_are_exact() -> None:
    r = np.random.default_rng(0)
    net = np.round(r.gamma(2, 100, 2000), 2)
    tax = np.round(0.19 * net, 2)
    table = pd.DataFrame({"gross": np.round(net + tax, 2), "net": net, "tax": tax})
    view = View(RowCodec.fit(table))
    x = view.numbers(view.rows.encode(table))
    relations = find_relations(x, view.columns)
    assert {"tax = 0.19 net", "gross = net + tax"} <= set(relations.words(list(table)))
    fixed = np.tile([True, False, False], (len(x), 1))
    mended, _ = relations.mended(np.where(fixed, x, mixed(x, 0)), fixed, view.columns)
    np.testing.assert_allclose(mended, x, atol=1e-9)


def test_a_rounded_mean_does_not_displace_an_exact_sum() -> None:
    r = np.random.default_rng(1)
    parts = pd.DataFrame(r.integers(0, 100, (1000, 5)), columns=list("abcde"))
    for places in (0, 1, 2):
        table = parts.assign(avg=np.round(parts.mean(axis=1), places), sum=parts.sum(axis=1))
        view = View(RowCodec.fit(table))
        relations = find_relations(view.numbers(view.rows.encode(table)), view.columns)
        assert "sum = a + b + c + d + e" in relations.words(list(table))
        fixed = np.zeros((1000, 7), bool)
        x = view.numbers(view.rows.encode(table))
        mended, _ = relations.mended(mixed(x, 2), fixed, view.columns)
        kept = relations.beyond(mended) == 0
        assert kept.mean() > 0.3
        np.testing.assert_allclose(mended[kept, :5].sum(axis=1), mended[kept, 6])
        off = mended[kept, :5].mean(axis=1) - mended[kept, 5]
        assert np.abs(off).max() <= 0.5001 * 10.0**-places


@pytest.mark.parametrize("order", range(4))
def test_relations_that_share_columns_are_solved_together(order: int) -> None:
    r = np.random.default_rng(order)
    a, b, c = (np.round(r.gamma(2, 30, 2000), 2) for _ in range(3))
    table = pd.DataFrame({"a": a, "b": b, "c": c, "s": np.round(a + b + c, 2), "copy": c})
    table = table[list(r.permutation(list(table)))]
    view = View(RowCodec.fit(table))
    x = view.numbers(view.rows.encode(table))
    relations = find_relations(x, view.columns)
    fixed = np.tile(table.columns.isin(["a", "b", "s"]), (len(x), 1))
    mended, _ = relations.mended(np.where(fixed, x, mixed(x, 1)), fixed, view.columns)
    np.testing.assert_allclose(mended, x, atol=1e-9)


def bookings(n: int, seed: int) -> pd.DataFrame:
    """Return rows with the parts of a time, their names, and times that are others plus a number of days."""
    r = np.random.default_rng(seed)
    ts = pd.Timestamp("2020-03-01 05:00") + pd.to_timedelta(r.integers(0, 3 * 10**7, n), unit="s")
    date, nights, hours = ts.normalize(), r.integers(1, 20, n), r.integers(1, 40, n)
    return pd.DataFrame(
        {
            "ts": ts,
            "date": date,
            "week": ts.isocalendar().week.to_numpy().astype(int),
            "weekday": ts.day_name(),
            "month name": ts.month_name(),
            "weekend": ts.day_of_week > 4,
            "month": ts.month,
            "hour": ts.hour,
            "end": date + pd.to_timedelta(nights, unit="D"),
            "nights": nights,
            "due": date + pd.Timedelta("14D"),
            "ready": ts + pd.to_timedelta(hours, unit="h"),
            "hours": hours,
            "x": r.normal(size=n),
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        [],
        ["weekday"],
        ["month name"],
        ["week", "weekday"],
        ["month", "hour"],
        ["weekend", "hour", "month"],
        ["date"],
        ["due"],
        ["end", "nights"],
        ["ts", "ready"],
        ["ready", "hours"],
    ],
    ids=" ".join,
)
def test_relations_of_times_are_found_and_kept_whatever_is_given(given: list[str]) -> None:
    table = bookings(1500, 0)
    view = View(RowCodec.fit(table))
    x = view.numbers(view.rows.encode(table))
    relations = find_relations(x, view.columns, view.labels)
    assert set(relations.words(list(table))) >= {
        "date is the date of ts",
        "week is the week of ts",
        "the weekday of ts determines weekday",
        "the month of ts determines month name",
        "the weekday of ts determines weekend",
        "month is the month of ts",
        "hour is the hour of ts",
        "end = date + nights days",
        "due = date + 14 days",
        "ready = ts + hours hours",
    }
    fixed = np.tile([name in given for name in table], (len(x), 1))
    mended, _ = relations.mended(np.where(fixed, x, mixed(x, 1)), fixed, view.columns)
    np.testing.assert_array_equal(mended[fixed], x[fixed])
    assert (relations.beyond(mended) == 0).mean() > 0.98
    rows = view.rows.decode(points_of(view, mended))
    good = relations.beyond(mended) == 0
    ts = rows["ts"][good]
    assert (ts.dt.normalize() == rows["date"][good]).all()
    assert (ts.dt.day_name() == rows["weekday"][good]).all()
    assert (ts.dt.month == rows["month"][good]).all()
    assert (ts.dt.isocalendar().week == rows["week"][good]).all()
    assert (rows["end"] - rows["date"] == pd.to_timedelta(rows["nights"], unit="D"))[good].all()


def points_of(view: View, x: np.ndarray) -> np.ndarray:
    """Return coordinates of rows as numbers."""
    points = np.zeros((len(x), view.rows.width))
    for j in range(x.shape[1]):
        view.put(points, j, np.ones(len(x), bool), x[:, j], np.full(len(x), 0.5))
    return points


def test_a_number_of_hours_between_times_that_was_rounded_is_found() -> None:
    r = np.random.default_rng(0)
    start = pd.Timestamp("2021-01-01") + pd.to_timedelta(r.integers(0, 10**7, 1000), unit="s")
    seconds = r.integers(60, 10**5, 1000)
    end = start + pd.to_timedelta(seconds, unit="s")
    table = pd.DataFrame({"start": start, "end": end, "took": np.round(seconds / 3600, 2)})
    view = View(RowCodec.fit(table))
    relations = find_relations(view.numbers(view.rows.encode(table)), view.columns)
    assert "took is end - start in hours" in relations.words(list(table))


def independent(n: int, seed: int) -> pd.DataFrame:
    """Return a random table of columns that have nothing to do with each other."""
    r = np.random.default_rng(seed)
    day = pd.Timestamp("2020-01-01")
    kinds = [
        lambda: r.normal(size=n) * 10.0 ** r.integers(-3, 6),
        lambda: np.round(r.gamma(2, 10.0 ** r.integers(0, 4), n), int(r.integers(0, 4))),
        lambda: r.integers(0, 10 ** r.integers(1, 6), n),
        lambda: r.choice(list("abcdefgh")[: r.integers(2, 9)], n),
        lambda: r.random(n) < r.random(),
        lambda: day + pd.to_timedelta(r.integers(0, 2000, n), unit="D"),
        lambda: day + pd.to_timedelta(r.integers(0, 10**8, n), unit="s"),
        lambda: np.where(r.random(n) < 0.3, np.nan, r.poisson(3, n)),
    ]
    return pd.DataFrame({f"c{j}": kinds[r.integers(len(kinds))]() for j in range(r.integers(2, 12))})


@pytest.mark.parametrize("tables", MANY)
def test_nothing_is_found_in_random_tables_of_independent_columns(tables: int) -> None:
    said = []
    for seed in range(tables):
        table = independent(1000, seed)
        view = View(RowCodec.fit(table))
        x = view.numbers(view.rows.encode(table))
        said += find_relations(x, view.columns, view.labels).words(list(table))
    assert not [one for one in said if "≤" not in one]  # columns of other scales are in order by chance
