"""Are flat weights, gradients, clipping and Adam the same as those of the separate parameters?"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from diffuscope.errors import InputError
from diffuscope.training.weights import FlatParameters


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.unused = nn.Linear(2, 2)
        self.last = nn.Linear(5, 1)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        return self.last(self.first(x).tanh()) * self.scale


@pytest.fixture
def pair():
    torch.manual_seed(0)
    net = Net()
    return net, copy.deepcopy(net), torch.randn(16, 3)


def gradients(net, loss):
    loss.backward()
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in net.parameters()]
    )


def test_gradients_are_those_of_autograd(pair):
    net, plain, x = pair
    flat = FlatParameters(net)
    flat.keep(flat.gradients(net(x).square().mean()))
    torch.testing.assert_close(flat.grad, gradients(plain, plain(x).square().mean()), rtol=0, atol=0)


def test_gradients_do_not_pile_up_and_unused_parameters_get_zero(pair):
    net, _, x = pair
    flat = FlatParameters(net)
    flat.grad.fill_(7.0)
    for _ in range(2):
        flat.keep(flat.gradients(net(x).square().mean()))
    once = flat.grad.clone()
    flat.keep(flat.gradients(net(x).square().mean()))
    assert torch.equal(flat.grad, once)
    start = net.first.weight.numel() + net.first.bias.numel() + 1  # the scale, then first, come first
    assert torch.equal(flat.grad[start : start + 6], torch.zeros(6))


@pytest.mark.parametrize("norm", [1e-3, 0.5, 1e3])
def test_clipping_is_that_of_torch(pair, norm):
    net, plain, x = pair
    flat = FlatParameters(net)
    flat.keep(flat.gradients(100 * net(x).square().mean()))
    flat.clip(norm)
    (100 * plain(x).square().mean()).backward()
    nn.utils.clip_grad_norm_(plain.parameters(), norm)
    expected = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in plain.parameters()]
    )
    torch.testing.assert_close(flat.grad, expected)


def test_parameters_are_views_of_the_vector(pair):
    net, plain, x = pair
    flat = FlatParameters(net)
    assert torch.equal(net(x), plain(x))
    with torch.no_grad():
        flat.vector.zero_()
    assert all((p == 0).all() for p in net.parameters())
    net.load_state_dict(plain.state_dict())
    expected = torch.cat([p.detach().flatten() for p in plain.parameters()])
    assert torch.equal(flat.vector.detach(), expected)


def test_steps_of_adam_are_those_on_the_separate_parameters(pair):
    net, plain, x = pair
    flat = FlatParameters(net)
    ours = torch.optim.Adam([flat.vector], lr=0.01, fused=True)
    theirs = torch.optim.Adam([p for n, p in plain.named_parameters() if "unused" not in n], lr=0.01)
    for _ in range(5):
        flat.keep(flat.gradients(net(x).square().mean()))
        ours.step()
        theirs.zero_grad()
        plain(x).square().mean().backward()
        theirs.step()
    for one, other in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_frozen_parameters_stay_out(pair):
    net, *_ = pair
    net.first.requires_grad_(False)
    flat = FlatParameters(net)
    assert flat.vector.numel() == sum(p.numel() for p in net.parameters() if p.requires_grad)


def test_mixed_types_are_refused():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(InputError, match="one floating-point type"):
        FlatParameters(net)


def test_a_network_without_parameters_is_refused():
    with pytest.raises(InputError, match="no parameters"):
        FlatParameters(nn.ReLU())
