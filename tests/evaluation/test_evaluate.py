"""Does an evaluation measure samples, name what simpler methods do, and say what stood for real data?"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.errors import InputError, RunError
from diffuscope.metrics import METRICS, Measured
from diffuscope.modalities import reference
from diffuscope.modalities.points import evaluation
from diffuscope.modalities.points.evaluation import Evaluation

SMALL = (
    (reference, "DRAWS", 3),
    (reference, "PAIRS", 6),
    (evaluation, "PAIRS", 6),
    (evaluation, "_LIKELIHOOD_POINTS", 16),
)
BASELINES = ["kernel_density", "gaussian_mixture", "training_data"]


@pytest.fixture(autouse=True)
def _few_clouds(monkeypatch):
    for module, name, value in SMALL:
        monkeypatch.setattr(module, name, value)


@pytest.fixture(scope="module")
def found(run_dir):
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in SMALL:
            patch.setattr(module, name, value)
        return diffuscope.evaluate(run_dir, progress=False)


def test_every_metric_is_measured_where_the_law_is_known(found):
    assert list(found.metrics) == list(METRICS)
    assert found.left_out == {}
    assert list(found.baselines) == BASELINES
    for name in BASELINES[:2]:
        assert set(found.baselines[name]) == set(METRICS)
    assert set(METRICS) - set(found.baselines["training_data"]) == {"log_likelihood_gap"}


def test_a_poor_model_is_told_from_better_baselines(found):
    # 30 steps of training leave the samples far from the data; the mixture is near it.
    for name in ("sliced_wasserstein", "classifier_accuracy", "kl"):
        assert "" not in found.best(name), name
    for name in ("sliced_wasserstein", "energy_distance", "classifier_accuracy", "kl", "log_likelihood_gap"):
        assert found.metrics[name].ratio > found.baselines["gaussian_mixture"][name].ratio
    assert found.baselines["training_data"]["memorisation"].low > found.metrics["memorisation"].high
    assert "kernel density is better in" in found.verdict()


def test_a_classifier_tells_them_apart_and_not_by_chance(found, run_dir):
    assert found.told_apart.low > 0.5
    assert found.told_apart.p_value < 1e-3
    assert "Two-sample classifier" in found.notes()
    assert found.to_json()["classifier_two_sample"] == found.told_apart._asdict()
    only = diffuscope.evaluate(run_dir, only=["energy_distance"], baselines=False, progress=False)
    assert only.told_apart is None
    assert "A classifier" not in only.notes()


def test_json_holds_metrics_and_baselines_and_nothing_else(found):
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(plain) == {"metrics", "classifier_two_sample", "baselines"}
    assert set(plain["baselines"]) == set(BASELINES)
    for table in (plain["metrics"], *plain["baselines"].values()):
        for measured in table.values():
            assert set(measured) == {"value", "floor", "ratio", "low", "high"}
            assert measured["low"] <= measured["ratio"] <= measured["high"]


def test_the_text_has_a_row_for_each_metric_and_says_how_to_read_it(found):
    text = str(found)
    for metric in METRICS.values():
        assert any(line.strip().startswith(metric.title) for line in text.splitlines()), metric.title
    assert "÷ floor:" in text
    assert "The distribution of this data is known" in text
    assert "bandwidth" in text
    assert max(map(len, text.splitlines())) <= 130


def test_the_same_seed_gives_the_same_numbers(run_dir):
    only = ["sliced_wasserstein", "precision"]
    one, two, other = (
        diffuscope.evaluate(run_dir, only=only, baselines=False, seed=seed, progress=False)
        for seed in (1, 1, 2)
    )
    assert list(one.metrics) == only
    assert one == two
    assert one.metrics != other.metrics


@pytest.mark.slow
def test_data_of_ones_own_meets_halves_of_itself_and_the_text_says_what_that_costs(tiny):
    x = np.random.default_rng(0).normal(size=(400, 3)) * [1.0, 100.0, 0.01]
    found = diffuscope.evaluate(tiny(data=x), progress=False)
    assert list(found.baselines) == BASELINES[:2]  # the training data would meet itself
    assert set(found.left_out) == {"memorisation", "kl", "log_likelihood_gap"}
    assert "memorised them would look perfect" in str(found)


@pytest.mark.slow
def test_held_out_rows_tell_copies_from_new_points(tiny):
    random = np.random.default_rng(0)
    x, unseen = random.normal(size=(2, 400, 3))
    found = diffuscope.evaluate(tiny(data=x), held_out=unseen, progress=False)
    assert set(found.left_out) == {"kl", "log_likelihood_gap"}
    assert found.baselines["training_data"]["memorisation"].ratio > 5
    assert "400 held-out rows" in " ".join(str(found).split())


@pytest.mark.parametrize("shape", [(6, 1), (60, 30)])
def test_a_handful_of_rows_and_many_columns_are_evaluated_as_far_as_they_go(tiny, shape):
    x = np.random.default_rng(0).normal(size=shape)
    run = tiny({"training.batch_size": 4}, data=x)
    found = diffuscope.evaluate(run, progress=False)
    assert np.isfinite(found.metrics["sliced_wasserstein"].ratio)
    assert set(found.left_out) | set(found.metrics) == set(METRICS)


def test_who_is_best_lies_nearest_to_real_data_and_not_beyond_it():
    def at(ratio, spread=0.05):
        return Measured(ratio, 1.0, ratio, ratio - spread, ratio + spread)

    both = {"sliced_wasserstein": at(1.5), "precision": at(0.7), "kl": at(0.2, 1.0)}
    rival = {"sliced_wasserstein": at(0.8), "precision": at(1.2), "kl": at(2.0, 0.5)}
    found = Evaluation(both, {"kernel_density": rival}, {}, {}, "")
    assert found.best("sliced_wasserstein") == ["kernel_density"]
    assert found.best("precision") == ["kernel_density"]
    assert found.best("kl") == [""]
    tied = Evaluation({"kl": at(-3.0)}, {"kernel_density": {"kl": at(0.4, 0.5)}}, {}, {}, "")
    assert tied.best("kl") == ["", "kernel_density"]


@pytest.mark.slow
def test_the_command_writes_numbers_and_a_picture(cli, tiny):
    run = tiny()
    code, out, err = cli("evaluate", run.path)
    assert code == 0, err
    assert "Sliced Wasserstein distance" in out
    numbers = json.loads((run.path / "evaluation.json").read_text("utf-8"))
    assert (run.path / "figures" / "quality.png").read_bytes()[:4] == b"\x89PNG"
    code, out, _ = cli("evaluate", run.path, "--json")
    assert code == 0
    assert json.loads(out) == numbers


def test_samples_that_are_not_finite_are_a_clear_error(tiny):
    run = tiny()
    with torch.no_grad():
        run.model.denoiser.network.output.bias.fill_(torch.nan)
    with pytest.raises(RunError, match="not finite"):
        diffuscope.evaluate(run, progress=False)


def test_bad_input_is_named(run_dir, tmp_path, tiny):
    with pytest.raises(InputError, match="no run directory"):
        diffuscope.evaluate(tmp_path / "none")
    with pytest.raises(InputError, match="metric"):
        diffuscope.evaluate(run_dir, only=["fid"], progress=False)
    run = tiny(data=np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(InputError, match="columns"):
        diffuscope.evaluate(run, held_out=np.zeros((10, 2)), progress=False)
    with pytest.raises(InputError, match="passed from Python"):
        diffuscope.evaluate(run.path, progress=False)
