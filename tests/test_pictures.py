"""Do pictures say what they show: levels, scales, the way of sampling, the least loss?"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.data.points import load_dataset
from diffuscope.modalities.points.modality import POINTS
from diffuscope.plots import State, plot_loss, plot_walk_rows
from diffuscope.recipes import load_recipe
from diffuscope.runs.setup import Setup
from diffuscope.training import Trainer

from .conftest import TINY

LINEAR = {
    "schedule.name": "linear",
    "schedule.T": 100,
    "schedule.end": 0.2,
    "denoiser.prediction": "noise",
    "loss.weighting": "none",
    "loss.target": "sample",
    "times.kind": "uniform",
    "sampling.name": "ddim",
}


def words(figure) -> str:
    texts = [figure.get_suptitle(), figure.get_supxlabel()]
    for ax in figure.axes:
        texts += [ax.get_title(), *(text.get_text() for text in ax.texts)]
    return "\n".join(texts)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return diffuscope.train(
        "s_curve", out=tmp_path_factory.mktemp("a") / "run", settings=TINY, pictures=False
    )


@pytest.mark.parametrize("floor", [0.5, 0.02])
def test_a_loss_curve_has_the_irreducible_loss_as_a_line_within_its_axes(floor):
    figure = plot_loss(np.arange(1, 100), 1 + 10 / np.arange(1, 100), floor)
    (ax,) = figure.axes
    line = ax.lines[-1]
    assert list(line.get_ydata()) == [floor, floor]
    low, high = ax.get_ylim()
    assert low < floor < high
    assert f"irreducible loss {floor}" in words(figure)
    assert "irreducible" not in words(plot_loss([1, 2], [3, 4]))


@pytest.mark.parametrize(("data", "prediction"), [("moons", "noise"), ("s_curve", "velocity")])
def test_the_irreducible_loss_is_that_of_the_exact_denoiser(data, prediction):
    changes = {**LINEAR, "denoiser.prediction": prediction, "training.batch_size": 256}
    setup = Setup(load_recipe("fast").changed(changes), load_dataset(data), torch.device("cpu"))
    found = POINTS.perfect_loss(setup.model, setup.data, setup.loss, setup.batches)
    codec = setup.model.codec
    floor = diffuscope.loss_floor(
        data, setup.model.denoiser.schedule, prediction, scaling=(codec.shift, codec.scale)
    )
    assert found == pytest.approx(floor.as_reported.value, rel=0.04)


def test_the_irreducible_loss_of_data_of_an_unknown_law_is_not_made_up():
    x = np.random.default_rng(0).normal(size=(300, 2))
    setup = Setup(load_recipe("fast"), load_dataset(x), torch.device("cpu"))
    assert POINTS.perfect_loss(setup.model, setup.data, setup.loss, setup.batches) is None


@pytest.mark.parametrize("changes", [{}, LINEAR, {**LINEAR, "schedule.name": "cosine", "schedule.end": None}])
def test_the_forward_walk_spends_half_of_its_frames_where_the_data_dissolves(tiny, changes):
    if "schedule.end" in changes and changes["schedule.end"] is None:
        changes = {key: value for key, value in changes.items() if key != "schedule.end"}
    figures = tiny(changes).figures
    levels, names = figures._forward_levels(20)
    schedule = figures.model.denoiser.schedule
    assert (levels.t[0].item(), levels.t[-1].item()) == (schedule.t_min, schedule.t_max)
    assert (levels.ratio.diff() > 0).all()
    assert len(names) == len(levels.t)
    spread = float(figures.encoded(figures.shown).std())
    assert 0.4 <= float((levels.ratio < 0.5 * spread).double().mean()) <= 0.6


def test_a_walk_that_is_drawn_smaller_than_it_is_says_so(run, tiny):
    for figure in (run.plot_forward(), run.plot_trajectory()):
        assert "divided by √(α² + σ²)" in words(figure)
    plain = tiny(LINEAR)
    assert "divided" not in words(plain.plot_forward())


def test_a_picture_of_samples_says_sampler_steps_seed_and_quality(run):
    assert f"{run.quality}" in words(run.plot_samples())
    assert "dpmpp_2m, 4 steps, seed 0" in words(run.plot_samples())
    other = words(run.plot_samples(50, sampler="ddim", steps=7, seed=3, eta=0.5))
    assert "ddim, 7 steps, seed 3, eta = 0.5" in other
    assert "floor" not in other  # which is that of other samples


@pytest.mark.parametrize("width", [1.0, 30.0])
def test_a_row_whose_samples_are_far_from_the_data_shows_them_whole(width):
    random = np.random.default_rng(0)
    data = random.normal(size=(2000, 2))
    states = [State(width * random.normal(size=(2000, 2)), f"{i}", i / 9) for i in range(10)]
    figure = plot_walk_rows([("epoch 0", states)], reference=data)
    ax = figure.axes[-1]
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    x, y = states[-1].x.T
    assert np.mean((x > left) & (x < right) & (y > low) & (y < high)) > 0.98
    frames = [
        patch for patch in ax.patches if patch.get_width() == pytest.approx(np.ptp(data[:, 0]), rel=0.2)
    ]
    assert len(frames) == (width > 2)  # around the data, where the axes are wider


def test_pictures_of_data_and_forward_walk_do_not_wait_for_the_training(tiny, monkeypatch, little):
    train = Trainer.run

    def look(trainer):
        folder = trainer.checkpoints.folder.parent
        first = [
            folder / "figures" / "dataset.png",
            folder / "figures" / "forward.png",
            folder / "forward.gif",
        ]
        for _ in range(600):
            if all(path.is_file() for path in first):
                break
            time.sleep(0.05)
        else:
            raise AssertionError("waited in vain")
        train(trainer)

    monkeypatch.setattr(Trainer, "run", look)
    tiny({"pictures.forward_frames": 2}, pictures=True)
