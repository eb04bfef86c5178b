"""Is a network conditioned on the known and absent coordinates, and does it estimate the others alone?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffuscope.data.points.codec import PointsCodec
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Times
from diffuscope.diffusion.masked import FLAGS, Mask, MaskedDenoiser, MaskedLoss
from diffuscope.diffusion.samplers import make_sampler, prior, trajectory
from diffuscope.diffusion.schedules import EDM
from diffuscope.errors import InputError
from diffuscope.likelihood import log_density
from diffuscope.model import Model
from diffuscope.networks import ResMLP
from diffuscope.recipes import load_recipe
from diffuscope.recipes.sections import TrainingSection
from diffuscope.training import Batches, Resident, Trainer

RHO = 0.8


def level(*sigma):
    return EDM()(torch.tensor(sigma, dtype=torch.float64))


def mask_of(value, states):
    """Make a mask from rows of states: k(nown), a(bsent), n(oisy)."""
    letters = np.array([list(row) for row in states])
    return Mask(torch.tensor(value), torch.from_numpy(letters == "k"), torch.from_numpy(letters == "a"))


@pytest.fixture
def denoiser():
    torch.manual_seed(0)
    network = ResMLP(3, width=8, depth=1, flags=FLAGS * 3)
    torch.nn.init.normal_(network.output.weight)
    return MaskedDenoiser(network, EDM(), "edm")


@pytest.fixture(scope="module")
def gaussian():
    """A model of two correlated normals, and a third column that is missing in half of the rows."""
    torch.manual_seed(0)
    x = torch.randn(4000, 3)
    x[:, 1] = RHO * x[:, 0] + math.sqrt(1 - RHO**2) * x[:, 1]
    x[:2000, 2] = math.nan
    x[2000:, 2] = -x[2000:, 0]
    schedule = EDM(0.02, 20.0)
    made = MaskedDenoiser(ResMLP(3, width=32, depth=2, n_directions=0, flags=FLAGS * 3), schedule, "edm")
    batches = Batches(Resident(x), schedule, Times("log_normal", -0.5, 1.5, True), 256, "stream", 0)
    settings = TrainingSection(
        steps=1200,
        batch_size=256,
        batches="stream",
        learning_rate=1e-2,
        warmup=0.05,
        decay="linear",
        ema_decay=0.98,
    )
    trainer = Trainer(made, batches, MaskedLoss(partial=0.5), settings)
    trainer.run()
    trainer.finish()
    return made


def draw(denoiser, mask):
    generator = torch.Generator().manual_seed(1)
    grid = denoiser.schedule.grid(20, "karras")
    x = prior(grid, tuple(mask.value.shape), generator)
    for state in trajectory(denoiser.conditioned(mask), x, grid, make_sampler("dpmpp_2m"), generator):
        last = state.x
    return last


def test_known_values_stand_in_the_input_and_in_the_answer(denoiser):
    mask = mask_of([[5.0, 6.0, 7.0]], ["kna"])
    x_t = torch.tensor([[1.0, 2.0, 3.0]])
    inputs = denoiser.network_inputs(x_t, level(1.0), mask)
    scale = 1 / math.sqrt(2)
    assert inputs[0].tolist() == pytest.approx([5, 2 * scale, 0, 1, 0, 0, 0, 0, 1])
    assert denoiser(x_t, level(1.0), mask)[0, 0] == 5
    assert torch.equal(denoiser.conditioned(mask)(x_t, level(1.0)), denoiser(x_t, level(1.0), mask))


def test_what_the_noisy_values_of_known_and_absent_coordinates_are_does_not_matter(denoiser):
    mask = mask_of([[5.0, 6.0, 7.0]] * 2, ["kna"] * 2)
    x_t = torch.tensor([[1.0, 2.0, 3.0], [9.0, 2.0, -9.0]])
    answer = denoiser(x_t, level(1.0), mask)
    assert answer[0, 1] == answer[1, 1]


def test_nothing_given_is_the_plain_denoiser(denoiser):
    x_t = torch.randn(4, 3)
    assert torch.equal(denoiser(x_t, level(2.0)), denoiser(x_t, level(2.0), Mask.all_noisy(x_t)))


def test_only_noisy_coordinates_count_and_missing_ones_are_absent(denoiser):
    x_0 = torch.randn(512, 3)
    x_0[:100, 1] = math.nan
    torch.manual_seed(3)
    loss = MaskedLoss(partial=0.5)
    examples = loss.examples(denoiser, x_0, level(*[1.0] * 512), torch.randn(512, 3))
    known, absent = examples.inputs[:, 3:6].bool(), examples.inputs[:, 6:].bool()
    assert not (known & absent).any()
    assert absent[:100, 1].all()
    assert torch.equal(examples.weight == 0, known | absent)
    assert examples.weight.mean() == pytest.approx(1)
    assert all(part.isfinite().all() for part in (examples.inputs, examples.target, examples.weight))
    output = torch.randn(512, 3)
    changed = output.masked_fill(known | absent, 1e6)
    assert torch.equal(loss.value(output, examples), loss.value(changed, examples))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_rows_is_partial(denoiser, share):
    torch.manual_seed(0)
    examples = MaskedLoss(partial=share).examples(
        denoiser, torch.randn(8000, 3), level(*[1.0] * 8000), torch.randn(8000, 3)
    )
    partial = examples.inputs[:, 3:].any(1).float().mean().item()
    assert share * 0.5 <= partial <= share + 0.02
    assert share == 0 or examples.inputs[:, 6:].any()


def test_coordinates_of_one_column_are_in_one_state(denoiser):
    examples = MaskedLoss(partial=1.0, groups=(0, 1, 1)).examples(
        denoiser, torch.randn(500, 3), level(*[1.0] * 500), torch.randn(500, 3)
    )
    states = examples.inputs[:, 3:]
    assert torch.equal(states[:, 1], states[:, 2])
    assert torch.equal(states[:, 4], states[:, 5])
    assert not torch.equal(states[:, 0], states[:, 1])


def test_guidance_amplifies_the_difference_that_knowledge_makes(denoiser):
    mask, x_t = mask_of([[5.0, 6.0, 7.0]], ["nnk"]), torch.randn(1, 3)
    guiding = torch.tensor([False, False, True])
    with_it = denoiser(x_t, level(1.0), mask)
    without = denoiser(x_t, level(1.0), mask_of([[5.0, 6.0, 7.0]], ["nna"]))
    twice = denoiser.guided(mask, guiding, 2.0)(x_t, level(1.0).at(0))
    torch.testing.assert_close(twice[:, :2], (2 * with_it - without)[:, :2])
    assert twice[0, 2] == 7
    assert torch.equal(denoiser.guided(mask, guiding, 1.0)(x_t, level(1.0).at(0)), with_it)
    assert torch.equal(denoiser.guided(mask, guiding, 2.0, low=2.0)(x_t, level(1.0).at(0)), with_it)


def test_samples_of_the_rest_have_the_conditional_law(gaussian):
    value = torch.tensor([[1.5, 0.0, 0.0]]).repeat(4000, 1)
    x = draw(gaussian, mask_of(value.tolist(), ["knn"] * 4000))
    assert (x[:, 0] == 1.5).all()
    assert x[:, 1].mean() == pytest.approx(RHO * 1.5, abs=0.15)
    assert x[:, 1].std() == pytest.approx(math.sqrt(1 - RHO**2), abs=0.06)
    assert x[:, 2].mean() == pytest.approx(-1.5, abs=0.15)  # learned from the half of the rows that has it


def test_whole_rows_have_the_joint_law(gaussian):
    x = draw(gaussian, Mask.all_noisy(torch.zeros(4000, 3)))
    assert np.corrcoef(x.T)[0, 1] == pytest.approx(RHO, abs=0.05)
    assert x.std(0).tolist() == pytest.approx([1, 1, 1], abs=0.08)


def test_the_others_density_is_that_of_their_own_law(gaussian):
    x = torch.tensor([[-1.0], [0.0], [2.0]])
    full = mask_of(torch.zeros(3, 3).tolist(), ["naa"] * 3)

    def alone(x_t, at):
        return gaussian(torch.cat([x_t, torch.zeros(len(x_t), 2)], 1), at, full)[:, :1]

    found = log_density(alone, gaussian.schedule, x).value
    truth = -0.5 * (x[:, 0].double() ** 2 + math.log(2 * math.pi))
    assert (found - truth).abs().max() < 0.12


def test_a_recipe_makes_it_and_refuses_networks_that_cannot_be_told():
    recipe = load_recipe("fast").changed({"denoiser.partial": 0.5})
    made = recipe.make_denoiser(4)
    assert isinstance(made, MaskedDenoiser)
    assert isinstance(recipe.make_loss(), MaskedLoss)
    assert made(torch.randn(5, 4), level(1.0).at(0)).shape == (5, 4)
    with pytest.raises(InputError, match="does not support masks"):
        load_recipe("article").changed({"denoiser.partial": 0.5})


def test_no_walk_leaves_the_range_of_the_data_however_wild_the_network_is():
    x = torch.randn(500, 2)
    changes = {
        "data.kind": "points",
        "data.scaling": "none",
        "denoiser.factors": 2,
        "network.n_directions": 0,
    }
    recipe = load_recipe("table").changed(changes)
    wild = recipe.make_denoiser(2)
    wild.factors.fit(x)
    torch.nn.init.normal_(wild.network.output.weight, std=20.0)
    model = Model(recipe, wild.eval(), PointsCodec(np.zeros(2), np.ones(2)))
    free = Model(recipe, Denoiser(_Plain(wild), wild.schedule, "edm"), model.codec)
    most = 1.5 * np.abs(x.numpy()).max()
    assert np.abs(model.sample(200)).max() < most
    assert not np.abs(free.sample(200)).max() < most


class _Plain(torch.nn.Module):
    """The network of a denoiser, without the clamping of estimates to the data's range."""

    def __init__(self, wild):
        super().__init__()
        self.inner, self.conditioning = wild, "log_snr"

    def forward(self, x, log_snr):
        at = self.inner.schedule(torch.exp(-log_snr / 2).double())
        mask = Mask.all_noisy(x)
        return self.inner.network(self.inner.network_inputs(x, at, mask), log_snr)
