"""Do the networks compute the formulas that head their files?"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.predictions import PREDICTIONS, Prediction, output_coefficients
from diffuscope.diffusion.schedules import EDM, VP, NoiseLevel, linear
from diffuscope.errors import InputError
from diffuscope.networks import NETWORKS, ArticleMLP, ResMLP
from diffuscope.networks.embeddings import FourierFeatures
from diffuscope.recipes import load_recipe


def points(n: int = 9, dimension: int = 2) -> Tensor:
    return torch.randn((n, dimension), generator=torch.Generator().manual_seed(1))


def test_article_mlp_has_the_articles_parameters_under_its_names() -> None:
    shapes = {name: tuple(p.shape) for name, p in ArticleMLP(2, 100, 128).state_dict().items()}
    sizes = [2, 128, 128, 128, 2]
    expected: dict[str, tuple[int, ...]] = {}
    for i in range(4):
        expected[f"linears.{2 * i}.weight"] = (sizes[i + 1], sizes[i])
        expected[f"linears.{2 * i}.bias"] = (sizes[i + 1],)
    for i in range(3):
        expected[f"step_embeddings.{i}.weight"] = (100, 128)
    assert shapes == expected
    assert shapes == {n: tuple(p.shape) for n, p in ArticleMLP().state_dict().items()}


def test_article_mlp_adds_a_row_of_each_table_before_each_relu() -> None:
    torch.manual_seed(0)
    network = ArticleMLP(dimension=3, n_steps=7, width=5)
    w, x, t = network.state_dict(), points(4, 3), torch.tensor([0, 6, 3, 3])
    h = x
    for i in range(3):
        pre = h @ w[f"linears.{2 * i}.weight"].T + w[f"linears.{2 * i}.bias"]
        h = (pre + w[f"step_embeddings.{i}.weight"][t]).clamp_min(0)
    torch.testing.assert_close(network(x, t), h @ w["linears.6.weight"].T + w["linears.6.bias"])


def test_networks_leave_their_input_alone() -> None:
    for network, condition in ((ArticleMLP(), torch.full((9,), 3)), (ResMLP(2), torch.zeros(9))):
        x = points()
        network(x, condition)
        assert torch.equal(x, points())


def test_fourier_features_are_cosines_and_sines_of_fixed_frequencies() -> None:
    torch.manual_seed(0)
    features = FourierFeatures(4, std=2.0, dimension=3)
    c = points(5, 3)
    f = features.frequencies.tolist()  # (3, 4)
    expected = []
    for row in c.tolist():
        phases = [2 * math.pi * sum(row[i] * f[i][k] for i in range(3)) for k in range(4)]
        expected.append([g(phase) for g in (math.cos, math.sin) for phase in phases])
    torch.testing.assert_close(features(c), torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert not list(features.parameters())
    assert "frequencies" in features.state_dict()


def test_fourier_frequencies_have_the_spread_that_is_asked_for() -> None:
    torch.manual_seed(0)
    frequencies = FourierFeatures(10_000, std=0.5).frequencies
    assert frequencies.std().item() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(20_000))
    assert frequencies.mean().item() == pytest.approx(0.0, abs=5 * 0.5 / math.sqrt(10_000))


def awake(network: ResMLP) -> ResMLP:
    """With an output layer that is not zero."""
    nn.init.normal_(network.output.weight)
    nn.init.normal_(network.output.bias)
    return network


@pytest.mark.parametrize("n_directions", [0, 6])
def test_resmlp_is_the_formula_that_heads_its_file(n_directions: int) -> None:
    torch.manual_seed(0)
    network = awake(ResMLP(3, width=8, depth=2, n_directions=n_directions, n_frequencies=4))
    x, ratio = points(5, 3), torch.tensor([0.01, 0.3, 1.0, 7.0, 80.0])
    w = network.state_dict()

    def waves(c: Tensor, name: str) -> Tensor:
        phase = 2 * math.pi * c @ w[f"{name}.frequencies"]
        return torch.cat([phase.cos(), phase.sin()], 1)

    def silu(v: Tensor) -> Tensor:
        return v / (1 + (-v).exp())

    level = waves(ratio.log()[:, None] / 4, "frequencies") @ w["condition.weight"].T + w["condition.bias"]
    a, b = level[:, :8], level[:, 8:]
    shown = torch.cat([x, waves(x, "directions")], 1)
    h = (1 + a) * (shown @ w["input.weight"].T + w["input.bias"]) + b
    for i in range(2):
        h = h + silu(h) @ w[f"layers.{i}.weight"].T + w[f"layers.{i}.bias"]
    expected = silu(h) @ w["output.weight"].T + w["output.bias"]
    torch.testing.assert_close(network(x, -2 * ratio.log()), expected, rtol=1e-4, atol=1e-4)


def test_dropout_of_resmlp_is_for_training_alone_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    network = awake(ResMLP(3, width=16, depth=0, n_directions=0, dropout=0.5))
    x, log_snr = points(1, 3).expand(20_000, -1), torch.zeros(20_000)
    loose = network.train()(x, log_snr)
    sure = network.eval()(x, log_snr)
    assert (loose.std(0) > 0.1).all()
    assert (sure == sure[0]).all()
    torch.testing.assert_close(loose.mean(0), sure[0], rtol=0, atol=5 * loose.std().item() / 20_000**0.5)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(dropout: float) -> None:
    with pytest.raises(InputError, match=r"dropout = .* is not valid for the network 'resmlp'"):
        load_recipe("table").changed({"network.dropout": dropout})


def test_directions_of_resmlp_have_their_spread_in_radians() -> None:
    torch.manual_seed(0)
    network = ResMLP(2, n_directions=5_000, direction_std=1.5)
    radians = 2 * math.pi * network.directions.frequencies
    assert radians.std().item() == pytest.approx(1.5, abs=5 * 1.5 / math.sqrt(20_000))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_untrained_resmlp_is_its_preconditioning(prediction: Prediction) -> None:
    schedule = VP()
    denoiser = Denoiser(ResMLP(2), schedule, prediction, sigma_data=0.5)
    level = schedule(torch.tensor(0.4))
    skip, _ = output_coefficients(prediction, level, 0.5)
    torch.testing.assert_close(denoiser(points(), level), skip.float() * points())


def test_resmlp_is_told_the_noise_and_not_the_time_so_it_serves_every_schedule() -> None:
    torch.manual_seed(0)
    network = awake(ResMLP(2))
    denoiser = Denoiser(network, VP(), "data")
    assert denoiser.conditioning == "log_snr"
    vp = VP()(torch.tensor(0.3))
    same = NoiseLevel(torch.tensor(0.9), vp.alpha, vp.sigma)
    assert torch.equal(denoiser(points(), vp), denoiser(points(), same))
    exploding = EDM()(vp.ratio)
    torch.testing.assert_close(
        Denoiser(network, EDM(), "data").network_output(points(), exploding),
        denoiser.network_output(points(), vp),
        rtol=1e-3,
        atol=1e-3,
    )


def test_every_network_learns_which_level_it_is_asked_at() -> None:
    torch.manual_seed(0)
    for network in (ArticleMLP(), awake(ResMLP(2))):
        denoiser = Denoiser(network, linear(100))
        x = points()
        low, high = (denoiser.network_output(x, linear(100)(torch.tensor(t))) for t in (3, 80))
        assert (low - high).abs().max() > 1e-2


def test_networks_are_known_by_their_names() -> None:
    assert NETWORKS["article_mlp"] is ArticleMLP
    assert NETWORKS["resmlp"] is ResMLP


@pytest.mark.parametrize("network", [ArticleMLP(2, 10, 8), ResMLP(2, 8, 1)], ids=["article_mlp", "resmlp"])
def test_one_level_for_all_points_is_the_same_as_that_level_for_each(network):
    nn.init.normal_(list(network.parameters())[-2])
    x, t = torch.randn(5, 2), torch.tensor(3)
    torch.testing.assert_close(network(x, t.expand(5)), network(x, t.repeat(5)))
    one = torch.tensor([3])
    torch.testing.assert_close(network(x[:1], one), network(x, t.repeat(5))[:1])
