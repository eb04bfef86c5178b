"""Are mistakes named in pipelines as other people write them, on data whose law the diagnosis does not know?

A mixture in five unlike columns is the law; networks that answer by it stand in for trained ones.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import diffuscope
from diffuscope.data.affine import Scaling
from diffuscope.diagnosis.data_faults import _is_each_its_own, atoms_of, heavy_tails, lattice_of
from diffuscope.diffusion.predictions import eps_from_data, training_target
from diffuscope.diffusion.schedules import linear
from diffuscope.oracle import GaussianMixture

SCHEDULE = linear(50, 1e-4, 0.35)
BETAS = SCHEDULE.beta


_RANDOM, _SIZES = np.random.default_rng(0), [1, 2, 10, 100, 0.1]
MEANS = _RANDOM.normal(size=(4, 5)) * _SIZES
DEVIATIONS = (0.1 + 0.3 * np.abs(_RANDOM.normal(size=(4, 5)))) * _SIZES
LAW = GaussianMixture(MEANS, DEVIATIONS**2)


def rows(n: int, seed: int) -> np.ndarray:
    return LAW.draw(n, seed).numpy()


ROWS, HELD_OUT = rows(1_000, 1), rows(1_000, 2)
STANDARD = Scaling(ROWS.mean(0), ROWS.std(0))


class Exact(nn.Module):
    """A network (x, t) -> ε or v that knows the law in units of its own."""

    def __init__(self, scaling=STANDARD, predicts="noise", shift=0, law=LAW):
        super().__init__()
        self.oracle, self.predicts, self.shift = law.scaled(scaling), predicts, shift

    def forward(self, x, t):
        level, x_t = SCHEDULE((t.long() + self.shift).clamp(0, 49)), x.double()
        x_0 = self.oracle(x_t, level)
        return training_target(self.predicts, x_0, eps_from_data(x_0, x_t, level), level).to(x)


class Shaken(Exact):
    """The same, with dropout of its input."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.4)

    def forward(self, x, t):
        return super().forward(self.dropout(x), t)


class Bordered(Exact):
    """The same, beside a column of nothing but 0."""

    def forward(self, x, t):
        sigma = SCHEDULE(t.long()).sigma.reshape(-1, 1)
        return torch.cat([super().forward(x[:, :5], t), x[:, 5:] / sigma.to(x)], 1)


def diagnosed(network, data=None, scaling=STANDARD, **known):
    data = ROWS if data is None else data
    known.setdefault("held_out", HELD_OUT)
    found = diffuscope.diagnose(
        network, BETAS, data, scaling=(scaling.shift, scaling.scale), progress=False, seed=0, **known
    )
    return found.findings


def loop(network, n=1_000, seed=3, z="fresh", scaling=STANDARD):
    """Sample as a loop of one's own does."""
    generator = torch.Generator().manual_seed(seed)
    alpha_bar = (1 - BETAS).cumprod(0)
    x = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    once = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    for t in range(49, -1, -1):
        with torch.no_grad():
            eps = network(x, torch.full((n,), t))
        x = (x - BETAS[t] / (1 - alpha_bar[t]).sqrt() * eps) / (1 - BETAS[t]).sqrt()
        if t:
            noise = {
                "fresh": torch.randn(x.shape, generator=generator, dtype=x.dtype),
                "once": once,
                "eps": eps,
            }
            x = x + BETAS[t].sqrt() * noise[z]
    return x.numpy() * scaling.scale + scaling.shift


@pytest.mark.slow  # nor has one with a loop, below
def test_a_sound_pipeline_has_no_findings(quick):
    assert diagnosed(Exact()) == ()


def test_a_sound_loop_has_no_findings(quick):
    assert diagnosed(Exact(), samples=loop(Exact())) == ()


@pytest.mark.slow
def test_velocity_that_is_read_as_noise_is_named(quick):
    first = diagnosed(Exact(predicts="velocity"))[0]
    assert first.code == "prediction_type"
    assert 'prediction="velocity"' in first.fix


@pytest.mark.slow  # a schedule of another shape is named in test_findings
@pytest.mark.parametrize("shift", [5, -4])
def test_times_that_are_shifted_are_named(quick, shift):
    first = diagnosed(Exact(shift=shift))[0]
    assert first.code == "schedule_mismatch"


@pytest.mark.slow
@pytest.mark.parametrize("z", ["eps", "once"])
def test_noise_that_is_not_fresh_is_known_by_samples_alone(quick, z):
    first = diagnosed(Exact(), samples=loop(Exact(), z=z))[0]
    assert first.code == "noise_reused"
    assert first.gain > 1


@pytest.mark.slow
def test_a_sign_that_is_wrong_in_the_loop_is_known_by_samples_alone(quick):
    network = Exact()
    first = diagnosed(network, samples=loop(lambda x, t: -network(x, t)))[0]
    assert first.code == "step_coefficients"
    assert "added, not subtracted" in first.title


