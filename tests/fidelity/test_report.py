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
from diffuscope.modalities.tables.report_drawings import draw_columns, draw_distances, draw_matrices

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


@pytest.mark.slow
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
    assert headings == ["h1"] + ["h2"] * 9  # two of them on missing values and heaps


def test_the_page_is_valid_html_and_its_pictures_have_words(written):
    page = Page(written[0])
    assert page.elements[0][0] == "html"
    assert written[0].startswith("<!doctype html>")
    for tag, attributes in page.elements:
        if tag == "img":
            assert attributes["alt"]


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


def test_its_pictures_can_be_opened(written):
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", written[0])
    sizes = [Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in found]
    assert len(sizes) == len(written[1].columns) + 6  # two matrices, pairs, distances, holes, heaps
    assert min(max(sizes)) > 600  # of pairs
    assert min(min(size) for size in sizes) > 100


def test_markup_in_names_values_titles_and_facts_is_text(three, tmp_path, little):
    frames = []
    for frame in three:
        odd = frame[["age", "ward", "sex"]][:200].set_axis(
            [HOSTILE, '" onload="x', "a & b {{ 7 * 7 }}"], axis=1
        )
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
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in pictures)
    assert len(pictures) == 3 + 2 + 1 + 1 + 1  # columns, matrices, pairs, distances, heaps
    assert page.text.count(HOSTILE) >= 5  # title twice, name, facts
    assert any(HOSTILE in picture["alt"].partition("real")[0] for picture in pictures)  # a value
    assert "a & b {{ 7 * 7 }}" in page.text
    assert "49" not in re.findall(r"a & b (\S+)", page.text)


@pytest.mark.slow
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

    html, quality = write(tmp_path, [wide(200, 1), wide(100, 2), wide(200, 3)])
    assert len(quality.associations.names) > 36  # more than are shown
    assert len(html.encode()) < 2e6
    assert "column number 29" in Page(html).text


@pytest.mark.slow
def test_a_page_without_held_out_rows_or_pairs_is_whole(three, tmp_path):
    html, quality = write(tmp_path, [three[0][["age"]], None, three[2][["age"]]])
    page = Page(html)
    assert quality.certainty in page.text
    assert "at least two columns" in page.text
    assert "Copies cannot be detected" in page.text
    assert "held-out rows" not in page.text.split("Patients")[1][:100]


@pytest.mark.slow
def test_the_same_report_is_the_same_bytes(three, tmp_path):
    frames = [frame[["age", "sex"]] for frame in three]
    assert write(tmp_path, frames)[0] == write(tmp_path, frames)[0]


def test_tables_that_were_not_measured_are_refused(three, tmp_path):
    train, held_out, synthetic = three
    quality = measure_table(train[["age", "sex"]], None, synthetic[["age", "sex"]])
    with pytest.raises(InputError, match="differ from those of the quality"):
        write_report(
            tmp_path / "r.html",
            title="",
            train=train,
            held_out=held_out,
            synthetic=synthetic,
            quality=quality,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
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


def heights(drawing):
    """Return the steps of real and of synthetic rows."""
    filled, line = drawing.figure.axes[0].patches[:2]
    return filled.get_data().values, line.get_data().values


def test_histograms_are_as_high_as_their_shares():
    real = pd.DataFrame({"x": np.repeat([0, 1, 2, 3], [10, 20, 30, 40])})
    synthetic = pd.DataFrame({"x": np.repeat([0, 1, 2, 3], [25, 25, 25, 25])})
    drawing = draw_columns(real, synthetic)[0]
    was, made = heights(drawing)
    np.testing.assert_allclose(was[was > 0], [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(made[made > 0], 0.25)
    assert drawing.figure.axes[0].get_ylim()[1] > 0.4
    assert (drawing.title, drawing.caption) == ("x", "")


def test_bars_have_the_shares_of_values_and_missing_ones_are_told():
    real = pd.DataFrame({"c": ["a"] * 6 + ["b"] * 2 + [None] * 2})
    synthetic = pd.DataFrame({"c": ["a"] * 3 + ["new"] * 7})
    drawing = draw_columns(real, synthetic)[0]
    ax = drawing.figure.axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "new"]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.6, 0.2, 0])
    assert [line.get_ydata()[0] for line in ax.lines] == pytest.approx([0.3, 0, 0.7])
    assert [text.get_text() for text in ax.texts] == ["20% missing", "0% missing"]
    assert drawing.caption == "a: real 60.0%, synthetic 30.0%; b: real 20.0%, synthetic 0.0%; new: " + (
        "real 0.0%, synthetic 70.0%"
    )


def test_matrices_show_real_below_and_synthetic_above():
    real = np.array([[1, 0.5, -0.2], [0.5, 1, 0.0], [-0.2, 0.0, 1]])
    synthetic = np.array([[1, 0.1, -0.2], [0.1, 1, 0.0], [-0.2, 0.0, 1]])
    drawings = draw_matrices(Associations(("a", "b", "c"), real, synthetic))
    both, apart = (drawing.figure.axes[0] for drawing in drawings)
    assert [text.get_text() for text in both.get_yticklabels()] == ["a", "b", "c"]
    np.testing.assert_array_equal(both.images[0].get_array(), [[0, 0.1, -0.2], [0.5, 0, 0], [-0.2, 0, 0]])
    np.testing.assert_array_equal(apart.images[0].get_array(), [[0, 0, 0], [-0.4, 0, 0], [0, 0, 0]])
    assert both.images[0].get_clim() == apart.images[0].get_clim() == (-1, 1)
    blue, red = both.images[0].cmap([1.0, 0.0])
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert "a and b: real 0.50, synthetic 0.10" in drawings[1].caption


def test_of_many_columns_the_most_associated_are_shown():
    real = np.eye(50)
    real[40, 41] = real[41, 40] = 0.9
    for drawing in draw_matrices(Associations(tuple(f"c{k}" for k in range(50)), real, real)):
        names = [text.get_text() for text in drawing.figure.axes[0].get_xticklabels()]
        assert len(names) == 36
        assert {"c40", "c41"} <= set(names)


def test_distances_of_nothing_but_copies_are_drawn_beside_those_of_real_rows():
    assert draw_distances(np.zeros(5), np.zeros(5)) is None
    drawing = draw_distances(np.zeros(50), np.linspace(1, 2, 50))
    unseen, own = heights(drawing)
    assert np.flatnonzero(own).tolist() == [0]
    assert unseen.sum() == pytest.approx(1)
    assert drawing.caption == "medians: held-out rows 1.5, synthetic rows 0"
