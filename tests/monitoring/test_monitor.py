"""Does a monitor say where a training stands, warn of what goes wrong, and leave the training alone?"""

from __future__ import annotations

import itertools
import json
import sys
import types

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import diffuscope
from diffuscope.data.points import load_dataset
from diffuscope.diffusion.predictions import eps_from_data
from diffuscope.diffusion.schedules import cosine, rescale_zero_terminal_snr
from diffuscope.errors import InputError
from diffuscope.monitoring import floor_bounds, floor_curve, looks, monitor, reported
from diffuscope.oracle import EmpiricalOracle, Oracle, oracle_for

SCHEDULE = cosine(40)
DATA = load_dataset("moons", size=500)
UNSEEN = load_dataset("moons", size=500, seed=9).x


class Exact(nn.Module):
    """A network (x, t) -> ε that answers exactly, give or take a constant."""

    def __init__(self, oracle: Oracle, off: float = 0.0) -> None:
        super().__init__()
        self.oracle = oracle
        self.off = nn.Parameter(torch.tensor(off))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        flat = x.flatten(1).double()
        level = SCHEDULE(t)
        eps = eps_from_data(self.oracle(flat, level), flat, level)
        return eps.to(x.dtype).reshape(x.shape) + self.off


class Small(nn.Module):
    """A network that can learn, with parts that behave otherwise in training."""

    def __init__(self, d: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(d + 1, 32), nn.SiLU(), nn.Dropout(0.2), nn.Linear(32, d))
        self.frozen = nn.Dropout(0.9)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.frozen(self.layers(torch.cat([x, t[:, None] / 20 - 1], 1)))


@pytest.fixture(autouse=True)
def _brief_floors(monkeypatch):
    """Measure floors on fewer rows."""
    monkeypatch.setattr(floor_bounds, "_WORK", 1e9)
    monkeypatch.setattr(floor_curve, "_MOST", 1_024)


def watch(data=DATA, **told) -> diffuscope.Monitor:
    told = {"every": 1, "cost": float("inf"), "show": False, **told}
    return diffuscope.Monitor(SCHEDULE, data, **told)


@pytest.fixture(scope="module")
def exact() -> Exact:
    return Exact(oracle_for("moons"))


@pytest.fixture
def little_looks(monkeypatch):
    monkeypatch.setattr(looks, "_MOST", 512)
    monkeypatch.setattr(looks, "_CLOUD", 100)


def codes(watched: diffuscope.Monitor) -> set[str]:
    return {warning["code"] for warning in watched.warnings}


# --- where it stands


def test_a_perfect_network_has_nothing_more_to_gain(exact):
    watched = watch("moons")
    record = watched.look(exact, 1)
    assert record["excess"]["value"] < 1e-6
    assert all(band["done"] for band in record["bands"])
    assert record["loss"] == pytest.approx(watched.floor.as_reported._asdict())
    assert 0.6 < record["samples"]["value"] < 2
    assert "Nothing more to gain" in " ".join(watched.report().split())
    assert not watched.warnings


@pytest.mark.parametrize("off", [0.05, 0.5])
def test_the_excess_is_what_the_network_is_off_by(off):
    record = watch("moons").look(Exact(oracle_for("moons"), off), 1)
    assert record["excess"]["value"] == pytest.approx(off**2, rel=1e-3)
    for band in record["bands"]:
        assert band["excess"]["value"] == pytest.approx(off**2, rel=1e-3)
    assert record["left"]


@pytest.mark.slow
def test_with_rows_alone_what_is_left_to_gain_lies_between_two_numbers(exact):
    x = oracle_for("moons").draw(1_500, 3).numpy()
    watched = watch(x[:1_000], held_out=x[1_000:])
    record = watched.look(exact, 1)
    assert record["excess"]["low"] == 0
    assert 0 < record["excess"]["high"] < 0.3
    off = watched.look(Exact(oracle_for("moons"), 0.5), 2)["excess"]
    assert off["low"] < 0.25 < off["high"]
    assert off["low"] > 0.15
    assert "not known" in watched.report()


