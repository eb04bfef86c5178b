"""What does a person see of a diagnosis: in a notebook, in a page by itself, in a picture of one thing?"""

from __future__ import annotations

import dataclasses
import html
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.data.base import Dataset
from diffuscope.diagnosis import network_faults, sampling_faults
from diffuscope.diagnosis.budget import Budget, Row
from diffuscope.diagnosis.data_faults import _outliers
from diffuscope.diagnosis.dictionary import Entry, Reading
from diffuscope.diagnosis.differences import differences
from diffuscope.diagnosis.distances import Share
from diffuscope.diagnosis.findings import Finding, Suspect
from diffuscope.diagnosis.levels import Band, LevelErrors
from diffuscope.diagnosis.pictures import Differences, ErrorByLevel, Steps, Values
from diffuscope.diagnosis.readings import Readings
from diffuscope.diagnosis.report_page import lines_to_copy
from diffuscope.diagnosis.steps import probe_steps
from diffuscope.diffusion.samplers import DDIM
from diffuscope.diffusion.schedules import cosine
from diffuscope.errors import InputError
from diffuscope.pages import fragment, page
from diffuscope.words import in_python

from ..conftest import diagnose_quickly
from .conftest import Perfect

HOSTILE = '<script>alert("1")</script>'
VOID = {"meta", "img", "br"}
ADDRESS = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


