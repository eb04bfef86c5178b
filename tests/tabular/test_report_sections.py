"""Does a report say where to look and what to do, of any table, and only where there is something?"""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from diffuscope.metrics.tabular import measure_table
from diffuscope.modalities.tables.report import write_report
from diffuscope.modalities.tables.report_drawings import draw_shares
from diffuscope.modalities.tables.report_sections import sections_of

TITLES = ["What gives synthetic rows away", "Relations", "Missing values", "Heaps"]


def page_of(folder, frames, quality=None):
    train, held_out, synthetic = frames
    quality = quality or measure_table(*frames)
    write_report(
        folder / "report.html",
        title="T",
        train=train,
        held_out=held_out,
        synthetic=synthetic,
        quality=quality,
    )
    json.dumps(quality.to_json(), allow_nan=False)
    return (folder / "report.html").read_text("utf-8"), quality


@pytest.fixture(scope="module")
def faulty(of_loans, shuffle):
    """Rows with a fault of each kind."""
    train, held_out, synthetic = of_loans
    noise = np.random.default_rng(0).normal(size=len(synthetic))
    wrong = shuffle(synthetic, "partner_age", "code").assign(
        amount=(synthetic["amount"] * (1 + 0.02 * noise)).round(2)
    )
    return train, held_out, wrong


@pytest.fixture(scope="module")
def measured(faulty):
    return measure_table(*faulty)


def test_each_fault_has_its_section_with_what_to_do(measured):
    quality = measured
    found = {section.title: section for section in sections_of(quality)}
    assert list(found) == TITLES
    assert all(section.off and section.advice and section.rows for section in found.values())
    relations = found["Relations"]
    first = next(row for row in relations.rows if row.cells[0] == "'total' = 'amount' + 'fee'")
    assert first.off
    assert first.cells[1] == "100%"
    assert "train without 'total' (--types total=ignored)" in relations.advice[0]
    assert "compute it from 'amount' and 'fee'" in relations.advice[0]
    missing = found["Missing values"]
    assert missing.rows[0].cells[0] == "'partner_age' and 'partner_income' are missing together"
    assert found["Heaps"].rows[0].cells[:2] == ("amount", "4")
    given = {row.cells[0]: row.cells[-1] for row in found[TITLES[0]].rows}
    assert given["code"] == "how it goes with other columns"
    assert "its own values" in given["amount"]


def test_the_text_has_a_line_for_each_and_the_plain_data_all(measured):
    quality = measured
    lines = quality.lines()
    assert [line.partition(":")[0] for line in lines] == ["Detection", "Missing values", "Heaps", "Relations"]
    text = " ".join(str(quality).split())
    assert all(line in text for line in lines)
    plain = quality.to_json()
    assert {"code", "amount"} <= set(plain["detection"]["given_away_by"])
    assert plain["missing"]["together"][0]["one"] == "partner_age"
    assert plain["heaps"]["amount"]["synthetic"] < 0.05 < plain["heaps"]["amount"]["real"]
    assert next(r["words"] for r in plain["relations"] if r["broken"]) == quality.relations.broken[0].words
    for name in ("missing_together", "heap_rates", "heap_share", "relations_kept"):
        assert set(plain["metrics"][name]) == {"value", "floor", "ratio", "low", "high"}
        assert quality.off(name) == "worse", name


@pytest.mark.slow
def test_perfect_rows_have_sections_without_anything_to_do(of_loans):
    quality = measure_table(*of_loans)
    found = sections_of(quality)
    assert [section.title for section in found] == TITLES[1:]
    assert not any(section.off or section.advice for section in found)
    assert quality.troubles() == []
    assert all(quality.off(name) == "as real" for name in quality.metrics)


@pytest.mark.slow
def test_what_a_table_lacks_has_no_section(of_loans, tmp_path):
    html, quality = page_of(tmp_path, [frame[["job", "income"]].dropna() for frame in of_loans])
    assert quality.missing is quality.heaps is quality.relations is None
    assert sections_of(quality) == []
    assert not {"missing_rates", "heap_rates", "relations_kept"} & set(quality.metrics)
    assert not re.search(rf"<h2>({'|'.join(TITLES)})</h2>", html)


@pytest.mark.slow
def test_the_page_says_what_the_sections_say(faulty, measured, tmp_path):
    html, quality = page_of(tmp_path, faulty, measured)
    places = [html.index(f"<h2>{title}</h2>") for title in TITLES]
    assert places == sorted(places)
    assert html.count("What to do next") == 4
    for line in quality.troubles():
        assert line.split(";")[0].replace("'", "&#39;") in html
    assert 'alt="Missing values by column: ' in html


def keep(*names):
    return lambda frame: frame[list(names)]


EACH_KIND = ("job", "amount", "start", "income", "partner_age")
SHAPES = {
    "one number": keep("amount"),
    "one category": keep("job"),
    "one column with holes": keep("income"),
    "categories": keep("job", "code"),
    "numbers": keep("amount", "fee", "total", "repaid"),
    "times": keep("start", "end"),
    "truth values": lambda frame: frame[["job"]].assign(big=frame["amount"] > 9_000)[["big"]],
    "nothing but missing values": lambda frame: pd.DataFrame({"a": [None] * len(frame), "b": np.nan}),
    "missing and constant columns": lambda frame: keep("job", "amount", "income")(frame).assign(
        gone=np.nan, same="x", day=pd.NaT, one=1
    ),
    "names that are numbers": lambda frame: keep(*EACH_KIND)(frame).set_axis(range(len(EACH_KIND)), axis=1),
    "very large and small numbers": lambda frame: keep("job", "amount")(frame).assign(
        fee=frame["fee"] * 1e290, total=frame["total"] * 1e-290
    ),
    "forty rows": lambda frame: keep(*EACH_KIND)(frame)[:40],
    "few rows": lambda frame: frame[:30],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(shape, marks=[] if shape in ("one number", "categories") else pytest.mark.slow)
        for shape in SHAPES
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_table_of_any_shape_has_a_report(faulty, shape, tmp_path):
    frames = [SHAPES[shape](frame[:120]) for frame in faulty]
    html, quality = page_of(tmp_path, frames)
    assert html.rstrip().endswith("</html>")
    for name in quality.columns:
        assert str(name) in html
    assert str(quality)


@pytest.mark.slow
def test_a_report_of_fifty_columns_is_short_where_it_matters():
    def wide(seed):
        x = np.random.default_rng(seed).normal(size=(250, 50)).round(2)
        x[:, ::3] = np.where(x[:, ::3] < 0, 0, x[:, ::3])
        x[:, ::2] = np.where(np.random.default_rng(seed + 9).random((250, 25)) < 0.2, np.nan, x[:, ::2])
        return pd.DataFrame(x, columns=[f"column {k}" for k in range(50)])

    made = wide(3).fillna(0.0)
    quality = measure_table(wide(1), wide(2), made)
    found = {section.title: section for section in sections_of(quality)}
    assert all(len(section.rows) <= 12 for section in found.values())
    missing = found["Missing values"]
    assert missing.left_out == 25 - 12
    assert missing.drawing is not None
    assert len(missing.drawing.figure.axes[0].patches) == 12


def test_shares_are_drawn_to_scale():
    drawing = draw_shares("Shares", [("a", 0.2, 0.1), ("b", 0.05, 0.3)])
    ax = drawing.figure.axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([20, 5])
    assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx([10, 30])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first is on top
    assert drawing.caption == "a: real 20.0%, synthetic 10.0%; b: real 5.0%, synthetic 30.0%"
