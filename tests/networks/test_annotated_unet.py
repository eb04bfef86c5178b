"""Is the annotated diffusion model's network the one that its authors describe?"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffuscope.errors import InputError
from diffuscope.networks import AnnotatedUNet


def images(n: int, *shape: int) -> Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(1))


def test_the_annotated_network_has_its_parameters():
    assert sum(p.numel() for p in AnnotatedUNet((1, 28, 28)).parameters()) == 2_996_315


def test_nothing_of_the_annotated_network_begins_as_if_it_were_not_there():
    weights = AnnotatedUNet((1, 8, 8), width=8).state_dict()
    assert all(tensor.any() for name, tensor in weights.items() if name.endswith("weight"))


@pytest.mark.parametrize(
    ("size", "width", "multipliers"), [(28, 28, (1, 2, 4)), (8, 8, (1, 2)), (12, 9, (1,))]
)
def test_the_annotated_network_is_built_as_its_authors_describe_it(size, width, multipliers):
    """Written down a second time from the description, with nothing but functions of torch."""
    torch.manual_seed(0)
    network = AnnotatedUNet((1, size, size), width=width, multipliers=multipliers).eval()
    w = network.state_dict()
    x, t = images(2, 1, size, size), torch.tensor([3, 70])

    def conv(x, name, **how):
        return functional.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), **how)

    def linear(x, name):
        return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        return functional.group_norm(x, 1, w[f"{name}.weight"], w[f"{name}.bias"])

    def block(x, e, name):
        h = conv(x, f"{name}.depthwise", padding=3, groups=x.shape[1])
        if e is not None:
            h = h + linear(functional.gelu(e), f"{name}.modulation.1")[:, :, None, None]
        h = functional.gelu(conv(norm(h, f"{name}.rest.0"), f"{name}.rest.1", padding=1))
        h = conv(norm(h, f"{name}.rest.3"), f"{name}.rest.5", padding=1)
        straight = f"{name}.straight"
        return h + (conv(x, straight) if f"{straight}.weight" in w else x)

    def heads(x, name):
        n, _, height, width = x.shape
        qkv = conv(norm(x, f"{name}.norm"), f"{name}.qkv").chunk(3, dim=1)
        return [part.reshape(n, 4, 32, height * width) for part in qkv]

    def linear_attention(x, name):
        q, k, v = heads(x, name)
        q, k = q.softmax(dim=2) * 32**-0.5, k.softmax(dim=3)
        context = torch.einsum("bhdn,bhen->bhde", k, v)
        out = torch.einsum("bhde,bhdn->bhen", context, q).reshape(len(x), 128, *x.shape[2:])
        return x + norm(conv(out, f"{name}.out.0"), f"{name}.out.1")

    def attention(x, name):
        q, k, v = heads(x, name)
        weight = torch.einsum("bhdi,bhdj->bhij", q * 32**-0.5, k).softmax(dim=3)
        out = torch.einsum("bhij,bhdj->bhdi", weight, v).reshape(len(x), 128, *x.shape[2:])
        return x + conv(out, f"{name}.out")

    def level(x, e, name):
        h = block(block(x, e, f"{name}.first"), e, f"{name}.second")
        return linear_attention(h, f"{name}.attention")

    half, last = width // 2, len(multipliers) - 1
    rates = torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))
    e = torch.cat([(t[:, None] * rates).sin(), (t[:, None] * rates).cos()], dim=1)
    e = linear(functional.gelu(linear(e, "time.1")), "time.3")
    h = conv(x, "input", padding=3)
    assert h.shape[1] == width // 3 * 2
    kept = []
    for i, multiplier in enumerate(multipliers):
        h = level(h, e, f"down.{i}")
        assert h.shape[1:] == (width * multiplier, size // 2**i, size // 2**i)
        kept.append(h)
        h = conv(h, f"smaller.{i}", stride=2, padding=1) if i < last else h
    h = block(attention(block(h, e, "middle.0"), "middle.1"), e, "middle.2")
    for i in range(last):
        h = level(torch.cat([h, kept.pop()], dim=1), e, f"up.{i}")
        own = (w[f"larger.{i}.weight"], w[f"larger.{i}.bias"])
        h = functional.conv_transpose2d(h, *own, stride=2, padding=1)
    expected = conv(block(h, None, "output.0"), "output.1")
    with torch.no_grad():
        torch.testing.assert_close(network(x, t), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"multipliers": ()}, "channels"),
        ({"multipliers": (1,) * 8}, "by a factor of 128"),
        ({"width": 1024, "multipliers": (16,)}, "channels"),
    ],
)
def test_an_annotated_network_that_cannot_be_is_refused_with_a_hint(changes, words):
    with pytest.raises(InputError, match=words) as refused, torch.device("meta"):
        AnnotatedUNet((1, 8, 8), **changes)
    assert refused.value.hint
