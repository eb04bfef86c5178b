"""Rows that are improbable in the data are drawn again: what is left is nearer to the data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from diffuscope import DiffusionModel
from diffuscope.data.tables import RowCodec
from diffuscope.errors import FormatError
from diffuscope.modalities.tables.boosting import LogRatio, fit_log_ratio, levelled
from diffuscope.modalities.tables.refinement import NOTE, Refinement, fit_refinement

Floats = np.ndarray

pytestmark = pytest.mark.usefixtures("whole_refinement")


def wide(n: int, seed: int) -> Floats:
    """Return a model's rows: too wide in the first column, missing too often in the second."""
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, 4))
    x[:, 0] *= 1.5
    x[r.random(n) < 0.4, 1] = np.nan
    return x


def true(n: int, seed: int) -> Floats:
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, 4))
    x[r.random(n) < 0.2, 1] = np.nan
    return x


def known_log_ratio(x: Floats) -> Floats:
    missing = np.isnan(x[:, 1])
    presence = np.where(missing, np.log(0.2 / 0.4), np.log(0.8 / 0.6))
    return -0.5 * x[:, 0] ** 2 * (1 - 1 / 1.5**2) + np.log(1.5) + presence


@pytest.mark.slow
def test_trees_estimate_a_ratio_that_is_known() -> None:
    ratio = fit_log_ratio(true(5000, 0), wide(15_000, 1), true(1000, 2), wide(3000, 3))
    assert ratio is not None
    x = wide(5000, 4)
    assert np.corrcoef(ratio(x), known_log_ratio(x))[0, 1] > 0.85


@pytest.mark.slow
def test_trees_that_tell_nothing_apart_are_none() -> None:
    made = [
        fit_log_ratio(true(1500, i), true(3000, 10 + i), true(300, 20 + i), true(600, 30 + i))
        for i in range(5)
    ]
    assert sum(one is not None for one in made) <= 1


@pytest.mark.slow
def test_levelled_columns_fall_as_often_into_every_bin() -> None:
    real, made = true(4000, 0), wide(16_000, 1)
    ratio = fit_log_ratio(real, made, true(500, 2), wide(500, 3))
    assert ratio is not None
    log_top = float(np.quantile(ratio(made), 0.95))
    level = levelled(ratio, real, made, log_top)
    w = np.exp(np.minimum(level(made) - log_top, 0.0))
    assert np.average(np.isnan(made[:, 1]), weights=w) == pytest.approx(np.isnan(real[:, 1]).mean(), abs=2e-3)
    for j in range(4):
        column, own = made[:, j], real[:, j]
        there = ~np.isnan(column)
        for q in np.nanquantile(own, [0.1, 0.3, 0.5, 0.7, 0.9]):
            share = np.average(column[there] <= q, weights=w[there])
            assert share == pytest.approx(np.mean(own[~np.isnan(own)] <= q), abs=0.025)


def test_the_arrays_of_trees_are_those_of_scikit_learn() -> None:
    from sklearn.tree import DecisionTreeRegressor

    from diffuscope.modalities.tables.boosting import _stacked

    x = true(2000, 0).astype(np.float32)
    y = np.random.default_rng(1).normal(size=2000)
    trees = [DecisionTreeRegressor(max_leaf_nodes=k, random_state=0).fit(x, y) for k in (2, 40)]
    values = [np.random.default_rng(2).normal(size=tree.tree_.node_count) for tree in trees]
    stacked = _stacked([(tree.tree_, value) for tree, value in zip(trees, values, strict=True)])
    new = wide(3000, 3)
    own = sum(value[tree.apply(new.astype(np.float32))] for tree, value in zip(trees, values, strict=True))
    np.testing.assert_allclose(stacked(new), own)


@pytest.fixture(scope="module")
def trees() -> LogRatio:
    ratio = fit_log_ratio(true(2000, 0), wide(4000, 1), true(500, 2), wide(500, 3))
    assert ratio is not None
    return ratio


@pytest.mark.parametrize(
    ("name", "value"),
    [("left", 99), ("left", -1), ("right", 0), ("feature", 4), ("feature", -1), ("value", np.nan)],
)
def test_damaged_trees_are_refused(trees: LogRatio, name: str, value: float) -> None:
    ratio = trees
    arrays = ratio.to_arrays()
    LogRatio.from_arrays(arrays, 4)
    inner = np.argwhere(ratio.left != np.arange(ratio.left.shape[1]))[1]
    arrays[name] = arrays[name].copy()
    arrays[name][tuple(inner)] = value
    with pytest.raises(ValueError, match="trees"):
        LogRatio.from_arrays(arrays, 4)


