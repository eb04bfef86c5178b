"""Does the estimator behave as scikit-learn's own do?"""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.datasets import load_iris, make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from diffuscope import DiffusionImputer, DiffusionModel

SMALL = {"steps": 30, "width": 8, "batch_size": 32, "random_state": 0}


@parametrize_with_checks([DiffusionModel(**{**SMALL, "steps": 10})])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.slow  # with indicators they run in test_imputer
@parametrize_with_checks([DiffusionImputer(DiffusionModel(**SMALL), n_draws=2)])
def test_scikit_learns_own_checks_pass_without_indicators(estimator, check):
    check(estimator)


def test_settings_are_stored_as_they_are_given_and_cloned():
    random = np.random.RandomState(3)
    model = DiffusionModel(steps=7, guidance=2.5, random_state=random)
    assert model.get_params()["random_state"] is random
    copy = clone(model)
    assert copy is not model
    assert copy.get_params()["guidance"] == 2.5
    assert not hasattr(copy, "model_")


def test_it_prints_as_estimators_do_in_text_and_in_a_notebook():
    model = DiffusionModel(steps=7)
    assert repr(model) == "DiffusionModel(steps=7)"
    assert "DiffusionModel" in model._repr_html_()


@pytest.mark.slow
def test_it_works_in_a_pipeline_a_search_and_a_cross_validation():
    X = load_iris(return_X_y=True)[0][::3]
    pipeline = make_pipeline(StandardScaler(), DiffusionModel(**SMALL))
    scores = cross_val_score(pipeline, X, cv=2)
    assert np.isfinite(scores).all()
    search = GridSearchCV(DiffusionModel(**SMALL), {"steps": [2, 60]}, cv=2).fit(X)
    assert search.best_params_["steps"] in (2, 60)
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert search.best_estimator_.sample(3).shape == (3, 4)


@pytest.mark.slow
def test_an_imputer_stands_before_a_classifier_and_hands_out_frames():
    X, y = load_iris(return_X_y=True, as_frame=True)
    holes = X.mask(np.random.default_rng(0).random(X.shape) < 0.2)
    imputer = DiffusionImputer(DiffusionModel(**SMALL), n_draws=2, random_state=0)
    pipeline = make_pipeline(imputer, LogisticRegression(max_iter=500)).fit(holes, y)
    assert pipeline.score(holes, y) > 0.6
    filled = imputer.fit(holes).set_output(transform="pandas").transform(holes)
    assert list(filled.columns) == list(X.columns)
    assert filled.index.equals(X.index)
    assert not filled.isna().any(axis=None)


@pytest.mark.slow
def test_many_are_fitted_side_by_side_in_processes_as_in_this_one():
    X, _ = load_iris(return_X_y=True)
    models = [DiffusionModel(**{**SMALL, "random_state": seed}) for seed in (0, 1)]
    executor = get_reusable_executor(max_workers=1)  # joblib.Parallel has one worker for each core
    there = [task.result() for task in [executor.submit(model.fit, X) for model in models]]
    executor.shutdown()
    scores = [model.score(X) for model in (clone(models[0]).fit(X), *there)]
    assert scores[0] == scores[1] != scores[2]


def test_a_copy_by_pickle_answers_the_same_and_holds_no_rows():
    X, y = load_iris(return_X_y=True)
    model = DiffusionModel(**SMALL).fit(X, y)
    pickled = pickle.dumps(model)
    copy = pickle.loads(pickled)
    assert np.array_equal(copy.sample(5, y=1), model.sample(5, y=1))
    assert np.array_equal(copy.score_samples(X[:9]), model.score_samples(X[:9]))
    assert "_shown" not in vars(copy)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    X, _ = load_iris(return_X_y=True)
    first, second = (DiffusionModel(**SMALL).fit(X) for _ in range(2))
    assert np.array_equal(first.sample(9), second.sample(9))
    assert not np.array_equal(first.sample(9, random_state=5), first.sample(9, random_state=6))


@pytest.mark.slow
def test_names_of_columns_are_remembered_and_compared():
    X, _ = load_iris(return_X_y=True, as_frame=True)
    model = DiffusionModel(**SMALL).fit(X)
    assert model.n_features_in_ == 4
    assert list(model.feature_names_in_) == list(X.columns) == list(model.get_feature_names_out())
    with pytest.raises(ValueError, match="same order"):
        model.score_samples(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="Feature names seen at fit time, yet now missing"):
        model.score_samples(X.iloc[:, :3])
    with pytest.warns(UserWarning, match="valid feature names"):
        assert np.array_equal(model.score_samples(X.to_numpy()[:9]), model.score_samples(X[:9]))
    unnamed = DiffusionModel(**SMALL).fit(X.to_numpy())
    assert list(unnamed.get_feature_names_out()) == ["x0", "x1", "x2", "x3"]
    with pytest.raises(ValueError, match="expecting 4 features"):
        unnamed.score_samples(X.to_numpy()[:, :3])


@pytest.mark.slow
def test_warm_start_goes_on_from_the_last_fit():
    X, _ = make_moons(500, noise=0.05, random_state=0)
    model = DiffusionModel(steps=300, width=32, warm_start=True, random_state=0).fit(X)
    learned = model.score(X[:200])
    model.set_params(steps=1, learning_rate=1e-9).fit(X)
    assert model.score(X[:200]) == pytest.approx(learned, abs=0.01)
    assert clone(model).fit(X).score(X[:200]) < learned - 0.3


@pytest.mark.slow
def test_held_out_rows_end_a_training_that_learns_by_heart():
    X = np.random.default_rng(0).normal(size=(60, 8))
    settings = {"width": 64, "refine": False, "random_state": 0}
    model = DiffusionModel(steps=3000, **settings).fit(X)
    assert model.best_iter_ < model.n_iter_ < 3000
    endless = DiffusionModel(steps=model.n_iter_, early_stopping=False, **settings).fit(X)
    assert endless.n_iter_ == endless.best_iter_ == model.n_iter_
    fresh = np.random.default_rng(1).normal(size=(60, 8))
    assert model.score(fresh) > endless.score(fresh)


def test_few_rows_are_learned_with_dropout_and_many_without():
    def dropout_of(n, **settings):
        x = np.random.default_rng(0).normal(size=(n, 3))
        model = DiffusionModel(**SMALL | {"steps": 2}, **settings).fit(x)
        return model.model_.recipe.network.settings["dropout"]

    assert dropout_of(200) == 0.1
    assert dropout_of(5000) == 0.0
    assert dropout_of(200, dropout=0.3) == 0.3


def test_max_seconds_shortens_the_training():
    X = np.random.default_rng(0).normal(size=(500, 3))
    model = DiffusionModel(steps=100_000, early_stopping=False, max_seconds=0.5, random_state=0).fit(X)
    assert 1 <= model.n_iter_ < 50_000
    with pytest.raises(ValueError, match="max_seconds"):
        DiffusionModel(max_seconds=0).fit(X)


def test_progress_shows_on_request_only(capfd):
    X, _ = load_iris(return_X_y=True)
    DiffusionModel(**SMALL).fit(X).sample(5)
    assert capfd.readouterr().err == ""
    DiffusionModel(**SMALL, verbose=1).fit(X)
    assert "trained on 135 rows" in capfd.readouterr().err


def test_the_rows_of_a_frame_need_no_names_that_are_text():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 2)), columns=[3, 5])
    model = DiffusionModel(**SMALL).fit(X)
    assert list(model.sample(4).columns) == [3, 5]
    assert not hasattr(model, "feature_names_in_")
