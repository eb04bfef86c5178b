"""Are the probabilities that a denoiser gives of categories those of the law?"""

from __future__ import annotations

import math

import pytest
import torch

from diffuscope.diffusion.masked import FLAGS, Choices, Mask, MaskedDenoiser, MaskedLoss
from diffuscope.diffusion.schedules import EDM
from diffuscope.networks import ResMLP

SHARES, OTHER = (0.6, 0.3, 0.1), (0.5, 0.5)


@pytest.fixture
def choices():
    """Coordinate 0 is a number; 1 to 3 are one column of categories, 4 and 5 another."""
    made = Choices(6)
    made.set([(slice(1, 4), SHARES, 1.5), (slice(4, 6), OTHER, 2.0)])
    return made


@pytest.fixture
def denoiser(choices):
    torch.manual_seed(0)
    network = ResMLP(6, width=8, depth=1, flags=FLAGS * 6)  # its answers are 0 before it is trained
    network.choices = choices
    return MaskedDenoiser(network, EDM(), "edm")


def code(first, second):
    point = torch.zeros(1, 6)
    point[0, 1:4] = 1.5 * (torch.eye(3)[first] - torch.tensor(SHARES))
    point[0, 4:] = 2.0 * (torch.eye(2)[second] - torch.tensor(OTHER))
    return point


def test_an_untrained_network_gives_the_posterior_of_independent_columns(denoiser):
    y, sigma = torch.randn(50, 6), 0.8
    found = denoiser(y, EDM()(torch.tensor(sigma)))
    for place, shares, second in ((slice(1, 4), SHARES, False), (slice(4, 6), OTHER, True)):
        points = [code(0, i) if second else code(i, 0) for i in range(len(shares))]
        far = [(y - c)[:, place].square().sum(1) / (2 * sigma**2) for c in points]
        logs = torch.tensor(shares).log() - torch.stack(far, 1)
        mean = torch.softmax(logs, 1) @ torch.cat(points)[:, place]
        assert torch.allclose(found[:, place], mean, atol=1e-5)


def test_little_noise_leaves_no_doubt_and_no_overflow(denoiser):
    x = code(2, 1)
    found = denoiser(x + 0.002 * torch.randn(20, 6), EDM()(torch.tensor(0.002)))
    assert torch.allclose(found[:, 1:], x[:, 1:].expand(20, -1), atol=1e-5)


def test_noise_alone_leaves_the_shares(denoiser):
    mask = Mask.all_noisy(torch.zeros(4, 6))
    log_p = denoiser.log_probabilities(torch.randn(4, 6), EDM()(torch.tensor(20.0)), mask)
    assert torch.allclose(log_p.exp(), torch.tensor([*SHARES, *OTHER]).expand(4, -1), atol=1e-6)


def test_codes_and_probabilities_are_each_others_inverse(choices):
    x = torch.cat([code(i % 3, i % 2) for i in range(6)])
    taken = choices.one_hot(x)
    assert torch.equal(taken.round(), taken.round().clamp(0, 1))
    assert torch.allclose(choices.means(taken.clamp_min(1e-30).log()), x[:, 1:], atol=1e-5)


def test_the_loss_of_the_law_is_one_for_each_column(denoiser, choices):
    """With nothing but noise, the cross-entropy of the shares is their entropy, over which it is taken."""
    torch.manual_seed(1)
    n = 40_000
    first, second = torch.multinomial(torch.tensor(SHARES), n, True), torch.randint(0, 2, (n,))
    codes = 1.5 * (torch.eye(3)[first] - torch.tensor(SHARES)), 2.0 * (torch.eye(2)[second] - 0.5)
    x_0 = torch.cat([torch.zeros(n, 1), *codes], 1)
    loss = MaskedLoss(weighting="edm", partial=0.0).of_columns((0, 1, 1, 1, 2, 2), choices)
    level = EDM(sigma_max=1e4)(torch.full((n,), 1e4, dtype=torch.float64))
    examples = loss.examples(denoiser, x_0, level, torch.randn(n, 6))
    examples.target[:, 0] = 0.0  # the number's part is not asked here
    assert 6 * loss.value(torch.zeros(n, 6), examples).item() == pytest.approx(2, rel=0.01)


def test_what_is_known_or_absent_costs_nothing(denoiser, choices):
    x_0 = code(0, 1).repeat(64, 1)
    x_0[:, 1:4] = math.nan
    loss = MaskedLoss(weighting="edm", partial=0.0).of_columns((0, 1, 1, 1, 2, 2), choices)
    level = EDM()(torch.full((64,), 1.0, dtype=torch.float64))
    examples = loss.examples(denoiser, x_0, level, torch.randn(64, 6))
    output = torch.zeros(64, 6)
    changed = output.clone()
    changed[:, 1:4] = torch.randn(64, 3)
    assert loss.value(output, examples) == loss.value(changed, examples)
