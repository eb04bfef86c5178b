"""Do decimal numbers, durations, periods and dates come back in their type?"""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from diffuscope import DiffusionModel
from diffuscope.data.tables import TableCodec, fit_column
from diffuscope.data.tables.columns.cast import Cast
from diffuscope.errors import InputError

N = 300


def random() -> np.random.Generator:
    return np.random.default_rng(0)


DAYS = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(random().integers(0, 400, N), unit="D"))
MINUTES = pd.to_timedelta(random().exponential(90, N).round(), unit="min")
CENTS = random().exponential(50, N).round(2)
COLUMNS = {
    "decimals": pd.Series([Decimal(f"{x:.2f}") for x in CENTS], dtype=object),
    "decimals of Arrow": pd.Series(
        [Decimal(f"{x:.2f}") for x in CENTS], dtype=pd.ArrowDtype(pa.decimal128(10, 2))
    ),
    "whole decimals": pd.Series([Decimal(int(x)) for x in CENTS], dtype=object),
    "durations": pd.Series(MINUTES),
    "durations of ns": pd.Series(pd.to_timedelta(random().integers(0, 10**6, N), unit="ns")),
    "durations in s": pd.Series(MINUTES).dt.as_unit("s"),
    "durations of Arrow": pd.Series(MINUTES).astype("duration[ms][pyarrow]"),
    "timedeltas": pd.Series(MINUTES.to_pytimedelta(), dtype=object),
    "months": pd.Series(DAYS.dt.to_period("M")),
    "quarters": pd.Series(DAYS.dt.to_period("Q")),
    "days": pd.Series(DAYS.dt.to_period("D")),
    "dates": pd.Series(DAYS.dt.date, dtype=object),
}


def with_holes(values: pd.Series) -> pd.Series:
    values = values.copy()
    values[::7] = None
    return values


@pytest.mark.parametrize("name", sorted(COLUMNS))
@pytest.mark.parametrize("holes", [False, True])
def test_values_come_back_in_their_type(name: str, holes: bool) -> None:
    values = with_holes(COLUMNS[name]) if holes else COLUMNS[name]
    column = fit_column(values, "a")
    assert isinstance(column, Cast)
    assert column.missing == holes
    for within in (None, random().random(N)):
        back = column.decode(column.encode(values, within))
        assert back.dtype == values.dtype
        np.testing.assert_array_equal(back.isna(), values.isna())
        present = values.notna()
        assert back[present].tolist() == values[present].tolist()
        assert {type(value) for value in back[present]} == {type(value) for value in values[present]}
    assert np.isfinite(column.log_volume(values)).all()
    again = Cast.from_json(column.to_json())
    assert again == column
    np.testing.assert_array_equal(again.encode(values), column.encode(values))


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_draws_are_of_the_type_and_within_the_range(name: str) -> None:
    values = COLUMNS[name]
    drawn = fit_column(values, "a").decode(random().standard_normal((5000, 1)))
    assert drawn.dtype == values.dtype
    assert values.min() <= drawn.min()
    assert drawn.max() <= values.max()
    assert drawn.nunique() > min(values.nunique(), 20) / 2


def test_decimals_keep_their_places() -> None:
    drawn = fit_column(COLUMNS["decimals"], "a").decode(random().standard_normal((500, 1)))
    assert {value.as_tuple().exponent for value in drawn} == {-2}


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_column_of_one_value_or_none_comes_back(name: str) -> None:
    one = COLUMNS[name].iloc[[0] * 5].reset_index(drop=True)
    back = fit_column(one, "a").decode(np.empty((5, 0)))
    assert back.dtype == one.dtype
    assert back.tolist() == one.tolist()


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_given_values_come_back_and_far_ones_are_refused(name: str) -> None:
    values = COLUMNS[name]
    column = fit_column(values, "a")
    assert column.as_given(values[:5]).tolist() == values[:5].tolist()
    low, high = values.min(), values.max()
    far = {
        "dates": datetime.date(2030, 1, 1),
        "months": pd.Period("2030-01", "M"),
        "quarters": pd.Period("2030Q1", "Q"),
        "days": pd.Period("2030-01-01", "D"),
    }.get(name, high + 3 * (high - low) if not name.startswith(("dates", "months")) else None)
    with pytest.raises(InputError, match="was fitted to values from"):
        column.as_given(pd.Series([far], dtype=values.dtype))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("decimals", pd.Series(["x"])),
        ("durations", pd.Series([1.5])),
        ("months", pd.Series(DAYS.dt.to_period("D"))),
        ("dates", pd.Series([3])),
    ],
)
def test_other_types_are_refused(name: str, other: pd.Series) -> None:
    with pytest.raises(InputError, match="'a' had values of the type"):
        fit_column(COLUMNS[name], "a").encode(other)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("decimals", "9.99", Decimal("9.99")),
        ("durations", "90min", pd.Timedelta(90, unit="min")),
        ("months", "2020-05", pd.Period("2020-05", "M")),
        ("dates", "2020-05-17", datetime.date(2020, 5, 17)),
    ],
)
def test_a_word_means_a_value(name: str, text: str, value: object) -> None:
    column = fit_column(COLUMNS[name], "a")
    assert column.read(text) == value
    with pytest.raises(ValueError, match=r"(?i)nonsense|unit abbreviation|unknown"):
        column.read("nonsense")


def test_a_polars_table_with_such_columns_comes_back() -> None:
    table = pl.DataFrame(
        {
            "price": pl.Series(
                [Decimal("1.50"), Decimal("2.25"), Decimal("9.99")] * 20, dtype=pl.Decimal(10, 2)
            ),
            "took": [datetime.timedelta(minutes=m) for m in range(60)],
            "day": [datetime.date(2020, 1, 1 + d % 28) for d in range(60)],
        }
    )
    codec = TableCodec.fit(table)
    back = codec.decode(codec.encode(table))
    assert back.schema == table.schema
    assert back.equals(table)


@pytest.mark.slow
def test_a_model_samples_such_columns_in_their_type() -> None:
    frame = pd.DataFrame({name: COLUMNS[name] for name in ("decimals", "durations", "months", "dates")})
    model = DiffusionModel(steps=30, random_state=0).fit(frame)
    rows = model.sample(20)
    assert rows.dtypes.equals(frame.dtypes)
    assert all(isinstance(value, Decimal) for value in rows["decimals"])
    assert all(type(value) is datetime.date for value in rows["dates"])
    assert np.isfinite(model.score_samples(frame[:3])).all()


def test_an_array_of_durations_comes_back() -> None:
    array = random().integers(0, 500, (60, 2)).astype("m8[s]")
    codec = TableCodec.fit(array)
    back = codec.decode(codec.encode(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
