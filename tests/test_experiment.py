"""Does training keep its promises: one seed one run, no directory overwritten, room for one's own parts?"""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import diffuscope
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.diffusion.schedules import NoiseLevel, Schedule
from diffuscope.errors import FormatError, InputError, RunError

SUMMARY = {
    "recipe",
    "data",
    "seed",
    "steps",
    "parameters",
    "train_seconds",
    "total_seconds",
    "device",
    "processes",
    "fingerprint",
    "law",
    "quality",
    "versions",
}


def weights(run) -> bytes:
    return (run.path / "model.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tiny):
    one, same, other = tiny(out="one"), tiny(out="same"), tiny(out="other", seed=1)
    assert weights(one) == weights(same) != weights(other)
    assert one.summary["quality"] == same.summary["quality"]
    assert one.sample(100).tobytes() == same.sample(100).tobytes() != other.sample(100).tobytes()


def test_the_global_generators_have_no_say_and_are_left_alone(tiny):
    one = tiny(out="one")
    torch.manual_seed(99)
    np.random.seed(99)
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    two = tiny(out="two")
    assert weights(one) == weights(two)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()


@pytest.mark.slow
def test_drawing_pictures_does_not_change_the_weights(tiny):
    changes = {"training.batches": "shuffled", "pictures.row_every": 2, "pictures.forward_frames": 2}
    one, two = tiny(changes, out="one"), tiny(changes, out="two", pictures=True)
    assert weights(one) == weights(two)
    names = {path.name for path in (two.path / "figures").iterdir()}
    assert {"dataset.png", "forward.png", "reverse.png", "samples.png", "loss.png"} <= names
    assert {"epoch_00000.png", "epoch_00002.png"} <= names
    assert "epoch_00001.png" not in names
    assert {path.name for path in two.path.glob("*.gif")} == {"forward.gif", "reverse.gif"}
    assert not (one.path / "figures").exists()


def test_the_recipe_of_a_run_makes_it_again(tiny, tmp_path):
    run = tiny({"data.noise": 0.07})
    again = diffuscope.train(None, recipe=run.path / "recipe.toml", out=tmp_path / "again", pictures=False)
    assert weights(again) == weights(run)
    assert again.metrics[-1]["loss"] == run.metrics[-1]["loss"]


def test_the_summary_says_what_was_done(tiny):
    run = tiny(seed=5)
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary.keys() == SUMMARY
    assert (summary["seed"], summary["steps"], summary["processes"]) == (5, 30, 1)
    assert summary["data"]["name"] == "s_curve"
    assert 0 < summary["train_seconds"] < summary["total_seconds"]
    assert summary["law"]["low"] < summary["law"]["nats"] < summary["law"]["high"]
    assert summary["versions"].keys() == {"diffuscope", "torch", "numpy", "python"}
    for measured in summary["quality"].values():
        assert measured.keys() == {"value", "floor", "ratio", "low", "high"}
        assert measured["low"] <= measured["ratio"] <= measured["high"]
    assert summary["parameters"] == sum(p.numel() for p in run.model.denoiser.parameters())


def test_the_log_ends_with_the_last_step(tiny):
    metrics = tiny().metrics
    assert metrics[-1]["step"] == 30
    assert metrics[-1].keys() == {"step", "epoch", "loss", "learning_rate", "seconds"}


def test_an_existing_directory_is_never_touched(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="already exists"):
        tiny()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="already exists"):
        tiny(out="file")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "file").read_text() == "x"


