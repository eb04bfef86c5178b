"""Is the studio opened only where it can be reached, and nowhere else?"""

from __future__ import annotations

import json
import socket

import pytest

import diffuscope

pytest.importorskip("uvicorn", reason="the studio is not installed: pip install 'diffuscope[studio]'")

from diffuscope.cli import main
from diffuscope.errors import InputError, RunError
from diffuscope.studio.first import first_payload, payload_of_session
from diffuscope.studio.launch import run_studio
from diffuscope.viewer.shell import live_page


def test_all_addresses_at_once_are_refused():
    with pytest.raises(InputError, match="one address"):
        run_studio("s_curve", host="0.0.0.0", browser=False)


def test_a_language_that_it_does_not_speak_is_refused():
    with pytest.raises(InputError, match="language"):
        run_studio("s_curve", language="fr", browser=False)


def test_a_port_that_is_taken_is_said(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=str(port)):
            run_studio("s_curve", port=port, browser=False)
        with pytest.raises(SystemExit) as done:
            main(["studio", "--no-browser", "--port", str(port)])
    assert done.value.code == 1
    assert "--port" in capsys.readouterr().err


def test_the_live_page_has_no_data_and_asks_its_own_server_only():
    page, policy = live_page("zh")
    assert '{"live":true,"language":"zh","first":null}' in page
    assert "connect-src 'self'" in policy
    assert "<img" not in page


def test_the_page_begins_with_what_the_studio_will_train():
    first = first_payload("s_curve", None)
    assert first.pop("version") == diffuscope.__version__
    now = json.loads(json.dumps(payload_of_session()))  # python -m diffuscope.studio.first writes it
    for part, values in now.pop("scaling").items():
        assert first["scaling"][part] == pytest.approx(values)
    del first["scaling"]
    assert first.pop("counts").keys() == now.pop("counts").keys()
    assert first == now
    assert first_payload("s_curve", "fast") is not None
    assert first_payload("moons", None) is None  # Python alone knows what follows
    assert first_payload("s_curve", "article") is None
    page, _ = live_page("", first_payload("s_curve", None))
    assert '"first":{"version"' in page
