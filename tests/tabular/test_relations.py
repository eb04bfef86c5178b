"""Exact relations between columns: found where they hold, and only there; kept by mended rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.relations import Relations, find_relations
from diffuscope.data.tables.relations.kinds import PARTS, part_of, states
from diffuscope.data.tables.view import View
from diffuscope.errors import FormatError


def seen(table: pd.DataFrame) -> tuple[View, np.ndarray]:
    rows = RowCodec.fit(table)
    view = View(rows)
    return view, view.numbers(rows.encode(table, dequantise=True))


def found(table: pd.DataFrame) -> list[str]:
    view, x = seen(table)
    return find_relations(x, view.columns, view.labels).words([one.name for one in view.columns])


def loans(n: int, seed: int) -> pd.DataFrame:
    """Return rows with a relation of every kind."""
    r = np.random.default_rng(seed)
    amount = 500.0 * r.integers(2, 80, n)
    paid = np.round(amount * r.beta(1, 3, n), 2)
    grade = r.integers(0, 20, n)
    issued = pd.Timestamp("2015-01-31") + pd.to_timedelta(r.integers(0, 2000, n), unit="D")
    home = r.choice(["own", "rent", "mortgage"], n)
    town = r.choice([f"t{i}" for i in range(12)], n)
    other = r.choice([f"t{i}" for i in range(12)], n)
    same = town == other
    other[same] = [f"t{(int(t[1:]) + 1) % 12}" for t in town[same]]
    total = r.integers(1, 30, n)
    return pd.DataFrame(
        {
            "amount": amount,
            "paid": paid,
            "balance": np.round(amount - paid, 2),
            "sub_grade": np.array([f"{'ABCDE'[g // 4]}{g % 4}" for g in grade]),
            "grade": np.array(["ABCDE"[g // 4] for g in grade]),
            "issued": issued,
            "month": issued.month,
            "home": home,
            "rent": np.where(home == "rent", np.round(r.gamma(3, 200, n), 2), np.nan),
            "from": town,
            "to": other,
            "accounts": total,
            "open": r.binomial(total, 0.5),
        }
    )


def test_a_relation_of_every_kind_is_found() -> None:
    said = found(loans(3000, 0))
    assert "balance = amount - paid" in said
    assert "sub_grade determines grade" in said
    assert "month is the month of issued" in said
    assert "open ≤ accounts" in said
    assert "from ≠ to" in said
    assert any(line.endswith("values of home and rent never come together") for line in said)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_found_among_columns_that_have_nothing_to_do_with_each_other(seed: int) -> None:
    r = np.random.default_rng(seed)
    n = 2000
    table = pd.DataFrame(
        {
            "a": r.normal(size=n),
            "b": np.round(r.gamma(2, 50, n), 2),
            "c": r.integers(0, 40, n),
            "d": r.choice(list("abcdefgh"), n),
            "e": r.choice(["yes", "no"], n, p=[0.1, 0.9]),
            "f": pd.Timestamp("2020-01-01") + pd.to_timedelta(r.integers(0, 10**7, n), unit="s"),
            "g": np.where(r.random(n) < 0.3, np.nan, r.poisson(3, n)),
        }
    )
    assert found(table) == []


@pytest.mark.parametrize("seed", range(4))
def test_relations_hold_in_rows_that_were_not_seen(seed: int) -> None:
    rows = loans(6000, seed)
    view, x = seen(rows)
    relations = find_relations(x[:3000], view.columns, view.labels)
    assert (relations.broken(x[3000:]) > 0).mean() < 0.01


def test_equations_of_columns_that_rest_on_each_other() -> None:
    r = np.random.default_rng(1)
    a, b, d = (np.round(r.gamma(2, 30, 2000), 2) for _ in range(3))
    c = np.round(a + b, 2)
    table = pd.DataFrame({"a": a, "b": b, "c": c, "d": d, "e": np.round(c + 2 * d + 10, 2), "f": 100 * c})
    view, x = seen(table)
    relations = find_relations(x, view.columns)
    assert len(relations.derived) == 3
    x = x + r.normal(size=x.shape)
    mended, _ = relations.mended(x, np.zeros(x.shape, bool), view.columns)
    inside = ~(relations.broken(mended) > 0)
    assert inside.mean() > 0.9
    a, b, c, d, e, f = mended[inside].T
    np.testing.assert_allclose(c, a + b, atol=0.03)
    np.testing.assert_allclose(e, c + 2 * d + 10, atol=0.05)
    np.testing.assert_allclose(f, 100 * c, atol=1.1)


def test_an_equation_that_few_rows_break_is_found() -> None:
    table = loans(3000, 2)
    table.loc[:5, "balance"] += 777.77
    assert "balance = amount - paid" in found(table)
    table.loc[:300, "balance"] += 111.11
    assert "balance = amount - paid" not in found(table)


def test_a_column_that_nearly_determines_another_is_no_relation() -> None:
    table = loans(3000, 3)
    table.loc[0, "grade"] = "E" if table.loc[0, "grade"] != "E" else "A"
    assert "sub_grade determines grade" not in found(table)


def test_two_columns_determine_a_third() -> None:
    r = np.random.default_rng(4)
    distance = np.round(r.gamma(5, 100, (6, 9)))
    i, j = r.integers(0, 6, 3000), r.integers(0, 9, 3000)
    table = pd.DataFrame({"from": [f"a{k}" for k in i], "to": [f"b{k}" for k in j], "km": distance[i, j]})
    assert "from and to determine km" in found(table)
    assert not any("determine" in line for line in found(table.assign(km=r.permutation(table["km"]))))


def test_mended_rows_keep_what_is_fixed() -> None:
    view, x = seen(loans(3000, 5))
    relations = find_relations(x, view.columns, view.labels)
    names = [one.name for one in view.columns]
    amount, paid, balance, grade = (names.index(name) for name in ("amount", "paid", "balance", "grade"))
    wrong = x.copy()
    wrong[:, balance] = 1000.0
    wrong[:, grade] = (wrong[:, grade] + 1) % 5
    mended, changed = relations.mended(wrong, np.zeros(x.shape, bool), view.columns)
    np.testing.assert_allclose(mended, x, atol=1e-6, equal_nan=True)
    assert changed[:, grade].all()
    assert not changed[:, amount].any()
    fixed = np.zeros(x.shape, bool)
    fixed[:, [balance, amount, grade]] = True
    mended, changed = relations.mended(wrong, fixed, view.columns)
    assert not changed[:, [balance, amount, grade]].any()
    rest, one = x[:, amount] - 1000.0, view.columns[paid]
    inside = (rest >= one.low) & (rest <= one.high)
    assert inside.mean() > 0.7
    np.testing.assert_allclose(mended[inside, paid], rest[inside], atol=0.01)


def test_nothing_is_computed_beyond_the_range_of_a_column() -> None:
    view, x = seen(loans(3000, 6))
    relations = find_relations(x, view.columns, view.labels)
    names = [one.name for one in view.columns]
    x[:, names.index("paid")] = 1e6
    mended, _ = relations.mended(x, np.zeros(x.shape, bool), view.columns)
    assert mended[:, names.index("balance")].min() >= 0
    assert (relations.broken(mended) > 0).all()


def test_relations_survive_a_file_and_damage_is_refused() -> None:
    view, x = seen(loans(3000, 7))
    relations = find_relations(x, view.columns, view.labels)
    kinds = {one.kind for one in relations.found}
    assert kinds == {"sum", "determined", "part", "at most", "different", "never"}
    plain = relations.to_json()
    again = Relations.from_json(plain)
    np.testing.assert_array_equal(again.broken(x[::-1]), relations.broken(x[::-1]))
    for one in plain["found"]:
        for key in one:
            for bad in (None, -1, "x", [], 1e400):
                damaged: Any = {"found": [{**one, key: bad}]}
                try:
                    Relations.from_json(damaged)
                except FormatError:
                    continue
                assert key in ("column", "factors", "constant", "tolerance", "decimals", "offset")
    with pytest.raises(FormatError):
        Relations.from_json({"found": [plain["found"][0], plain["found"][0]]})


def test_a_circle_of_columns_that_tell_each_other_is_refused() -> None:
    one = {"kind": "sum", "column": 0, "parts": [1], "factors": [1.0], "constant": 0.0, "tolerance": 0.0}
    Relations.from_json({"found": [one]})
    with pytest.raises(FormatError, match="derived once"):
        Relations.from_json({"found": [one, {**one, "column": 1, "parts": [0]}]})


def test_parts_of_times_are_those_of_pandas() -> None:
    r = np.random.default_rng(8)
    seconds = np.append(r.integers(-(10**10), 10**10, 2000).astype(float), np.nan)
    times = pd.Series(pd.to_datetime(seconds, unit="s"))
    attributes = {"weekday": "day_of_week", "day of the year": "day_of_year"}
    week = times.dt.isocalendar().week.to_numpy(dtype=float, na_value=np.nan)
    np.testing.assert_array_equal(part_of(seconds, "week"), week)
    date = times.dt.normalize()
    np.testing.assert_array_equal(pd.to_datetime(part_of(seconds, "date"), unit="s"), date)
    for part in PARTS:
        if part in ("week", "date"):
            continue
        expected = getattr(times.dt, attributes.get(part, part)).to_numpy(dtype=float)
        np.testing.assert_array_equal(part_of(seconds, part), expected)


def test_states_of_numbers() -> None:
    x = np.array([np.nan, 0.0, 0.5, 3.0])
    np.testing.assert_array_equal(states(x, np.array([0.0, 3.0])), [0, 2, 1, 3])
    np.testing.assert_array_equal(states(x, np.array([])), [0, 1, 1, 1])


def test_few_rows_say_nothing() -> None:
    assert found(loans(49, 9)) == []


def test_sums_are_found_where_cells_are_missing_at_random() -> None:
    table = loans(3000, 10)[["amount", "paid", "balance", "accounts"]]
    holes = table.mask(np.random.default_rng(0).random(table.shape) < 0.05)
    assert "balance = amount - paid" in found(holes)