def table(n: int, seed: int) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    a, b = np.round(r.gamma(2, 100, n), 2), np.round(r.gamma(2, 50, n), 2)
    group = r.choice(list("uvw"), n, p=[0.5, 0.3, 0.2])
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "total": np.round(a + b, 2),
            "group": group,
            "kind": np.where(group == "u", "first", "other"),
            "x": r.normal(size=n) + (group == "w"),
        }
    )


@pytest.mark.slow
def test_refined_rows_are_those_of_the_data() -> None:
    """A model that draws every column by itself, shifted: the refinement mends what it gets wrong."""
    data = table(4000, 0)
    rows = RowCodec.fit(data)
    points = rows.encode(data, dequantise=True)

    def draw(chosen: np.ndarray, round_: int) -> Floats:
        r = np.random.default_rng([len(chosen), round_])
        fresh = table(len(chosen), int(r.integers(2**31)))
        mixed = fresh.apply(lambda column: r.permutation(column.to_numpy()))
        mixed["x"] += 0.3
        return rows.clipped(torch.from_numpy(rows.encode(mixed, dequantise=True))).numpy()

    fitted = fit_refinement(rows, points, None, draw, seed=1)
    made = rows.decode(fitted.refined(draw, 6000, 2, None))
    np.testing.assert_allclose(made["total"], made["a"] + made["b"], atol=0.011)
    assert (made["kind"] == np.where(made["group"] == "u", "first", "other")).all()
    gap = {group: float(part["x"].mean()) for group, part in made.groupby("group")}
    assert gap["u"] == pytest.approx(0.0, abs=0.15)
    bare = rows.decode(draw(np.arange(3000), 0))
    before = float(bare.loc[bare["group"] == "w", "x"].mean())
    assert abs(gap["w"] - 1.0) < 0.6 * abs(before - 1.0)


@pytest.fixture(scope="module")
def fitted() -> DiffusionModel:
    data = table(1500, 3)
    return DiffusionModel(steps=300, width=64, random_state=0).fit(data.drop(columns="kind"), data["kind"])


@pytest.mark.slow
def test_samples_keep_relations(fitted: DiffusionModel) -> None:
    X, y = fitted.sample(800, return_y=True)
    np.testing.assert_allclose(X["total"], X["a"] + X["b"], atol=0.011)
    assert (y == np.where(X["group"] == "u", "first", "other")).mean() > 0.99


def test_given_values_stay_and_tell_others(fitted: DiffusionModel) -> None:
    X = fitted.sample(200, given={"total": 400.0, "a": 150.0})
    assert (X["total"] == 400.0).all()
    assert (X["a"] == 150.0).all()
    np.testing.assert_allclose(X["b"], 250.0, atol=0.011)


def test_imputed_values_keep_relations(fitted: DiffusionModel) -> None:
    data = table(300, 4)
    X = data.drop(columns="kind")
    holes = X.copy()
    holes.loc[:99, "total"] = np.nan
    holes.loc[100:199, "b"] = np.nan
    filled = fitted.impute(holes)
    seen = table(1500, 3)  # beyond its range values are cut off, and nothing is computed from them
    inside = np.logical_and.reduce([X[j].between(seen[j].min(), seen[j].max()) for j in ("a", "b", "total")])
    np.testing.assert_allclose(filled["total"][inside], X["total"][inside], atol=0.02)
    np.testing.assert_allclose(filled["b"][inside], X["b"][inside], atol=0.02)
    pd.testing.assert_frame_equal(filled.iloc[200:], X.iloc[200:])


@pytest.mark.slow
def test_relations_that_share_columns_are_kept_by_imputed_rows() -> None:
    r = np.random.default_rng(0)
    a, b, c = (np.round(r.gamma(2, 30, 1500), 2) for _ in range(3))
    data = pd.DataFrame({"a": a, "b": b, "c": c, "s": np.round(a + b + c, 2), "copy": c})
    model = DiffusionModel(steps=100, random_state=0).fit(data)
    holes = data.assign(c=np.nan, copy=np.nan)
    filled = model.impute(holes)
    np.testing.assert_allclose(filled[["c", "copy"]], data[["c", "copy"]], atol=0.011)