def test_an_empty_directory_is_taken(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    assert tiny().path == tmp_path / "run"


def test_without_a_directory_the_first_free_one_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {"data.size": 20, "network.width": 4, "sampling.steps": 2}
    names = [str(diffuscope.train("moons", settings=changes, steps=1, pictures=False).path) for _ in range(3)]
    assert names == ["runs/moons", "runs/moons-2", "runs/moons-3"]
    odd = diffuscope.train(lambda n, rng: rng.normal(size=(n, 1)), settings=changes, steps=1, pictures=False)
    assert str(odd.path) == "runs/lambda"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epochs": 1, "steps": 1}, "epochs and steps cannot both"),
        ({"data": np.zeros((1, 2))}, "only one row"),
        ({"data": np.full((9, 2), np.nan)}, "(?i)nan|missing"),
        ({"data": None}, "No training data"),
        ({"settings": {"network.width": 0}}, "width = 0"),
        ({"settings": {"schedule.name": "linear", "schedule.T": 3}}, "T = 3"),
        ({"recipe": "slow"}, "no recipe"),
        ({"device": "tpu"}, "is not available"),
        (
            {"data": np.random.default_rng(0).normal(size=(9, 2)), "settings": {"data.size": 5}},
            "your own data",
        ),
        (
            {"data": np.random.default_rng(0).normal(size=(9, 2)), "settings": {"data.noise": 0.5}},
            "your own data",
        ),
    ],
)
def test_whatever_does_not_fit_shows_before_a_directory_is_made(tmp_path, arguments, words):
    with pytest.raises(InputError, match=words):
        diffuscope.train(**{"data": "s_curve", **arguments}, out=tmp_path / "deep" / "run", pictures=False)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Cannot create the run directory"):
        diffuscope.train("s_curve", out=tmp_path / "file" / "run", pictures=False)