@pytest.mark.slow
def test_data_in_hundreds_is_named_whatever_its_network_costs(quick):
    rows = ROWS * 300 + 1000
    network = Learning()
    plain = Scaling(np.zeros(5), np.ones(5))
    trained(network, 300, 2e-3, rows=rows, scaling=plain)
    first = diagnosed(network, rows, plain, held_out=HELD_OUT * 300 + 1000)[0]
    assert first.code == "data_scale"
    assert first.title == "The data is not scaled"


@pytest.mark.slow
def test_one_deviation_for_unlike_columns_is_named_before_all_else():
    one = Scaling(np.full(5, ROWS.mean()), np.full(5, ROWS.std()))
    first = diagnosed(Exact(one), scaling=one)[0]
    assert first.code == "data_scale"
    assert "each column" in first.fix


@pytest.mark.slow
def test_a_row_that_is_far_out_is_named_with_its_column(quick):
    spoilt = ROWS.copy()
    spoilt[77, 2] = 1e5
    scaling = Scaling(spoilt.mean(0), spoilt.std(0))
    first = diagnosed(Exact(scaling), spoilt, scaling)[0]
    assert first.code == "outliers"
    assert "77" in first.title
    assert "column 3" in first.title


def test_a_group_that_was_lost_before_training_is_seen_in_the_held_out_rows(quick):
    near = (((ROWS[:, None] - MEANS) / STANDARD.scale) ** 2).sum(2).argmin(1)
    kept = ROWS[near != 1]
    first = diagnosed(Exact(), kept)[0]
    assert first.code == "data_shift"


@pytest.mark.slow
def test_a_group_that_only_the_loop_of_the_training_lost_is_named_by_its_columns(quick):
    rest = GaussianMixture(MEANS[1:], DEVIATIONS[1:] ** 2)
    first = diagnosed(Exact(law=rest))[0]
    assert first.code == "left_out"
    assert first.gain > 1
    share, of_samples = (float(n) for n in re.findall(r"([\d.]+)%", first.evidence)[:2])
    assert share > 15 > 5 > of_samples
    assert "column" in first.title


class Learning(nn.Module):
    """A network of a width."""

    def __init__(self, width: int = 64):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.time = nn.Linear(5, width), nn.Embedding(50, width)
        self.rest = nn.Sequential(
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 5),
        )

    def forward(self, x, t):
        return self.rest(self.first(x) + self.time(t.long()))


