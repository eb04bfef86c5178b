"""Do numbers, integers and times come back as they were, within what was seen, with the right volumes?"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from diffuscope.data.tables import fit_column
from diffuscope.data.tables.columns.dates import DateTime
from diffuscope.data.tables.columns.numeric import Integer, Number
from diffuscope.errors import InputError

N = 2000
QUICK = settings(max_examples=80, deadline=None, derandomize=True, database=None)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def there_and_back(values: pd.Series, column=None) -> pd.Series:
    column = column or fit_column(values, "a")
    return column.decode(column.encode(values))


def assert_same(back: pd.Series, values: pd.Series, **close) -> None:
    pd.testing.assert_series_equal(back, values.reset_index(drop=True), check_names=False, **close)


# --- floats ------------------------------------------------------------------------------------------------

FLOATS = {
    "normal": lambda r: r.standard_normal(N),
    "skewed": lambda r: np.exp(r.standard_normal(N)),
    "zero-inflated": lambda r: np.where(r.random(N) < 0.7, 0.0, np.exp(r.standard_normal(N))),
    "1e300": lambda r: 1e300 * r.standard_normal(N),
    "1e-300": lambda r: 1e-300 * r.standard_normal(N),
    "1e9 + 1e-3 noise": lambda r: 1e9 + 1e-3 * r.standard_normal(N),
    "nearly constant": lambda r: np.append(np.full(N, 3.7), 3.8),
}


@pytest.mark.parametrize("name", FLOATS)
def test_floats_of_every_size_come_back_to_a_billionth(name: str) -> None:
    values = pd.Series(FLOATS[name](random()))
    np.testing.assert_allclose(there_and_back(values), values, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", FLOATS)
def test_coordinates_have_the_size_that_a_model_expects(name: str) -> None:
    values = pd.Series(FLOATS[name](random()))
    z = fit_column(values, "a").encode(values, random(1).random(len(values)))
    assert np.abs(z).max() < 7 or name == "nearly constant"
    assert abs(z.mean()) < 0.1
    assert 0.9 < z.std() < 1.1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([-1.7e308, 1.7e308], "Divide"),
        ([1e-310, 2e-310], "Multiply"),
        ([1.0, np.inf], "1 infinite"),
        ([1.0, 2.0, -np.inf], "row 2"),
    ],
)
def test_floats_that_cannot_be_worked_with_are_refused_by_name(values: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        fit_column(pd.Series(values), "a")
    assert "'a'" in caught.value.what


def test_a_value_too_far_away_for_a_float_is_refused() -> None:
    column = fit_column(pd.Series(1e-290 * random().standard_normal(N)), "a")
    with pytest.raises(InputError, match=r"1e\+100, far outside"):
        column.encode(pd.Series([1e100]))
    with pytest.raises(InputError, match="units"):
        fit_column(pd.Series([0, 0, 1]), "a").encode(pd.Series([10**308], dtype=object))


def test_prices_keep_their_decimals_and_their_range() -> None:
    prices = pd.Series(np.round(np.exp(random().normal(3, 1, N)), 2))
    column = fit_column(prices, "price")
    assert isinstance(column, Number)
    assert column.decimals == 2
    drawn = column.decode(random().standard_normal((50_000, 1)) * 1.5)
    assert (drawn == drawn.round(2)).all()
    assert drawn.min() == prices.min()
    assert drawn.max() == prices.max()
    assert_same(there_and_back(prices), prices, check_exact=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "Float64"])
@pytest.mark.parametrize(("decimals", "odd"), [(2, 12.345678), (2, 1 / 3), (0, 45.5)])
def test_one_odd_value_does_not_give_its_decimals_to_all(dtype: str, decimals: int, odd: float) -> None:
    x = np.round(random().gamma(2, 30, 1000), decimals)
    x[7] = odd
    column = fit_column(pd.Series(x, dtype=dtype), "price")
    assert isinstance(column, Number)
    assert column.decimals == decimals
    drawn = column.decode(random().standard_normal((1000, 1))).to_numpy("float64")
    assert np.abs(drawn - drawn.round(decimals)).max() < 1e-4


def test_numbers_beside_very_many_zeros_are_not_odd_ones() -> None:
    x = np.zeros(3000)
    x[:10] = random().random(10)
    column = fit_column(pd.Series(x), "rain")
    assert isinstance(column, Number)
    assert column.decimals is None


@pytest.mark.parametrize("dtype", ["float16", "float32", "Float32", "float[pyarrow]", "halffloat[pyarrow]"])
def test_short_floats_come_back_in_their_type_to_the_last_digit(dtype: str) -> None:
    values = pd.Series(random().standard_normal(500).astype("float16"), dtype=dtype)
    assert_same(there_and_back(values), values, check_exact=True)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_greatest_float_comes_back(dtype: str) -> None:
    values = pd.Series([0, np.finfo(dtype).max, 1], dtype=dtype)
    assert there_and_back(values)[1] == values[1]


def test_draws_beyond_a_short_float_are_its_greatest() -> None:
    column = fit_column(pd.Series((random().standard_normal(N) * 1e4).astype("float16")), "a")
    drawn = column.decode(np.array([[-50.0], [50.0]]))
    assert drawn.tolist() == [-65504.0, 65504.0]


def test_integers_kept_as_floats_because_of_holes_stay_whole() -> None:
    values = pd.Series(random().integers(0, 30, N).astype(float))
    values[::7] = np.nan
    column = fit_column(values, "a")
    assert column.missing
    drawn = column.decode(random().standard_normal((N, 1)))
    assert set(drawn) <= set(range(30))
    assert_same(there_and_back(values), values, check_exact=True)


@QUICK
@given(
    values=st.lists(
        st.floats(-1e300, 1e300).map(lambda x: x if abs(x) > 1e-290 else 0.0) | st.none(),
        min_size=2,
        max_size=15,
    ),
    dtype=st.sampled_from(["float64", "Float64", "double[pyarrow]"]),
)
def test_any_floats_with_any_holes_come_back(values: list[float | None], dtype: str) -> None:
    series = pd.Series(values, dtype="float64").astype(dtype)
    present = series.dropna().to_numpy(dtype=float)
    column = fit_column(series, "a")
    back = column.decode(column.encode(series))
    assert back.dtype == series.dtype
    np.testing.assert_array_equal(back.isna(), series.isna() if column.width or not len(present) else False)
    if len(present):
        closeness = 1e-15 * np.abs(present).max()
        got = back[series.notna()].to_numpy(dtype=float)
        np.testing.assert_allclose(got, present, rtol=1e-9, atol=closeness)


# --- volumes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["normal", "skewed", "1e300", "1e-300"])
def test_the_log_volume_of_floats_is_the_log_of_the_derivative(name: str) -> None:
    values = pd.Series(FLOATS[name](random()))
    column = fit_column(values, "a")
    x = np.sort(values.to_numpy())[50:-50:10]
    h = 1e-7 * np.abs(x) + 1e-12 * np.abs(x).max()
    ahead, behind = column.encode(pd.Series(x + h)), column.encode(pd.Series(x - h))
    slope = (ahead - behind)[:, 0] / ((x + h) - (x - h))
    off = np.abs(column.log_volume(pd.Series(x)) - np.log(slope))
    assert np.quantile(off, 0.9) < 1e-6
    assert off.max() < 1e-3  # where a knot is nearby


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(random().poisson(3, N)),
        pd.Series(random().geometric(0.3, N), dtype="UInt8"),
        pd.Series(np.where(random().random(N) < 0.6, 0, random().poisson(40, N))),
        pd.Series(random().choice([-5, 7, 100], N)),
        pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(random().poisson(9, N), unit="D")),
    ],
    ids=["Poisson", "geometric", "zero-inflated", "far apart", "days"],
)
def test_the_probabilities_of_all_values_sum_to_1(values: pd.Series) -> None:
    """With a model that has learned what dequantised training shows: the coordinates' own law."""
    column = fit_column(values, "a")
    z = column.encode(values, random(1).random(N))[:, 0]
    every = pd.Series(pd.array(np.sort(values.unique()), dtype=values.dtype))
    low, high = column.encode(every, np.zeros(len(every))), column.encode(every, np.ones(len(every)))
    share = ((low[:, 0] <= z[:, None]) & (z[:, None] <= high[:, 0])).mean(0)
    seen = values.value_counts(normalize=True).sort_index().to_numpy()
    np.testing.assert_allclose(share, seen, atol=1e-12)
    if column.line.kind == "quantiles":  # then z is standard normal
        probability = norm.pdf(column.encode(every)[:, 0]) * np.exp(column.log_volume(every))
        np.testing.assert_allclose(probability, seen, atol=0.02)
        low, high = values.min(), values.max()
        times = values.dtype.kind == "M"
        steps = pd.Series(pd.date_range(low, high) if times else np.arange(low, high + 1))
        probability = norm.pdf(column.encode(steps)[:, 0]) * np.exp(column.log_volume(steps))
        assert probability.sum() == pytest.approx(1, abs=1e-9)


