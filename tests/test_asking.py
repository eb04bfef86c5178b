"""Are answers at a level, and the steps of both walks, those of the formulas, in the units of the data?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import diffuscope
from diffuscope.errors import InputError
from diffuscope.oracle import GaussianMixture

from .conftest import TINY

MEAN, STD = np.array([50.0, -3.0]), np.array([8.0, 0.2])
DDIM = {"sampling.name": "ddim"}


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory):
    """A run whose denoiser is exact: of a Gaussian, in units far from the model's."""
    x = MEAN + STD * np.random.default_rng(0).normal(size=(4000, 2))
    settings = {key: value for key, value in TINY.items() if key != "data.size"}
    out = tmp_path_factory.mktemp("a") / "run"
    run = diffuscope.train(x, out=out, settings=settings, pictures=False)
    codec = run.model.codec
    scaled = GaussianMixture(
        ((MEAN - codec.shift) / codec.scale)[None], np.diag((STD / codec.scale) ** 2)[None]
    )
    exact = torch.nn.Module()
    exact.forward = lambda x_t, level, label=None: scaled(x_t, level)
    exact.network, exact.schedule = run.model.denoiser.network, run.model.denoiser.schedule
    run.model.denoiser = exact
    return run


def noisy(run, sigma, n=500):
    """Points at a level of the EDM schedule, alpha = 1, whose sigma counts in deviations of the data."""
    random = np.random.default_rng(1)
    scale = run.model.codec.scale
    return MEAN + STD * random.normal(size=(n, 2)) + sigma * scale * random.normal(size=(n, 2)), sigma * scale


@pytest.mark.parametrize("sigma", [0.05, 1.0, 8.0])
def test_denoise_and_score_are_those_of_the_law_in_the_units_of_the_data(gaussian, sigma):
    x, width = noisy(gaussian, sigma)
    total = STD**2 + width**2
    np.testing.assert_allclose(gaussian.score(x, sigma), -(x - MEAN) / total, rtol=2e-3, atol=1e-3)
    mean = MEAN + STD**2 / total * (x - MEAN)
    np.testing.assert_allclose(gaussian.denoise(x, sigma), mean, rtol=1e-4, atol=1e-3)


def test_the_score_is_the_gradient_of_the_log_density_of_noisy_points(gaussian):
    x, _ = noisy(gaussian, 0.5, 5)
    score, step = gaussian.score(x, 0.5), 1e-3
    scale = gaussian.model.codec.scale
    variance = STD**2 + (0.5 * scale) ** 2

    def log_q(points):
        return -0.5 * ((points - MEAN) ** 2 / variance).sum(axis=1)

    for j in range(2):
        by = np.zeros(2)
        by[j] = step * scale[j]
        slope = (log_q(x + by) - log_q(x - by)) / (2 * by[j])
        np.testing.assert_allclose(score[:, j], slope, rtol=5e-3, atol=1e-3)


def test_a_forward_step_adds_the_noise_of_its_level(gaussian):
    x = np.tile(MEAN, (20_000, 1))
    scale = gaussian.model.codec.scale
    once = gaussian.forward_step(x, None, 2.0)
    twice = gaussian.forward_step(gaussian.forward_step(x, None, 0.7, seed=1), 0.7, 2.0, seed=2)
    for made in (once, twice):
        np.testing.assert_allclose(made.std(axis=0), 2.0 * scale, rtol=0.02)
    assert not np.array_equal(once, twice)
    np.testing.assert_array_equal(once, gaussian.forward_step(x, None, 2.0, seed=0))


@pytest.mark.parametrize("sampler", ["ddim", "euler", "heun"])
def test_reverse_steps_one_after_the_other_are_sampling(tiny, sampler):
    run = tiny()
    states = run.trajectory(64, sampler=sampler, seed=5)
    levels = run.levels(sampler=sampler)
    assert len(levels.t) == len(states)
    x = states[0]
    for i in range(len(states) - 1):
        x = run.reverse_step(x, levels.at(i), levels.at(i + 1), sampler=sampler)
    np.testing.assert_allclose(x, states[-1], rtol=2e-3, atol=2e-3)
    with pytest.raises(InputError, match=rf"^There is no noise level 99: there are {len(states)}."):
        levels.at(99)


