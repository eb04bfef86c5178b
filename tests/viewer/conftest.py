"""What do the tests of the page share? A run, and a real browser where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import diffuscope
from diffuscope.viewer import contents

from ..conftest import TINY

WEB = Path(__file__).parents[2] / "web"
_FLAGS = (
    *("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session", autouse=True)
def _few_points_in_pages():
    """Pages draw and measure fewer points than those of users."""
    few = {"shown": 500, "clouds": {"n": 300, "draws": 3}, "errors": 200, "batches": 10}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "COUNTS", few)
        yield


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> diffuscope.Run:
    """A run of the S-curve, trained in a moment."""
    out = tmp_path_factory.mktemp("viewer") / "run"
    return diffuscope.train("s_curve", out=out, settings=TINY, pictures=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser; where there is none, the tests that need it say so."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no browser: install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        yield browser
        browser.close()
