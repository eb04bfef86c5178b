"""Is the page whole, safe and readable, whatever the table holds?"""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diffuscope.errors import InputError, RunError
from diffuscope.metrics.tabular import TABLE_METRICS, measure_table
from diffuscope.metrics.tabular.associations import Associations
from diffuscope.modalities.tables.report import write_report
from diffuscope.modalities.tables.report_drawings import (
    HEIGHT,
    WIDTH,
    draw_columns,
    draw_distances,
    draw_matrices,
)

VOID = {"meta", "img", "br", "hr", "input", "link"}
HOSTILE = '<script>alert("1")</script>'


class Page(HTMLParser):
    """The elements of a page, which must be closed in the order in which they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def write(folder, frames, *, title="Patients", facts=None, **arguments):
    train, held_out, synthetic = frames
    quality = measure_table(*frames, **arguments)
    path = folder / "report.html"
    write_report(
        path,
        title=title,
        train=train,
        held_out=held_out,
        synthetic=synthetic,
        quality=quality,
        facts=facts,
    )
    return path.read_text("utf-8"), quality


@pytest.fixture(scope="module")
def written(three, tmp_path_factory):
    facts = {"recipe": "tabular", "settings": {"steps": 4000, "width": 256}}
    return write(tmp_path_factory.mktemp("report"), three, facts=facts, target="ward")


def test_the_page_says_everything(written):
    html, quality = written
    page = Page(html)
    for name in quality.columns:
        assert f" {name} " in page.text
    for name, measured in quality.metrics.items():
        assert TABLE_METRICS[name].title in page.text
        assert f"{measured.value:.3g}" in page.text
    for sentence in quality.verdict():
        assert sentence in page.text
    assert "recipe tabular settings steps 4000 width 256" in page.text
    assert re.search(r"numpy \d", page.text)
    headings = [tag for tag, _ in page.elements if tag in ("h1", "h2")]
    assert headings == ["h1"] + ["h2"] * 7


def test_the_page_is_valid_html_and_its_pictures_have_words(written):
    page = Page(written[0])
    assert page.elements[0][0] == "html"
    assert written[0].startswith("<!doctype html>")
    for tag, attributes in page.elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["aria-label"]


def test_nothing_is_fetched_and_nothing_is_run(written):
    html = written[0]
    page = Page(html)
    assert "http:" not in html
    assert "https:" not in html
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "form", "base")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                assert value.startswith("data:image/png;base64,")
    assert "url(" not in html
    assert "@import" not in html


def test_the_picture_of_pairs_can_be_opened(written):
    picture = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", written[0])[1]
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    assert min(image.size) > 600


def test_markup_in_names_values_titles_and_facts_is_text(three, tmp_path):
    frames = []
    for frame in three:
        odd = frame[["age", "ward", "sex"]].set_axis([HOSTILE, '" onload="x', "a & b {{ 7 * 7 }}"], axis=1)
        frames.append(odd.replace({"surgery": HOSTILE, "cardiology": "'\"><img src=x>"}))
    html, _ = write(
        tmp_path,
        frames,
        title=HOSTILE,
        facts={HOSTILE: HOSTILE, "b": {"c<i>": "<b>"}},
        target='" onload="x',
    )
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert "script" not in tags
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert sum(tag == "img" for tag, _ in page.elements) == 1
    assert page.text.count(HOSTILE) >= 5  # title twice, name, value, facts
    assert "a & b {{ 7 * 7 }}" in page.text
    assert "49" not in re.findall(r"a & b (\S+)", page.text)


def test_thirty_columns_fit_into_two_megabytes(tmp_path):
    def wide(n, seed):
        random = np.random.default_rng(seed)
        x = random.normal(size=(n, 4)) @ np.random.default_rng(0).normal(size=(4, 30))
        frame = pd.DataFrame(x, columns=[f"column number {k}" for k in range(30)])
        for k in range(0, 30, 4):
            frame.iloc[:, k] = frame.iloc[:, k].where(random.random(n) > 0.1)
        for k in range(1, 30, 5):
            frame[f"column number {k}"] = np.where(x[:, k] > 0, "many", "few")
        return frame

    html, quality = write(tmp_path, [wide(600, 1), wide(300, 2), wide(600, 3)])
    assert len(quality.associations.names) > 36  # more than are shown
    assert len(html.encode()) < 2e6
    assert "column number 29" in Page(html).text


def test_a_page_without_held_out_rows_or_pairs_is_whole(three, tmp_path):
    html, quality = write(tmp_path, [three[0][["age"]], None, three[2][["age"]]])
    page = Page(html)
    assert quality.certainty in page.text
    assert "at least two columns" in page.text
    assert "Copies cannot be detected" in page.text
    assert "held-out rows" not in page.text.split("Patients")[1][:100]


def test_the_same_report_is_the_same_bytes(three, tmp_path):
    frames = [frame[["age", "sex"]] for frame in three]
    assert write(tmp_path, frames)[0] == write(tmp_path, frames)[0]


def test_tables_that_were_not_measured_are_refused(three, tmp_path):
    train, held_out, synthetic = three
    quality = measure_table(train[["age", "sex"]], None, synthetic[["age", "sex"]])
    with pytest.raises(InputError, match="columns that were measured"):
        write_report(
            tmp_path / "r.html",
            title="",
            train=train,
            held_out=held_out,
            synthetic=synthetic,
            quality=quality,
        )
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(three, tmp_path):
    (tmp_path / "file").write_text("")
    frames = [frame[["age"]] for frame in three]
    quality = measure_table(*frames)
    with pytest.raises(RunError, match=r"r\.html"):
        write_report(
            tmp_path / "file" / "r.html",
            title="",
            train=frames[0],
            held_out=frames[1],
            synthetic=frames[2],
            quality=quality,
        )


# --- drawings ----------------------------------------------------------------------------------------------


def corners(path):
    """Return the heights of a path's steps."""
    return np.array([float(up) for up in re.findall(r"V([\d.]+)H", path)])


