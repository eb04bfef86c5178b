"""Is the loss the error that its name says, and are the times drawn from the law that they should have?"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.diffusion.predictions import PREDICTIONS, Prediction, eps_from_data, training_target
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.schedules import EDM, VP, Flow, Schedule, linear, rescale_zero_terminal_snr
from diffuscope.errors import InputError

SCHEDULES: dict[str, Schedule] = {
    "linear": linear(100),
    "vp": VP(),
    "edm": EDM(0.01, 20.0),
    "flow": Flow(t_max=0.98),
}
quick = settings(max_examples=60, deadline=None, derandomize=True)


class Waves(nn.Module):
    """Any answer will do: the identities hold for every network."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return torch.sin(3 * x) + 0.2


def setting(prediction: Prediction, name: str, sigma_data: float = 0.7) -> tuple[Denoiser, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_0, eps = torch.randn((2, 5, 2), generator=generator, dtype=torch.float64)
    return Denoiser(Waves(), SCHEDULES[name], prediction, sigma_data), x_0, eps


def times(name: str, u: float) -> Tensor:
    schedule = SCHEDULES[name]
    t = schedule.t_min + u * (schedule.t_max - schedule.t_min) * torch.linspace(0.2, 1, 5).double()
    return t.long() if schedule.discrete else t


predictions = st.sampled_from(PREDICTIONS)
names = st.sampled_from(sorted(SCHEDULES))


def data_error(denoiser: Denoiser, x_0: Tensor, t: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Square error of the estimate of the data, (n, d), and α, σ, (n, 1)."""
    level = denoiser.schedule(t)
    x_t = q_sample(x_0, level, eps)
    return (denoiser(x_t, level) - x_0).square(), level.alpha[:, None], level.sigma[:, None]


@quick
@given(predictions, names, st.floats(0.05, 1.0), st.floats(0.5, 20.0))
def test_min_snr_weighs_the_square_error_of_the_data(
    prediction: Prediction, name: str, u: float, gamma: float
) -> None:
    """Hang et al. 2023: min(SNR, γ) ‖x̂_0 − x_0‖², whatever the network predicts."""
    denoiser, x_0, eps = setting(prediction, name)
    t = times(name, u)
    loss = Loss(weighting="min_snr", gamma=gamma)(denoiser, x_0, denoiser.schedule(t), eps)
    error, alpha, sigma = data_error(denoiser, x_0, t, eps)
    expected = ((alpha / sigma).square().clamp_max(gamma) * error).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-8, atol=1e-12)


@quick
@given(predictions, names, st.floats(0.05, 1.0), st.floats(0.2, 2.0))
def test_edm_weighs_the_square_error_of_the_data(
    prediction: Prediction, name: str, u: float, s: float
) -> None:
    """Karras et al. 2022, Table 1, for any α: (σ² + α² s²) / (σ s)² ‖x̂_0 − x_0‖²."""
    denoiser, x_0, eps = setting(prediction, name, s)
    t = times(name, u)
    loss = Loss(weighting="edm")(denoiser, x_0, denoiser.schedule(t), eps)
    error, alpha, sigma = data_error(denoiser, x_0, t, eps)
    expected = ((sigma**2 + alpha**2 * s**2) / (sigma * s) ** 2 * error).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-8, atol=1e-12)


@quick
@given(names, st.floats(0.05, 1.0))
def test_plain_loss_of_noise_prediction_is_the_snr_times_the_error_of_the_data(name: str, u: float) -> None:
    denoiser, x_0, eps = setting("noise", name)
    t = times(name, u)
    loss = Loss()(denoiser, x_0, denoiser.schedule(t), eps)
    error, alpha, sigma = data_error(denoiser, x_0, t, eps)
    torch.testing.assert_close(loss, ((alpha / sigma).square() * error).mean(), rtol=1e-8, atol=1e-12)


def test_min_snr_of_a_large_bound_is_the_plain_loss_of_noise_prediction() -> None:
    denoiser, x_0, eps = setting("noise", "linear")
    level = denoiser.schedule(times("linear", 1.0))
    plain = Loss()(denoiser, x_0, level, eps)
    torch.testing.assert_close(Loss(weighting="min_snr", gamma=1e9)(denoiser, x_0, level, eps), plain)
    bounded = Loss(weighting="min_snr", gamma=5.0)(denoiser, x_0, level, eps)
    assert bounded < plain


def distance(name: str, delta: float = 1.0) -> float:
    denoiser, x_0, eps = setting("noise", "linear")
    level = denoiser.schedule(times("linear", 1.0))
    return Loss(name, delta=delta)(denoiser, x_0, level, eps).item()  # type: ignore[arg-type]


def test_distances_are_means_of_squares_and_of_absolute_values() -> None:
    denoiser, x_0, eps = setting("noise", "linear")
    level = denoiser.schedule(times("linear", 1.0))
    error = Waves()(q_sample(x_0, level, eps), level.t) - eps
    assert distance("l2") == pytest.approx(error.square().mean().item())
    assert distance("l1") == pytest.approx(error.abs().mean().item())


def test_huber_is_half_of_l2_with_a_large_delta_and_delta_times_l1_with_a_small_one() -> None:
    assert distance("huber", 1e3) == pytest.approx(distance("l2") / 2)
    assert distance("huber", 1e-9) / 1e-9 == pytest.approx(distance("l1"), rel=1e-6)


def test_huber_is_smooth_where_it_turns() -> None:
    loss = Loss("huber", delta=0.5)
    denoiser, x_0, eps = setting("noise", "linear")
    examples = loss.examples(denoiser, x_0, denoiser.schedule(times("linear", 1.0)), eps)
    for e, expected in ((0.5, 0.125), (0.4, 0.08), (2.0, 0.5 * (2.0 - 0.25))):
        assert loss.value(examples.target + e, examples).item() == pytest.approx(expected)


def test_weights_reach_every_distance() -> None:
    denoiser, x_0, eps = setting("data", "linear")
    level = denoiser.schedule(torch.full((5,), 50))
    weight = level.snr[0].clamp_max(5.0)
    for name in ("l1", "l2", "huber"):
        plain = Loss(name)(denoiser, x_0, level, eps)  # type: ignore[arg-type]
        weighted = Loss(name, "min_snr")(denoiser, x_0, level, eps)  # type: ignore[arg-type]
        torch.testing.assert_close(weighted, weight * plain)


def test_examples_are_cut_into_batches_without_change() -> None:
    loss = Loss(weighting="min_snr")
    denoiser, x_0, eps = setting("velocity", "linear")
    level = denoiser.schedule(times("linear", 1.0))
    whole = loss.examples(denoiser, x_0, level, eps)
    for rows in (slice(0, 2), slice(2, 5)):
        cut = loss.examples(denoiser, x_0[rows], level.at(rows), eps[rows])
        for a, b in zip(whole.at(rows), cut, strict=True):
            torch.testing.assert_close(a, b)
    assert Loss().examples(denoiser, x_0, level, eps).at(slice(0, 2)).weight is None


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 5, 5)])
@pytest.mark.parametrize("weighting", ["none", "min_snr", "edm"])
def test_losses_take_points_and_images(shape: tuple[int, ...], weighting: str) -> None:
    x = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0))
    denoiser = Denoiser(Waves(), linear(100), "velocity")
    level = linear(100)(torch.tensor([0, 10, 50, 99]))
    loss = Loss(weighting=weighting)(denoiser, x[0], level, x[1])  # type: ignore[arg-type]
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    rows = [
        Loss(weighting=weighting)(denoiser, x[0, i : i + 1], level.at(slice(i, i + 1)), x[1, i : i + 1])  # type: ignore[arg-type]
        for i in range(4)
    ]
    torch.testing.assert_close(torch.stack(rows).mean(), loss)


@pytest.mark.parametrize("prediction", [p for p in PREDICTIONS if p != "noise"])
@pytest.mark.parametrize("weighting", ["none", "min_snr", "edm"])
def test_losses_are_finite_where_no_signal_is_left(prediction: Prediction, weighting: str) -> None:
    schedule = rescale_zero_terminal_snr(linear(100))
    x = torch.randn((2, 4, 2), generator=torch.Generator().manual_seed(0))
    denoiser = Denoiser(Waves(), schedule, prediction)
    level = schedule(torch.tensor([0, 50, 98, 99]))
    assert torch.isfinite(Loss(weighting=weighting)(denoiser, x[0], level, x[1]))  # type: ignore[arg-type]


def posterior_mean(x_0: Tensor, x_t: Tensor, alpha: float, sigma: float) -> Tensor:
    """E[x_0 | x_t] if the data were the rows of ``x_0``, by Bayes' rule, for one noisy point."""
    likelihood = (-(x_t - alpha * x_0).square().flatten(1).sum(1) / (2 * sigma**2)).softmax(0)
    return (likelihood.reshape(-1, *[1] * (x_0.ndim - 1)) * x_0).sum(0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("shape", [(7, 2), (7, 1, 2, 2)])
def test_posterior_target_is_bayes_rule_within_each_group(
    prediction: Prediction, shape: tuple[int, ...]
) -> None:
    """Groups of 3, 3 and 1: what the true E[x_0 | x_t] of the group is to the prediction."""
    schedule = Flow(t_max=0.98)
    denoiser = Denoiser(Waves(), schedule, prediction, 0.7)
    x_0, eps = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = schedule(torch.linspace(0.1, 0.98, 7, dtype=torch.float64))
    examples = Loss(target="posterior", group=3).examples(denoiser, x_0, level, eps)
    plain = Loss().examples(denoiser, x_0, level, eps)
    torch.testing.assert_close(examples.inputs, plain.inputs)  # what is noised is still the point
    x_t = q_sample(x_0, level, eps)
    for i in range(7):
        group = x_0[3 * (i // 3) : 3 * (i // 3) + 3]
        at = level.at(i)
        mean = posterior_mean(group, x_t[i], at.alpha.item(), at.sigma.item())
        expected = training_target(prediction, mean, eps_from_data(mean, x_t[i], at), at, 0.7)
        torch.testing.assert_close(examples.target[i], expected, rtol=1e-8, atol=1e-8)


def test_posterior_target_is_the_point_at_no_noise_and_the_mean_of_its_group_at_no_signal() -> None:
    x_0, eps = torch.randn((2, 4, 2), generator=torch.Generator().manual_seed(0))
    quiet, silent = (
        Loss(target="posterior").examples(
            Denoiser(Waves(), Flow(), "data"), x_0, Flow()(torch.full((4,), t)), eps
        )
        for t in (1e-3, 1.0)
    )
    torch.testing.assert_close(quiet.target, x_0)
    torch.testing.assert_close(silent.target, x_0.mean(0).expand(4, 2))


# Times


def draw(kind: str, schedule: Schedule, batches: int, n: int, seed: int = 0, **own: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return Times(kind, **own).draw(schedule, batches, n, generator)  # type: ignore[arg-type]


@quick
@given(st.integers(1, 9), st.integers(1, 33), st.integers(1, 500))
def test_antithetic_times_are_t_and_its_mirror_image(batches: int, n: int, T: int) -> None:
    t = draw("antithetic", linear(T), batches, n)
    assert t.shape == (batches, n)
    half = (n + 1) // 2  # an odd batch leaves the last mirror image out
    assert torch.equal(t[:, half:], T - 1 - t[:, : n - half])
    assert ((t >= 0) & (t <= T - 1)).all()


def test_antithetic_times_of_a_continuous_schedule_mirror_between_its_ends() -> None:
    schedule = Flow(t_min=0.1, t_max=0.7)
    t = draw("antithetic", schedule, 3, 7)
    torch.testing.assert_close(t[:, 4:], 0.8 - t[:, :3])
    assert t.min() >= 0.1
    assert t.max() <= 0.7


@pytest.mark.parametrize("kind", ["uniform", "antithetic"])
def test_discrete_times_are_equally_likely(kind: str) -> None:
    n = 50_000
    counts = torch.bincount(draw(kind, linear(10), 5, n // 5).flatten(), minlength=10)
    assert len(counts) == 10
    # antithetic pairs double the variance of a count
    assert ((counts - n / 10).abs() < 5 * math.sqrt(2 * n * 0.1 * 0.9)).all()


def test_uniform_times_of_a_continuous_schedule_fill_its_range() -> None:
    t = draw("uniform", Flow(t_min=0.2, t_max=0.6), 1, 40_000).flatten()
    assert t.min() == pytest.approx(0.2, abs=1e-3)
    assert t.max() == pytest.approx(0.6, abs=1e-3)
    assert t.mean().item() == pytest.approx(0.4, abs=5 * 0.4 / math.sqrt(12 * 40_000))
    assert t.var().item() == pytest.approx(0.16 / 12, rel=0.05)


@pytest.mark.parametrize("schedule", [EDM(1e-4, 1e4), VP(t_min=1e-6)], ids=["edm", "vp"])
def test_log_normal_times_have_their_mean_and_std(schedule: Schedule) -> None:
    n = 40_000
    t = draw("log_normal", schedule, 4, n // 4, mean=-0.7, std=0.9)
    log_ratio = schedule(t.flatten()).ratio.log()
    assert log_ratio.mean().item() == pytest.approx(-0.7, abs=5 * 0.9 / math.sqrt(n))
    assert log_ratio.std().item() == pytest.approx(0.9, abs=5 * 0.9 / math.sqrt(2 * n))
    skewness = ((log_ratio + 0.7) / 0.9).pow(3).mean().item()
    assert skewness == pytest.approx(0.0, abs=5 * math.sqrt(15 / n))


def test_log_normal_times_of_a_discrete_schedule_are_its_steps() -> None:
    t = draw("log_normal", linear(100), 2, 500)
    assert t.dtype == torch.int64
    assert ((t >= 0) & (t < 100)).all()


@quick
@given(st.integers(1, 40), st.integers(0, 5))
def test_stratified_times_lie_one_in_each_stratum(n: int, seed: int) -> None:
    t = draw("log_normal", EDM(1e-9, 1e9), 3, n, seed, mean=-1.2, std=1.2, stratified=True)
    u = torch.special.ndtr((t.log() + 1.2) / 1.2)
    strata = (u * n).floor().long()
    assert torch.equal(strata.sort(1).values, torch.arange(n).expand(3, n))


@pytest.mark.parametrize("kind", ["uniform", "antithetic", "log_normal"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_same_seed_draws_the_same_times_and_another_seed_others(kind: str, name: str) -> None:
    schedule = SCHEDULES[name]
    assert torch.equal(draw(kind, schedule, 3, 8), draw(kind, schedule, 3, 8))
    assert not torch.equal(draw(kind, schedule, 3, 8), draw(kind, schedule, 3, 8, seed=1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Loss("l3"), "Known: huber, l1, l2"),  # type: ignore[arg-type]
        (lambda: Loss(weighting="minsnr"), "Did you mean 'min_snr'"),  # type: ignore[arg-type]
        (lambda: Loss(target="posteriour"), "Did you mean 'posterior'"),  # type: ignore[arg-type]
        (lambda: Times("antithetik"), "Did you mean 'antithetic'"),  # type: ignore[arg-type]
    ],
)
def test_unknown_names_are_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert says in str(caught.value)
