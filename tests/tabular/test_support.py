"""Is it said where hardly any training row is like what is given?"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diffuscope
from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.view import View
from diffuscope.errors import FormatError
from diffuscope.modalities.tables.support import NOTE, Support, fit_support

SMALL = {
    "training.steps": 20,
    "network.width": 8,
    "network.depth": 1,
    "sampling.steps": 3,
    "data.refine": False,
}


def patients(n: int = 2000) -> pd.DataFrame:
    r = np.random.default_rng(0)
    age = r.integers(18, 90, n)
    severe = r.random(n) < 0.3 * (age > 60)
    frame = pd.DataFrame({"age": age, "sex": r.choice(["F", "M"], n)})
    frame["diagnosis"] = np.where(severe, "severe", r.choice(["none", "mild"], n))
    frame["smokes"] = r.random(n) < 0.3
    frame["weight"] = np.where(r.random(n) < 0.2, np.nan, r.normal(70, 9, n).round(1))
    return frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("support") / "run"
    return diffuscope.train(patients(), out=out, settings=SMALL, pictures=False, progress=False)


def test_pairs_are_counted():
    frame = patients()
    rows = RowCodec.fit(frame)
    points = rows.encode(frame, dequantise=True)
    support = fit_support(rows, points)
    assert support.n == len(frame)
    bins = support.bins(View(rows).numbers(points))
    for a, b in itertools.combinations(range(5), 2):
        for one, other in itertools.product(np.unique(bins[:, a]), np.unique(bins[:, b])):
            if min(one, other) >= 0:  # a weight may be missing
                together = int(((bins[:, a] == one) & (bins[:, b] == other)).sum())
                assert support.counts[one, other] == support.counts[other, one] == together


def test_its_note_comes_back_and_holds_no_row():
    frame = patients().assign(secret=np.arange(2000) + 0.123456789)
    rows = RowCodec.fit(frame)
    support = fit_support(rows, rows.encode(frame, dequantise=True))
    text = support.to_note()
    again = Support.from_note(text, 6)
    assert again.to_note() == text
    assert np.array_equal(again.counts, support.counts)
    assert len(text) < 20_000


DAMAGED = [
    "",
    "[]",
    "null",
    "{}",
    '{"n": 1, "edges": [null], "first": [0], "counts": [1, 2]}',
    '{"n": 1, "edges": [null], "first": [-1], "counts": [1]}',
    '{"n": 1, "edges": [null], "first": [0], "counts": [-1]}',
    '{"n": 1, "edges": [[]], "first": [0], "counts": [[1]]}',
    '{"n": 1, "edges": [null, null], "first": [0], "counts": [1]}',
    '{"n": 1, "edges": [], "first": [], "counts": []}',
]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_note_is_refused(run, damage):
    with pytest.raises(ValueError, match=r"counts of rows|Expecting value"):
        Support.from_note(damage, 1)
    model = dataclasses.replace(run.model, notes={**run.model.notes, NOTE: damage})
    with pytest.raises(FormatError, match="cannot be used"):
        run.modality.generator(model)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sex": "F"}, None),
        ({"age": 40}, None),
        ({"age": 70, "diagnosis": "severe"}, None),
        ({"sex": "F", "age": 40, "diagnosis": "severe"}, "0 have such values of age, diagnosis as are given"),
        ({"age": [70, 30], "diagnosis": ["severe", "severe"]}, "0 have such values of age, diagnosis"),
        ({"age": [70, 30], "diagnosis": ["severe", "mild"]}, None),
        ({"age": 33, "sex": "F", "diagnosis": "none", "smokes": True, "weight": 70.0}, None),
    ],
)
def test_a_sample_given_what_hardly_any_row_has_says_so(run, given, said):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        run.sample(2, given=given)
    texts = [str(one.message) for one in heard]
    assert [said in text for text in texts] == [True] if said else texts == []


def test_of_few_rows_it_is_not_said_each_time(tmp_path: Path):
    run = diffuscope.train(patients(60), out=tmp_path / "run", settings=SMALL, pictures=False, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.sample(2, given={"sex": "F", "diagnosis": "mild"})
