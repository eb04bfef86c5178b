"""Does the studio let in its own page only, and does it stand what a page may send?"""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the studio is not installed: pip install 'diffuscope[studio]'")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from diffuscope.studio.engine import Studio
from diffuscope.studio.server import MOST_BYTES, make_app

PORT = 4321
TOKEN = "a-token-of-256-bits"
HERE = f"http://127.0.0.1:{PORT}"


class Quiet(Studio):
    """A studio without an engine: what it would be asked is written down."""

    def __init__(self) -> None:
        super().__init__("s_curve", None)
        self.written: list[dict[str, Any]] = []
        self.state = "open"

    async def stop(self) -> None:
        pass

    def _write(self, command: dict[str, Any]) -> None:
        self.written.append(command)


@pytest.fixture
def studio() -> Quiet:
    return Quiet()


@pytest.fixture
def client(studio):
    app = make_app(studio, TOKEN, lambda: "<p>page</p>", "default-src 'none'", "127.0.0.1", lambda: PORT)
    with TestClient(app, base_url=HERE) as client:
        yield client


@pytest.fixture
def member(client) -> TestClient:
    assert client.post("/enter", content=TOKEN, headers={"origin": HERE}).status_code == 200
    return client


def joined(client: TestClient, **headers: str) -> Any:
    return client.websocket_connect(f"ws://127.0.0.1:{PORT}/watch", headers={"origin": HERE} | headers)


def frame(head: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<I", len(text)) + text + body


def test_the_page_has_a_policy_and_no_secret(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert TOKEN not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:80", ""])
def test_another_host_is_refused(client, host):
    assert client.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", f"https://127.0.0.1:{PORT}", "null", "http://127.0.0.1"]
)
def test_another_origin_is_refused(member, origin):
    assert member.get("/", headers={"origin": origin}).status_code == 403
    with pytest.raises(WebSocketDisconnect):
        joined(member, origin=origin).__enter__()


def test_an_upgrade_without_an_origin_is_refused(member):
    upgrade = member.websocket_connect(f"ws://127.0.0.1:{PORT}/watch")
    with pytest.raises(WebSocketDisconnect):
        upgrade.__enter__()


def test_the_token_is_good_once_and_only_the_right_one(client):
    headers = {"origin": HERE}
    assert client.post("/enter", content="wrong", headers=headers).status_code == 403
    assert client.post("/enter", content="x" * 1000, headers=headers).status_code == 413
    good = client.post("/enter", content=TOKEN, headers=headers)
    cookie = good.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert f"diffuscope-{PORT}=" in cookie
    assert TOKEN not in cookie
    assert client.post("/enter", content=TOKEN, headers=headers).status_code == 403


def test_without_the_cookie_nobody_watches(client, studio):
    for headers in ({}, {"cookie": f"diffuscope-{PORT}=guess"}):
        with pytest.raises(WebSocketDisconnect):
            joined(client, **headers).__enter__()
    assert studio.pages == set()


def test_questions_and_answers_find_each_other(member, studio):
    with joined(member) as one, joined(member) as other:
        for socket in (one, other):
            assert socket.receive_json() == {"opened": True}
            socket.send_json({"id": 7, "question": "hello", "ask": None})
        wait_for(member, lambda: len(studio.written) == 2)
        numbers = [command["id"] for command in studio.written]
        assert len(set(numbers)) == 2
        for number, what in zip(reversed(numbers), "ab", strict=True):
            member.portal.call(studio._pass_on, frame({"id": number, "answer": what}, b"1234"))
        for socket, what in ((other, "a"), (one, "b")):
            answer = socket.receive_bytes()
            (length,) = struct.unpack_from("<I", answer)
            assert json.loads(answer[4 : 4 + length]) == {"id": 7, "answer": what}
            assert answer[4 + length :] == b"1234"


def wait_for(client: TestClient, what: Any) -> None:
    import anyio

    for _ in range(200):
        if what():
            return
        client.portal.call(anyio.sleep, 0.01)
    raise AssertionError("waited in vain")


def test_of_pictures_only_the_latest_waits_for_a_slow_page(member, studio):
    with joined(member) as socket:
        socket.receive_json()
        for i in range(1000):
            member.portal.call(studio._pass_on, frame({"progress": i}))
        first = socket.receive_bytes()
        socket.send_json({"credit": 1})
        second = socket.receive_bytes()
        seen = [json.loads(message[4:])["progress"] for message in (first, second)]
        assert seen[1] == 999
        assert len(seen) == 2


def test_messages_that_are_not_valid_are_answered_and_forgotten(member, studio):
    with joined(member) as socket:
        socket.receive_json()
        for text in ("", "{", "[]", "7", '{"id": -1}', '{"id": true}', '{"id": "x"}', "[" * 5000):
            socket.send_text(text)
            assert "refused" in socket.receive_json()
        assert studio.written == []


def test_ten_thousand_mutated_messages_do_no_harm(member, studio, monkeypatch):
    monkeypatch.setattr("diffuscope.studio.server._MOST_A_SECOND", 10**9)
    rng = random.Random(0)
    seed = json.dumps({"id": 3, "question": "walk", "ask": {"n": 10, "seed": 0, "which": "learned"}})
    with joined(member) as socket:
        socket.receive_json()
        (page,) = studio.pages
        page.tokens = 1e9
        for _ in range(10_000):
            letters = list(seed)
            for _ in range(rng.randint(1, 6)):
                at = rng.randrange(len(letters))
                letters[at] = chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x400), 0]))
            page.open = 0
            page.read("".join(letters))
        page.queue.clear()
        page.bytes = 0
        for command in studio.written:  # whatever came through is one line of JSON for the engine
            assert "\n" not in json.dumps(command)
        socket.send_json({"id": 5, "question": "hello"})
        wait_for(member, lambda: any(command["question"] == "hello" for command in studio.written))


def test_a_message_that_is_too_long_ends_the_connection(member):
    with joined(member) as socket:
        socket.receive_json()
        socket.send_text(" " * (MOST_BYTES + 1))
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


def test_a_page_that_floods_is_cut_off(member):
    with joined(member) as socket:
        socket.receive_json()
        for _ in range(1000):
            socket.send_json({"credit": 1})
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


def test_a_page_has_few_open_questions(member, studio):
    with joined(member) as socket:
        socket.receive_json()
        for i in range(70):
            socket.send_json({"id": i, "question": "hello"})
        assert "Too many" in socket.receive_json()["error"]
        assert len(studio.written) == 64
    wait_for(member, lambda: not studio.pages)
    assert studio.owners == {}  # a page that left is forgotten
