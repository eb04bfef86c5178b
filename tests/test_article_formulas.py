"""Are the parts, put together as the article's, the article's program?

The article's functions are written out here once more, from its text, over torch alone: the schedule, the
noising ``q_x``, the loss with antithetic times, the network, one reverse step and the whole walk. Both sides
draw from generators of the same seed in the same order, so they must agree to rounding. Double precision
shows that the formulas are the same; single precision, which the article uses, how far its rounding goes.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.samplers import DDPM, SamplingContext, prior, trajectory
from diffuscope.diffusion.schedules import linear
from diffuscope.networks import ArticleMLP

T = 100


class Tables:
    """The article's global variables."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.betas = torch.linspace(1e-5, 0.5e-2, T, dtype=dtype)
        product = torch.cumprod(1 - self.betas, 0)
        self.alphas_bar_sqrt = torch.sqrt(product)
        self.one_minus_alphas_bar_sqrt = torch.sqrt(1 - product)


class ArticleNetwork(nn.Module):
    """The article's network under the article's names."""

    def __init__(self, n_steps: int, units: int = 128) -> None:
        super().__init__()
        sizes = [(2, units), (units, units), (units, units), (units, 2)]
        layers: list[nn.Module] = []
        for inside, outside in sizes[:-1]:
            layers += [nn.Linear(inside, outside), nn.ReLU()]
        self.linears = nn.ModuleList([*layers, nn.Linear(*sizes[-1])])
        self.step_embeddings = nn.ModuleList(nn.Embedding(n_steps, units) for _ in range(3))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        for idx in range(3):
            embedded = self.step_embeddings[idx](t)
            x = self.linears[2 * idx](x)
            x += embedded
            x = self.linears[2 * idx + 1](x)
        return self.linears[-1](x)


