"""Does the engine of the studio answer what the package computes, also while it trains?"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError
from diffuscope.oracle import oracle_for
from diffuscope.studio.drawing import drawn_data, drawn_law
from diffuscope.studio.frames import Positions, decode, encode
from diffuscope.studio.plane_session import PlaneSession
from diffuscope.studio.requests import OF_THE_PLANE, read_request

from .client import Client

SAMPLING = {"name": "dpmpp_2m", "steps": 6, "spacing": "karras", "rho": 7.0}


def opened(source: str, recipe: str | None = None) -> Client:
    """Return a client of a session of points in the plane, before the training that it would begin with."""
    client = Client(PlaneSession)
    client.session.open(source, recipe)
    client.session.later = None
    return client


@pytest.fixture(scope="module")
def client() -> Client:
    return opened("s_curve")


@pytest.fixture(scope="module")
def recipe(client) -> dict[str, Any]:
    found = client.ask("hello")["payload"]["recipe"]
    found["network"]["width"] = 16
    found["training"] |= {"steps": 200, "batch_size": 64}
    return found


def test_arrays_come_back_as_they_went():
    x = np.array([0.5, -3.0, 1e-3], dtype=np.float32)
    sent = decode(encode({"a": {"x": x, "y": [Positions(x), 1, None, "text"]}}))
    np.testing.assert_array_equal(sent["a"]["x"], x)
    np.testing.assert_allclose(sent["a"]["y"][0], x, atol=3.0 / 32767)
    assert sent["a"]["y"][1:] == [1, None, "text"]


def test_the_exact_field_is_that_of_the_oracle(client):
    x = [0.3, -0.4, 1.0, 0.2]
    level = {"t": 0.5, "alpha": 1.0, "sigma": 0.5}
    answer = client.ask("field", {"x": x, "level": level, "snapshot": None})
    oracle = oracle_for("s_curve").scaled(client.session.plane.codec)
    there = NoiseLevel(*(torch.tensor(v, dtype=torch.float64) for v in (0.5, 1.0, 0.5)))
    points = torch.tensor(x).reshape(2, 2)
    np.testing.assert_allclose(answer["exact"].reshape(2, 2), oracle(points, there), rtol=1e-5)
    learned = client.session.plane.shown(points, there).detach()
    np.testing.assert_allclose(answer["learned"].reshape(2, 2), learned, rtol=1e-5)


def test_the_mean_of_the_posterior_is_the_exact_answer(client):
    answer = client.ask("path", {"x": [0.5, 0.5], "from": 2, "sampling": SAMPLING})
    cloud = answer["posterior"].reshape(-1, 2)
    error = 4 * cloud.std(axis=0) / np.sqrt(len(cloud))
    assert (np.abs(cloud.mean(axis=0) - answer["mean"]) < error).all()


def test_it_trains_tells_and_answers_meanwhile(client, recipe):
    client.during = [
        {"id": 5, "question": "field", "ask": {"x": [0.0, 0.0], "level": {"t": 1, "alpha": 1, "sigma": 1}}},
        {"id": 6, "question": "attach"},
        {"id": 7, "question": "nonsense"},
        {"id": 8, "question": "hello"},
    ]
    answer = client.ask("train", {"recipe": recipe, "seed": 1})
    assert answer["step"] == 200
    assert not answer["stopped"]
    assert answer["snapshots"][-1] == 200
    kinds = [next(iter(set(sent) & {"id", "progress", "loss"})) for sent in client.sent]
    assert kinds.index("id") < len(kinds) - 1 - kinds[::-1].index("loss")  # answered before the end
    by_id = {sent["id"]: sent for sent in client.sent if "id" in sent}
    assert by_id[8]["answer"]["running"]
    assert "nonsense" in by_id[7]["error"]
    assert by_id[6]["answer"] == answer
    losses = [sent["loss"]["loss"] for sent in client.sent if "loss" in sent]
    assert losses[-1] < losses[0]
    picture = next(sent["progress"] for sent in client.sent if "progress" in sent)
    assert picture["samples"].size == 1200


def test_a_state_of_the_training_can_be_looked_at_again(client, recipe):
    client.ask("train", {"recipe": recipe, "seed": 1})
    asked = {"n": 50, "seed": 3, "which": "learned", "sampling": SAMPLING}
    first, last = (client.ask("walk", {**asked, "snapshot": at})["states"] for at in (0, None))
    assert np.abs(first - last).max() > 0.1
    with pytest.raises(InputError, match="no such state"):
        client.ask("walk", {**asked, "snapshot": 900})


@pytest.mark.slow
def test_sampling_starts_where_it_is_told_to():
    client = opened("s_curve", "article")  # its schedule ends long before all signal is gone
    sampling = {**SAMPLING, "steps": 100}
    asked = {"n": 4000, "seed": 0, "which": "exact", "sampling": sampling}
    far = client.ask("walk", asked)["states"].reshape(101, -1, 2)[0].std()
    near = client.ask("walk", {**asked, "sampling": {**sampling, "start": True}})["states"].reshape(
        101, -1, 2
    )[0]
    level = client.session.plane.shown.schedule(torch.tensor(99))
    assert far == pytest.approx(1.0, rel=0.05)
    expected = float(np.hypot(level.alpha.item() * client.session.plane.spread, level.sigma.item()))
    assert near.std() == pytest.approx(expected, rel=0.05)
    ratios = [
        client.ask(
            "quality", {"which": "exact", "n": 2000, "draws": 5, "sampling": {**sampling, "start": start}}
        )["ratio"]
        for start in (False, True)
    ]
    assert ratios[1] < ratios[0]


@pytest.mark.slow
def test_the_parts_of_the_budget_add_up_and_name_what_is_wrong():
    client = opened("s_curve", "article")
    sampling = {**SAMPLING, "steps": 100}
    answer = client.ask("budget", {"n": 1000, "draws": 4, "sampling": sampling})
    shares = {one["part"]: one["ratio"] for one in answer["parts"]}
    assert answer["real"] + sum(shares.values()) == pytest.approx(answer["total"]["ratio"], rel=1e-9)
    assert shares["network"] > 10  # it is not trained
    client.ask("load", {"at": 0})  # trained as the tutorial does
    found = client.ask("budget", {"n": 2000, "draws": 8, "sampling": sampling})
    of = {one["part"]: one for one in found["parts"]}
    assert of["start"]["low"] > 0  # it does not start where training ended
    exact = client.ask("quality", {"which": "exact", "n": 2000, "draws": 8, "sampling": sampling})
    assert exact["ratio"] == found["exact"]["ratio"]


@pytest.mark.slow
def test_recorded_runs_get_better_at_last():
    client = opened("moons")
    first = client.ask("load", {"at": 0})
    ratios = first["payload"]["recorded"]["ratios"]
    assert len(ratios) == 4  # each with one more thing mended
    assert ratios[-1] == min(ratios)
    last = client.ask("load", {"at": 3})["payload"]
    assert first["payload"]["recorded"]["next"] == "schedule"
    assert last["recorded"]["next"] is None
    assert last["recipe"]["schedule"]["end"] == 0.02
    assert last["recipe"]["training"]["decay"] == "linear"
    sampling = last["recipe"]["sampling"]
    now = client.ask("quality", {"which": "learned", "n": 2000, "draws": 6, "sampling": sampling})
    assert now["low"] < last["quality"]["high"]
    with pytest.raises(InputError, match="no recorded run"):
        client.ask("load", {"at": 4})


def test_settings_change_while_it_trains(client, recipe):
    wanted = {"learning_rate": 1e-4, "batch_size": 32, "ema_decay": 0.5, "distance": "l1"}
    assert client.ask("adjust", wanted) is False  # nothing trains
    client.during = [{"id": 4, "question": "adjust", "ask": wanted}]
    assert client.ask("train", {"recipe": recipe, "seed": 1})["step"] == 200
    assert next(sent["answer"] for sent in client.sent if sent.get("id") == 4) is True
    own = client.session.plane.setup.recipe
    assert (own.training.learning_rate, own.training.batch_size, own.loss.distance) == (1e-4, 32, "l1")


def test_another_schedule_is_looked_at_and_trained_with(client, recipe):
    curve = {"name": "piecewise", "log_snr": [9.0, 0.0, -9.0]}
    asked = {"n": 4000, "seed": 0, "sampling": SAMPLING, "schedule": curve}
    answer = client.ask("forward", asked)
    first = answer["levels"][0]
    assert first["alpha"] == pytest.approx((1 + np.exp(9)) ** -0.5)
    assert answer["states"].reshape(7, -1, 2)[0].std() == pytest.approx(1.0, rel=0.05)
    client.ask("train", {"recipe": {**recipe, "schedule": curve}, "seed": 1})
    assert client.ask("hello")["payload"]["recipe"]["schedule"]["log_snr"] == [9.0, 0.0, -9.0]
    client.ask("train", {"recipe": {**recipe, "schedule": {"name": "edm", "sigma_max": 10.0}}, "seed": 1})
    assert client.ask("hello")["payload"]["recipe"]["schedule"]["sigma_min"] == 0.002


def test_what_was_trained_is_kept_as_the_run_that_the_call_gives(client, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    strokes = [[[-1.0, 0.0], [1.0, 0.0]], [[0.0, -1.5]]]
    law = {"kind": "strokes", "strokes": strokes, "noise": 0.1, "classes": [0, 1]}
    client.ask("setup", {"law": law, "size": 500, "seed": 3})
    with pytest.raises(InputError, match="no finished training"):
        client.ask("keep")
    client.ask("train", {"recipe": recipe, "seed": 3})
    run = diffuscope.load(client.ask("keep"))
    settings = {"seed": 3, "network.width": 16, "training.steps": 200, "training.batch_size": 64}
    again = diffuscope.train(
        drawn_data(strokes, 0.1, 500, 3, [0, 1]),
        recipe="fast",
        settings=settings,
        out="again",
        pictures=False,
    )
    np.testing.assert_array_equal(again.sample(20, y="amber"), run.sample(20, y="amber"))
    assert run.summary["steps"] == 200
    assert run.metrics[-1]["step"] == 200
    page = client.ask("save", {"language": "zh"})["html"]
    assert '"language":"zh"' in page
    assert '"classes":[0,1]' in page


def test_samples_of_a_class_are_of_its_colour(client, recipe):
    strokes = [[[-2.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [2.0, 0.0]]]
    law = {"kind": "strokes", "strokes": strokes, "noise": 0.1, "classes": [0, 1]}
    ready = client.ask("setup", {"law": law, "size": 2000, "seed": 0})
    assert ready["classes"] == 2
    real = ready["real"].reshape(-1, 2)
    assert ((real[:, 0] > 0) == np.array(ready["labels"])[: len(real)].astype(bool)).all()
    client.ask("train", {"recipe": {**recipe, "network": {"width": 32}}, "seed": 0})
    for which, least in (("exact", 1.0), ("learned", 0.9)):
        for guidance in (1.0, 3.0):
            sampling = {**SAMPLING, "steps": 20, "label": 1, "guidance": guidance}
            asked = {"n": 400, "seed": 0, "which": which, "sampling": sampling}
            end = client.ask("walk", asked)["states"].reshape(21, -1, 2)[-1]
            assert (end[:, 0] > 0).mean() >= least, (which, guidance)
    free = client.ask("walk", {**asked, "sampling": {**sampling, "label": None}})
    assert 0.3 < (free["states"].reshape(21, -1, 2)[-1][:, 0] > 0).mean() < 0.7
    client.ask("setup", {"law": {"kind": "builtin", "name": "moons"}, "size": 500, "seed": 0})
    with pytest.raises(InputError, match="no classes"):
        client.ask("walk", asked)


def test_a_training_stops_when_it_is_asked_to(client, recipe):
    client.during = [{"id": 9, "question": "stop"}]
    answer = client.ask("train", {"recipe": recipe, "seed": 1})
    assert answer["stopped"]
    assert answer["step"] < 200


def test_no_network_is_better_than_the_least_loss(client, recipe):
    floor = client.ask("irreducible", {"batches": 20})
    client.ask("train", {"recipe": recipe, "seed": 1})
    reached = np.mean([loss for _, loss in client.session.plane.trained.losses][-2:])
    assert 0 < floor["low"] < floor["value"] < reached


@pytest.mark.slow
def test_few_points_are_learned_by_heart(client, recipe):
    shares = []
    for size, steps in ((20, 1500), (5000, 600)):
        client.ask("setup", {"law": {"kind": "builtin", "name": "s_curve"}, "size": size, "seed": 0})
        longer = {**recipe, "network": {"width": 64}, "training": {**recipe["training"], "steps": steps}}
        client.ask("train", {"recipe": longer, "seed": 0})
        shares.append(client.ask("heart", {"n": 500}))
    assert shares[0] > 0.9
    assert 0.35 < shares[1] < 0.65


def test_a_drawing_is_a_law(client, recipe):
    strokes = [[[-1.0, 0.0], [1.0, 0.0], [1.0, 1.0]], [[0.0, -1.5]]]
    law = {"kind": "strokes", "strokes": strokes, "noise": 0.1}
    ready = client.ask("setup", {"law": law, "size": 2000, "seed": 0})
    assert ready["known"]
    oracle = drawn_law(strokes, 0.1)
    there = client.session.plane
    fresh = there.exact.draw(20_000, 0).double()
    scaled = oracle.draw(20_000, 0).sub(torch.tensor(there.codec.shift)).div(torch.tensor(there.codec.scale))
    np.testing.assert_allclose(fresh, scaled, rtol=1e-5, atol=1e-5)
    # The dot has as much ink as a stroke of 0.5; the other stroke is 3 long.
    x = oracle.draw(20_000, 0)
    low = x[:, 1] < -0.75
    assert low.double().mean() == pytest.approx(0.5 / 3.5, abs=0.01)
    np.testing.assert_allclose(x[low].mean(0), [0.0, -1.5], atol=0.01)
    np.testing.assert_allclose(x[low].std(0), [0.1, 0.1], rtol=0.1)
    # The exact denoiser is the mean of what may have become x_t.
    level = NoiseLevel(*(torch.tensor(v, dtype=torch.float64) for v in (0.0, 1.0, 0.5)))
    at = torch.tensor([[0.6, 0.4]], dtype=torch.float64)
    weights = torch.softmax(-(x - at).square().sum(1) / (2 * 0.5**2), 0)
    np.testing.assert_allclose(oracle(at, level)[0], weights @ x, atol=0.02)
    assert client.ask("train", {"recipe": recipe, "seed": 0})["step"] == 200
    client.ask("setup", {"law": {"kind": "builtin", "name": "moons"}, "size": 500, "seed": 0})
    assert client.ask("hello")["payload"]["title"] == "moons"


@pytest.mark.parametrize(
    ("question", "ask"),
    [
        ("walk", {"n": 10**9, "seed": 0, "which": "learned", "sampling": SAMPLING}),
        ("walk", {"n": 10, "seed": 0, "which": "../../etc/passwd", "sampling": SAMPLING}),
        ("walk", {"n": 10, "seed": 0, "which": "exact", "sampling": {**SAMPLING, "name": "os.system"}}),
        ("walk", {"n": 10, "seed": 0, "which": "exact", "sampling": {**SAMPLING, "steps": 10**6}}),
        ("field", {"x": [0.0] * 30_000, "level": {"t": 0, "alpha": 1, "sigma": 1}}),
        ("field", {"x": [float("nan"), 0], "level": {"t": 0, "alpha": 1, "sigma": 1}}),
        ("train", {"recipe": {"network": {"width": 10**6}, "training": {}}, "seed": 0}),
        ("forward", {"n": 10, "seed": 0, "sampling": SAMPLING, "schedule": {"name": "linear", "T": 10**7}}),
        ("adjust", {"learning_rate": 2.0, "batch_size": 64, "ema_decay": 0.9, "distance": "l2"}),
        ("load", {"at": -1}),
        ("save", {"language": "../en"}),
        ("__class__", None),
        ("setup", {"law": {"kind": "strokes", "strokes": [[]], "noise": 0.1}, "size": 100, "seed": 0}),
        ("setup", {"law": {"kind": "strokes", "strokes": [[[0, 0]]], "noise": 0}, "size": 100, "seed": 0}),
        ("setup", {"law": {"kind": "file", "name": "/etc/passwd"}, "size": 100, "seed": 0}),
        ("open", {"source": "/etc"}),
        ({"a": 1}, None),
    ],
)
def test_what_is_out_of_bounds_is_refused(question, ask):
    with pytest.raises(InputError):
        read_request(question, ask, OF_THE_PLANE)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "diffuscope.studio.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        pipe.close()


def test_the_process_speaks_in_frames_and_ends_with_its_input(child):
    def write(command: dict[str, Any]) -> None:
        child.stdin.write(json.dumps(command).encode() + b"\n")
        child.stdin.flush()

    def read() -> dict[str, Any]:
        (length,) = struct.unpack("<I", child.stdout.read(4))
        return decode(child.stdout.read(length))

    write({"source": "moons", "recipe": None})
    write({"id": 4, "question": "hello"})
    assert read() == {"opened": True}
    while "id" not in (sent := read()):
        assert set(sent) <= {"loss", "progress"}  # it trains already
    assert sent["answer"]["payload"]["title"] == "moons"
    child.stdin.close()
    child.stdout.read()
    assert child.wait(20) == 0


@pytest.mark.slow
def test_the_process_says_why_it_cannot_open(child):
    child.stdin.write(b'{"source": "no_such_set", "recipe": null}\n')
    child.stdin.flush()
    (length,) = struct.unpack("<I", child.stdout.read(4))
    assert "no_such_set" in decode(child.stdout.read(length))["failed"]
