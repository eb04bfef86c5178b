"""Does the studio train in front of a real browser, and lose nothing when its page is loaded again?"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

import diffuscope

pytest.importorskip("uvicorn", reason="the studio is not installed: pip install 'diffuscope[studio]'")

PATIENCE = 60  # seconds


@pytest.fixture
def address(tmp_path) -> Iterator[str]:
    """The address of a studio that trains the S-curve."""
    process = subprocess.Popen(
        [sys.executable, "-m", "diffuscope", "studio", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    process.stdout.close()


def until(page: Any, what: Any) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := what():
            return value
        page.wait_for_timeout(50)
    raise AssertionError("waited in vain")


@pytest.fixture
def page(browser, address) -> Iterator[Any]:
    """The page of a studio in training; afterwards nothing went wrong in it."""
    context = browser.new_context(reduced_motion="reduce")
    page, trouble = context.new_page(), []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".stage", timeout=PATIENCE * 1000)
    assert "token" not in page.url
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    assert trouble == []
    context.close()


def steps(page: Any) -> Any:
    return until(page, lambda: re.search(r"(\d+) (of|steps)", page.locator("#train-note").text_content()))


def in_python(page: Any) -> Any:
    return until(page, lambda: "in Python" in page.locator("footer").text_content())


def test_the_studio_trains_and_loses_nothing(browser, address, page):
    assert "by itself" in page.locator(".notice").text_content()  # until Python is there
    assert "by this page itself" in page.locator("footer").text_content()
    assert steps(page)
    in_python(page)
    page.wait_for_selector(".notice", state="hidden")
    page.reload()
    page.wait_for_selector(".stage", timeout=PATIENCE * 1000)
    assert "in Python" in page.locator("footer").text_content()
    assert steps(page)
    other = page.context.new_page()  # a second tab needs no token
    other.goto(address.partition("#")[0])
    other.wait_for_selector(".stage", timeout=PATIENCE * 1000)
    stranger = browser.new_context().new_page()
    stranger.goto(address)  # the token was good once
    until(stranger, lambda: "did not let" in stranger.locator("#state").text_content())
    stranger.context.close()


@pytest.mark.slow  # loads Python once more
def test_a_page_that_is_used_waits_before_python_takes_over(page):
    page.locator("#language").click()
    page.locator("#act").click()  # it says so when Python has come as far
    until(page, lambda: "Python" in page.locator("footer").text_content())
    page.wait_for_selector(".notice", state="hidden")
    assert page.locator("html").get_attribute("lang") == "zh-CN"  # the language stays
    until(page, lambda: re.search(r"\d", page.locator("#train-note").text_content()))


@pytest.mark.slow  # trains to the end, and swaps each part for an exact one
def test_the_studio_measures_keeps_and_mends(page, tmp_path):
    in_python(page)
    until(page, lambda: "950 steps" in page.locator("#train-note").text_content())
    until(page, lambda: re.search(r"\d", page.locator("#here").text_content()))
    assert float(page.locator("#ratio").text_content()) < 3
    until(page, lambda: re.search(r"[.]$", page.locator("#budget-note").text_content()))
    page.locator(".stage").click(position={"x": 200, "y": 200})
    until(page, lambda: "E[x₀|x_t]" in page.locator("#point-note").text_content())
    page.click("#keep-run")
    said = until(page, lambda: page.locator("#saved").text_content())
    run = diffuscope.load(tmp_path / re.search(r"runs/[\w-]+", said)[0])
    assert run.summary["steps"] == 950
    assert run.view().payload["title"] == "s_curve"
    page.click("#tutorial")  # recorded runs of the tutorial's recipe: what is wrong, and what mends it
    ratios = until(page, lambda: page.locator(".chain li").all_text_contents())
    start = "Sampling does not start where training ended"
    until(page, lambda: start in page.locator("#finding").text_content())
    assert page.locator(".chain [aria-current]").text_content() == ratios[0]
    before = page.locator("#schedule-note").text_content()
    page.click("#mend")
    until(page, lambda: page.locator(".chain [aria-current]").text_content() not in ("?", ratios[0]))
    assert page.locator("#schedule-note").text_content() != before
    assert page.get_by_label("end", exact=True).input_value() == "0.02"