def trained(network, steps, rate, once=False, rows=ROWS, scaling=STANDARD):
    """Train as a loop of one's own does; return its losses."""
    generator = torch.Generator().manual_seed(0)
    x = scaling.encode(rows)
    optimizer, losses = torch.optim.Adam(network.parameters(), rate), []
    eps, t = torch.randn(256, 5, generator=generator), torch.randint(50, (256,), generator=generator)
    for step in range(steps):
        part = torch.randint(len(x), (256,), generator=generator)
        if not once:
            eps, t = torch.randn(256, 5, generator=generator), torch.randint(50, (256,), generator=generator)
        else:
            part = torch.arange(256)
        level = SCHEDULE(t)
        x_t = level.alpha[:, None].float() * x[part] + level.sigma[:, None].float() * eps
        loss = (network(x_t, t) - eps).square().mean()
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, 2 * (1 - step / steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
def test_a_training_of_few_steps_is_not_done(quick):
    network = Learning()
    losses = trained(network, 60, 2e-3)
    first = diagnosed(network, losses=losses, learning_rate=2e-3, trained_steps=60)[0]
    assert first.code in ("undertrained", "learning_rate_low")
    assert first.gain > 1


@pytest.mark.parametrize("steps", [0, pytest.param(60, marks=pytest.mark.slow)])
def test_only_a_network_that_was_never_trained_is_said_to_be_none(quick, steps):
    network = Learning()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for layer in (network.first, network.time, *network.rest[1::2]):
            layer.reset_parameters()
    if steps:
        trained(network, steps, 2e-3)
    assert (diagnosed(network)[0].code == "untrained") == (steps == 0)


@pytest.mark.slow
@pytest.mark.parametrize("trains", [False, True])
def test_only_a_network_that_was_passed_in_training_mode_is_said_to_be(quick, trains):
    network = Shaken().train(trains)
    codes = [finding.code for finding in diagnosed(network)]
    assert codes[:1] == (["training_mode"] if trains else [])
    assert network.training == trains  # as it was given


@pytest.mark.slow
def test_copies_of_few_rows_are_named_and_values_of_a_lattice_are_none(quick):
    copies = ROWS[np.random.default_rng(3).integers(30, size=len(ROWS))]
    first = diagnosed(Exact(), copies)[0]
    assert first.code == "duplicates"
    assert first.gain > 0.2  # that of the shift, which is not named beside it
    lattice = np.random.default_rng(4).integers(12, size=(1_000, 2)) * 0.5
    assert len(np.unique(lattice, axis=0)) < 150
    assert not _is_each_its_own(lattice, len(np.unique(lattice, axis=0)))


@pytest.mark.slow
def test_columns_of_one_value_are_data_as_well(quick):
    border = np.zeros((len(ROWS), 1))
    scaling = Scaling(np.append(STANDARD.shift, 0.0), np.append(STANDARD.scale, 1.0))
    found = diagnosed(
        Bordered(),
        np.hstack([ROWS, border]),
        scaling,
        held_out=np.hstack([HELD_OUT, border[: len(HELD_OUT)]]),
    )
    assert [finding.title for finding in found] == []


@pytest.mark.slow
def test_noise_that_training_drew_once_shows_in_the_reported_loss(quick):
    network = Learning()
    losses = trained(network, 600, 2e-3, once=True)
    found = diagnosed(network, losses=losses)
    assert "loss_disagrees" in [one.code for one in found]
    assert any("anew" in one.fix for one in found[:1])


@pytest.mark.slow
def test_a_network_of_few_units_is_too_small(quick):
    network = Learning(2)
    losses = trained(network, 2_000, 1e-2)
    first = diagnosed(network, losses=losses, learning_rate=1e-2, trained_steps=2_000)[0]
    assert first.code == "small_network"
    assert "The same kind of network" in first.evidence


class OfGroups(nn.Module):
    """A network (x, t, y) -> ε that knows the mean and deviation of each group, and the whole without y."""

    def __init__(self):
        super().__init__()
        means, variances = (MEANS - STANDARD.shift) / STANDARD.scale, (DEVIATIONS / STANDARD.scale) ** 2
        self.whole, self.means = Exact(), nn.Embedding.from_pretrained(torch.as_tensor(means))
        self.spread = nn.Embedding.from_pretrained(torch.as_tensor(variances))

    def forward(self, x, t, y=None):
        if y is None:
            return self.whole(x, t)
        level = SCHEDULE(t.long())
        alpha, sigma = level.alpha[:, None].to(x), level.sigma[:, None].to(x)
        mean, variance = self.means(y).to(x), self.spread(y).to(x)
        x_0 = mean + alpha * variance / (alpha**2 * variance + sigma**2) * (x - alpha * mean)
        return (x - alpha * x_0) / sigma


@pytest.mark.slow
def test_guidance_that_is_too_strong_is_known_by_its_samples(quick):
    network = OfGroups()

    def guided(x, t):
        y = torch.arange(len(x)) % 4
        free = network(x, t)
        return free + 12 * (network(x, t, y) - free)

    first = diagnosed(network, samples=loop(guided, n=2_000))[0]
    assert first.code == "guidance"


@pytest.mark.slow
def test_a_rounded_column_is_named_where_samples_are_not_rounded(quick):
    steps = np.array([0.5, 1, 5, 50, 0.05])
    rounded = np.round(ROWS / steps) * steps
    first = diagnosed(Exact(), rounded, held_out=np.round(HELD_OUT / steps) * steps)[0]
    assert first.code == "rounded"
    assert "multiples of 0.5" in first.title


@pytest.mark.slow
def test_samples_of_a_rounded_table_that_differ_otherwise_too_are_compared_as_rounded(quick):
    steps = np.array([0.5, 1, 5, 50, 0.05])
    rounded, held_out = (np.round(rows / steps) * steps for rows in (ROWS, HELD_OUT))
    narrow = GaussianMixture(MEANS, 0.45 * DEVIATIONS**2)
    found = diagnosed(Exact(law=narrow), rounded, held_out=held_out)
    assert [one.code for one in found] == ["differs"]


def test_whole_numbers_and_amounts_that_are_often_zero_are_no_fault():
    random = np.random.default_rng(0)
    x = random.normal(size=(2_000, 4))
    x[:, 0], x[:, 1], x[:, 2] = np.round(3 * x[:, 0]), x[:, 1] > 0.3, np.maximum(0, x[:, 2])
    lattice = lattice_of(SimpleNamespace(data=SimpleNamespace(x=x)))
    assert [j for j, *_ in lattice.columns] == [0, 1]
    assert lattice.is_whole
    assert atoms_of(x).tolist() == [False, False, True, False]
    halves = SimpleNamespace(data=SimpleNamespace(x=np.round(2 * x) / 2))
    assert not lattice_of(halves).is_whole


def test_heavy_tails_are_named_by_their_column():
    x = np.random.default_rng(0).standard_t(1, (2_000, 2)) * [1, 0] + np.random.default_rng(1).normal(
        size=(2_000, 2)
    )
    found = heavy_tails(SimpleNamespace(probe=True, data=SimpleNamespace(x=x, columns=["income", "age"])))
    assert found.code == "heavy_tails"
    assert "'income'" in found.title


def test_pixels_that_are_dark_nearly_always_are_no_heavy_tails():
    digits = load_digits().data
    assert heavy_tails(SimpleNamespace(probe=True, data=SimpleNamespace(x=digits, columns=None))) is None


@pytest.mark.parametrize("kind", ["normal", "exponential", "uniform", "laplace"])
def test_usual_shapes_are_no_fault(kind):
    x = getattr(np.random.default_rng(0), kind)(size=(2_000, 3)).round(3)
    subject = SimpleNamespace(probe=True, data=SimpleNamespace(x=x, columns=None))
    assert heavy_tails(subject) is None
    assert lattice_of(subject) is None