@pytest.mark.usefixtures("little_looks")
def test_a_training_that_goes_on_comes_nearer_to_the_floor():
    network, watched = Small(), watch(every=100)
    network.frozen.eval()
    watched.look(network, 0)
    x = torch.from_numpy(DATA.x).float()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for step in range(301):
        loss = own_loss(network, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watched(network, step, loss)
    excess = [record["excess"]["value"] for record in watched.history]
    assert [record["step"] for record in watched.history] == [0, 100, 200, 300]
    assert excess[-1] < excess[0] / 4
    assert watched.history[-1]["reported"] == pytest.approx(watched.history[-1]["loss"]["value"], rel=0.2)


def own_loss(network: nn.Module, x: Tensor) -> Tensor:
    x_0 = x[torch.randint(len(x), (64,))]
    t, eps = torch.randint(40, (64,)), torch.randn(64, 2)
    level = SCHEDULE(t)
    x_t = level.alpha.float()[:, None] * x_0 + level.sigma.float()[:, None] * eps
    return (network(x_t, t) - eps).square().mean()


@pytest.mark.usefixtures("little_looks")
def test_averaged_weights_are_seen_beside_the_last_ones(exact):
    off = Exact(oracle_for("moons"), 0.3)
    for average in (exact, lambda: exact, lambda x, t: exact(x, t)):
        record = watch("moons", average=average).look(off, 1)
        assert record["averaged"]["excess"]["value"] < 1e-6
        assert record["excess"]["value"] == pytest.approx(0.09, rel=1e-3)


def test_a_zero_terminal_snr_and_a_prediction_of_velocity_are_looked_at():
    schedule = rescale_zero_terminal_snr(SCHEDULE)
    watched = diffuscope.Monitor(schedule, "moons", prediction="velocity", show=False)
    record = watched.look(lambda x, t: torch.zeros_like(x), 1)
    assert record["excess"]["low"] > 0
    assert record["bands"][-1]["to"] is None
    json.loads(watched.report("json"))


# --- what goes wrong


@pytest.fixture(scope="module")
def by_heart() -> diffuscope.Monitor:
    x = load_dataset("moons", size=60, seed=4).x
    watched = watch(x, held_out=UNSEEN)
    watched.look(Exact(EmpiricalOracle(x)), 1)
    return watched


def test_rows_that_are_learned_by_heart_are_named(by_heart):
    assert codes(by_heart) == {"memorising", "copies"}
    record = by_heart.history[0]
    assert record["trained"]["loss"]["high"] < record["loss"]["low"]
    assert record["samples"]["copies"]["low"] > 0.5


@pytest.mark.slow
def test_a_network_that_generalises_is_not_suspected(exact):
    watched = watch(DATA.x, held_out=UNSEEN)
    record = watched.look(exact, 1)
    assert not watched.warnings
    assert record["samples"]["copies"]["value"] < 0.2


@pytest.mark.usefixtures("little_looks")
@pytest.mark.parametrize(
    ("times", "code", "said"),
    [
        (1.0, None, ""),
        (0.5, "reported_lower", "1/2"),
        (0.7, "reported_lower", "fresh noise"),
        (2.0, "reported_higher", "sum over them"),
    ],
)
def test_a_reported_loss_that_is_not_that_of_the_network_is_named(exact, times, code, said):
    watched = watch("moons", every=1_000)
    rng = np.random.default_rng(0)
    for step in range(200):
        watched(exact, step, times * 0.328 * (1 + 0.1 * rng.normal()))
    watched.look(exact, 200)
    assert codes(watched) - {"learning_rate_high"} == ({code} if code else set())
    if code:
        assert said in watched.warnings[-1]["evidence"]


@pytest.mark.usefixtures("little_looks")
@pytest.mark.parametrize("steps", [60, 400])
def test_a_loss_that_falls_is_not_taken_for_one_that_is_reported_too_high(exact, steps):
    watched = watch("moons", every=1_000)
    rng = np.random.default_rng(0)
    for step in range(steps):
        watched(exact, step, 0.328 * (1 + 4 * np.exp(-3 * step / steps)) * (1 + 0.1 * rng.normal()))
    watched.look(exact, steps)
    assert not watched.warnings


@pytest.mark.usefixtures("little_looks")
def test_a_loss_that_swings_from_look_to_look_is_named():
    watched = watch("moons")
    for step, off in enumerate((0.2, 0.4, 0.2, 0.4)):
        watched.look(Exact(oracle_for("moons"), off), step)
    assert codes(watched) == {"learning_rate_high"}
    falling = watch("moons")
    for step, off in enumerate((0.4, 0.3, 0.2, 0.1)):
        falling.look(Exact(oracle_for("moons"), off), step)
    assert not falling.warnings


@pytest.mark.usefixtures("little_looks")
def test_an_average_that_lags_behind_is_named(exact):
    watched = watch("moons", average=Exact(oracle_for("moons"), 0.5))
    watched.look(exact, 1)
    assert codes(watched) == {"ema_slow"}


@pytest.mark.usefixtures("little_looks")
def test_weights_that_grow_are_named(exact):
    watched = watch("moons")
    network = Small().eval()
    for step, factor in enumerate((1, 3, 9)):
        with torch.no_grad():
            for p in network.parameters():
                p.mul_(factor)
        watched.look(network, step)
    assert "diverging" in codes(watched)


def test_losses_that_rise_or_have_spikes_are_named_and_steady_ones_are_not():
    rng = np.random.default_rng(0)
    steady = np.exp(rng.normal(size=600) * 0.5)
    rising = np.concatenate([steady[:100], np.exp(np.arange(200) / 20)])
    spiky = np.where(rng.random(600) < 0.03, 40, 1) * np.exp(0.1 * rng.normal(size=600))
    for losses, wanted in ((steady, set()), (rising, {"diverging"}), (spiky, {"learning_rate_high"})):
        kept, found = reported.ReportedLosses(), set()
        for step, loss in enumerate(losses):
            kept.add(step, float(loss))
            if step % 64 == 63:
                found |= {alarm.code for alarm in kept.alarms(naive=2.0)}
        assert found == wanted


def test_losses_are_kept_in_memory_that_does_not_grow():
    kept = reported.ReportedLosses()
    for step in range(50_000):
        kept.add(step, float(step))
    steps, means = kept.curve()
    assert len(steps) <= 4_096
    assert np.abs(means - steps).max() < 16
    assert kept.count == 50_000


@pytest.mark.usefixtures("little_looks")
def test_one_loss_that_is_not_finite_is_a_warning_and_three_are_an_error(exact):
    watched = watch("moons", every=1_000)
    watched(exact, 0, 1.0)
    watched(exact, 1, float("inf"))
    watched(exact, 2, 1.0)
    assert codes(watched) == {"not_finite"}
    watched(exact, 3, float("nan"))
    watched(exact, 4, float("nan"))
    with pytest.raises(InputError, match="step 5 is nan") as caught:
        watched(exact, 5, float("nan"))
    assert "learning rate" in caught.value.hint


@pytest.mark.usefixtures("little_looks")
def test_weights_that_are_not_finite_are_an_error_at_once(exact):
    watched = watch("moons", every=1_000)
    watched(exact, 0, 1.0)
    broken = Exact(oracle_for("moons"), float("nan"))
    with pytest.raises(InputError, match="weights of the network too"):
        watched(broken, 1, float("nan"))


# --- the training is left alone


@pytest.mark.usefixtures("little_looks")
def test_a_training_that_is_watched_ends_with_the_same_weights():
    def train(watched):
        network = Small()
        network.frozen.eval()  # its owner froze a part
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        x = torch.from_numpy(DATA.x).float()
        torch.manual_seed(3)
        for step in range(6):
            loss = own_loss(network, x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if watched is not None:
                watched(network, step, loss)
        assert network.training
        assert not network.frozen.training
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    watched = watch()
    assert torch.equal(train(watched), train(None))
    assert len(watched.history) == 5


@pytest.mark.usefixtures("little_looks")
def test_modes_are_as_before_also_where_the_network_fails():
    class Failing(Small):
        def forward(self, x, t):
            raise RuntimeError("no")

    network = Failing().train()
    with pytest.raises(InputError, match="fails for points of shape"):
        watch()(network, 0, 1.0)
    assert all(module.training for module in network.modules())


@pytest.mark.usefixtures("little_looks")
def test_all_batches_that_a_network_sees_have_one_size(exact):
    seen = set()

    def network(x, t):
        assert not torch.is_grad_enabled()
        seen.add((len(x), len(t), t.dtype))
        return exact(x, t)

    watched = watch("moons")
    watched(network, 0, 1.0)
    watched.look(network, 1)
    assert len(seen) == 1


def test_looks_stay_within_their_share_of_the_time(exact, monkeypatch, little_looks):
    now = itertools.count()
    clock = {"seconds": 0.0}
    monkeypatch.setattr(monitor.time, "perf_counter", lambda: clock["seconds"] + 0 * next(now))

    def network(x, t):
        clock["seconds"] += 1e-4 * len(x)
        return exact(x, t)

    watched = diffuscope.Monitor(SCHEDULE, "moons", show=False)
    shares, at = [], []
    for step in range(4_000):
        clock["seconds"] += 0.1
        if watched(network, step, 0.33) is not None:
            shares.append(watched.share)
            at.append(step)
    assert len(at) > 3
    assert max(shares) <= 0.02
    gaps = np.diff(at)
    assert gaps[-1] > gaps[0]
    assert any(record["samples"] is not None for record in watched.history)


# --- networks of all sorts


@pytest.mark.usefixtures("little_looks")
def test_images_of_floats_and_answers_of_diffusers_are_understood():
    x = np.random.default_rng(0).normal(size=(120, 1, 4, 4)).cumsum(-1)
    shapes = set()

    class Answer:
        def __init__(self, sample):
            self.sample = sample

    def network(x, t):
        shapes.add(x.shape[1:])
        return Answer(torch.zeros_like(x))

    watched = watch(x[:80], held_out=x[80:])
    record = watched.look(network, 1)
    assert shapes == {torch.Size([1, 4, 4])}
    assert record["loss"]["value"] == pytest.approx(1, rel=0.1)  # of an ε that is guessed as 0
    assert watched.look(lambda x, t: (torch.zeros_like(x), None), 2)["loss"] == record["loss"]


@pytest.mark.usefixtures("little_looks")
def test_a_network_with_classes_is_watched_for_one_of_them(exact):
    class Classes(nn.Module):
        def forward(self, x, t, y):
            assert y.dtype == torch.int64
            return exact(x, t) + (y[:, None] != 3)

    class Keyword(nn.Module):
        def forward(self, x, t, class_labels):
            return Classes()(x, t, class_labels)

    for label, wanted in ((3, 0.0), (2, 1.0)):
        for wrapped in (
            diffuscope.Labelled(Classes(), label),
            diffuscope.Labelled(Keyword(), label, "class_labels"),
        ):
            record = watch("moons").look(wrapped, 1)
            assert record["excess"]["value"] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.usefixtures("little_looks")
def test_a_network_in_a_wrapper_of_several_devices_is_asked_itself(exact):
    record = watch("moons").look(nn.DataParallel(exact), 1)
    assert record["excess"]["value"] < 1e-6


# --- what comes out


@pytest.mark.usefixtures("little_looks")
def test_each_look_is_printed_written_and_handed_to_tensorboard(exact, tmp_path, capsys):
    class Writer:
        def __init__(self):
            self.seen = []

        def add_scalar(self, tag, value, step):
            self.seen.append((tag, value, step))

    writer = Writer()
    watched = watch("moons", directory=tmp_path / "out", writer=writer, show=True, average=exact)
    for step in range(4):
        record = watched(exact, step, 0.33)
        assert (record is None) == (step == 0)
    printed = capsys.readouterr().out.splitlines()
    assert not watched.warnings
    assert len([line for line in printed if line.startswith("step ")]) == 3
    assert "nothing more to gain" in printed[0]
    lines = (tmp_path / "out" / "monitor.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert ("monitor/loss", watched.history[0]["loss"]["value"], 1) in writer.seen
    assert {tag for tag, _, _ in writer.seen} == {
        "monitor/loss",
        "monitor/floor",
        "monitor/excess",
        "monitor/averaged/excess",
        "monitor/samples_over_floor",
    }


@pytest.mark.usefixtures("little_looks")
def test_the_writer_of_tensorboard_itself_is_taken(exact, tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    writer = tensorboard.SummaryWriter(str(tmp_path))
    watch("moons", writer=writer).look(exact, 1)
    writer.close()
    assert list(tmp_path.glob("events.*"))


@pytest.mark.slow
def test_reports_say_the_same_in_text_html_and_json(by_heart, tmp_path):
    text, page = by_heart.report(), by_heart.report("html")
    plain = json.loads(by_heart.report("json"))
    assert plain["history"][0]["step"] == 1
    for said in ("learning the training rows by heart", "between"):
        assert said in " ".join(text.split())
        assert said in page
    assert "<script" not in page
    assert page.count("data:image/png;base64,") == 1
    by_heart.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"monitor.html", "monitor.json", "monitor.png"}
    left, right = by_heart.plot().axes
    assert left.get_xlabel() == "step"
    assert right.get_xscale() == "log"


@pytest.mark.usefixtures("little_looks")
def test_what_a_user_names_is_text_in_the_page(exact):
    watched = watch("moons")
    watched.look(exact, 1)
    watched.warnings.append(dict.fromkeys(("code", "title", "evidence", "fix"), "<b>&") | {"step": 1})
    assert "<b>&<" not in watched.report("html")
    assert "&lt;b&gt;&amp;" in watched.report("html")


def test_before_the_first_look_the_report_says_so():
    watched = watch("moons")
    assert "no look yet" in watched.report()
    with pytest.raises(InputError, match="Nothing to plot"):
        watched.plot()
    with pytest.raises(InputError, match="no folder"):
        watched.save()
    with pytest.raises(InputError, match="no report as"):
        watched.report("pdf")


@pytest.mark.slow
@pytest.mark.usefixtures("little_looks")
def test_without_held_out_rows_the_report_says_what_that_means(exact):
    watched = watch(UNSEEN)
    record = watched.look(exact, 1)
    assert record["trained"] is None
    assert record["excess"]["low"] == 0
    assert "Give held_out" in " ".join(watched.report().split())


@pytest.mark.parametrize(
    ("betas", "data", "told", "said"),
    [
        ([0.1, -0.1], "moons", {}, "beta at step 1"),
        (np.ones((2, 2)), "moons", {}, "shape"),
        (SCHEDULE, None, {}, "no data"),
        (SCHEDULE, np.zeros((50, 3, 8, 8), np.uint8), {}, "bytes"),
        (SCHEDULE, "digits", {}, "images"),
        (SCHEDULE, [["a"]] * 50, {}, "numbers"),
        (SCHEDULE, "moons", {"prediction": "score"}, "prediction"),
        (SCHEDULE, "moons", {"every": 0}, "every"),
        (SCHEDULE, "moons", {"cost": -1}, "cost"),
        (SCHEDULE, "moons", {"cost": "little"}, "cost"),
        (SCHEDULE, "moons", {"writer": object()}, "scalars"),
        (SCHEDULE, "moons", {"average": 3}, "averaged weights"),
        (SCHEDULE, DATA.x, {"held_out": np.zeros((9, 5))}, "held-out"),
        (rescale_zero_terminal_snr(SCHEDULE), "moons", {}, "no signal"),
    ],
)
def test_bad_settings_are_named(betas, data, told, said):
    with pytest.raises(InputError, match=said) as caught:
        diffuscope.Monitor(betas, data, **told)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("network", "step", "loss", "said"),
    [
        (None, 0, None, "loss None"),
        (None, 0, torch.zeros(3), r"loss of shape \(3,\)"),
        (None, 0, np.zeros(2), "loss of shape"),
        (None, 0, "low", "'low'"),
        (None, 0, float("nan"), "step 0 is nan"),
        (None, -1, 1.0, "step"),
        (None, 0.5, 1.0, "step"),
        (lambda x, t: x[:, :1], 0, 1.0, "shape of its input"),
        (lambda x, t: None, 0, 1.0, "NoneType"),
        (lambda x: x, 0, 1.0, "fails for points"),
        (3, 0, 1.0, "int is not a network"),
    ],
)
@pytest.mark.usefixtures("little_looks")
def test_bad_calls_are_named(exact, network, step, loss, said):
    watched = watch("moons")
    with pytest.raises(InputError, match=said) as caught:
        watched(exact if network is None else network, step, loss)
    assert caught.value.hint


@pytest.mark.usefixtures("little_looks")
def test_a_function_that_returns_no_network_is_named(exact):
    with pytest.raises(InputError, match="averaged network is a NoneType"):
        watch("moons", average=lambda: None).look(exact, 1)


# --- Lightning: a stand-in with the parts that a callback uses, where the library itself is not installed


class Module(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.unet = network


def fake_lightning(monkeypatch, home: str) -> type:
    class Callback:
        pass

    package = types.ModuleType(home)
    package.Callback = Callback
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    if "." in home:
        monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, home, package)
    return Callback


@pytest.mark.usefixtures("little_looks")
@pytest.mark.parametrize("home", ["lightning.pytorch", "pytorch_lightning"])
def test_a_callback_of_lightning_hands_network_step_and_loss_on(exact, monkeypatch, home):
    base = fake_lightning(monkeypatch, home)
    trainer = types.SimpleNamespace(global_step=7, accumulate_grad_batches=4, is_global_zero=True)
    for network in ("unet", lambda module: module.unet):
        watched = watch("moons")
        callback = watched.as_lightning_callback(network)
        assert isinstance(callback, base)
        for step in (7, 8):
            trainer.global_step = step
            callback.on_train_batch_end(trainer, Module(exact), {"loss": torch.tensor(0.08)}, None, 0)
        assert watched.history[0]["step"] == 8
        assert watched.history[0]["reported"] == pytest.approx(0.32)  # what was divided by four
    trainer.is_global_zero = False
    callback.on_train_batch_end(trainer, Module(exact), torch.tensor(0.08), None, 0)
    callback.on_train_batch_end(trainer, Module(exact), None, None, 0)
    assert len(watched.history) == 1
    trainer.is_global_zero = True
    wrong = watched.as_lightning_callback("net")
    with pytest.raises(InputError, match="no attribute 'net'"):
        wrong.on_train_batch_end(trainer, Module(exact), torch.tensor(0.08), None, 0)


def test_without_lightning_the_error_says_how_to_do_without(monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match="not installed") as caught:
        watch("moons").as_lightning_callback()
    assert "pip install" in caught.value.hint
