"""Is the floor of a loss what theory says, where theory says it, and is it between the bounds elsewhere?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import diffuscope
from diffuscope.data.affine import Scaling
from diffuscope.data.points import load_dataset
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.diffusion.schedules import (
    EDM,
    VP,
    Flow,
    Schedule,
    cosine,
    linear,
    make_schedule,
    rescale_zero_terminal_snr,
)
from diffuscope.errors import InputError
from diffuscope.monitoring.floor_bounds import Gaussian
from diffuscope.oracle import GaussianMixture, Oracle, oracle_for

LONG = linear(1000)
SHORT = cosine(40)
READINGS = ("noise", "data", "velocity", "flow")


def gaussian(d: int) -> tuple[GaussianMixture, np.ndarray]:
    """Return a Gaussian law in d dimensions, and the variances along its axes."""
    a = np.random.default_rng(d).normal(size=(d, d))
    covariance = a @ a.T / d
    return GaussianMixture(np.full((1, d), 3.0), covariance[None]), np.linalg.eigvalsh(covariance)


def closed_form(variances: np.ndarray, schedule: Schedule, t: np.ndarray, prediction: str) -> np.ndarray:
    """Return the floor of a Gaussian law: the posterior variance along each axis is vσ²/(α²v + σ²)."""
    level = schedule(torch.as_tensor(t))
    a, s = level.alpha.numpy(), level.sigma.numpy()
    error = np.mean(variances[:, None] * s**2 / (a**2 * variances[:, None] + s**2), axis=0)
    unit = {
        "noise": a**2 / s**2,
        "data": np.ones_like(a),
        "velocity": (a**2 + s**2) ** 2 / s**2,
        "flow": (a + s) ** 2 / s**2,
    }
    return error * unit[prediction]


@pytest.mark.parametrize("prediction", READINGS)
@pytest.mark.parametrize("d", [1, pytest.param(3, marks=pytest.mark.slow), 20])
def test_the_floor_of_a_gaussian_law_is_its_closed_form(d, prediction):
    law, variances = gaussian(d)
    floor = diffuscope.loss_floor(law, LONG, prediction)
    true = closed_form(variances, LONG, floor.times.astype(int), prediction)
    assert np.abs(floor.value / true - 1).max() < 0.015
    assert np.mean((floor.low <= true) & (true <= floor.high)) > 0.9
    value, low, high = floor.as_reported
    assert low < true.mean() < high
    assert high - low < 0.05 * value
    assert floor.method == "exact"


@pytest.mark.parametrize("schedule", [VP(), EDM(), Flow()], ids=["vp", "edm", "flow"])
def test_a_continuous_schedule_has_a_floor_at_the_times_that_are_drawn(schedule):
    law, variances = gaussian(3)
    for times in ("uniform", Times("log_normal", mean=0.0)):
        floor = diffuscope.loss_floor(law, schedule, "data", times=times)
        true = closed_form(variances, schedule, floor.times, "data")
        assert np.abs(floor.value / true - 1).max() < 0.03
        some = Times(times) if isinstance(times, str) else times
        drawn = some.draw(schedule, 1, 40_000, torch.Generator().manual_seed(0))[0].numpy()
        assert floor.as_reported.value == pytest.approx(
            closed_form(variances, schedule, drawn, "data").mean(), rel=0.02
        )


def test_the_floor_of_a_mixture_is_the_loss_of_its_exact_denoiser():
    means = np.random.default_rng(0).normal(size=(5, 4)) * 2
    law = GaussianMixture(means, 0.05)
    floor = diffuscope.loss_floor(law, SHORT, "velocity")
    generator = torch.Generator().manual_seed(7)
    x_0 = law.draw(40_000, seed=9)
    eps = torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
    for t in (0, 10, 25, 39):
        level = SHORT(torch.tensor(t))
        x_t = level.alpha * x_0 + level.sigma * eps
        error = (law(x_t, level) - x_0).square().mean(1) / level.sigma**2
        off = abs(error.mean().item() - floor.value[t])
        assert off < 4 * error.std().item() / 200 + floor.high[t] - floor.value[t]


def test_a_perfect_network_of_a_built_in_set_reports_the_floor():
    floor = diffuscope.loss_floor("moons", SHORT)
    oracle, losses = oracle_for("moons"), []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        x_0 = oracle.draw(2_048, seed)
        level = SHORT(torch.randint(40, (2_048,), generator=generator))
        eps = torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
        alpha, sigma = level.alpha[:, None], level.sigma[:, None]
        x_t = alpha * x_0 + sigma * eps
        answer = (x_t - alpha * oracle(x_t, level)) / sigma
        losses.append((answer - eps).square().mean().item())
    excess = floor.excess(np.mean(losses))
    chance = 3 * np.std(losses) / np.sqrt(20)
    assert excess.low - chance < 0 < excess.high + chance
    assert floor.excess(floor.as_reported.value + 0.1).low > 0.09


@pytest.mark.slow
def test_a_scaled_oracle_and_the_scaling_are_the_same():
    shift, scale = np.array([0.5, -1.0]), np.array([2.0, 0.7])
    given = diffuscope.loss_floor("moons", SHORT, scaling=(shift, scale)).as_reported
    done = diffuscope.loss_floor(oracle_for("moons").scaled(Scaling(shift, scale)), SHORT).as_reported
    assert given == pytest.approx(done)
    assert given.value != pytest.approx(diffuscope.loss_floor("moons", SHORT).as_reported.value, rel=0.05)


@pytest.mark.parametrize("loss", [Loss(weighting="min_snr", gamma=2.0), Loss(weighting="edm")])
def test_weightings_count_as_the_loss_counts_them(loss):
    law, variances = gaussian(2)
    spread = float(law.draw(20_000, 3).square().mean().sqrt())
    floor = diffuscope.loss_floor(law, SHORT, "velocity", weighting=loss)
    denoiser = Denoiser(torch.nn.Identity(), SHORT, "velocity", spread)
    t = torch.arange(40)
    examples = loss.examples(denoiser, torch.zeros(40, 2), SHORT(t), torch.zeros(40, 2))
    weight = examples.weight.numpy().ravel()
    plain = closed_form(variances, SHORT, t.numpy(), "velocity")
    assert np.abs(floor.value / (weight * plain) - 1).max() < 0.03
    mine = diffuscope.loss_floor(law, SHORT, "velocity", weighting=lambda level: level.alpha + 1)
    assert np.abs(mine.value / ((SHORT(t).alpha.numpy() + 1) * plain) - 1).max() < 0.03


def test_times_that_are_drawn_more_often_count_more():
    whole = diffuscope.loss_floor("moons", SHORT)
    late = diffuscope.loss_floor("moons", SHORT, times=np.arange(30, 40))
    assert late.as_reported.value == pytest.approx(whole.value[30:].mean(), rel=0.02)
    assert late.times.tolist() == list(range(30, 40))


@pytest.mark.parametrize("prediction", ["data", "velocity", "flow"])
def test_a_level_without_signal_has_the_variance_of_the_data_as_its_floor(prediction):
    law, variances = gaussian(2)
    schedule = rescale_zero_terminal_snr(linear(1000))
    floor = diffuscope.loss_floor(law, schedule, prediction)
    assert np.isinf(floor.ratio[-1])
    assert floor.value[-1] == pytest.approx(variances.mean(), rel=0.03)
    assert json.loads(json.dumps(floor.to_json(), allow_nan=False))["ratio"][-1] is None


# --- laws of which rows are known


LAWS: dict[str, Oracle] = {
    "moons": oracle_for("moons"),
    "eight_gaussians": oracle_for("eight_gaussians"),
    "checkerboard": oracle_for("checkerboard"),
    "a Gaussian in 5 dimensions": gaussian(5)[0],
    "a mixture in 40 dimensions": GaussianMixture(np.random.default_rng(1).normal(size=(3, 40)), 0.1),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "a Gaussian in 5 dimensions" else pytest.mark.slow)
        for name in LAWS
    ],
)
def test_the_floor_of_a_law_lies_between_the_bounds_of_its_rows(name):
    law = LAWS[name]
    true = diffuscope.loss_floor(law, SHORT)
    for n in (60, 400):
        x = law.draw(n, 11).numpy()
        floor = diffuscope.loss_floor(x, SHORT, held_out=law.draw(n, 12).numpy())
        assert floor.method == "bounds"
        assert floor.as_reported.low < true.as_reported.value < floor.as_reported.high
        assert np.mean((floor.low <= true.high) & (true.low <= floor.high)) > 0.9
        assert (floor.low <= floor.value).all()
        assert (floor.value <= floor.high).all()


@pytest.mark.slow
def test_the_upper_bound_is_seldom_missed_by_chance():
    law = LAWS["moons"]
    true = diffuscope.loss_floor(law, SHORT).as_reported.value
    reported = [diffuscope.loss_floor(law.draw(60, s).numpy(), SHORT, seed=s).as_reported for s in range(20)]
    assert sum(one.high < true for one in reported) <= 3  # 0.5 are expected
    assert sum(one.low > true for one in reported) <= 3


@pytest.mark.slow
def test_more_rows_bring_the_bounds_together_and_to_the_truth():
    law = LAWS["moons"]
    true = diffuscope.loss_floor(law, SHORT).as_reported.value
    apart = []
    for n in (60, 400, 2_500):
        _, low, high = diffuscope.loss_floor(law.draw(n, 5).numpy(), SHORT).as_reported
        apart.append(high - low)
    assert apart[0] > 2 * apart[1] > 3 * apart[2]
    assert high - low < 0.15 * true


@pytest.mark.slow
def test_a_function_that_draws_has_bounds_of_many_rows():
    def draw(n, rng):
        return rng.normal(size=(n, 1)) * 2

    true = closed_form(np.array([4.0]), SHORT, np.arange(40), "noise").mean()
    _, low, high = diffuscope.loss_floor(draw, SHORT).as_reported
    assert low < true < high
    assert high - low < 0.15 * true


def test_images_of_floats_are_bounded_and_the_text_says_so():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1, 6, 6)).cumsum(-1)
    floor = diffuscope.loss_floor(x, SHORT, "velocity")
    assert floor.method == "bounds"
    assert floor.as_reported.low < floor.as_reported.value
    assert "300 rows in 36 dimensions" in str(floor)
    assert "not known" in str(floor)


def test_constant_pixels_are_no_obstacle():
    x = np.zeros((100, 1, 4, 4))
    x[:, :, 1:3, 1:3] = np.random.default_rng(0).normal(size=(100, 1, 2, 2))
    assert np.isfinite(diffuscope.loss_floor(x, SHORT).value).all()


@pytest.mark.parametrize("d", [4, 2_000])
def test_the_gaussian_denoiser_is_the_exact_one_of_its_covariance(d):
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(d, 3, generator=generator, dtype=torch.float64))[0]
    variances, rest = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64), 0.1
    own = Gaussian(torch.full((d,), 1.0, dtype=torch.float64), axes, variances, rest)
    level = SHORT(torch.tensor(20))
    x = torch.randn(6, d, generator=generator, dtype=torch.float64)
    covariance = axes @ torch.diag(variances - rest) @ axes.T + rest * torch.eye(d, dtype=torch.float64)
    total = level.alpha**2 * covariance + level.sigma**2 * torch.eye(d, dtype=torch.float64)
    exact = 1 + level.alpha * (covariance @ torch.linalg.solve(total, (x - level.alpha).T)).T
    torch.testing.assert_close(own(x, level), exact)


# --- what comes out


def test_the_same_seed_gives_the_same_numbers():
    x = LAWS["moons"].draw(40, 0).numpy()
    first, again, other = (diffuscope.loss_floor(x, SHORT, seed=s).as_reported for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_text_html_json_and_picture_say_the_same():
    floor = diffuscope.loss_floor("moons", LONG)
    plain = json.loads(json.dumps(floor.to_json(), allow_nan=False))
    assert plain["as_reported"]["value"] == floor.as_reported.value
    assert len(plain["value"]) == 1000
    for text in (str(floor), floor._repr_html_()):
        assert f"{floor.as_reported.value:.4g}" in text
        assert "σ/α" in text
    assert max(map(len, str(floor).splitlines())) <= 110
    figure = floor.plot(losses=floor.value * 1.5)
    line, _, network = figure.axes[0].get_lines()
    assert line.get_ydata() == pytest.approx(floor.value)
    assert network.get_ydata() == pytest.approx(floor.value * 1.5)
    with pytest.raises(InputError, match="1000 levels and 3 losses"):
        floor.plot([1, 2, 3])


@pytest.mark.slow
def test_a_dataframe_of_numbers_and_a_tensor_are_as_good_as_an_array():
    x = load_dataset("moons", size=100).x
    numbers = [diffuscope.loss_floor(v, SHORT).as_reported for v in (x, torch.tensor(x), pd.DataFrame(x))]
    assert numbers[0] == numbers[1] == numbers[2]


X = np.random.default_rng(0).normal(size=(50, 2))


@pytest.mark.parametrize(
    ("given", "told", "said"),
    [
        ((X, [0.1, -0.2]), {}, "beta at step 1"),
        ((X, np.ones((3, 3))), {}, "shape"),
        ((X, "linear"), {}, "not a schedule"),
        ((X, []), {}, "shape"),
        ((None, SHORT), {}, "no data"),
        (("moooons", SHORT), {}, "moooons"),
        (("digits", SHORT), {}, "images"),
        ((X[:5], SHORT), {}, "too few"),
        ((np.zeros((50, 2)), SHORT), {}, "0 everywhere"),
        ((np.full((50, 2), np.nan), SHORT), {}, "not finite"),
        ((X.astype(complex), SHORT), {}, "numbers"),
        ((pd.DataFrame({"a": ["x", "y"] * 25, "b": range(50)}), SHORT), {}, "not numbers"),
        (([["a", "b"]] * 50, SHORT), {}, "numbers"),
        ((np.zeros((50, 3, 8, 8), np.uint8), SHORT), {}, "bytes"),
        ((X, SHORT, "eps"), {}, "prediction"),
        ((X, SHORT), {"scaling": (0, 0)}, "scale"),
        ((X, SHORT), {"scaling": 3}, "scaling"),
        ((X, SHORT), {"scaling": (np.zeros(5), 1)}, "scaling"),
        ((X, SHORT), {"weighting": "snr"}, "weighting"),
        ((X, SHORT), {"weighting": Loss("l1")}, "l1"),
        ((X, SHORT), {"weighting": lambda level: -level.alpha}, "weighting"),
        ((X, SHORT), {"weighting": np.ones(7)}, "weighting"),
        ((X, SHORT), {"times": "always"}, "times"),
        ((X, SHORT), {"times": [0.5]}, "times"),
        ((X, SHORT), {"times": [40]}, "times"),
        ((X, SHORT), {"times": object()}, "times"),
        ((X, SHORT), {"held_out": np.zeros((10, 3))}, "held-out"),
        ((X, SHORT), {"held_out": X[:20]}, "held-out rows are also"),
        ((X, SHORT), {"held_out": X[:1] + 1}, "One held-out row"),
    ],
)
def test_bad_input_is_named(given, told, said):
    with pytest.raises(InputError, match=said) as caught:
        diffuscope.loss_floor(*given, **told)
    assert caught.value.hint


@pytest.mark.parametrize("loss", [None, float("nan"), "low", torch.zeros(3)])
def test_a_loss_that_is_no_number_is_named(loss):
    floor = diffuscope.loss_floor("moons", make_schedule("linear", T=20))
    with pytest.raises(InputError, match="cannot be compared"):
        floor.excess(loss)
