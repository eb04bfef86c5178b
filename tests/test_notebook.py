"""Does a notebook show progress, a last line, cards and figures, each once?"""

from __future__ import annotations

import re
import sys
import types

import numpy as np
import pytest

import diffuscope
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.progress import Reporter


class Notebook:
    """What the kernel of a notebook has been told to show: a list for each line, the last text is seen."""

    def __init__(self) -> None:
        self.lines: dict[object, list[str]] = {}

    def display(self, content, raw=False, display_id=None, update=False):
        assert raw
        assert set(content) == {"text/plain", "text/html"}
        assert update == (display_id in self.lines)
        self.lines.setdefault(display_id, []).append(content["text/plain"])

    @property
    def seen(self) -> list[str]:
        return [texts[-1] for texts in self.lines.values() if texts[-1]]


@pytest.fixture
def notebook(monkeypatch):
    shown = Notebook()
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    display.display = shown.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr("diffuscope.notebook._EVERY", 0.0)
    return shown


def text_of(html: str) -> str:
    """Return what a card says, without its style and pictures."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.S)))


def test_training_shows_its_progress_in_one_line_that_ends_with_the_result(notebook, tiny):
    run = tiny()
    assert len(notebook.lines) == 1
    (texts,) = notebook.lines.values()
    assert any(re.search(r"training: 30 of 30 steps, loss \d", text) for text in texts)
    assert "measuring the samples …" in texts
    assert re.fullmatch(
        rf"{run.path}: 30 steps in .* s, quality {re.escape(str(run.quality))} \(.*", texts[-1]
    )


def test_how_data_was_read_is_said_in_the_words_of_python(notebook, tiny):
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"zip": random.integers(100, 999, 200), "b": random.choice(["x", "y"], 200)})
    tiny({"data.refine": False}, data=frame, recipe="table")
    first = notebook.seen[0]
    assert "200 rows, 2 columns" in first
    assert "zip" in first
    assert "--" not in first


def test_what_is_over_leaves_no_line(notebook, run_dir, little):
    diffuscope.evaluate(run_dir, baselines=False, only=["sliced_wasserstein", "mmd"])
    assert notebook.seen == []


def test_nothing_is_shown_without_a_wish_outside_of_a_notebook(capsys, tiny):
    tiny()
    assert capsys.readouterr().err == ""


def test_whoever_announces_says_the_end_itself(notebook, tiny):
    tiny(announce=lambda notes: None)
    assert notebook.seen == []


def test_progress_false_is_silence_in_a_notebook_as_well(notebook, tiny):
    tiny(progress=False)
    assert notebook.lines == {}


def test_a_line_that_stays_is_not_written_over(notebook):
    reporter = Reporter()
    reporter.say("first")
    with reporter.stage("work"):
        pass
    reporter.finish("done")
    assert notebook.seen == ["first", "done"]


def test_a_run_that_has_no_page_is_a_card_with_a_picture(tiny):
    run = tiny(data=np.random.default_rng(0).normal(size=(200, 3)))
    card = run._repr_html_()
    assert str(run.quality) in text_of(card)
    assert "30 steps" in text_of(card)
    assert card.count("<img") == 1
    assert len(text_of(card)) < 600
    assert len(repr(run)) < 200


def test_a_run_whose_summary_is_gone_is_a_card_as_well(tiny):
    run = tiny()
    (run.path / "summary.json").unlink()
    assert "quality" not in text_of(run._repr_html_())


@pytest.mark.slow
def test_an_evaluation_is_a_table_and_its_text_is_behind_a_click(run_dir, little):
    found = diffuscope.evaluate(run_dir, baselines=False)
    card = found._repr_html_()
    assert card.count("<tr>") == 1 + len(found.metrics)
    shown = card.split("<details>")[0]
    assert "Sliced Wasserstein distance" in shown
    assert "with a 95% interval" not in shown
    assert repr(found) == str(found)


@pytest.mark.slow
def test_a_table_of_text_is_not_shown_by_itself_in_a_notebook(notebook, monkeypatch, run_dir, little):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    str(diffuscope.evaluate(run_dir, baselines=False, progress=False))
    assert notebook.lines == {}


def test_a_comparison_is_a_card_with_the_best_on_top(tmp_path, in_this_process, little):
    from .conftest import TINY

    axes = {**{key: [value] for key, value in TINY.items()}, "sampling.steps": [1, 4]}
    found = diffuscope.compare("s_curve", axes, seeds=1, out=tmp_path / "c", progress=False)
    card = found._repr_html_()
    rows = re.findall(r"<tr>(.*?)</tr>", card, flags=re.S)
    assert len(rows) == 3
    assert "best" in rows[1]
    assert len(repr(found)) < 1000


def test_large_objects_are_said_in_a_line(tiny):
    run = tiny()
    request = run.generator.request({}, 500)
    state = run.generator.states(500, request)[-1]
    assert isinstance(state, SamplingState)
    for one in (run.recipe, run.data, run.model, state):
        assert len(repr(one)) < 150
        assert "\n" not in repr(one)


def test_a_figure_is_shown_as_one_picture(run_dir):
    figure = diffuscope.load(run_dir).plot_samples(50)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert not hasattr(figure, "_repr_html_") or figure._repr_html_() is None
