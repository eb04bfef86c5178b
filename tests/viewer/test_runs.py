"""Does a page show runs of tables and images, from a file with the network off, and from the studio?"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

import diffuscope

from .test_browser import Page, barriers


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> diffuscope.Run:
    random = np.random.default_rng(0)
    place = tmp_path_factory.mktemp("rows")
    table = pd.DataFrame({"age": random.integers(18, 80, 200), "city": random.choice(["Oslo", "Rome"], 200)})
    table["income"] = np.exp(random.normal(9, 1.4, 200)) + table["age"]
    table.to_csv(place / "people.csv", index=False)
    settings = {"training.steps": 30, "network.width": 16}
    return diffuscope.train(
        place / "people.csv", target="city", out=place / "run", settings=settings, pictures=False
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> diffuscope.Run:
    settings = {"training.steps": 2, "sampling.steps": 5, "data.size": 100, "network.width": 8}
    out = tmp_path_factory.mktemp("digits") / "run"
    return diffuscope.train("digits", out=out, settings=settings, pictures=False)


def opened(browser: Any, run: diffuscope.Run, tmp_path: Any, **options: Any) -> Page:
    page = Page(browser, run.view(**options).save(tmp_path / "run.html"))
    page.page.wait_for_selector(".stage[data-frame]")
    return page


def colours(page: Page) -> int:
    """Return how many colours there are in the picture."""
    return int(
        page.page.evaluate(
            """() => {
              const from = document.querySelector('.stage canvas');
              const { data } = from.getContext('2d').getImageData(0, 0, from.width, from.height);
              const seen = new Set();
              for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 3).join());
              return seen.size;
            }"""
        )
    )


def test_a_file_of_rows_is_scrubbed_and_asked(browser, rows, tmp_path):
    page = opened(browser, rows, tmp_path)
    assert "sampled rows by" in page.text(".sentence")
    assert "In blue 200 real ones." in page.text(".sentence")
    assert re.search(
        r"Association \(0: none, ±1: closest\): -?\d\.\d+ in real rows, -?\d\.\d+", page.text(".sentence")
    )
    page.page.select_option("#column-x", label="city")
    page.page.select_option("#column-y", label="income")
    assert "city and income" in page.text(".sentence")
    before = page.page.locator(".stage canvas").screenshot()
    page.page.keyboard.press("Home")
    page.until(lambda: page.page.locator(".stage canvas").screenshot() != before)
    page.page.locator(".stage").click(position={"x": 300, "y": 300})
    values = page.page.locator(".row-values dd").all_text_contents()
    assert len(values) == 3
    assert page.page.locator(".row-values dt").all_text_contents() == ["age", "city", "income"]
    page.page.locator(".stage").focus()
    page.page.keyboard.press("ArrowRight")
    assert page.page.locator(".row-values dd").all_text_contents() != values
    assert barriers(page) == []
    assert page.trouble == []
    page.context.close()


def test_a_file_of_images_shows_one_of_them_on_its_way(browser, digits, tmp_path):
    page = opened(browser, digits, tmp_path, language="zh")
    assert "张图像" in page.text(".sentence")
    assert "这是一段录制" in page.text("footer")
    page.page.keyboard.press("Home")
    page.until(lambda: colours(page) > 100)  # noise
    page.page.locator(".stage").click(position={"x": 200, "y": 200})
    assert page.page.locator(".strip").is_visible()
    assert barriers(page) == []
    page.page.click("[data-value=dataToo]")
    assert "训练数据" in page.text(".sentence")
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.until(lambda: page.page.evaluate("() => document.documentElement.scrollWidth") <= 360)
    assert page.trouble == []
    page.context.close()


@pytest.mark.slow
def test_the_studio_draws_images_of_a_class(browser, digits, tmp_path):
    pytest.importorskip("uvicorn", reason="the studio is not installed: pip install 'diffuscope[studio]'")
    process = subprocess.Popen(
        [sys.executable, "-m", "diffuscope", "studio", str(digits.path), "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    )
    context = browser.new_context(reduced_motion="reduce")
    page, trouble = context.new_page(), []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(process.stdout.readline().strip())
    page.wait_for_selector(".stage[data-frame]", timeout=60_000)
    first = page.locator(".stage canvas").screenshot()
    page.select_option("#choice-0", "3")
    page.locator("#made[data-walk='2']").wait_for()
    page.focus("#guidance")
    page.keyboard.press("ArrowRight")
    page.locator("#made[data-walk='3']").wait_for()
    assert "Guidance 1.75" in page.locator("#made").text_content()
    assert page.locator(".stage canvas").screenshot() != first
    page.click("[data-value=estimates]")
    page.locator("#made[data-walk='4']").wait_for()
    with page.expect_download() as download:
        page.click("#save-file")
    download.value.save_as(tmp_path / "saved.html")
    assert trouble == []
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.stdout.close()
    again = Page(browser, tmp_path / "saved.html")
    again.page.wait_for_selector(".stage[data-frame]")
    assert again.trouble == []
    again.context.close()
    context.close()