class Seen(HTMLParser):
    """The text and the elements of a page, whose elements must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def share(ratio, low, high):
    return Share(ratio / 100, ratio, low, high)


def data_of(x, columns=None):
    return Dataset(name="array", x=x, columns=columns, draw=None, source={"kind": "array"})


ROWS = (
    Row("floor", "floor: real points against the same real points", share(0.95, 0.6, 1.3)),
    Row("discretisation", "discretisation: 4 steps of ddim", share(2.0, 1.5, 2.5)),
    Row("prior", "prior: the start, noise of std 1", share(-0.2, -0.6, 0.2)),
    Row("total", "total: what you see", share(2.75, 2.2, 3.3)),
)
WIDE = np.random.default_rng(0).normal(size=(200, 2))


@pytest.fixture(scope="module")
def made():
    """Give a diagnosis with findings of all kinds of pictures, and one without."""
    errors = LevelErrors(*np.array([[10.0, 1.0, 0.1], [0.5, 0.2, 0.1], [1.0, 0.9, 0.5]]))
    bands = (Band(10.0, 1.0, share(1.5, 1.0, 2.0)), Band(0.9, 0.1, share(0.1, -0.1, 0.3)))
    grid = cosine(20).grid(10, "uniform")
    values = Values.of(
        repr(HOSTILE), [*np.linspace(0, 1, 50), 1e6], [(1e6, f"row 50 of {HOSTILE}")], half=True
    )
    told = {"evidence": f"Boosted trees see that {HOSTILE!r} & others differ.", "gain": None}
    found = (
        Finding(
            "outliers", f"Row 50 is far out: {HOSTILE!r} is $1e6$", **told, fix="Remove it.", picture=values
        ),
        Finding(
            "few_steps",
            "4 steps are too few",
            "They cost 2.00 × floor.",
            2.0,
            "Sample with ddim in 40 steps (--sampler ddim --steps 40): 0.05 × floor remains.",
            interval=(1.5, 2.5),
        ),
        Finding(
            "undertrained",
            "Training ended too early",
            "With more steps it is better.",
            1.0,
            "Train longer.",
            "likely",
            "Pass losses=.",
            picture=ErrorByLevel.of_network(errors, bands),
        ),
        Finding(
            "step_coefficients",
            "In the loop ε̂ is weighted by β",
            "Its coefficients.",
            0.5,
            "Write x = (x − β/√(1−ᾱ) · ε̂) / √α.",
            picture=Steps.of(probe_steps(DDIM(), grid, 1.0)),
        ),
    )
    return diffuscope.Diagnosis(Budget(ROWS), found, errors, bands, 0.25, "The law is known.")


@pytest.fixture(scope="module")
def shown(made):
    """What a notebook shows of it."""
    return made._repr_html_()


def test_a_notebook_shows_waterfall_and_findings_in_the_words_of_the_text_and_of_json(made, shown):
    seen = Seen(shown)
    for row, value in zip(ROWS, ("0.95", "+2.00", "−0.20", "2.75"), strict=True):
        assert f"{row.title} {value} ({row.share.low:.2f}".replace("(-", "(−") in seen.text
    for number, one in enumerate(made.to_json()["findings"], 1):
        assert f"{number}. {one['title']}" in seen.text
        for said in (one["evidence"], one["sure"], one["fix"], one["needs"]):
            word = in_python(said)  # json names options as the command line does
            assert word in seen.text
            assert " ".join(word.split()) in " ".join(str(made).split())
    for label in ("Why", "How sure", "What to do", "How to see it"):
        assert f"{seen.text} ".count(f" {label} ") == 4
    assert "certain , gain: 2.00 (1.50 to 2.50) × floor" in seen.text
    assert "The bar “discretisation: 4 steps of ddim” above." in seen.text
    assert made.certainty in seen.text
    assert repr(made) == str(made)


def test_bars_stand_end_to_end_and_intervals_where_they_belong(shown):
    bars = re.findall(
        r'class="bar" style="left:([\d.]+)%;width:([\d.]+)%"></span><span class="span" style="left:([\d.]+)%;'
        r'width:([\d.]+)%"',
        shown,
    )
    unit = 100 / 3.45  # from 0 to the upper end of discretisation
    expected = [(0, 0.95, 0.6, 0.7), (0.95, 2.0, 2.45, 1.0), (2.75, 0.2, 2.35, 0.8), (0, 2.75, 2.2, 1.1)]
    assert np.array(bars, dtype=float) == pytest.approx(np.array(expected) * unit, abs=0.02)
    assert f'class="one" style="left:{unit:.2f}%"' in shown


@pytest.mark.parametrize("title", [pytest.param(None, marks=pytest.mark.slow), f"Diagnosis: {HOSTILE}"])
def test_foreign_words_are_text_and_nothing_is_fetched_or_run(made, title):
    html = made._html(title)
    assert HOSTILE not in html
    assert "&lt;script&gt;alert(" in html
    assert "http" not in ADDRESS.sub("", html).replace('http-equiv="Content', "")
    assert not re.search(r"url\(|@import", html)
    pictures = 0
    for tag, attributes in Seen(html).tags:
        assert tag not in ("script", "link", "iframe", "object", "form", "base")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset"):
                assert ADDRESS.fullmatch(value)
                pictures += 1
        if tag == "img":
            assert attributes["alt"]
    assert pictures == 3
    assert html.startswith("<!doctype html>" if title else "<div")


def test_the_style_of_a_notebook_touches_nothing_around_it(shown):
    style = re.search(r"<style>(.*?)</style>", shown, re.DOTALL).group(1)
    style = re.sub(r"@media[^{]*\{((?:[^{}]*\{[^}]*\})*)\s*\}", r"\1", style)
    for selectors in re.findall(r"([^{}]+)\{[^}]*\}", style):
        for one in selectors.split(","):
            assert one.strip().startswith(".diffuscope"), one


def test_what_can_be_copied_stands_by_itself(made, shown):
    lines = re.findall(r"<pre><code>([^<]*)</code></pre>", shown)
    assert [html.unescape(line) for line in lines] == [
        "Remove it.",
        'sampler="ddim", steps=40',
        "Train longer.",
        "x = (x − β/√(1−ᾱ) · ε̂) / √α",
    ]
    assert "<pre><code>--sampler ddim --steps 40</code></pre>" in made._html("A page")  # by a command
    fixes = {
        'Set prediction="data". Give it t / T as its time.': ['prediction="data"'],
        "Call network.eval() before sampling.": ["network.eval()"],
        "Draw z = torch.randn_like(x) inside the loop, anew in each step.": ["z = torch.randn_like(x)"],
        "Return the mean in the last step: no z where t = 0.": [],
        "Pass the time in the units of training (0 ... T − 1, or t / T).": [],
    }
    for fix, lines in fixes.items():
        assert lines_to_copy(fix) == lines


@pytest.mark.slow
def test_it_is_kept_as_one_file_beside_the_others(made, tmp_path):
    assert made.save(tmp_path) == [tmp_path / "figures" / "diagnosis.png"]
    assert not (tmp_path / "diagnosis.html").exists()
    assert made.save(tmp_path, html=True)[-1] == tmp_path / "diagnosis.html"
    html = (tmp_path / "diagnosis.html").read_text("utf-8")
    assert f"<title>Diagnosis: {tmp_path.name}</title>" in html
    assert {p.name for p in tmp_path.iterdir()} == {"diagnosis.json", "diagnosis.html", "figures"}


def test_where_nothing_could_be_measured_there_is_a_page_of_the_findings(tmp_path):
    finding = Finding("not_finite", "Training failed", "NaN at step 3.", None, "Train again.")
    found = diffuscope.Diagnosis(Budget(()), (finding,), None, (), None, "Nothing was measured.")
    assert found.save(tmp_path, html=True) == [tmp_path / "diagnosis.html"]
    seen = Seen(found._repr_html_())
    assert "1. Training failed" in seen.text
    assert "How to see it" not in seen.text
    assert "Error budget" not in seen.text
    with pytest.raises(InputError, match="no picture of its own"):
        finding.plot()


@pytest.mark.slow
def test_the_command_writes_the_page_and_says_where(cli, tiny, little, tmp_path):
    run = tiny()
    code, out, err = cli("diagnose", run.path, "--html")
    assert code == 0, err
    assert f"report   {run.path / 'diagnosis.html'}" in out
    seen = Seen((run.path / "diagnosis.html").read_text("utf-8"))
    title = re.search(r"^1\. (.*?)  \(", out, re.MULTILINE).group(1)
    assert title in seen.text
    (run.path / "diagnosis.html").unlink()
    code, out, _ = cli("diagnose", run.path, "--html", "--json", "--steps", 3)
    assert code == 0
    assert out.startswith("{")
    assert "3 steps of" in (run.path / "diagnosis.html").read_text("utf-8")


def test_the_command_writes_a_page_of_a_training_that_failed(cli, tmp_path):
    (tmp_path / "failure.json").write_text('{"what": "The loss became NaN.", "hint": "Train <b>again</b>."}')
    code, out, err = cli("diagnose", tmp_path, "--html")
    assert code == 0, err
    assert out.rstrip().endswith(str(tmp_path / "diagnosis.html"))
    assert "Train &lt;b&gt;again&lt;/b&gt;." in (tmp_path / "diagnosis.html").read_text("utf-8")


# --- pictures of one thing


def test_the_error_by_level_has_the_present_reading_and_the_best(perfect):
    def reading(scale, quantity):
        errors = scale * np.array([[1.0, 3.0], [0.5, 0.7]])
        return Reading(Entry(quantity, 1, "t", "noise"), perfect.denoiser, errors)

    readings = Readings(reading(10.0, "noise"), reading(1.0, "data"), None, 2.0, 0.1, (4.0, 0.5), (2.0, 1.0))
    suspect = network_faults._reading(None, readings)
    assert suspect.finding(None).picture is suspect.picture
    ax = suspect.picture.plot().axes[0]
    own, best, linear = ax.get_lines()
    assert own.get_xdata().tolist() == [4.0, 0.5]
    assert own.get_ydata() == pytest.approx([20.0, 6.0])
    assert best.get_ydata() == pytest.approx([2.0, 0.6])
    assert linear.get_ydata() == pytest.approx([2.0, 1.0])
    assert [line.get_label() for line in (own, best)] == ["as it is used", "read as data at t"]
    assert "as it is used 13" in suspect.picture.caption


def test_levels_without_signal_and_errors_that_are_not_finite_are_gaps():
    picture = ErrorByLevel.of([np.inf, 1.0, 0.1], ("now", [1.0, np.nan, 0.5]), ("then", [1.0, 0.0, 0.2]))
    (now, then) = picture.plot().axes[0].get_lines()
    assert now.get_xdata().tolist() == [1.0, 0.1]
    assert np.isnan(now.get_ydata()).tolist() == [True, False]
    assert np.isnan(then.get_ydata()).tolist() == [True, False]
    assert ErrorByLevel.of([1.0], ("now", [0.0])) is None


def test_steps_have_their_coefficients_beside_the_right_ones():
    def step(context, x):  # a weight that is half of what it should be
        x_0 = context.estimate(x)
        kept = context.target.sigma / context.now.sigma
        due = context.target.alpha - kept * context.now.alpha
        return (kept * x + 0.5 * due * x_0).to(x.dtype)

    probed = probe_steps(step, cosine(20).grid(10, "uniform"), 1.0)
    picture = Steps.of(probed)
    assert picture.data == pytest.approx([0.5 * due for due in picture.due_data], abs=1e-3)
    left, right = picture.plot().axes
    *due, own = left.get_lines()[: len(probed) + 1]
    assert own.get_ydata() == pytest.approx(picture.data)
    assert [line.get_ydata()[0] for line in due] == pytest.approx(picture.due_data)
    assert right.get_title() == "deviation of the noise"


def test_a_broken_step_has_a_picture_of_its_steps(perfect, monkeypatch):
    class Subject:
        sampler, grid, spread = DDIM(), perfect.schedule.grid(40, "uniform"), 1.0

    class Clouds:
        subject = Subject()

    fault = Suspect("noise_missing", "title", "evidence.", "fix")
    monkeypatch.setattr(sampling_faults, "_fault_of", lambda *_: fault)
    assert isinstance(sampling_faults._broken_step(Clouds()).picture, Steps)
    clipped = dataclasses.replace(fault, picture=Values.of("x", [0.0, 1.0], [(0.5, "clipped at 0.5")]))
    monkeypatch.setattr(sampling_faults, "_fault_of", lambda *_: clipped)
    assert isinstance(sampling_faults._broken_step(Clouds()).picture, Values)


def test_the_row_that_is_far_out_is_marked_in_the_values_of_its_column(perfect):
    x = WIDE.copy()
    x[17, 1] = 1e4

    class Subject:
        data = data_of(x, ("$a$", HOSTILE))
        scaling = perfect.scaling

    finding = _outliers(Subject())
    picture = finding.picture
    assert picture.name == repr(HOSTILE)
    assert picture.marks == ((1e4, "row 17: 10000"),)
    assert sum(picture.counts) == 200
    ax = finding.plot().axes[0]
    assert ax.get_xlim()[1] > 1e4
    assert sum(patch.get_height() for patch in ax.containers[0].patches) == 200
    assert "row 17: 10000" in [text.get_text() for text in ax.texts]
    assert "picture" not in finding.to_json()


def test_columns_that_differ_are_drawn_with_the_words_of_the_evidence():
    class Subject:
        data = data_of(WIDE, ("$a$", "b"))

    made = WIDE[:, [0, 0]] + [2.0, 0.0]  # a is higher, and the same as b
    parts = differences(Subject(), WIDE, made)
    assert len(parts) == 2
    assert [len(part.real[1]) for part in parts] in ([0, 200], [200, 0])
    picture = Differences(tuple(parts), ("real rows", "samples"))
    figure = picture.plot()
    for ax, part in zip(figure.axes, parts, strict=True):
        assert ax.get_title().replace("\n", " ").replace("\\$", "$") == part.words
        assert part.words in picture.caption
    columns = next(ax for ax, part in zip(figure.axes, parts, strict=True) if not part.real[1])
    real, other = columns.get_lines()[:2]
    assert np.median(other.get_xdata()) - np.median(real.get_xdata()) == pytest.approx(2.0, abs=0.1)
    figure.canvas.draw()


@pytest.mark.slow
def test_a_diagnosis_of_real_faults_has_their_pictures():
    perfect = Perfect()
    with pytest.MonkeyPatch.context() as patch:
        diagnose_quickly(patch)

        def muddled(x_t, level):
            return perfect.oracle(x_t, level).clamp(-0.5, 0.5)

        found = perfect.diagnose(muddled)
    assert found.findings[0].code == "clipping"
    assert [round(value, 3) for value, _ in found.findings[0].picture.marks] == [-0.5, 0.5]
    assert found._repr_html_().count("<img") >= 1


def test_the_picture_calls_parts_by_the_names_of_the_text(made):
    waterfall = made.plot().axes[0]
    shown = [" ".join(label.get_text().split()) for label in waterfall.get_yticklabels()]
    assert shown == [row.title for row in ROWS]


# --- what all pages share


def test_monitor_and_floor_are_shown_in_the_same_frame():
    floor = diffuscope.loss_floor("moons", torch.linspace(1e-3, 0.1, 20))
    html = floor._repr_html_()
    assert html.startswith('<div class="diffuscope">')
    assert Seen(html).text.count("σ/α") == 1
    watched = diffuscope.Monitor(torch.linspace(1e-3, 0.1, 20), "moons")
    assert watched._repr_html_().startswith('<div class="diffuscope">')
    assert watched.report("html").startswith("<!doctype html>")


def test_a_page_and_a_fragment_have_one_body():
    told = {"headline": "<b>", "names": ["time"], "cells": [["1"]], "certainty": "&"}
    bodies = [
        Seen(page("diffuscope.monitoring", "loss_floor.html", "<i>", **told)).text,
        Seen(fragment("diffuscope.monitoring", "loss_floor.html", **told)).text,
    ]
    assert bodies == ["<i> <b> time 1 &", "<b> time 1 &"]