def test_a_disk_that_is_full_at_once_leaves_no_directory(tiny, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffuscope.files.os.fsync", full)
    with pytest.raises(RunError, match="No space left"):
        tiny()
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_up_on_the_way_leaves_a_run_to_go_on_with(tiny, tmp_path, monkeypatch):
    changes = {"training.batches": "shuffled", "training.steps": 100, "training.checkpoint_every": 10}
    whole = tiny(changes, out="whole")
    replace, calls = diffuscope.files.os.replace, []

    def fill_up(*names):
        calls.append(1)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        replace(*names)

    with monkeypatch.context() as patch:
        patch.setattr("diffuscope.files.os.replace", fill_up)
        with pytest.raises(RunError, match="No space left"):
            tiny(changes)
    assert not list((tmp_path / "run").rglob(".diffuscope-*"))
    assert weights(tiny(changes, resume=True)) == weights(whole)


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_data_of_any_dimension_trains_samples_and_draws_without_a_warning(tiny, d):
    x = np.random.default_rng(0).normal(size=(200, d)) * np.arange(1, d + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = tiny({"pictures.forward_frames": 2}, data=x, pictures=True)
    assert run.sample(10).shape == (10, d)
    assert {path.name for path in run.path.glob("*.gif")} == {"forward.gif", "reverse.gif"}
    assert len(list((run.path / "figures").glob("*.png"))) >= 5


@pytest.mark.parametrize("rows", [2, 3])
def test_very_few_rows_can_be_trained_on(tiny, rows):
    assert tiny(data=np.eye(3, 2)[:rows] * 5).sample(3).shape == (3, 2)


class OwnNetwork(nn.Module):
    def __init__(self, out: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, out))

    def forward(self, x, t):
        return self.layers(torch.cat([x, t[:, None].to(x)], dim=1))


def test_a_network_of_ones_own_trains_samples_and_opens_again(tiny):
    torch.manual_seed(0)
    network = OwnNetwork()
    before = network.layers[0].weight.detach().clone()
    run = tiny(network=network)
    assert run.recipe.network.name == "custom"
    assert not torch.equal(network.layers[0].weight, before)
    again = diffuscope.load(run.path, network=OwnNetwork())
    np.testing.assert_array_equal(again.sample(20), run.sample(20))
    with pytest.raises(InputError, match="network of this recipe is a custom"):
        diffuscope.load(run.path)
    with pytest.raises(FormatError, match="has weights of another network"):
        diffuscope.load(run.path, network=nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (OwnNetwork(out=3), r"returned \(3, 3\)"),
        (nn.Linear(2, 2), "fails for points"),
        (nn.Identity(), "no parameters|fails for"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_a_directory_is_made(tiny, tmp_path, network, words):
    with pytest.raises(InputError, match=words):
        tiny(network=network)
    assert not (tmp_path / "run").exists()


class OwnSchedule(Schedule):
    """Flow under another name."""

    discrete = False
    t_min = 1e-3
    t_max = 0.999

    def __call__(self, t):
        t = t.to(torch.float64)
        return NoiseLevel(t, 1 - t, t)

    def time_at_ratio(self, ratio):
        ratio = ratio.to(torch.float64)
        return ratio / (1 + ratio)


def test_a_schedule_of_ones_own_trains_samples_and_opens_again(tiny):
    run = tiny(schedule=OwnSchedule())
    assert run.recipe.schedule.name == "custom"
    again = diffuscope.load(run.path, schedule=OwnSchedule())
    np.testing.assert_array_equal(again.sample(20), run.sample(20))
    with pytest.raises(InputError, match="schedule of this recipe is a custom"):
        diffuscope.load(run.path)


def rings(n, rng):
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.column_stack([np.cos(angle), np.sin(angle)]) * rng.choice([1, 2], n)[:, None]


def test_a_data_set_of_ones_own_is_drawn_trained_on_and_met_with_fresh_draws(tiny):
    run = tiny({"data.size": 150}, data=rings)
    assert run.data.name == "rings"
    assert len(run.data.x) == 150
    assert run.recipe.data.size == 150
    again = diffuscope.load(run.path, data=rings)
    np.testing.assert_array_equal(again.data.x, run.data.x)
    assert again.data.draw(7, 1).shape == (7, 2)
    with pytest.raises(InputError, match="passed from Python"):
        diffuscope.load(run.path).data  # noqa: B018


class Shouted(Loss):
    def value(self, output, examples):
        return 10 * super().value(output, examples)


class OwnLoss:
    """A loss from nothing: predicts the noise, with a fourth power."""

    def examples(self, denoiser: Denoiser, x_0, level, eps) -> Examples:
        alpha, sigma = level.alpha[:, None].float(), level.sigma[:, None].float()
        return Examples(alpha * x_0 + sigma * eps, denoiser.condition(level, x_0), eps, None)

    def value(self, output, examples):
        return (output - examples.target).pow(4).mean()


def test_a_loss_of_ones_own_is_what_is_trained_on(tiny):
    plain = tiny(out="plain")
    section = plain.recipe.loss.settings()
    shouted = tiny(out="shouted", loss=Shouted(**section))
    own = tiny(out="own", loss=OwnLoss())
    assert shouted.metrics[0]["loss"] == pytest.approx(10 * plain.metrics[0]["loss"], rel=0.2)
    assert len({weights(run)[-200:] for run in (plain, shouted, own)}) == 3
    assert shouted.recipe.loss.distance == "custom"
    again = diffuscope.load(own.path)  # a loss is not needed to sample
    np.testing.assert_array_equal(again.sample(20), own.sample(20))
    with pytest.raises(InputError, match="loss of this recipe"):
        diffuscope.train("s_curve", recipe=own.path / "recipe.toml", out=own.path.with_name("x"))


def denoise_at_once(context, x):
    return context.estimate(x)


def test_a_sampler_of_ones_own_is_what_is_sampled_with(tiny):
    run = tiny(sampler=denoise_at_once)
    assert run.recipe.sampling.name == "custom"
    other = run.sample(20, sampler="ddim")
    assert not np.array_equal(run.sample(20), other)
    again = diffuscope.load(run.path, sampler=denoise_at_once)
    np.testing.assert_array_equal(again.sample(20), run.sample(20))
    without = diffuscope.load(run.path)
    np.testing.assert_array_equal(without.sample(20, sampler="ddim"), other)
    with pytest.raises(InputError, match=r"sampler of this run(.|\n)*sampler=\.\.\."):
        without.sample(20)


def test_all_of_ones_own_parts_work_together(tiny):
    parts = {"network": OwnNetwork(), "schedule": OwnSchedule(), "sampler": denoise_at_once}
    run = tiny(data=rings, loss=OwnLoss(), **parts)
    assert np.isfinite(run.sample(10)).all()
