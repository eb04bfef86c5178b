"""Is a perceptron that is evaluated without modules the same function, with the same derivatives?"""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffuscope.networks import ArticleMLP, ResMLP

SIZES = {"dimension": st.integers(1, 5), "width": st.integers(1, 40), "classes": st.integers(0, 2)}
RESIDUAL = st.fixed_dictionaries(
    {
        **SIZES,
        "depth": st.integers(0, 4),
        "n_directions": st.integers(0, 6),
        "n_frequencies": st.integers(1, 6),
        "direction_std": st.sampled_from([0.3, 2.0]),
    }
)


class Modules(ResMLP):
    """The same network, evaluated by its modules."""


class ArticleModules(ArticleMLP):
    """The same network, evaluated by its modules."""


def random_weights(network, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.detach().copy_(
            torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5
        )
    return network.eval()


def by_modules(network, kind):
    twin = copy.deepcopy(network)
    twin.__class__ = kind
    return twin


def labels_for(network, n, labelled):
    if not network.classes:
        return ()
    return (torch.arange(n) % (network.classes + 1),) if labelled else ()


def close(found, expected, rtol=1e-6):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    scale = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * scale)


@given(RESIDUAL, st.integers(1, 70), st.integers(0, 4), st.booleans(), st.booleans(), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_residual_perceptron_is_that_of_its_modules(sizes, n, flags, one_level, labelled, seed):
    network = random_weights(ResMLP(**sizes, flags=flags), seed).double()
    modules = by_modules(network, Modules)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, sizes["dimension"] + flags, generator=generator, dtype=torch.float64)
    level = 4 * torch.randn(n, generator=generator, dtype=torch.float64)
    if one_level:
        level = level[:1].expand(n)
    label = labels_for(network, n, labelled)
    before = x.clone(), {name: w.clone() for name, w in network.state_dict().items()}
    with torch.no_grad():
        close(network(x, level, *label), modules(x, level, *label), 1e-12)
        single = network.float()(x.float(), level.float(), *label)
        close(single, modules.float()(x.float(), level.float(), *label), 5e-6)
        network.double().load_state_dict(before[1])
    assert torch.equal(x, before[0])
    assert all(torch.equal(w, before[1][name]) for name, w in network.state_dict().items())


@given(RESIDUAL, st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_its_trace_is_that_of_autograd(sizes, n, one_level, labelled, seed):
    network = random_weights(ResMLP(**sizes), seed).double()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, sizes["dimension"], generator=generator, dtype=torch.float64)
    level = 4 * torch.randn(n, generator=generator, dtype=torch.float64)
    if one_level:
        level = level[:1].expand(n)
    label = labels_for(network, n, labelled)
    output, trace = network.with_trace(x, level, *label)
    rows = torch.autograd.functional.jacobian(lambda x: network(x, level, *label), x)
    close(output, network(x, level, *label).detach(), 1e-12)
    close(trace, torch.einsum("njnj->n", rows), 1e-11)


@given(st.fixed_dictionaries(SIZES), st.integers(1, 70), st.booleans(), st.booleans(), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_the_tutorials_network_is_that_of_its_modules(sizes, n, one_step, labelled, seed):
    network = random_weights(ArticleMLP(n_steps=7, **sizes), seed).double()
    modules = by_modules(network, ArticleModules)
    x = torch.randn(n, sizes["dimension"], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    t = torch.tensor([seed % 7]).expand(n) if one_step else torch.arange(n) % 7
    label, before = labels_for(network, n, labelled), x.clone()
    with torch.no_grad():
        close(network(x, t, *label), modules(x, t, *label), 1e-12)
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", [ResMLP, ArticleMLP])
def test_modules_are_asked_where_something_has_to_go_through_them(kind):
    network = random_weights(kind(2), 0)
    x, condition = torch.randn(4, 2), torch.zeros(4, dtype=torch.int64 if kind is ArticleMLP else None)
    layer = network.output if kind is ResMLP else network.linears[-1]
    asked = []
    layer.register_forward_hook(lambda *_: asked.append(1))
    with torch.no_grad():
        network(x, condition)  # it has a hook
    assert len(asked) == 1
    network(x, condition).sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert network(x, condition).dtype == torch.bfloat16


def test_dropout_is_not_left_out_in_training():
    network = random_weights(ResMLP(2, dropout=0.5), 0).train()
    x, level = torch.ones(50, 2), torch.zeros(50)
    with torch.no_grad():
        assert network(x, level).std(0).min() > 0
        assert not torch.equal(network.eval()(x, level), network.train()(x, level))


@pytest.mark.parametrize("width", [37, 64])
def test_points_among_whole_blocks_do_not_depend_on_the_others(width):
    network = random_weights(ResMLP(2, width), 0)
    x = torch.randn(2048, 2, generator=torch.Generator().manual_seed(0))
    level = torch.ones(1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        whole = network(x, level.expand(2048))
        parts = [network(part, level.expand(len(part))) for part in x.split(256)]
    torch.set_num_threads(before)
    assert torch.equal(torch.cat(parts), whole)
