"""Are the networks of images what their files say?"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from diffuscope.errors import InputError
from diffuscope.networks import AnnotatedUNet, DiT, UNet
from diffuscope.networks.blocks import LinearAttention, PixelUp, ResNetBlock, SelfAttention
from diffuscope.networks.embeddings import Sinusoids
from diffuscope.recipes import load_recipe


def images(n: int, *shape: int) -> Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(1))


def awake(network: nn.Module) -> nn.Module:
    """With no layer that is zero."""
    torch.manual_seed(2)
    for p in network.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.1)
    return network.eval()


def small(shape=(1, 8, 8), **settings) -> UNet:
    torch.manual_seed(0)
    return UNet(shape, **{"width": 8, "multipliers": (1, 2), "blocks": 1, "head_width": 8, **settings})


def test_an_untrained_unet_says_nothing():
    assert not small()(images(3, 1, 8, 8), torch.zeros(3)).any()


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 28, 28), {"multipliers": (1, 1, 2, 2)}),
        ((3, 17, 31), {"patch": 2}),
        ((1, 1, 1), {"multipliers": (1, 2, 2)}),
        ((2, 8, 8), {"resampling": "pixel", "block": "convnext"}),
        ((1, 8, 8), {"attention": (8, 4), "linear_attention": (8,), "blocks": 2}),
    ],
)
def test_images_of_any_size_come_back_as_large_as_they_went_in(shape, settings):
    network = awake(small(shape, **settings))
    answer = network(images(2, *shape), torch.tensor([-3.0, 4.0]))
    assert answer.shape == (2, *shape)
    assert answer.isfinite().all()
    assert answer.any()


def test_what_is_beside_an_image_that_is_padded_cannot_be_seen_in_it():
    network = awake(small((1, 7, 7)))
    inner = images(1, 1, 7, 7)
    whole = functional.pad(inner, network.padded.sides)
    assert torch.equal(network.padded(inner), whole)
    assert torch.equal(network.padded.back(whole), inner)


def test_the_level_is_told_and_one_level_for_all_is_that_level_for_each():
    network, x = awake(small()), images(3, 1, 8, 8)
    low, high = (network(x, torch.full((3,), level)) for level in (-4.0, 4.0))
    assert (low != high).any()
    torch.testing.assert_close(network(x, torch.tensor(-4.0).expand(3)), low)


def test_no_label_is_the_null_class_and_labels_differ():
    network, x, c = awake(small(classes=3)), images(4, 1, 8, 8), torch.zeros(4)
    nn.init.normal_(network.embedding.label.weight)
    free = network(x, c)
    assert torch.equal(free, network(x, c, torch.full((4,), 3)))
    asked = [network(x, c, torch.full((4,), label)) for label in range(3)]
    assert all((one != free).any() for one in asked)
    assert (asked[0] != asked[1]).any()
    mixed = network(x, c, torch.tensor([0, 1, 2, 3]))
    for i, one in enumerate([*asked, free]):
        torch.testing.assert_close(mixed[i], one[i])


def test_every_weight_is_learned():
    network = awake(small(classes=2, attention=(4,), linear_attention=(8,)))
    loss = network(images(4, 1, 8, 8), torch.randn(4), torch.tensor([0, 1, 2, 0])).square().mean()
    loss.backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.any(), name


def test_dropout_is_for_training_alone():
    network, x = awake(small(dropout=0.5)), images(2, 1, 8, 8)
    assert torch.equal(network(x, torch.zeros(2)), network(x, torch.zeros(2)))
    network.train()
    assert (network(x, torch.zeros(2)) != network(x, torch.zeros(2))).any()


def test_a_resnet_block_is_the_formula_of_its_docstring():
    torch.manual_seed(0)
    block = awake(ResNetBlock(8, 16, 4))
    x, e = images(2, 8, 5, 5), images(2, 4)
    h = block.conv_1(functional.silu(functional.group_norm(x, 1, block.norm_1.weight, block.norm_1.bias)))
    a, b = block.told(e).reshape(2, 2, 16, 1, 1).unbind(1)
    h = functional.group_norm(h, 2, block.norm_2.weight, block.norm_2.bias)
    expected = block.straight(x) + block.conv_2(functional.silu((1 + a) * h + b))
    torch.testing.assert_close(block(x, e), expected)


@pytest.mark.parametrize("kind", [SelfAttention, LinearAttention])
def test_attention_is_its_formula_place_by_place(kind):
    torch.manual_seed(0)
    layer = awake(kind(6, 2, 4, 1))
    x = images(1, 6, 3, 2)
    q, k, v = layer.qkv(layer.norm(x)).reshape(3, 2, 4, 6).double()  # parts, heads, width, places
    mixed = torch.zeros(2, 4, 6, dtype=torch.float64)
    for head in range(2):
        if kind is SelfAttention:
            weight = torch.softmax(q[head].T @ k[head] / math.sqrt(4), dim=1)  # places asking, places asked
            mixed[head] = v[head] @ weight.T
        else:
            context = torch.softmax(k[head], dim=1) @ v[head].T
            mixed[head] = context.T @ torch.softmax(q[head], dim=0) / math.sqrt(4)
    expected = x + layer.out(mixed.float().reshape(1, 8, 3, 2))
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_pixels_are_unfolded_without_a_checkerboard_at_the_start():
    torch.manual_seed(0)
    layer = PixelUp(4, 3)
    with torch.no_grad():
        layer.conv.bias.zero_()
    x = layer(images(1, 4, 3, 3))
    assert x.shape == (1, 3, 6, 6)
    torch.testing.assert_close(x[:, :, ::2, ::2], x[:, :, 1::2, 1::2])


def test_sinusoids_are_those_of_positions():
    found = Sinusoids(6)(torch.tensor([0.0, 3.0]))
    f = torch.tensor([1.0, 1e-2, 1e-4])
    expected = torch.cat([torch.sin(3 * f), torch.cos(3 * f)])
    torch.testing.assert_close(found[1], expected)
    assert found[0].tolist() == [0, 0, 0, 1, 1, 1]


def test_the_annotated_network_has_its_parameters():
    assert sum(p.numel() for p in AnnotatedUNet((1, 28, 28)).parameters()) == 2_996_315


def test_the_annotated_network_is_built_as_its_authors_describe_it():
    """Written down a second time from the description, with nothing but functions of torch."""
    torch.manual_seed(0)
    network = AnnotatedUNet((1, 8, 8), width=8, multipliers=(1, 2)).eval()
    w = network.state_dict()
    x, t = images(2, 1, 8, 8), torch.tensor([3, 70])

    def conv(x, name, **how):
        return functional.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), **how)

    def linear(x, name):
        return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        return functional.group_norm(x, 1, w[f"{name}.weight"], w[f"{name}.bias"])

    def block(x, e, name):
        h = conv(x, f"{name}.depthwise", padding=3, groups=x.shape[1])
        if e is not None:
            h = h + linear(functional.gelu(e), f"{name}.told.1")[:, :, None, None]
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

    rates = torch.exp(torch.arange(4) * -(math.log(10000) / 3))
    e = torch.cat([(t[:, None] * rates).sin(), (t[:, None] * rates).cos()], dim=1)
    e = linear(functional.gelu(linear(e, "time.1")), "time.3")
    h = conv(x, "input", padding=3)
    kept = []
    for i in range(2):
        h = linear_attention(
            block(block(h, e, f"down.{i}.first"), e, f"down.{i}.second"), f"down.{i}.attention"
        )
        kept.append(h)
        h = conv(h, "smaller.0", stride=2, padding=1) if i == 0 else h
    h = block(attention(block(h, e, "middle.0"), "middle.1"), e, "middle.2")
    h = torch.cat([h, kept.pop()], dim=1)
    h = linear_attention(block(block(h, e, "up.0.first"), e, "up.0.second"), "up.0.attention")
    h = functional.conv_transpose2d(h, w["larger.0.weight"], w["larger.0.bias"], stride=2, padding=1)
    expected = conv(block(h, None, "output.0"), "output.1")
    with torch.no_grad():
        torch.testing.assert_close(network(x, t), expected, rtol=1e-4, atol=1e-5)


# --- the transformer ---------------------------------------------------------------------------------------


def small_dit(shape=(1, 8, 8), **settings) -> DiT:
    torch.manual_seed(0)
    return DiT(shape, **{"width": 16, "depth": 2, "heads": 2, **settings})


def test_a_transformers_blocks_begin_as_the_identity_and_it_says_nothing():
    network = small_dit(classes=2)
    h, e = images(2, 16, 16), images(2, 16)
    assert torch.equal(network.blocks[0](h, e), h)
    assert not network(images(2, 1, 8, 8), torch.zeros(2), torch.tensor([0, 2])).any()


@pytest.mark.parametrize(("shape", "patch"), [((1, 8, 8), 2), ((3, 7, 5), 2), ((1, 9, 9), 4), ((1, 1, 1), 1)])
def test_a_transformer_gives_images_back_as_large_as_they_went_in(shape, patch):
    answer = awake(small_dit(shape, patch=patch))(images(2, *shape), torch.tensor([-3.0, 4.0]))
    assert answer.shape == (2, *shape)
    assert answer.isfinite().all()
    assert answer.any()


def test_a_transformer_knows_where_a_patch_is_and_what_class_is_asked_for():
    network = awake(small_dit(classes=2))
    x, c = images(1, 1, 8, 8), torch.zeros(1)
    turned = network(x.flip(2, 3), c).flip(2, 3)
    assert (turned - network(x, c)).abs().max() > 1e-3
    assert torch.equal(network(x, c), network(x, c, torch.tensor([2])))
    assert (network(x, c, torch.tensor([0])) != network(x, c, torch.tensor([1]))).any()
    torch.testing.assert_close(network(x.expand(3, -1, -1, -1), c.expand(3))[2], network(x, c)[0])
    with torch.no_grad():  # without its places it knows patches, not where they are
        network.places.zero_()
    swapped = torch.cat([x[:, :, :, 4:], x[:, :, :, :4]], dim=3)
    answer, other = network(x, c), network(swapped, c)
    torch.testing.assert_close(other, torch.cat([answer[:, :, :, 4:], answer[:, :, :, :4]], dim=3))


def test_every_weight_of_a_transformer_is_learned():
    network = awake(small_dit(classes=2))
    network(images(4, 1, 8, 8), torch.randn(4), torch.tensor([0, 1, 2, 0])).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network.name": "dit", "network.heads": 3}, "3 heads do not share"),
        ({"network.attention": [5]}, "are 5 high"),
        ({"network.head_width": 24}, "Heads of 24 channels"),
        ({"network.width": 0}, "width = 0"),
        ({"network.multipliers": []}, "channels"),
        ({"network.blocks": 100}, "blocks = 100"),
        ({"network.name": "annotated_unet"}, "cannot be told of classes"),
        ({"network.name": "resmlp"}, "not for images"),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_a_hint(changes, words):
    def make():
        recipe = load_recipe("digits").changed({"data.classes": ["a", "b"], **changes})
        return recipe.make_denoiser((1, 8, 8), empty=True)

    with pytest.raises(InputError) as refused:
        make()
    assert words in refused.value.what
    assert refused.value.hint


def test_points_are_not_for_a_network_of_images():
    with pytest.raises(InputError, match="not for points"):
        load_recipe("digits").make_denoiser(2)