def test_a_level_is_a_time_of_the_schedule_or_a_level(tiny):
    discrete = {
        "schedule.name": "linear",
        "schedule.T": 20,
        "denoiser.prediction": "noise",
        "sampling.name": "ddim",
    }
    run = tiny(discrete)
    x = np.zeros((3, 2))
    level = run.model.denoiser.schedule(torch.tensor(7))
    np.testing.assert_array_equal(run.denoise(x, 7), run.denoise(x, level))
    for wrong in (20, -1, 3.5, "7", True, float("nan")):
        with pytest.raises(InputError, match=r"not a level of this run(.|\n)*whole number from 0 to 19"):
            run.denoise(x, wrong)


def test_what_does_not_fit_is_refused(tiny, gaussian):
    for x in (np.zeros(2), np.zeros((3, 3)), np.zeros((0, 2))):
        with pytest.raises(InputError, match="do not match"):
            gaussian.score(x, 1.0)
    with pytest.raises(InputError, match="leads to more noise"):
        gaussian.forward_step(np.zeros((2, 2)), 2.0, 1.0)
    with pytest.raises(InputError, match="leads to less noise"):
        gaussian.reverse_step(np.zeros((2, 2)), 1.0, 2.0)
    with pytest.raises(InputError, match="several levels"):
        gaussian.score(np.zeros((2, 2)), gaussian.levels())
    with pytest.raises(InputError, match="no score"):
        gaussian.score(np.zeros((2, 2)), gaussian.levels().at(-1))


def test_a_table_has_no_score_and_says_so(tiny):
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=90), "b": random.choice(["x", "y"], 90)})
    run = tiny({"data.refine": False}, data=frame, recipe="table")
    with pytest.raises(InputError, match="no units of the data"):
        run.score(np.zeros((2, 2)), 1.0)


def test_a_field_points_to_the_data_and_is_for_the_plane_only(gaussian, tiny):
    figure = gaussian.plot_field(1.0, 5.0)
    assert len(figure.axes) == 2
    (arrows,) = [one for one in figure.axes[0].collections if hasattr(one, "U")]
    at = np.stack([arrows.X, arrows.Y], axis=1)
    towards = MEAN - at
    inward = (np.stack([arrows.U, arrows.V], axis=1) / np.ptp(at, axis=0) ** 2 * towards).sum(axis=1)
    assert np.mean(inward > 0) > 0.95
    assert len(gaussian.plot_field().axes) == 4
    run = tiny(data=np.random.default_rng(0).normal(size=(60, 3)))
    with pytest.raises(InputError, match="points in the plane"):
        run.plot_field()


def test_initial_noise_is_what_sampling_starts_from(tiny):
    run = tiny(DDIM)
    z = np.random.default_rng(0).normal(size=(30, 2))
    one, same = run.sample(30, initial=z, seed=1), run.sample(30, initial=z, seed=2)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, run.sample(30, seed=1))
    with pytest.raises(InputError, match=r"initial has shape \(30, 2\)"):
        run.sample(31, initial=z)
    with pytest.raises(InputError, match="initial"):
        run.sample(30, noise=z)