@pytest.mark.slow
def test_given_values_that_contradict_each_other_are_told(fitted: DiffusionModel) -> None:
    words = r"What is given contradicts total = a \+ b: 20 of 20 rows"
    few = pytest.warns(UserWarning, match="0 have such values")
    with pytest.warns(UserWarning, match=words), few:
        rows = fitted.sample(20, given={"a": 100.0, "b": 200.0, "total": 500.0})
    assert (rows[["a", "b", "total"]] == [100.0, 200.0, 500.0]).all(axis=None)
    holes = table(20, 7).drop(columns="kind").assign(x=np.nan)
    holes.loc[:4, "total"] += 77.0
    with pytest.warns(UserWarning, match=r"contradicts total = a \+ b: 5 of 20 rows"):
        fitted.impute(holes)


def test_values_beyond_the_range_of_a_column_are_exact(fitted: DiffusionModel) -> None:
    seen = table(1500, 3)
    given = {"total": round(seen["b"].max() + 40, 2), "a": 20.0}
    with pytest.warns(UserWarning, match="2 have such values of a, total as are given"):
        rows = fitted.sample(20, given=given)
    np.testing.assert_allclose(rows["b"], given["total"] - 20, atol=0.001)
    holes = pd.DataFrame({"a": [20.0, np.nan], "b": [np.nan, 20.0], "total": given["total"], "group": "u"})
    filled = fitted.impute(holes.assign(x=0.0)[list(rows)])
    np.testing.assert_allclose(filled["a"] + filled["b"], filled["total"], atol=0.001)


@pytest.mark.slow
def test_values_that_no_column_can_represent_are_told(fitted: DiffusionModel) -> None:
    words = r"No value of b .* keeps total = a \+ b: 20 of 20 rows"
    few = pytest.warns(UserWarning, match="0 have such values")
    with pytest.warns(UserWarning, match=words), few:
        fitted.sample(20, given={"total": 1900.0, "a": 0.5})


