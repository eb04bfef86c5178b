"""Are the gradients of perceptrons, written out, those of autograd?"""

from __future__ import annotations

import pytest
import torch

from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.networks import ArticleMLP, ResMLP
from diffuscope.networks.blocks import Dropout
from diffuscope.training.perceptrons import perceptron_of
from diffuscope.training.weights import FlatParameters

NETWORKS = {
    "tutorial": lambda: ArticleMLP(3, 20, 16),
    "residual": lambda: ResMLP(3, 16, 2, 4),
    "residual, flags and dropout": lambda: ResMLP(3, 16, 3, 4, flags=5, dropout=0.3),
    "residual without features or layers": lambda: ResMLP(3, 8, 0, 0),
}


def random_weights(network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return network


def examples_for(network, n=33, weighted=False, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    flags = (
        network.input.in_features - 3 - 2 * network.directions.frequencies.shape[1]
        if hasattr(network, "input")
        else 0
    )
    whole = network.conditioning == "time"
    condition = torch.randint(0, 20, (n,), generator=generator) if whole else 3 * draw(n)
    weight = draw(n, 1).exp() if weighted else None
    return Examples(draw(n, 3 + flags), condition, draw(n, 3), weight)


def by_autograd(network, flat, loss, examples):
    value = loss.value(examples.predict(network), examples)
    return value.detach(), torch.cat([one.flatten() for one in flat.gradients(value)])


def seeded(network):
    for module in network.modules():
        if isinstance(module, Dropout):
            module.generator = torch.Generator().manual_seed(5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("distance", ["l2", "l1", "huber"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_autograd(name, distance, weighted):
    network = random_weights(NETWORKS[name]()).train()
    flat, loss = FlatParameters(network), Loss(distance)
    examples = examples_for(network, weighted=weighted and distance == "l2")
    seeded(network)
    value, expected = by_autograd(network, flat, loss, examples)
    seeded(network)
    perceptron = perceptron_of(network, flat)
    found = perceptron.differentiate(loss, examples)
    torch.testing.assert_close(found, value, rtol=1e-6, atol=0)
    scale = expected.abs().max().item()
    torch.testing.assert_close(flat.grad, expected, rtol=1e-5, atol=1e-6 * scale)
    again = perceptron.differentiate(loss, examples_for(network, n=7))  # gradients are not added up
    assert again.isfinite()
    if name == "tutorial":
        used = examples_for(network, n=7).condition
        rest = torch.ones(20, dtype=torch.bool)
        rest[used] = False
        embedding = flat.views[-1][1]
        assert not embedding[rest].any()


def test_a_network_in_double_precision_stays_in_it():
    network = random_weights(ResMLP(3, 8, 1, 2)).double()
    flat = FlatParameters(network)
    examples = examples_for(network)
    _, expected = by_autograd(network, flat, Loss(), examples)
    perceptron_of(network, flat).differentiate(Loss(), examples)
    assert flat.grad.dtype == torch.float64
    torch.testing.assert_close(flat.grad, expected, rtol=1e-5, atol=1e-7)


def test_others_are_left_to_autograd():
    class Own(ResMLP):
        pass

    def found(network):
        return perceptron_of(network, FlatParameters(network))

    assert found(torch.nn.Linear(2, 2)) is None
    assert found(Own(2)) is None
    assert found(ResMLP(2, classes=3)) is None
    assert found(ArticleMLP(classes=3)) is None
    frozen = ArticleMLP()
    frozen.linears[0].weight.requires_grad_(False)
    assert found(frozen) is None
