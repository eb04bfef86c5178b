"""Does the imputer say which values were missing, as scikit-learn's own do?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from diffuscope import DiffusionImputer, DiffusionModel

MODEL = DiffusionModel(steps=10, width=8, batch_size=32, random_state=0)


def imputer() -> DiffusionImputer:
    return DiffusionImputer(MODEL, n_draws=2, random_state=0, add_indicator=True)


@pytest.fixture
def holes() -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(80, 3))
    x[::4, 0], x[::5, 2] = np.nan, np.nan
    return x


@parametrize_with_checks([imputer()])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


def test_indicators_are_those_of_the_simple_imputer(holes):
    ours, simple = imputer().fit(holes), SimpleImputer(add_indicator=True).fit(holes)
    new = holes.copy()
    new[3] = np.nan  # also in a column that had no missing values in fit
    found, expected = ours.transform(new), simple.transform(new)
    assert found.shape == expected.shape == (80, 5)
    assert np.array_equal(found[:, 3:], expected[:, 3:])
    assert found.dtype == expected.dtype
    assert np.isfinite(found).all()
    assert ours.get_feature_names_out().tolist() == simple.get_feature_names_out().tolist()
    whole = imputer().fit(np.nan_to_num(holes))
    assert whole.transform(holes).shape == (80, 3)


def test_frames_get_columns_with_names(holes):
    frame = pd.DataFrame(holes, columns=["a", "b", "c"], index=np.arange(80) + 7)
    frame["word"] = pd.Series(np.where(holes[:, 1] > 0, "u", "v"), index=frame.index).mask(frame["b"] > 1)
    fitted = imputer().fit(frame)
    filled = fitted.transform(frame)
    names = ["a", "b", "c", "word", "missingindicator_a", "missingindicator_c", "missingindicator_word"]
    assert list(filled.columns) == names == fitted.get_feature_names_out().tolist()
    assert filled.index.equals(frame.index)
    assert (filled["missingindicator_word"] == frame["word"].isna()).all()
    assert filled["missingindicator_a"].dtype == bool
    plain = fitted.set_params(add_indicator=False).fit(frame).transform(frame)
    assert filled[["a", "b", "c", "word"]].equals(plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["polars", "arrow", "structured", "list", "objects", "integers as names", "numbered"]
)
def test_tables_of_every_kind_get_them(holes, kind):
    frame = pd.DataFrame(holes, columns=["a", "b", "c"])
    table = {
        "polars": lambda: pl.from_pandas(frame),
        "arrow": lambda: pa.Table.from_pandas(frame),
        "structured": lambda: frame.to_records(index=False).view(np.ndarray),
        "list": lambda: [[None if v != v else v for v in row] for row in holes.tolist()],
        "objects": lambda: holes.astype(object),
        "integers as names": lambda: pd.DataFrame(holes, columns=[3, 5, 8]),
        "numbered": lambda: pd.DataFrame(holes),
    }[kind]()
    filled = imputer().fit(table).transform(table)
    if kind in ("polars", "arrow"):
        assert isinstance(filled, type(table))
        flags = np.asarray(filled.to_pandas())[:, 3:]
    elif kind == "structured":
        assert filled.dtype.names == ("a", "b", "c", "missingindicator_a", "missingindicator_c")
        flags = np.stack([filled[name] for name in filled.dtype.names[3:]], 1)
    else:
        flags = np.asarray(filled)[:, 3:]
    assert np.array_equal(flags.astype(bool), np.isnan(holes[:, [0, 2]]))
    if kind == "integers as names":
        assert filled.columns.tolist() == [3, 5, 8, "missingindicator_x0", "missingindicator_x2"]


def test_it_works_in_pipelines_and_with_set_output(holes):
    y = np.isnan(holes[:, 0]).astype(int)  # that a value is missing says it all
    pipeline = make_pipeline(imputer(), LogisticRegression(C=100)).fit(holes, y)
    assert pipeline.score(holes, y) == 1
    plain = make_pipeline(imputer().set_params(add_indicator=False), LogisticRegression(C=100)).fit(holes, y)
    assert plain.score(holes, y) < 1
    framed = imputer().set_output(transform="pandas").fit(holes).transform(holes)
    assert framed.columns.tolist() == ["x0", "x1", "x2", "missingindicator_x0", "missingindicator_x2"]
    frame = pd.DataFrame(holes, columns=list("abc")).assign(word=np.where(y, "u", "v"))
    columns = ColumnTransformer(
        [("filled", imputer(), list("abc")), ("word", OneHotEncoder(sparse_output=False), ["word"])]
    ).set_output(transform="pandas")
    made = columns.fit_transform(frame)
    assert "filled__missingindicator_a" in made.columns
    assert made.shape == (80, 7)
    out = imputer().set_output(transform="polars").fit(frame).transform(frame)
    assert isinstance(out, pl.DataFrame)
    assert out.columns[-2:] == ["missingindicator_a", "missingindicator_c"]


def test_a_name_that_is_taken_is_not_taken_again(holes):
    frame = pd.DataFrame(holes, columns=["a", "missingindicator_a", "c"])
    fitted = imputer().fit(frame)
    filled = fitted.transform(frame)
    assert filled.columns.is_unique
    assert filled.columns.tolist() == fitted.get_feature_names_out().tolist()