@pytest.mark.slow
def test_a_column_that_a_constraint_computes_takes_part_in_relations() -> None:
    r = np.random.default_rng(0)
    a, b = 2 * r.integers(10, 500, 1500), 2 * r.integers(10, 500, 1500)
    data = pd.DataFrame({"a": a, "b": b, "total": a + b, "net": (a + b) // 2})
    model = DiffusionModel(steps=100, random_state=0, constraints=["total == a + b"]).fit(data)
    rows = model.sample(400)
    assert (rows["total"] == rows["a"] + rows["b"]).all()
    assert (rows["total"] == 2 * rows["net"]).mean() > 0.99


def test_a_saved_model_samples_the_same_rows(fitted: DiffusionModel, tmp_path: Any) -> None:
    again = DiffusionModel.load(fitted.save(tmp_path / "model"))
    assert again._generator.refinement is not None
    pd.testing.assert_frame_equal(again.sample(300, random_state=5), fitted.sample(300, random_state=5))


def test_without_refinement_nothing_is_kept_beside_the_network() -> None:
    model = DiffusionModel(steps=20, refine=False, random_state=0).fit(table(300, 0))
    assert not model.model_.extras
    assert NOTE not in model.model_.notes


def test_damaged_refinements_are_refused(fitted: DiffusionModel) -> None:
    refinement = fitted._generator.refinement
    assert refinement is not None
    tensors, text = refinement.to_parts()
    rows = fitted._generator.rows
    Refinement.from_parts(tensors, text, rows)
    plain = json.loads(text)
    for bad in (
        "",
        "[]",
        "{}",
        json.dumps({**plain, "log_top": None}),
        json.dumps({**plain, "relations": 3}),
    ):
        with pytest.raises(ValueError, match=r".+"):
            Refinement.from_parts(tensors, bad, rows)
    other = RowCodec.fit(table(300, 0)[["a", "x"]])
    with pytest.raises(ValueError, match=r".+"):
        Refinement.from_parts(tensors, text, other)


def test_a_model_file_with_damaged_relations_is_refused(fitted: DiffusionModel, tmp_path: Any) -> None:
    path = fitted.save(tmp_path / "model")
    model = DiffusionModel.load(path)
    model.model_.notes = {**model.model_.notes, NOTE: '{"relations": {"found": 1}, "log_top": 0}'}
    model.model_.save(path)
    with pytest.raises(FormatError, match="relations"):
        DiffusionModel.load(path)


def test_weights_of_a_model_without_trees_are_those_of_relations(fitted: DiffusionModel) -> None:
    refinement = fitted._generator.refinement
    assert refinement is not None
    bare = Refinement(refinement.view, refinement.relations, None, 0.0)
    data = table(1500, 3)[:50]
    points = fitted._generator.rows.encode(data.drop(columns="kind"), data["kind"])
    assert (bare.log_weights(points) == 0).all()
    broken = points.copy()
    broken[:, refinement.view.places[0]] += 0.5
    assert (refinement.relations.broken(refinement.view.numbers(broken)) > 0).all()
    assert (bare.log_weights(broken) < 0).all()


@pytest.mark.slow
def test_means_of_draws_weigh_all_candidates(fitted: DiffusionModel) -> None:
    """The mean of a few draws is nearer to the mean of many than a plain mean of as many would be."""
    X = table(60, 5).drop(columns="kind")
    holes = X.assign(x=np.nan)
    many = fitted.impute(holes, n_draws=60, average=True, random_state=0)["x"]
    few = [fitted.impute(holes, n_draws=4, average=True, random_state=k)["x"] for k in (1, 2)]
    plain = [
        np.mean([one["x"] for one in fitted.impute(holes, n_draws=4, random_state=k)], axis=0) for k in (1, 2)
    ]
    off = [np.mean((np.array(one) - many) ** 2) for one in (*few, *plain)]
    assert np.mean(off[:2]) < 0.6 * np.mean(off[2:])


def test_resampled_draws_are_as_frequent_as_their_weights(fitted: DiffusionModel) -> None:
    refinement = fitted._generator.refinement
    assert refinement is not None
    points = fitted._generator.points(40 * 25, fitted._request(0))
    most = np.arange(40 * 25) % 40 < 30
    points[most, refinement.view.places[0]] += 0.5  # these break a relation, and are hardly ever chosen
    made = refinement.resampled(points, 40, points.copy(), seed=1)
    weights = np.exp(refinement.log_weights(points)).reshape(25, 40)
    for w, own, drawn in zip(weights, points.reshape(25, 40, -1), made.reshape(25, 40, -1), strict=True):
        counts = np.array([(drawn == one).all(axis=1).sum() for one in own])
        assert np.abs(counts - 40 * w / w.sum()).max() < 1 + 1e-9


@pytest.mark.slow
def test_rows_that_are_hardly_kept_have_the_law_of_those_that_are() -> None:
    """A model whose rows keep the orders of prices now and then: what is kept is not distorted."""
    r = np.random.default_rng(0)
    base = np.round(np.exp(r.normal(3, 1, 4000)), 2)
    steps = np.cumsum(r.random((4000, 5)) / 5, axis=1)
    data = pd.DataFrame({f"p{k}": np.round(base * (1 + steps[:, k]), 2) for k in range(5)})
    rows = RowCodec.fit(data)
    points = rows.encode(data, dequantise=True)

    def draw(chosen: np.ndarray, round_: int) -> Floats:
        g = np.random.default_rng([len(chosen), round_])
        picked = points[g.integers(0, len(points), len(chosen))]
        return picked + 0.04 * g.normal(size=picked.shape)

    fitted = fit_refinement(rows, points, None, draw, seed=1)
    assert len(fitted.relations.found) == 4
    bare = rows.decode(draw(np.arange(4000), 0))
    assert (np.diff(bare.to_numpy(), axis=1) >= 0).all(axis=1).mean() < 0.6
    made = rows.decode(fitted.refined(draw, 4000, 2, None))
    assert (np.diff(made.to_numpy(), axis=1) >= 0).all(axis=1).mean() > 0.97
    for q in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.mean(made["p2"] <= data["p2"].quantile(q)) == pytest.approx(q, abs=0.035)


@pytest.mark.slow
def test_rows_given_a_value_that_others_tell_keep_the_relation() -> None:
    """Given the month, the date is moved to where it lies there."""
    r = np.random.default_rng(1)
    when = pd.Timestamp("2021-01-01") + pd.to_timedelta(r.integers(0, 730, 2000), unit="D")
    data = pd.DataFrame({"when": when, "month": when.month, "x": r.normal(size=2000)})
    model = DiffusionModel(steps=400, random_state=0).fit(data)
    rows = model.sample(300, given={"month": 7})
    assert (rows["month"] == 7).all()
    assert (rows["when"].dt.month == 7).all()


@pytest.mark.slow
def test_train_prints_the_relations(tmp_path: Any) -> None:
    import diffuscope

    said: list[str] = []
    run = diffuscope.train(
        table(600, 0), steps=60, out=tmp_path / "run", pictures=False, announce=said.extend, seed=0
    )
    assert "all rows keep: total = a + b" in said
    rows = run.sample(200)
    np.testing.assert_allclose(rows["total"], rows["a"] + rows["b"], atol=0.011)