def test_the_density_of_prices_is_the_probability_over_the_step() -> None:
    prices = pd.Series(np.round(random().exponential(2.0, N), 1))
    column = fit_column(prices, "a")
    every = pd.Series(np.round(np.arange(prices.min(), prices.max() + 0.05, 0.1), 1))
    density = norm.pdf(column.encode(every)[:, 0]) * np.exp(column.log_volume(every))
    assert density.sum() * 0.1 == pytest.approx(1, abs=1e-6)


def test_a_missing_value_has_no_volume() -> None:
    for values in (pd.Series([1.5, np.nan, 3.1]), pd.Series([1, None, 3], dtype="Int64")):
        assert fit_column(values, "a").log_volume(values)[1] == 0


# --- integers ----------------------------------------------------------------------------------------------

INTEGERS = ["int8", "int64", "uint8", "uint64", "Int16", "UInt64", "int32[pyarrow]", "uint64[pyarrow]"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_come_back_in_their_type_whatever_cell_they_are_spread_over(dtype: str) -> None:
    info = np.iinfo(dtype.lower().replace("[pyarrow]", ""))
    ends = [info.max, info.max - 3, max(info.max - 9, info.min)]
    for values in (
        pd.Series([*ends, ends[0]], dtype=dtype),
        pd.Series([info.min, info.min + 7], dtype=dtype),
    ):
        column = fit_column(values, "a")
        assert isinstance(column, Integer)
        for share in (0.0, 0.3, 1.0):
            z = column.encode(values, np.full(len(values), share))
            assert_same(column.decode(z), values)


def test_integers_are_drawn_within_the_range_that_was_seen() -> None:
    values = pd.Series(random().integers(-3, 100, N), dtype="int8")
    column = fit_column(values, "a")
    drawn = column.decode(np.linspace(-60, 60, 1001)[:, None])
    assert drawn.dtype == np.int8
    assert (drawn.min(), drawn.max()) == (values.min(), values.max())


@QUICK
@given(
    low=st.integers(-(2**80), 2**80),
    steps=st.lists(st.integers(0, 2**48), min_size=2, max_size=12),
    share=st.floats(0, 1),
)
def test_integers_of_any_size_come_back_exactly(low: int, steps: list[int], share: float) -> None:
    values = pd.Series([low + step for step in steps], dtype=object)
    if all(-(2**63) <= value < 2**63 for value in values):
        values = values.astype("int64")
    column = fit_column(values, "a")
    within = np.full(len(values), share)
    assert column.decode(column.encode(values, within)).tolist() == values.tolist()


def test_integers_that_a_float_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(InputError, match=r"'id'(.|\n)*identifier"):
        fit_column(pd.Series([0, 2**62]), "id")


def test_floats_are_taken_for_integers_if_they_are_whole() -> None:
    column = fit_column(pd.Series([1, 2, 5]), "a")
    np.testing.assert_array_equal(
        column.encode(pd.Series([5.0, np.nan])), [[column.encode(pd.Series([5]))[0, 0]], [np.nan]]
    )
    with pytest.raises(InputError, match=r"2\.5 is not one \(row 1"):
        column.encode(pd.Series([1.0, 2.5]))


@pytest.mark.parametrize("values", [pd.Series(["x", "y"]), pd.Series(pd.to_datetime(["2020", "2021"]))])
def test_other_things_are_no_numbers(values: pd.Series) -> None:
    for fitted in (pd.Series([1, 2, 5]), pd.Series([1.5, 2.25]), pd.Series([True, False])):
        with pytest.raises(InputError, match="'a' had numbers"):
            fit_column(fitted, "a").encode(values)


# --- times -------------------------------------------------------------------------------------------------

TIMES = {
    "days": pd.date_range("2019-12-30", periods=90, freq="D"),
    "hours": pd.date_range("2020-01-01 03:00", periods=90, freq="h"),
    "seconds, unit s": pd.date_range("2020-01-01", periods=90, freq="7s", unit="s"),
    "milliseconds": pd.date_range("2020-01-01", periods=90, freq="3ms", unit="ms"),
    "nanoseconds": pd.date_range("2020-01-01", periods=90, freq="3ns", unit="ns"),
    "days of Berlin, over two changes of the clock": pd.date_range(
        "2020-03-01", periods=300, freq="D", tz="Europe/Berlin"
    ),
    "hours of Berlin, over a change of the clock": pd.date_range(
        "2020-10-24", periods=60, freq="h", tz="Europe/Berlin"
    ),
    "UTC": pd.date_range("2020-01-01", periods=60, freq="min", tz="UTC"),
    "a fixed offset": pd.date_range("2020-01-01", periods=60, freq="min", tz="+05:30"),
    "before 1970": pd.date_range("1066-10-14", periods=60, freq="YS", unit="s"),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_come_back_exactly_whatever_cell_they_are_spread_over(name: str) -> None:
    values = pd.Series(TIMES[name])
    values[3] = pd.NaT
    column = fit_column(values, "t")
    assert isinstance(column, DateTime)
    for share in (0.0, 0.5, 1.0):
        z = column.encode(values, np.full(len(values), share))
        assert_same(column.decode(z), values)


@pytest.mark.parametrize(
    "dtype", ["date32[pyarrow]", "timestamp[ms][pyarrow]", "timestamp[us, tz=UTC][pyarrow]"]
)
def test_times_of_arrow_come_back_in_their_type(dtype: str) -> None:
    days = pd.Series(pd.date_range("2020-01-01", periods=20, tz="UTC" if "tz" in dtype else None))
    values = days.astype(dtype)
    values[2] = None
    assert_same(there_and_back(values), values)


def test_whole_days_are_drawn_as_whole_days_within_the_range_that_was_seen() -> None:
    for name in ("days", "days of Berlin, over two changes of the clock"):
        values = pd.Series(TIMES[name])
        drawn = fit_column(values, "t").decode(np.linspace(-9, 9, 20_001)[:, None])
        assert (drawn == drawn.dt.normalize()).all()
        assert (drawn.min(), drawn.max()) == (values.min(), values.max())
        assert set(drawn) == set(values)


def test_the_same_instants_in_another_unit_or_zone_have_the_same_coordinates() -> None:
    values = pd.Series(TIMES["hours of Berlin, over a change of the clock"])
    column = fit_column(values, "t")
    for other in (values.dt.tz_convert("UTC"), values.dt.as_unit("ns")):
        np.testing.assert_array_equal(column.encode(other), column.encode(values))


def test_times_with_and_without_a_zone_are_not_confused() -> None:
    column = fit_column(pd.Series(TIMES["days"]), "t")
    with pytest.raises(InputError, match="tz_localize"):
        column.encode(pd.Series(TIMES["UTC"]))
    with pytest.raises(InputError, match="'t' had times"):
        column.encode(pd.Series([1, 2]))


def test_a_zone_without_a_name_is_refused_with_a_way_out() -> None:
    dateutil = pytest.importorskip("dateutil.tz")
    values = pd.Series(pd.date_range("2020", periods=3, tz=dateutil.gettz("Europe/Berlin")))
    with pytest.raises(InputError, match=r"tz_convert"):
        fit_column(values, "t")


def test_the_map_of_a_long_column_depends_on_the_seed_only() -> None:
    values = pd.Series(np.exp(random().standard_normal(210_000)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, again, other = (fit_column(values, "a", seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert (first.low, first.high) == (other.low, other.high) == (values.min(), values.max())
