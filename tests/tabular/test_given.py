"""Do values that rows are drawn given come back exactly, or are they refused with what was learned?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diffuscope import DiffusionModel
from diffuscope.data.tables import fit_column
from diffuscope.errors import InputError

N = 600


def table() -> pd.DataFrame:
    r = np.random.default_rng(0)
    hidden = r.normal(size=N)
    return pd.DataFrame(
        {
            "age": np.clip(40 + 12 * hidden, 18, 90).round().astype("int16"),
            "price": r.choice([9.99, 14.99, 19.99], N),
            "amount": np.exp(hidden + 0.3 * r.normal(size=N)),
            "rain": np.where(r.random(N) < 0.5, 0.0, r.exponential(size=N)),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(r.integers(0, 300, N), unit="D"),
            "colour": r.choice(["red", "blue"], N),
        }
    )


# A value seen, one at an atom, one between what was seen, one off the lattice, some beyond the range.
GIVEN = {
    "age": [40, 18, 97, 120, 17],
    "price": [9.99, 12.0, 12.345, 21.5, 5.0],
    "amount": [1.2345678901234567, 0.0, -0.25, 30.0],
    "rain": [0.0, 1e-9, 3.3, 9.9],
    "day": [pd.Timestamp("2020-03-01"), pd.Timestamp("2020-03-01 13:45"), pd.Timestamp("2021-02-01")],
    "colour": ["red"],
}
FAR = {
    "age": [400, -70],
    "price": [40.0, -0.5],
    "amount": [1e3, -100.0],
    "rain": [30.0, -15.0],
    "day": [pd.Timestamp("2022-01-01"), pd.Timestamp("2018-01-01")],
    "colour": ["green"],
}


@pytest.fixture(scope="module")
def fitted() -> DiffusionModel:
    frame = table()
    return DiffusionModel(steps=200, width=64, sampling_steps=6, random_state=0).fit(
        frame, 3.0 + frame["amount"]
    )


@pytest.mark.parametrize("name", list(GIVEN))
def test_every_column_gives_values_back_exactly_in_its_type(name: str) -> None:
    column = fit_column(table()[name], name)
    given = column.as_given(pd.Series(GIVEN[name], dtype=object).infer_objects())
    assert given.tolist() == GIVEN[name]
    assert given.dtype == table()[name].dtype


@pytest.mark.parametrize("name", list(FAR))
def test_what_is_far_out_is_refused_with_the_range(name: str) -> None:
    values = table()[name]
    column = fit_column(values, name)
    for value in FAR[name]:
        with pytest.raises(InputError) as caught:
            column.as_given(pd.Series([value]))
        assert repr(name) in caught.value.what
        if name != "colour":
            shown = "{:g}" if values.dtype == float else "{}"
            assert shown.format(values.min()) in caught.value.what
            assert shown.format(values.max()) in caught.value.what


def test_an_integer_beyond_its_type_is_refused() -> None:
    column = fit_column(pd.Series([0, 100, 120], dtype="int8"), "a")
    with pytest.raises(InputError, match="int8, from -128 to 127, and cannot be 130"):
        column.as_given(pd.Series([130]))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GIVEN))
def test_a_model_hands_back_what_was_given(name: str, fitted: DiffusionModel) -> None:
    for value in (GIVEN[name][0], GIVEN[name][-1]):
        rows = fitted.sample(20, given={name: value}, random_state=0)
        assert (rows[name] == value).all()
        assert rows.dtypes.equals(table().dtypes)
    many = (GIVEN[name] * 10)[:10]
    assert fitted.sample(10, given={name: many}, random_state=0)[name].tolist() == many


def test_a_model_refuses_what_is_far_out(fitted: DiffusionModel) -> None:
    for given in ({"age": 400}, {"day": pd.Timestamp("2025-01-01")}):
        with pytest.raises(InputError, match="was fitted to values from"):
            fitted.sample(3, given=given)
    with pytest.raises(InputError, match="was fitted to values from"):
        fitted.sample(3, y=1e4)


@pytest.mark.filterwarnings("ignore:No value of")  # a target that no row can have
@pytest.mark.parametrize("y", [3.5, 0.25, 40.0, [3.1, 4.1, 5.1, 6.1]])
def test_a_target_comes_back_as_it_was_given(y: float | list[float], fitted: DiffusionModel) -> None:
    _, back = fitted.sample(4, y=y, return_y=True, random_state=0)
    np.testing.assert_array_equal(back, y)


@pytest.mark.parametrize("given", [{"amount": 30.0}, {"age": 120}])
def test_rows_given_an_outlying_value_still_differ(given: dict[str, float], fitted: DiffusionModel) -> None:
    rows = fitted.sample(200, given=given, random_state=0)
    others = rows.drop(columns=list(given))
    assert others.nunique()["rain"] > 20
    assert others.nunique()["day"] > 50
    assert len(others.drop_duplicates()) > 100  # half have no rain, and some columns few values