def test_an_animation_has_the_frames_the_size_the_speed_and_the_colour_asked_for(tiny, tmp_path):
    run = tiny()
    path = run.animate(
        tmp_path / "a.gif", forward=True, frames=5, frame_ms=70, size=200, color="#00ff00", steps=9
    )
    with Image.open(path) as image:
        assert image.size == (200, 200)
        assert image.n_frames == 10  # of each walk
        assert image.info["duration"] == 70
        image.seek(9)
        pixels = np.asarray(image.convert("RGB"), dtype=int).reshape(-1, 3)
    assert ((pixels[:, 1] > 150) & (pixels[:, 0] < 120)).any()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"frames": 6}, r"has 5 frames, and 6 were asked for(.|\n)*steps=5"),
        ({"frames": 1}, "does not move"),
        ({"frames": 1_000_000}, "too long"),
        ({"color": "nocolour"}, "not a colour"),
        ({"size": 20}, "out of range"),
        ({"frame_ms": 3}, "cannot last 3 ms"),
    ],
)
def test_an_animation_that_cannot_be_is_refused(run_dir, tmp_path, options, word):
    with pytest.raises(InputError, match=word):
        diffuscope.load(run_dir).animate(tmp_path / "a.gif", **options)
    assert not (tmp_path / "a.gif").exists()


def test_the_command_line_animates_as_asked(run_dir, cli, tmp_path):
    words = ("--frames", 4, "--frame-ms", 100, "--size", 160, "--color", "teal", "--steps", 6)
    code, _, _ = cli("animate", run_dir, *words, "-o", tmp_path / "a.gif")
    assert code == 0
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.size) == (4, (160, 160))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_a_loop_of_single_steps_has_the_law_of_sampling(gaussian, sampler):
    options = {"sampler": sampler, **({"eta": 1.0} if sampler == "ddim" else {})}
    whole = gaussian.trajectory(4000, seed=1, **options)
    levels, x = gaussian.levels(**options), whole[0]
    for i in range(len(levels.t) - 1):
        x = gaussian.reverse_step(x, levels.at(i), levels.at(i + 1), **options)
    np.testing.assert_allclose(x.std(axis=0), whole[-1].std(axis=0), rtol=0.06)
    walk = np.zeros((4000, 2)) + gaussian.model.codec.shift
    before = None
    for i in reversed(range(len(levels.t) - 1)):
        walk, before = gaussian.forward_step(walk, before, levels.at(i)), levels.at(i)
    at_once = gaussian.forward_step(np.zeros((4000, 2)) + gaussian.model.codec.shift, None, levels.at(0))
    np.testing.assert_allclose(walk.std(axis=0), at_once.std(axis=0), rtol=0.06)


def test_points_may_be_tensors_with_gradients_and_levels_of_one_number(gaussian):
    x, expected = np.zeros((3, 2)), gaussian.denoise(np.zeros((3, 2)), 1.0)
    tensor = torch.zeros((3, 2), requires_grad=True)
    for points, level in ((tensor, torch.tensor(1.0)), (x, np.array(1.0)), (x.tolist(), np.float64(1))):
        np.testing.assert_array_equal(gaussian.denoise(points, level), expected)
    np.testing.assert_array_equal(
        gaussian.sample(3, initial=tensor), gaussian.sample(3, initial=np.zeros((3, 2)))
    )
    for call in (lambda: gaussian.denoise("a", 1.0), lambda: gaussian.sample(2, initial=[["a", "b"]] * 2)):
        with pytest.raises(InputError, match="no array of numbers"):
            call()
    with pytest.raises(InputError, match=r"^Some of these points are not finite\.\nGive finite"):
        gaussian.score([[0.0, np.nan]], 1.0)
    assert np.isfinite(gaussian.log_density(x, y=None)).all()


def test_a_setting_of_another_sampler_says_which(gaussian):
    with pytest.raises(InputError, match=r"^eta is no setting of the sampler (.|\n)*sampler='ddim'"):
        gaussian.sample(2, eta=0.5)
    with pytest.raises(InputError, match=r"snr = 100.0 is not valid(.|\n)*less than or equal to 1"):
        gaussian.sample(2, sampler="predictor_corrector", snr=100.0)


def test_frames_are_a_whole_number(gaussian, tmp_path):
    with pytest.raises(InputError, match=r"frames must be a whole number, not 2\.5"):
        gaussian.animate(tmp_path / "x.gif", frames=2.5)