def q_x(tables: Tables, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    return tables.alphas_bar_sqrt[t] * x_0 + tables.one_minus_alphas_bar_sqrt[t] * noise


def diffusion_loss_fn(model: nn.Module, tables: Tables, x_0: Tensor) -> Tensor:
    half = torch.randint(0, T, size=(x_0.shape[0] // 2,))
    t = torch.cat([half, T - 1 - half], dim=0).unsqueeze(-1)
    a, aml = tables.alphas_bar_sqrt[t], tables.one_minus_alphas_bar_sqrt[t]
    e = torch.randn_like(x_0)
    output = model(x_0 * a + e * aml, t.squeeze(-1))
    return (e - output).square().mean()


def p_sample(model: nn.Module, tables: Tables, x: Tensor, step: int) -> Tensor:
    t = torch.tensor([step])
    coeff = tables.betas[t] / tables.one_minus_alphas_bar_sqrt[t]
    mean = (1 / (1 - tables.betas[t]).sqrt()) * (x - coeff * model(x, t))
    return mean + tables.betas[t].sqrt() * torch.randn_like(x)


def p_sample_loop(model: nn.Module, tables: Tables, x: Tensor) -> list[Tensor]:
    states = [x]
    for i in reversed(range(T)):
        states.append(p_sample(model, tables, states[-1], i))
    return states


def both(dtype: torch.dtype) -> tuple[ArticleNetwork, Denoiser]:
    """The article's network, and ours with its weights, as a denoiser of the article's schedule."""
    torch.manual_seed(3)
    theirs = ArticleNetwork(T)
    ours = ArticleMLP(2, T, 128)
    ours.load_state_dict(theirs.state_dict())
    return theirs.to(dtype), Denoiser(ours.to(dtype), linear(T, 1e-5, 0.5e-2), "noise")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# What single precision costs: 1 - ᾱ at the first step is 1e-5, of which the article's float32 keeps two and a
# half digits.
PRECISIONS = [(torch.float64, 1e-12), (torch.float32, 3e-5)]
in_both_precisions = pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["double", "single"])


def test_schedule_is_the_articles() -> None:
    tables, schedule = Tables(torch.float64), linear(T, 1e-5, 0.5e-2)
    for ours, theirs in (
        (schedule.beta, tables.betas),
        (schedule.sqrt_alpha_bar, tables.alphas_bar_sqrt),
        (schedule.sqrt_one_minus_alpha_bar, tables.one_minus_alphas_bar_sqrt),
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_single_precision_of_the_article_loses_digits_at_the_first_step() -> None:
    exact = linear(T, 1e-5, 0.5e-2).sqrt_one_minus_alpha_bar
    error = (Tables(torch.float32).one_minus_alphas_bar_sqrt / exact - 1).abs()
    assert 1e-4 < error[0] < 2e-2
    assert error[-1] < 1e-5


def test_network_is_the_articles_given_its_weights() -> None:
    theirs, ours = both(torch.float32)
    x = torch.randn((64, 2), generator=generator(0))
    t = torch.randint(0, T, (64,), generator=generator(0))
    torch.testing.assert_close(ours.network(x, t), theirs(x, t), rtol=0, atol=1e-6)


@in_both_precisions
def test_noising_is_the_articles_q_x(dtype: torch.dtype, tolerance: float) -> None:
    x_0, noise = torch.randn((2, 200, 2), generator=generator(0), dtype=dtype)
    for step in (0, 1, 10, 50, 99):
        t = torch.tensor([step])
        ours = q_sample(x_0, linear(T, 1e-5, 0.5e-2)(t[0]), noise)
        torch.testing.assert_close(ours, q_x(Tables(dtype), x_0, t, noise), rtol=0, atol=tolerance)


def test_noising_of_single_precision_points_is_the_articles_in_double_to_six_digits() -> None:
    x_0, noise = torch.randn((2, 200, 2), generator=generator(0))
    for step in range(T):
        t = torch.tensor([step])
        exact = q_x(Tables(torch.float64), x_0.double(), t, noise.double())
        ours = q_sample(x_0, linear(T, 1e-5, 0.5e-2)(t[0]), noise)
        torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-6)


@in_both_precisions
@pytest.mark.parametrize("n", [2, 128])
def test_loss_is_the_articles(n: int, dtype: torch.dtype, tolerance: float) -> None:
    theirs, ours = both(dtype)
    x_0 = 0.1 * torch.randn((n, 2), generator=generator(0), dtype=dtype)
    torch.manual_seed(17)
    expected = diffusion_loss_fn(theirs, Tables(dtype), x_0)
    draws = generator(17)
    t = Times("antithetic").draw(ours.schedule, 1, n, draws)[0]
    eps = torch.randn(x_0.shape, generator=draws, dtype=dtype)
    loss = Loss()(ours, x_0, ours.schedule(t), eps)
    torch.testing.assert_close(loss, expected, rtol=0, atol=min(tolerance, 1e-6))


def test_gradients_of_the_loss_are_the_articles() -> None:
    theirs, ours = both(torch.float64)
    x_0 = 0.1 * torch.randn((32, 2), generator=generator(0), dtype=torch.float64)
    torch.manual_seed(17)
    diffusion_loss_fn(theirs, Tables(torch.float64), x_0).backward()
    draws = generator(17)
    t = Times("antithetic").draw(ours.schedule, 1, 32, draws)[0]
    eps = torch.randn(x_0.shape, generator=draws, dtype=torch.float64)
    Loss()(ours, x_0, ours.schedule(t), eps).backward()
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    for name, p in ours.network.named_parameters():
        torch.testing.assert_close(p.grad, expected[name], rtol=0, atol=1e-12)


@in_both_precisions
@pytest.mark.parametrize("step", [99, 50, 1, 0])
def test_one_reverse_step_is_the_articles_p_sample(step: int, dtype: torch.dtype, tolerance: float) -> None:
    """At t = 0 too, where the article, unlike Ho et al., still adds √β_0 z."""
    theirs, ours = both(dtype)
    x = torch.randn((50, 2), generator=generator(0), dtype=dtype)
    torch.manual_seed(5)
    expected = p_sample(theirs, Tables(dtype), x, step)
    way = SamplingContext(ours, ours.schedule.grid(T), generator(5), step=T - 1 - step)
    assert way.now.t == step
    with torch.no_grad():
        moved = DDPM("beta")(way, x)
    torch.testing.assert_close(moved, expected, rtol=0, atol=tolerance)


@in_both_precisions
def test_whole_walk_is_the_articles_p_sample_loop(dtype: torch.dtype, tolerance: float) -> None:
    theirs, ours = both(dtype)
    x = torch.randn((50, 2), generator=generator(0), dtype=dtype)
    torch.manual_seed(5)
    with torch.no_grad():
        expected = p_sample_loop(theirs, Tables(dtype), x)
    states = list(trajectory(ours, x, ours.schedule.grid(T), DDPM("beta"), generator(5)))
    assert len(states) == len(expected) == T + 1
    for ours_, theirs_ in zip(states, expected, strict=True):
        torch.testing.assert_close(ours_.x, theirs_, rtol=0, atol=tolerance)


def test_walk_starts_where_the_articles_does() -> None:
    """From N(0, I): our prior and its noise come from the same stream of draws."""
    grid = linear(T, 1e-5, 0.5e-2).grid(T)
    torch.manual_seed(5)
    expected = torch.randn((50, 2))
    torch.testing.assert_close(prior(grid, (50, 2), generator(5)), expected, rtol=0, atol=1e-6)
