"""Does a notebook show a training while it runs, and does that view work in a real browser?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffuscope
from diffuscope.training import Progress
from diffuscope.viewer import live
from diffuscope.viewer.live import LiveView, live_view

from ..conftest import TINY

VIEWER = Path(diffuscope.__file__).parent / "viewer"


class Widget:
    """Keeps what a widget is sent."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        self.closed = False

    def send(self, message: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        json.dumps(message, allow_nan=False)
        self.sent.append((message, buffers or []))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def shown(monkeypatch) -> list[Widget]:
    """The widgets of a notebook that shows nothing."""
    pytest.importorskip("IPython")
    made: list[Widget] = []

    def widget(about: dict[str, Any]) -> Widget:
        made.append(Widget(about))
        return made[-1]

    monkeypatch.setattr(live, "in_notebook", lambda: True)
    monkeypatch.setattr("diffuscope.runs.execution.in_notebook", lambda: True)
    monkeypatch.setattr(live, "_widget_class", lambda: widget)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    return made


def trained(tmp_path: Path, data: Any = "s_curve", **settings: Any) -> diffuscope.Run:
    return diffuscope.train(
        data, out=tmp_path / "run", settings={**TINY, **settings}, pictures=False, progress=True
    )


def test_a_training_shows_its_samples_and_losses(shown, tmp_path, capsys):
    run = trained(tmp_path, **{"training.steps": 60})
    (widget,) = shown
    assert widget.closed
    assert widget.about["title"] == "s_curve"
    assert 0 < widget.about["least"] < 1.5
    losses = [message["loss"] for message, _ in widget.sent if "loss" in message]
    assert losses[-1]["step"] == losses[-1]["steps"] == 60
    last, (places,) = next((m["samples"], b) for m, b in reversed(widget.sent) if "samples" in m)
    assert last["step"] == 60
    assert last["ratio"] > 1
    x = np.frombuffer(places, "<i2").reshape(600, 2) * last["scale"] / 32767
    expected = run.model.codec.encode(run.sample(600)).numpy()
    np.testing.assert_allclose(x.std(axis=0), expected.std(axis=0), rtol=0.25)
    again = diffuscope.train(
        "s_curve", out=tmp_path / "quiet", settings={**TINY, "training.steps": 60}, pictures=False
    )
    np.testing.assert_array_equal(again.sample(50), run.sample(50))  # being watched changes nothing


def test_own_points_are_compared_with_parts_of_themselves(shown, tmp_path):
    points = np.random.default_rng(0).normal(size=(90, 2))
    settings = {key: value for key, value in TINY.items() if key != "data.size"}
    diffuscope.train(points, out=tmp_path / "run", settings=settings, pictures=False, progress=True)
    (widget,) = shown
    assert widget.about["least"] is None
    assert any("samples" in message for message, _ in widget.sent)


def test_what_is_not_in_the_plane_has_a_bar_alone(shown, tmp_path):
    points = np.random.default_rng(0).normal(size=(90, 3))
    settings = {key: value for key, value in TINY.items() if key != "data.size"}
    diffuscope.train(points, out=tmp_path / "run", settings=settings, pictures=False, progress=True)
    assert shown == []


def test_there_is_none_outside_of_a_notebook(small_run):
    setup = small_run
    assert live_view(setup.model, setup.data, None, None, "en") is None  # type: ignore[arg-type]


def test_the_view_draws_in_a_browser(browser, shown, small_run, tmp_path):
    class Trainer:
        """What a view needs of a trainer."""

        total_steps = 10
        denoiser = small_run.model.denoiser

        def averaged(self) -> Any:
            import contextlib

            return contextlib.nullcontext(small_run.model.denoiser)

    view = LiveView(Widget, small_run.model, small_run.data, Trainer(), 0.4, "zh")  # type: ignore[arg-type]
    for step in (5, 10):
        view.follow(Progress(step, 10, 1.0, 0.5, 1e-3))
    page = browser.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.set_content(f"<style>{(VIEWER / 'live.css').read_text('utf-8')}</style><div id='cell'></div>")
    module = (VIEWER / "live.js").read_text("utf-8")
    sent = [[message, [list(part) for part in buffers]] for message, buffers in view.widget.sent]
    page.evaluate(
        """async ([module, about, sent]) => {
          const url = URL.createObjectURL(new Blob([module], { type: 'text/javascript' }));
          const { default: view } = await import(url);
          let take;
          const model = { get: () => about, on: (_, work) => (take = work) };
          view.render({ model, el: document.querySelector('#cell') });
          for (const [message, parts] of sent) {
            take(message, parts.map((part) => new DataView(Uint8Array.from(part).buffer)));
          }
        }""",
        [module, view.widget.about, sent],
    )
    page.wait_for_selector(".stage[data-frame]")
    text = page.locator("#cell").text_content()
    assert re.search(r"\d\.\d\d× 底线", text)
    assert "第 10 步，共 10 步" in text
    assert "任何网络都不能低于 0.4" in text
    assert page.locator(".chart").bounding_box()["height"] == 150
    assert trouble == []
    page.close()
