"""Do all five readings of a network mean the same data, noise, score and velocity?"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.predictions import (
    PREDICTIONS,
    Prediction,
    convert,
    eps_from_data,
    input_scale,
    output_coefficients,
    score_from_data,
    training_target,
)
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.schedules import (
    EDM,
    VP,
    ContinuousCosine,
    Flow,
    NoiseLevel,
    Schedule,
    cosine,
    linear,
    rescale_zero_terminal_snr,
)
from diffuscope.errors import InputError

quick = settings(max_examples=60, deadline=None, derandomize=True)
predictions = st.sampled_from(PREDICTIONS)
sigma_datas = st.floats(0.1, 3.0)


@st.composite
def levels(draw: Callable[[st.SearchStrategy[float]], float]) -> NoiseLevel:
    """Any signal and noise, preserving variance or not."""
    alpha, sigma = draw(st.floats(0.05, 1.5)), draw(st.floats(0.05, 30.0))
    return NoiseLevel(*(torch.tensor(v, dtype=torch.float64) for v in (0.5, alpha, sigma)))


def points(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_0, eps = torch.randn((2, 6, 2), generator=generator, dtype=torch.float64)
    return x_0, eps


@quick
@given(levels(), predictions, sigma_datas)
def test_target_of_training_is_the_output_that_gives_the_true_data(
    level: NoiseLevel, prediction: Prediction, sigma_data: float
) -> None:
    x_0, eps = points()
    x_t = q_sample(x_0, level, eps)
    target = training_target(prediction, x_0, eps, level, sigma_data)
    skip, out = output_coefficients(prediction, level, sigma_data)
    torch.testing.assert_close((x_0 - skip * x_t) / out, target, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(skip * x_t + out * target, x_0, rtol=1e-9, atol=1e-9)


@quick
@given(levels(), predictions, predictions, predictions, sigma_datas)
def test_conversions_over_a_third_are_direct_ones(
    level: NoiseLevel, one: Prediction, two: Prediction, three: Prediction, sigma_data: float
) -> None:
    value, x_t = points(1)
    there = convert(value, x_t, level, one, two, sigma_data)
    around = convert(there, x_t, level, two, three, sigma_data)
    direct = convert(value, x_t, level, one, three, sigma_data)
    torch.testing.assert_close(around, direct, rtol=1e-7, atol=1e-6)
    back = convert(there, x_t, level, two, one, sigma_data)
    torch.testing.assert_close(back, value, rtol=1e-7, atol=1e-7)


@quick
@given(levels())
def test_data_noise_score_and_velocity_are_one_statement(level: NoiseLevel) -> None:
    x_0, eps = points(2)
    x_t = q_sample(x_0, level, eps)
    torch.testing.assert_close(eps_from_data(x_0, x_t, level), eps, rtol=1e-9, atol=1e-9)
    # the score of q(x_t | x_0) by its definition, -(x_t − α x_0) / σ²
    conditional = -(x_t - level.alpha * x_0) / level.sigma.square()
    torch.testing.assert_close(score_from_data(x_0, x_t, level), conditional, rtol=1e-9, atol=1e-9)
    velocity = level.alpha * eps - level.sigma * x_0
    assert torch.equal(training_target("noise", x_0, eps, level), eps)
    assert torch.equal(training_target("data", x_0, eps, level), x_0)
    assert torch.equal(training_target("flow", x_0, eps, level), eps - x_0)
    torch.testing.assert_close(training_target("velocity", x_0, eps, level), velocity)


def test_score_of_gaussian_data_is_the_gradient_of_its_log_density() -> None:
    """Tweedie: from E[x_0 | x_t] comes the score of the marginal N(0, α² c + σ²)."""
    level = VP()(torch.tensor(0.4))
    variance = level.alpha.square() * 0.6 + level.sigma.square()
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    score = score_from_data(level.alpha * 0.6 / variance * x, x, level)
    torch.testing.assert_close(score, -x / variance, rtol=1e-12, atol=1e-12)


@quick
@given(st.floats(0.002, 80.0), sigma_datas)
def test_edm_coefficients_are_karras_table_one(sigma: float, s: float) -> None:
    level = EDM()(torch.tensor(sigma, dtype=torch.float64))
    skip, out = output_coefficients("edm", level, s)
    assert skip.item() == pytest.approx(s**2 / (sigma**2 + s**2), rel=1e-12)
    assert out.item() == pytest.approx(sigma * s / math.sqrt(sigma**2 + s**2), rel=1e-12)
    c_in = input_scale("edm", level, s)
    assert c_in.item() == pytest.approx(1 / math.sqrt(sigma**2 + s**2), rel=1e-12)


@quick
@given(levels(), sigma_datas)
def test_edm_network_sees_and_answers_in_unit_variance(level: NoiseLevel, s: float) -> None:
    """For data of standard deviation s and any α, Var(c_in x_t) = Var(F*) = 1 (Karras et al., B.6)."""
    a, b = level.alpha, level.sigma
    assert (input_scale("edm", level, s).square() * (a**2 * s**2 + b**2)).item() == pytest.approx(1)
    one, zero = torch.ones((1, 1), dtype=torch.float64), torch.zeros((1, 1), dtype=torch.float64)
    of_data = training_target("edm", one, zero, level, s).item()
    of_noise = training_target("edm", zero, one, level, s).item()
    assert (of_data * s) ** 2 + of_noise**2 == pytest.approx(1)


@quick
@given(levels(), sigma_datas)
def test_edm_skip_is_the_best_linear_estimate(level: NoiseLevel, s: float) -> None:
    """So that an answer of zero is already the optimum for Gaussian data, and the error is c_out²."""
    skip, out = output_coefficients("edm", level, s)
    variance = level.alpha**2 * s**2 + level.sigma**2
    assert skip.item() == pytest.approx((level.alpha * s**2 / variance).item())
    error = (1 - skip * level.alpha) ** 2 * s**2 + skip**2 * level.sigma**2
    assert out.square().item() == pytest.approx(error.item(), rel=1e-9)


@pytest.mark.parametrize("prediction", [p for p in PREDICTIONS if p != "edm"])
def test_only_edm_scales_its_input(prediction: Prediction) -> None:
    assert (input_scale(prediction, linear(10)(torch.arange(10))) == 1).all()


def test_edm_target_keeps_its_digits_at_small_noise() -> None:
    x_0, eps = points()
    level = EDM(sigma_min=1e-9)(torch.tensor(1e-8, dtype=torch.float64))
    expected = (1e-8 / 0.5 * x_0 - 0.5 * eps) / math.sqrt(0.25 + 1e-16)
    torch.testing.assert_close(training_target("edm", x_0, eps, level, 0.5), expected, rtol=1e-12, atol=0)


# The Denoiser


class Recorder(nn.Module):
    """A network that keeps what it is told and answers with a nonlinear function of it."""

    def __init__(self, conditioning: str | None = None) -> None:
        super().__init__()
        if conditioning:
            self.conditioning = conditioning
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        self.seen.append((x, condition))
        return torch.sin(x + condition.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)) / 10)


SCHEDULES: dict[str, Schedule] = {"linear": linear(100), "edm": EDM(), "flow": Flow(t_max=0.99)}


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_denoiser_reads_its_network_as_the_prediction_says(prediction: Prediction, name: str) -> None:
    schedule = SCHEDULES[name]
    denoiser = Denoiser(Recorder(), schedule, prediction, sigma_data=0.7)
    _, x_t = points(3)
    level = schedule(torch.tensor(int(0.5 * schedule.t_max) or 0.5))
    output = denoiser.network_output(x_t, level)
    skip, out = output_coefficients(prediction, level, 0.7)
    torch.testing.assert_close(denoiser(x_t, level), skip * x_t + out * output, rtol=1e-9, atol=1e-9)


def test_network_of_edm_sees_scaled_input() -> None:
    network = Recorder()
    _, x_t = points(3)
    level = EDM()(torch.tensor(2.0))
    Denoiser(network, EDM(), "edm", sigma_data=0.5)(x_t, level)
    torch.testing.assert_close(network.seen[0][0], x_t / math.sqrt(4.25))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("shape", [(4, 2), (4, 1, 3, 3)])
def test_levels_of_each_row_are_levels_of_one_row(prediction: Prediction, shape: tuple[int, ...]) -> None:
    schedule = linear(100)
    denoiser = Denoiser(Recorder(), schedule, prediction, sigma_data=0.7)
    x_t = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([0, 13, 57, 99])
    together = denoiser(x_t, schedule(t))
    assert together.shape == shape
    for i in range(4):
        torch.testing.assert_close(together[i : i + 1], denoiser(x_t[i : i + 1], schedule(t[i])))


def test_network_is_told_integers_times_or_log_snr() -> None:
    _, x_t = points()
    x_t = x_t.float()
    told = {}
    for name, schedule, conditioning, t in (
        ("step", linear(100), None, 42),
        ("time", Flow(t_max=0.99), "time", 0.25),
        ("snr", Flow(t_max=0.99), "log_snr", 0.25),
        ("loudest", EDM(sigma_max=1e9), "log_snr", 1e9),
        ("clean", EDM(sigma_min=1e-9), "log_snr", 1e-9),
    ):
        network = Recorder()
        denoiser = Denoiser(network, schedule, "data", conditioning=conditioning)  # type: ignore[arg-type]
        denoiser(x_t, schedule(torch.tensor(t, dtype=torch.float64)))
        told[name] = network.seen[0][1]
    assert told["step"].dtype == torch.int64
    assert told["step"].tolist() == [42] * 6
    assert told["time"].dtype == torch.float32
    assert told["time"].tolist() == [0.25] * 6
    assert told["snr"].tolist() == pytest.approx([math.log(9)] * 6)
    assert told["loudest"].tolist() == [-20] * 6
    assert told["clean"].tolist() == [20] * 6


def test_network_says_itself_what_it_wants_to_be_told_unless_overruled() -> None:
    assert Denoiser(Recorder("log_snr"), linear(10)).conditioning == "log_snr"
    assert Denoiser(Recorder("log_snr"), linear(10), conditioning="time").conditioning == "time"
    assert Denoiser(Recorder(), linear(10)).conditioning == "time"


SILENT = {
    "rescaled": rescale_zero_terminal_snr(cosine(50)),
    "flow": Flow(),
    "continuous_cosine": ContinuousCosine(),
}


@pytest.mark.parametrize("name", SILENT)
def test_noise_prediction_is_refused_where_no_signal_is_left(name: str) -> None:
    with pytest.raises(InputError, match="zero terminal SNR") as caught:
        Denoiser(Recorder(), SILENT[name], "noise")
    assert "velocity" in str(caught.value)


@pytest.mark.parametrize("name", SILENT)
@pytest.mark.parametrize("prediction", [p for p in PREDICTIONS if p != "noise"])
def test_every_other_prediction_is_finite_where_no_signal_is_left(name: str, prediction: Prediction) -> None:
    schedule = SILENT[name]
    denoiser = Denoiser(Recorder("log_snr"), schedule, prediction)
    x_0, x_t = points()
    level = schedule(torch.tensor(schedule.t_max))
    assert level.alpha == 0
    for result in (denoiser(x_t, level), training_target(prediction, x_0, x_t, level)):
        assert torch.isfinite(result).all()
    torch.testing.assert_close(eps_from_data(denoiser(x_t, level), x_t, level), x_t)


def test_unknown_prediction_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'velocity'"):
        Denoiser(Recorder(), linear(10), "velocitty")  # type: ignore[arg-type]