def test_histograms_are_in_their_box_and_as_high_as_their_shares():
    real = pd.DataFrame({"x": np.repeat([0, 1, 2, 3], [10, 20, 30, 40])})
    synthetic = pd.DataFrame({"x": np.repeat([0, 1, 2, 3], [25, 25, 25, 25])})
    steps = draw_columns(real, synthetic)[0].steps
    heights = HEIGHT - corners(steps.real)
    assert heights.min() >= 0
    there = heights[heights > 0]
    np.testing.assert_allclose(there / there.max(), [0.25, 0.5, 0.75, 1], atol=0.01)
    made = HEIGHT - corners(steps.synthetic)
    np.testing.assert_allclose(made[made > 0] / there.max(), 0.625, atol=0.01)
    assert all(0 <= x <= WIDTH for x, _ in steps.ticks)
    across = [float(x) for x in re.findall(r"H([\d.]+)", steps.real)]
    assert max(across) <= WIDTH
    assert across == sorted(across)


def test_bars_have_the_shares_of_values_and_of_missing_ones():
    real = pd.DataFrame({"c": ["a"] * 6 + ["b"] * 2 + [None] * 2})
    synthetic = pd.DataFrame({"c": ["a"] * 3 + ["new"] * 7})
    bars = {bar.label: bar for bar in draw_columns(real, synthetic)[0].bars}
    assert list(bars) == ["a", "b", "new", "(missing)"]
    assert bars["a"].said == "a: real 60.0%, synthetic 30.0%"
    assert bars["new"].synthetic == 100
    assert bars["(missing)"].real == pytest.approx(100 * 0.2 / 0.7)


def test_matrices_show_real_below_and_synthetic_above():
    real = np.array([[1, 0.5, -0.2], [0.5, 1, 0.0], [-0.2, 0.0, 1]])
    synthetic = np.array([[1, 0.1, -0.2], [0.1, 1, 0.0], [-0.2, 0.0, 1]])
    names, (both, apart) = draw_matrices(Associations(("a", "b", "c"), real, synthetic))
    found = {(c.row, c.column): (c.strength if c.positive else -c.strength) for c in both.cells}
    assert names == ["a", "b", "c"]
    assert found == {(1, 0): 0.5, (0, 1): 0.1, (2, 0): -0.2, (0, 2): -0.2}
    assert [(c.row, c.column, c.strength, c.positive) for c in apart.cells] == [(1, 0, 0.4, False)]
    assert both.cells[0].said == "a and b: real 0.50, synthetic 0.10"


def test_of_many_columns_the_most_associated_are_shown():
    real = np.eye(50)
    real[40, 41] = real[41, 40] = 0.9
    names, _ = draw_matrices(Associations(tuple(f"c{k}" for k in range(50)), real, real))
    assert len(names) == 36
    assert {"c40", "c41"} <= set(names)


def test_distances_of_nothing_but_copies_are_drawn_beside_those_of_real_rows():
    assert draw_distances(np.zeros(5), np.zeros(5)) is None
    steps = draw_distances(np.zeros(50), np.linspace(1, 2, 50))
    assert np.flatnonzero(corners(steps.synthetic) < HEIGHT).tolist() == [0]
