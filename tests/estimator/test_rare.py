"""Are rare categories learned, and columns of many of them, beside numbers?"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from diffuscope import DiffusionModel


@pytest.mark.slow
def test_a_rare_category_is_found_by_the_number_that_tells_of_it():
    random = np.random.default_rng(0)
    kind = np.repeat(["common", "usual", "rare"], [400, 340, 10])
    mean = np.repeat([0.0, 3.0, 8.0], [400, 340, 10])
    frame = pd.DataFrame({"x": random.normal(mean, np.where(mean == 8, 0.3, 1)), "kind": kind})
    frame = frame.assign(noise=random.normal(size=750)).sample(frac=1, random_state=0, ignore_index=True)
    model = DiffusionModel(steps=1000, refine=False, random_state=2).fit(frame)
    assert (model.sample(200, given={"x": 8.0})["kind"] == "rare").mean() > 0.5
    rare = frame[frame["kind"] == "rare"]
    assert (model.impute(rare.assign(kind=None))["kind"] == "rare").mean() > 0.7
    assert 0.004 < (model.sample(3000)["kind"] == "rare").mean() < 0.02


@pytest.mark.slow
def test_a_column_of_many_categories_does_not_spoil_the_numbers_beside_it():
    """Two numbers whose difference is small, alone and beside a column of 80 categories."""
    random = np.random.default_rng(0)
    a = random.normal(0, 40, 1500)
    frame = pd.DataFrame({"a": a, "b": a + random.normal(0, 5, 1500)})
    many = frame.assign(place=[f"p{i}" for i in random.integers(0, 80, 1500)])
    spreads = []
    for table in (frame, many):
        rows = DiffusionModel(steps=400, width=64, refine=False, random_state=0).fit(table).sample(1500)
        spreads.append((rows["b"] - rows["a"]).std())
    assert spreads[0] < 7
    assert spreads[1] < 1.35 * spreads[0]


@pytest.mark.slow
def test_a_fit_that_learns_nothing_says_so():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=list("abc"))
    bent = frame.assign(bent=frame["a"] ** 2, product=frame["b"] * frame["c"])
    with pytest.warns(UserWarning, match="Gaussian copula"):
        DiffusionModel(steps=200, learning_rate=1e-9, random_state=0).fit(bent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DiffusionModel(steps=400, dropout=0.0, random_state=0).fit(frame)  # there is nothing to learn
        DiffusionModel(steps=300, refine=False, random_state=0).fit(bent)
