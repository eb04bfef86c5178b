"""Is a network known by its answers: the quantity that it predicts, its times, its columns, its units?

Exact networks answer in every way; what they are taken for is noise at the schedule's own times.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from diffuscope.data.affine import Scaling
from diffuscope.data.points import load_dataset
from diffuscope.diagnosis.dictionary import QUANTITIES, errors_at, linear_error, places_of
from diffuscope.diagnosis.probes import widened
from diffuscope.diagnosis.readings import (
    copies_input,
    ignores_time,
    read_network,
    strange_levels,
    units_of_training,
)
from diffuscope.diagnosis.subject import Subject, Training
from diffuscope.diagnosis.training_noise import forward_of_training
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.diffusion.predictions import eps_from_data, training_target
from diffuscope.diffusion.samplers import DDPM
from diffuscope.diffusion.schedules import linear
from diffuscope.modalities.recognition import modality
from diffuscope.oracle import EmpiricalOracle


class Exact(nn.Module):
    """Answers exactly: a quantity, at the times that ``told`` makes of those it is handed."""

    def __init__(self, oracle, schedule, quantity="noise", sign=1, told=None, order=None):
        super().__init__()
        self.oracle, self.schedule, self.quantity, self.sign = oracle, schedule, quantity, sign
        self.told, self.order = told or (lambda t: t), order

    def forward(self, x, t):
        last = self.schedule.T - 1
        time = self.told(t.double()).round().clamp(0, last).long()
        level, x_t = self.schedule(time[0]), x.double()
        if self.order is not None:
            x_t = x_t[:, self.order]
        x_0 = self.oracle(x_t, level)
        eps = eps_from_data(x_0, x_t, level)
        value = {
            "score": lambda: -eps / level.sigma,
            "scaled noise": lambda: level.sigma * eps,
            "residual": lambda: x_t - x_0,
        }.get(self.quantity, lambda: training_target(self.quantity, x_0, eps, level))()
        if self.order is not None:
            value = value[:, np.argsort(self.order).tolist()]
        return (self.sign * value).to(x)


def subject_of(pipeline, network, denoiser=None, data=None, scaling=None, prediction="noise"):
    schedule, data = pipeline.schedule, data or pipeline.data
    scaling = scaling or pipeline.scaling
    denoiser = denoiser or Denoiser(network, schedule, prediction)
    flattened = modality("points").as_it_is(denoiser, scaling, data, None, seed=0)
    return Subject(
        **vars(flattened),
        schedule=schedule,
        grid=schedule.grid(schedule.T),
        sampler=DDPM(),
        start_std=1.0,
        scaling=flattened.codec,
        training=Training(Loss(), Times()),
    )


def found(subject):
    best = read_network(subject).best
    return None if best is None else best.entry


@pytest.mark.parametrize(
    ("quantity", "sign"),
    [
        *((name, 1) for name in QUANTITIES if name != "edm"),
        *(("noise", -1), ("velocity", -1)),
        *(
            pytest.param(name, -1, marks=pytest.mark.slow)
            for name in QUANTITIES
            if name not in ("edm", "noise", "velocity")
        ),
    ],
)
def test_every_quantity_is_known(perfect, quantity, sign):
    entry = found(subject_of(perfect, Exact(perfect.oracle, perfect.schedule, quantity, sign)))
    if (quantity, sign) == ("noise", 1):
        assert entry is None
    else:
        assert (entry.quantity, entry.sign, entry.time) == (quantity, sign, "t")


@pytest.mark.parametrize(
    ("told", "time"),
    [
        (lambda t: t * 40, "t / T"),  # trained with t / T
        (lambda t: t / 40, "T · t"),
        (lambda t: t * 0.04, "1000 t / T"),
        (lambda t: 39 - t, "T − 1 − t"),
        (lambda t: t / 2, "2 t"),
    ],
    ids=["fractions", "multiples", "thousandths", "reversed", "halved"],
)
@pytest.mark.parametrize("quantity", ["noise", pytest.param("velocity", marks=pytest.mark.slow)])
def test_times_are_known_by_their_rule(perfect, told, time, quantity):
    entry = found(subject_of(perfect, Exact(perfect.oracle, perfect.schedule, quantity, told=told)))
    assert (entry.quantity, entry.time) == (quantity, time)


@pytest.mark.parametrize("factor", [2.0, 0.3, (0.5, 4.0)], ids=str)
def test_a_multiple_of_the_output_is_known(perfect, factor):
    network = Exact(perfect.oracle, perfect.schedule)
    times = torch.tensor(factor)

    class Multiple(nn.Module):
        def forward(self, x, t):
            return network(x, t) * times

    reading = read_network(subject_of(perfect, Multiple())).best
    entry = reading.entry
    assert (entry.quantity, entry.sign, entry.time) == ("noise", 1, "t")
    assert entry.is_read_otherwise
    np.testing.assert_allclose(np.array(entry.factor), 1 / times.abs().numpy(), rtol=0.02)
    level, x = perfect.schedule(torch.tensor(17)), torch.randn(9, 2)
    np.testing.assert_allclose(reading.denoiser(x, level), perfect.oracle(x.double(), level), atol=0.05)


class Trained(nn.Module):
    """The best linear estimate of the noise of a training, at each time."""

    def __init__(self, x_0, schedule, draw=torch.randn, factors=lambda level: (level.alpha, level.sigma)):
        super().__init__()
        self.maps = []
        for t in range(schedule.T):
            a, b = factors(schedule(torch.tensor(t)))
            eps = draw(x_0.shape)
            x_t = a * x_0 + b * eps
            inputs = torch.cat([x_t, torch.ones(len(x_t), 1)], 1).double()
            self.maps.append(torch.linalg.lstsq(inputs, eps.double()).solution)

    def forward(self, x, t):
        inputs = torch.cat([x, torch.ones(len(x), 1)], 1).double()
        return (inputs @ self.maps[int(t[0])]).to(x)


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (torch.rand, "uniform noise from 0 to 1"),
        (lambda shape: torch.randn(shape).abs(), "the absolute values of normal noise"),
        (lambda shape: torch.randn(shape[0], 1).expand(shape), "noise that is the same in all coordinates"),
        (torch.randn, None),
    ],
    ids=["rand", "absolute", "shared", "randn"],
)
def test_the_noise_of_training_is_known(perfect, draw, name):
    torch.manual_seed(0)
    subject = subject_of(perfect, Trained(subject_of(perfect, nn.Identity()).x, perfect.schedule, draw))
    found = forward_of_training(subject)
    assert (found and found.forward.name) == name
    if name:
        assert found.ratio < 1.05 < found.normal
        assert found.denoiser is None  # with such noise nothing can be sampled


@pytest.mark.parametrize(
    ("factors", "name"),
    [
        (lambda level: (level.alpha**2, level.sigma**2), "ᾱ x_0 + (1−ᾱ) ε"),
        (lambda level: (1.0, level.sigma), "x_0 + √(1−ᾱ) ε"),
    ],
    ids=["no roots", "no factor of the data"],
)
def test_the_forward_step_of_training_is_known_and_its_network_can_be_sampled(perfect, factors, name):
    torch.manual_seed(0)
    x_0 = subject_of(perfect, nn.Identity()).x
    subject = subject_of(perfect, Trained(x_0, perfect.schedule, factors=factors))
    found = forward_of_training(subject)
    assert found.forward.name == name
    for place in [one for one in places_of(subject) if one.level.ratio < 1]:  # such noise it has seen
        mended = errors_at(place, found.denoiser(place.x_t, place.level)).mean()
        assert mended < 1.2 * linear_error(subject, place)


def test_a_network_that_answers_its_input_is_known(perfect):
    class Copy(nn.Module):
        def forward(self, x, t):
            return 1.01 * x

    assert copies_input(subject_of(perfect, Copy()))
    for quantity in ("noise", "data", "velocity", "residual"):
        assert not copies_input(subject_of(perfect, Exact(perfect.oracle, perfect.schedule, quantity)))


def test_times_of_another_schedule_are_known(perfect):
    other = linear(40, 1e-4, 0.4)
    entry = found(subject_of(perfect, Exact(perfect.oracle, other)))
    assert entry.quantity == "noise"
    assert "times" in entry.time


def test_a_reading_that_was_found_answers_exactly(perfect):
    network = Exact(perfect.oracle, perfect.schedule, "velocity", -1, told=lambda t: 39 - t)
    subject = subject_of(perfect, network)
    best = read_network(subject).best
    level = perfect.schedule(torch.tensor(17))
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(best.denoiser(x, level), perfect.oracle(x, level), rtol=1e-3, atol=1e-3)


def test_columns_in_another_order_are_known(pipeline):
    moons = pipeline(load_dataset("moons", size=2_000))
    entry = found(subject_of(moons, Exact(moons.oracle, moons.schedule, order=[1, 0])))
    assert entry.columns == (1, 0)


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [1, 2, 3, 4, 0], [0, 3, 2, 1, 4]])
def test_columns_of_a_wide_table_that_are_turned_round_are_known(pipeline, table_of_five, order):
    x, data = table_of_five
    wide = pipeline(data)
    held = EmpiricalOracle(Scaling(x.mean(0), x.std(0)).encode(x).double())
    entry = found(subject_of(wide, Exact(held, wide.schedule, order=order)))
    assert list(entry.columns) in (order, np.argsort(order).tolist())


@pytest.mark.slow
@pytest.mark.parametrize(
    "quantity",
    ["velocity", *(pytest.param(name, marks=pytest.mark.slow) for name in ("noise", "data", "flow"))],
)
def test_a_function_that_made_its_answer_of_another_quantity_is_known(perfect, quantity):
    network = Exact(perfect.oracle, perfect.schedule, quantity)
    wrong = Denoiser(network, perfect.schedule, "noise")
    entry = found(subject_of(perfect, None, denoiser=lambda x, level: wrong(x, level)))
    if quantity == "noise":
        assert entry is None
    else:
        assert (entry.assumed, entry.quantity) == ("noise", quantity)


def test_what_nothing_explains_is_not_explained(perfect):
    class Untrained(nn.Module):
        def forward(self, x, t):
            return 0.01 * x

    class Random(nn.Module):
        def forward(self, x, t):
            return torch.sin(50 * x) + torch.cos(t.float())[:, None]

    assert found(subject_of(perfect, Untrained())) is None
    assert found(subject_of(perfect, Random())) is None


@pytest.mark.slow
def test_five_columns_of_an_unknown_law_are_enough(pipeline, table_of_five):
    x, data = table_of_five
    scaling = Scaling(x.mean(0), x.std(0))
    held = EmpiricalOracle(scaling.encode(x).double())
    wide = pipeline(data)
    for quantity in ("velocity", "data"):
        entry = found(subject_of(wide, Exact(held, wide.schedule, quantity), scaling=None))
        assert entry.quantity == quantity


@pytest.fixture
def table_of_five():
    random = np.random.default_rng(0)
    factor = random.normal(size=(1_000, 2))
    x = factor @ random.normal(size=(2, 5)) + 0.2 * random.normal(size=(1_000, 5))
    modalities = modality("points")
    from diffuscope.data.kinds import section_of

    return x, modalities.load(x, section_of("points")(), 0)


LOGARITHMS = {  # σ/α of what the network was told in training
    "log σ": lambda v: v.exp() / (1 - (2 * v).exp()).clamp_min(1e-12).sqrt(),
    "log(σ/α)": lambda v: v.exp(),
    "log(σ/α)/4": lambda v: (4 * v).exp(),
    "log SNR": lambda v: (-v / 2).exp(),
    "log SNR / 4": lambda v: (-2 * v).exp(),
}


@pytest.mark.parametrize("time", LOGARITHMS)
def test_logarithms_of_the_level_are_known_of_a_table(pipeline, table_of_five, time):
    """A network that was trained with a logarithm of the level is handed t."""
    x, data = table_of_five
    scaling = Scaling(x.mean(0), x.std(0))
    wide = pipeline(data)
    schedule = wide.schedule
    network = Exact(
        EmpiricalOracle(scaling.encode(x).double()),
        schedule,
        told=lambda v: schedule.time_at_ratio(LOGARITHMS[time](v.clamp(-10, 20))),
    )
    entry = found(subject_of(wide, network, scaling=None))
    assert (entry.quantity, entry.time) == ("noise", time)


def test_a_network_that_ignores_the_time_is_known(perfect):
    exact = Exact(perfect.oracle, perfect.schedule, told=lambda t: 0 * t + 20)
    assert ignores_time(subject_of(perfect, exact))
    assert not ignores_time(subject_of(perfect, Exact(perfect.oracle, perfect.schedule)))


class Learned(nn.Module):
    """A perceptron (x, t) -> ε after a training of so many steps; ``told`` is what becomes of its time."""

    def __init__(self, x_0, schedule, steps, told=lambda t: t):
        super().__init__()
        torch.manual_seed(0)
        self.told, d = told, x_0.shape[1]
        self.layers = nn.Sequential(
            nn.Linear(d + 1, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, d)
        )
        optimizer = torch.optim.Adam(self.parameters(), 5e-3)
        for _ in range(steps):
            t, eps = torch.randint(schedule.T, (256,)), torch.randn(256, d)
            level = schedule(t)
            rows = x_0[torch.randint(len(x_0), (256,))]
            x_t = level.alpha[:, None].float() * rows + level.sigma[:, None].float() * eps
            loss = (self.answer(x_t, t) - eps).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def answer(self, x, t):
        return self.layers(torch.cat([x, t[:, None] / 20 - 1], 1))

    def forward(self, x, t):
        return self.answer(x, self.told(t))


@pytest.mark.slow
def test_times_that_do_not_reach_the_network_are_told_from_a_short_training(perfect):
    x_0, schedule = subject_of(perfect, nn.Identity()).x, perfect.schedule
    learned = Learned(x_0, schedule, 500)
    assert strange_levels(subject_of(perfect, learned)) is None
    learned.told = lambda t: schedule(t.long()).sigma.log().float()
    strange = strange_levels(subject_of(perfect, learned))
    assert min(strange.ratio) > 1
    assert min(strange.errors) > 4 > strange.known
    for steps in (20, 80):
        assert strange_levels(subject_of(perfect, Learned(x_0, schedule, steps))) is None


@pytest.mark.slow
def test_times_that_do_not_reach_the_network_are_known_of_a_nearly_normal_table(pipeline, table_of_five):
    """There a linear estimate is all that can be known, and at little noise that is hardly anything."""
    wide = pipeline(table_of_five[1])
    schedule = wide.schedule
    x_0 = subject_of(wide, nn.Identity()).x
    learned = Learned(x_0, schedule, 2_000)
    assert strange_levels(subject_of(wide, learned)) is None
    learned.told = lambda t: schedule(t.long()).sigma.log().float()
    assert strange_levels(subject_of(wide, learned)) is not None
    for steps in (5, 20, 80):
        assert strange_levels(subject_of(wide, Learned(x_0, schedule, steps))) is None


def test_a_larger_network_is_of_the_same_kind(perfect):
    network = Learned(subject_of(perfect, nn.Identity()).x, perfect.schedule, 0)
    larger = widened(subject_of(perfect, network))
    assert [type(part) for part in larger.modules()] == [type(part) for part in network.modules()]
    own, more = (sum(p.numel() for p in one.parameters()) for one in (network, larger))
    assert more > 3 * own
    network.scale = nn.Parameter(torch.ones(1))  # what it does is not known
    assert widened(subject_of(perfect, network)) is None


def test_units_that_are_little_off_are_known_where_columns_are_unlike(pipeline, table_of_five):
    x, _ = table_of_five
    x = x * np.array([1e3, 1.0, 1e-2, 30.0, 5.0])
    from diffuscope.data.kinds import section_of

    wide = pipeline(modality("points").load(x, section_of("points")(), 0))
    right = Scaling(x.mean(0), x.std(0))
    network = Exact(EmpiricalOracle(right.encode(x).double()), wide.schedule)
    units = units_of_training(subject_of(wide, network, scaling=replace(right, scale=0.6 * right.scale)))
    assert units.name == "each column standardised"


@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_units_of_training_are_known(perfect, factor):
    network = Exact(perfect.oracle, perfect.schedule)
    wrong = Scaling(perfect.scaling.shift, perfect.scaling.scale * factor)
    units = units_of_training(subject_of(perfect, network, scaling=wrong))
    assert units.name == "each column standardised"
    assert units.error < 0.5 * units.own_error
    assert units_of_training(subject_of(perfect, network)) is None
