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

from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError
from diffuscope.oracle import oracle_for
from diffuscope.studio.engine import Engine
from diffuscope.studio.frames import Positions, decode, encode
from diffuscope.studio.questions import read_question

SAMPLING = {"name": "dpmpp_2m", "steps": 6, "spacing": "karras", "rho": 7.0}


class Client:
    """Asks an engine in this process; its commands are a list that it works through."""

    def __init__(self, source: str, recipe: str | None = None) -> None:
        self.told: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.during: list[dict[str, Any]] = []
        self.engine = Engine(lambda told: self.told.append(decode(encode(told))), self._next)
        self.engine.open(source, recipe)
        self.first, self.engine.later = self.engine.later, None

    def _next(self, wait: bool) -> dict[str, Any] | None:
        waiting = self.commands if wait else self.during
        return waiting.pop(0) if waiting else None

    def ask(self, question: str, ask: Any = None) -> Any:
        self.told.clear()
        self.commands.append({"id": 1, "question": question, "ask": ask})
        self.engine.serve()
        (answer,) = [told for told in self.told if "id" in told and told["id"] == 1]
        if "error" in answer:
            raise InputError(answer["error"])
        return answer["answer"]


@pytest.fixture(scope="module")
def client() -> Client:
    return Client("s_curve")


@pytest.fixture(scope="module")
def recipe(client) -> dict[str, Any]:
    found = client.ask("hello")["payload"]["recipe"]
    found["network"]["width"] = 16
    found["training"] |= {"steps": 200, "batch_size": 64}
    return found


def test_arrays_come_back_as_they_went():
    x = np.array([0.5, -3.0, 1e-3], dtype=np.float32)
    told = decode(encode({"a": {"x": x, "y": [Positions(x), 1, None, "text"]}}))
    np.testing.assert_array_equal(told["a"]["x"], x)
    np.testing.assert_allclose(told["a"]["y"][0], x, atol=3.0 / 32767)
    assert told["a"]["y"][1:] == [1, None, "text"]


def test_the_exact_field_is_that_of_the_oracle(client):
    x = [0.3, -0.4, 1.0, 0.2]
    level = {"t": 0.5, "alpha": 1.0, "sigma": 0.5}
    answer = client.ask("field", {"x": x, "level": level, "snapshot": None})
    oracle = oracle_for("s_curve").scaled(client.engine.codec)
    there = NoiseLevel(*(torch.tensor(v, dtype=torch.float64) for v in (0.5, 1.0, 0.5)))
    points = torch.tensor(x).reshape(2, 2)
    np.testing.assert_allclose(answer["exact"].reshape(2, 2), oracle(points, there), rtol=1e-5)
    learned = client.engine.shown(points, there).detach()
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
    kinds = [next(iter(set(told) & {"id", "progress", "loss"})) for told in client.told]
    assert kinds.index("id") < len(kinds) - 1 - kinds[::-1].index("loss")  # answered before the end
    by_id = {told["id"]: told for told in client.told if "id" in told}
    assert by_id[8]["answer"]["running"]
    assert "nonsense" in by_id[7]["error"]
    assert by_id[6]["answer"] == answer
    losses = [told["loss"]["loss"] for told in client.told if "loss" in told]
    assert losses[-1] < losses[0]
    picture = next(told["progress"] for told in client.told if "progress" in told)
    assert picture["samples"].size == 1200


def test_a_state_of_the_training_can_be_looked_at_again(client, recipe):
    client.ask("train", {"recipe": recipe, "seed": 1})
    asked = {"n": 50, "seed": 3, "which": "learned", "sampling": SAMPLING}
    first, last = (client.ask("walk", {**asked, "snapshot": at})["states"] for at in (0, None))
    assert np.abs(first - last).max() > 0.1
    with pytest.raises(InputError, match="no such state"):
        client.ask("walk", {**asked, "snapshot": 900})


def test_sampling_starts_where_it_is_told_to():
    client = Client("s_curve", "article")  # its schedule ends long before all signal is gone
    sampling = {**SAMPLING, "steps": 100}
    asked = {"n": 4000, "seed": 0, "which": "exact", "sampling": sampling}
    far = client.ask("walk", asked)["states"].reshape(101, -1, 2)[0].std()
    near = client.ask("walk", {**asked, "sampling": {**sampling, "start": True}})["states"].reshape(
        101, -1, 2
    )[0]
    level = client.engine.shown.schedule(torch.tensor(99))
    assert far == pytest.approx(1.0, rel=0.05)
    expected = float(np.hypot(level.alpha.item() * client.engine.spread, level.sigma.item()))
    assert near.std() == pytest.approx(expected, rel=0.05)
    ratios = [
        client.ask(
            "quality", {"which": "exact", "n": 2000, "draws": 5, "sampling": {**sampling, "start": start}}
        )["ratio"]
        for start in (False, True)
    ]
    assert ratios[1] < ratios[0]


def test_a_training_stops_when_it_is_asked_to(client, recipe):
    client.during = [{"id": 9, "question": "stop"}]
    answer = client.ask("train", {"recipe": recipe, "seed": 1})
    assert answer["stopped"]
    assert answer["step"] < 200


def test_no_network_is_better_than_the_least_loss(client, recipe):
    floor = client.ask("irreducible", {"batches": 20})
    client.ask("train", {"recipe": recipe, "seed": 1})
    reached = np.mean([loss for _, loss in client.engine.trained.losses][-2:])
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
    oracle = client.engine.drawn
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
        read_question(question, ask)


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
    while "id" not in (told := read()):
        assert set(told) <= {"loss", "progress"}  # it trains already
    assert told["answer"]["payload"]["title"] == "moons"
    child.stdin.close()
    child.stdout.read()
    assert child.wait(20) == 0


def test_the_process_says_why_it_cannot_open(child):
    child.stdin.write(b'{"source": "no_such_set", "recipe": null}\n')
    child.stdin.flush()
    (length,) = struct.unpack("<I", child.stdout.read(4))
    assert "no_such_set" in decode(child.stdout.read(length))["failed"]
