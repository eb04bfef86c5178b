"""Are the networks of images what their files say?"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from diffuscope.data.images.codec import PixelCodec
from diffuscope.errors import InputError
from diffuscope.model import Model
from diffuscope.networks import AnnotatedUNet, DiT, UNet
from diffuscope.networks.blocks import LinearAttention, ResNetBlock, SelfAttention, pixel_up
from diffuscope.networks.embeddings import Sinusoids
from diffuscope.networks.unet import ImageEmbedding
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


@pytest.mark.parametrize(
    ("conditioning", "levels"),
    [("time", torch.arange(1000)), ("log_snr", torch.linspace(-20.0, 20.0, 401))],
)
def test_the_embedding_tells_neighbouring_levels_apart(conditioning, levels):
    torch.manual_seed(0)
    shown = ImageEmbedding(64, 0, conditioning).level(levels / (8 if conditioning == "log_snr" else 1))
    apart = torch.cdist(shown, shown) + 9 * torch.eye(len(levels))
    assert apart.min() > 0.1


def test_labels_mean_nothing_to_a_network_without_classes():
    for network in (awake(small()), awake(AnnotatedUNet((1, 8, 8), width=8)), awake(small_dit())):
        x, c = images(2, 1, 8, 8), torch.zeros(2)
        assert torch.equal(network(x, c), network(x, c, torch.tensor([0, 7])))


@pytest.mark.parametrize("kind", [UNet, AnnotatedUNet, DiT])
def test_one_level_for_all_images_is_that_level_for_each(kind):
    torch.manual_seed(0)
    network = awake(kind((1, 8, 8), width=16))
    x, t = images(3, 1, 8, 8), torch.tensor(5)
    torch.testing.assert_close(network(x, t.expand(3)), network(x, t.repeat(3)), rtol=1e-4, atol=1e-5)
    assert (network(x, t.expand(3)) - network(x, (t + 3).expand(3))).abs().max() > 1e-4


def test_one_level_for_images_of_several_classes_is_that_level_for_each():
    for network in (awake(small(classes=3)), awake(small_dit(classes=3))):
        x, label, t = images(3, 1, 8, 8), torch.tensor([0, 3, 1]), torch.tensor(-2.0)
        torch.testing.assert_close(network(x, t.expand(3), label), network(x, t.repeat(3), label))


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
    a, b = block.modulation(e).reshape(2, 2, 16, 1, 1).unbind(1)
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
    layer = pixel_up(4, 3)
    assert layer.conv.bias.any()
    x, squares = images(1, 4, 3, 3), layer(images(1, 4, 3, 3))
    assert squares.shape == (1, 3, 6, 6)
    for down in (0, 1):
        for across in (0, 1):
            torch.testing.assert_close(squares[:, :, down::2, across::2], layer.conv(x)[:, ::4])


def test_sinusoids_are_those_of_positions():
    found = Sinusoids(6)(torch.tensor([0.0, 3.0]))
    f = torch.tensor([1.0, 1e-2, 1e-4])
    expected = torch.cat([torch.sin(3 * f), torch.cos(3 * f)])
    torch.testing.assert_close(found[1], expected)
    assert found[0].tolist() == [0, 0, 0, 1, 1, 1]


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


@pytest.mark.parametrize("embedding", [0, 12])
def test_a_transformer_is_the_formula_that_heads_its_file(embedding):
    network = awake(small_dit((2, 4, 6), depth=1, embedding=embedding))
    w, x, c = network.state_dict(), images(1, 2, 4, 6), torch.tensor([1.5])
    e = network.embedding(c, None)
    assert e.shape == (1, embedding or 16)

    def linear(h, name):
        return h @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(h):
        return (h - h.mean(1, keepdim=True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt()

    rates = torch.tensor([1.0, 10 ** (-4 / 3), 10 ** (-8 / 3), 1e-4])
    words = []
    for i in range(2):
        for j in range(3):
            word = linear(x[0, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(8), "input")
            waves = [(i * rates).sin(), (i * rates).cos(), (j * rates).sin(), (j * rates).cos()]
            words.append(word + torch.cat(waves))
    h = torch.stack(words)
    a_1, b_1, g_1, a_2, b_2, g_2 = linear(e[0], "blocks.0.modulation").reshape(6, 16)
    qkv = linear((1 + a_1) * norm(h) + b_1, "blocks.0.qkv")
    heads = []
    for head in range(2):
        q, k, v = (qkv[:, 16 * part + 8 * head : 16 * part + 8 * head + 8] for part in range(3))
        heads.append((q @ k.T / 8**0.5).softmax(dim=1) @ v)
    h = h + g_1 * linear(torch.cat(heads, dim=1), "blocks.0.out")
    inner = functional.gelu(linear((1 + a_2) * norm(h) + b_2, "blocks.0.mlp.0"))
    h = h + g_2 * linear(inner, "blocks.0.mlp.3")
    scale, shift = linear(e[0], "modulation").reshape(2, 16)
    patches = linear((1 + scale) * norm(h) + shift, "output").reshape(2, 3, 2, 2, 2)  # i, j, channel, h, w
    expected = patches.permute(2, 0, 3, 1, 4).reshape(1, 2, 4, 6)
    torch.testing.assert_close(network(x, c), expected, rtol=1e-4, atol=1e-5)


def test_dropout_of_a_transformer_is_for_training_alone():
    network, x = awake(small_dit(dropout=0.5)), images(2, 1, 8, 8)
    assert torch.equal(network(x, torch.zeros(2)), network(x, torch.zeros(2)))
    network.train()
    assert (network(x, torch.zeros(2)) != network(x, torch.zeros(2))).any()


def test_every_weight_of_a_transformer_is_learned():
    network = awake(small_dit(classes=2))
    network(images(4, 1, 8, 8), torch.randn(4), torch.tensor([0, 1, 2, 0])).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


# --- in recipes and files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network.name": "dit", "network.heads": 3}, "heads = 3"),
        ({"network.attention": [5]}, "attention at height 5"),
        ({"network.head_width": 24}, "head_width = 24"),
        ({"network.linear_attention": [5]}, "attention at height 5"),
        ({"network.width": 0}, "width = 0"),
        ({"network.multipliers": []}, "channels []"),
        ({"network.multipliers": [1] * 8}, "by a factor of 128"),
        ({"network.width": 2048, "network.multipliers": [16]}, "channels [32768]"),
        ({"network.name": "dit", "network.width": 0}, "width = 0"),
        ({"network.blocks": 100}, "blocks = 100"),
        ({"network.name": "annotated_unet"}, "does not support class conditioning"),
        ({"network.name": "resmlp"}, "does not support points of shape"),
        (
            {"network.name": "article_mlp", "schedule.name": "linear"},
            "does not support points of shape",
        ),
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


@pytest.mark.parametrize("name", ["unet", "dit", "annotated_unet"])
def test_points_are_not_for_a_network_of_images(name):
    with pytest.raises(InputError, match="does not support points of shape") as refused:
        load_recipe("digits").changed({"network.name": name}).make_denoiser(2)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("unet", {"attention": [5], "resampling": "pixel", "embedding": 24}),
        ("dit", {"heads": 2, "depth": 1, "embedding": 24}),
        ("annotated_unet", {"multipliers": [1, 2]}),
    ],
)
def test_a_network_of_images_is_the_same_after_it_was_in_a_file(tmp_path, name, settings):
    changes = {"network.name": name, "network.width": 16}
    changes |= {f"network.{key}": value for key, value in settings.items()}
    recipe = load_recipe("digits").changed(changes)
    torch.manual_seed(0)
    denoiser = recipe.make_denoiser((1, 9, 8))
    awake(denoiser.network)
    model = Model(recipe, denoiser.eval(), PixelCodec((1, 9, 8)))
    model.save(tmp_path / "first.safetensors")
    again = Model.load(tmp_path / "first.safetensors", device="cpu")
    again.save(tmp_path / "second.safetensors")
    first, second = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("first", "second"))
    assert first == second
    x, c = images(3, 1, 9, 8), torch.zeros(3)
    assert torch.equal(model.denoiser.network(x, c), again.denoiser.network(x, c))
