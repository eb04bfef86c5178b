"""Does each link of the book open the studio where it says, in a real browser, without an error?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from ..test_book import DOCS, PAGES, STUDIO, text_of
from .test_browser import Page

pytestmark = pytest.mark.slow
LINKS = [(page, run, see) for page in PAGES for run, see, _ in STUDIO.findall(text_of("en", page))]


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Path:
    """The pages that the book has of its runs."""
    pytest.importorskip("sphinx", reason="the book's extra is not installed: pip install '.[book]'")
    folder = tmp_path_factory.mktemp("studio")
    subprocess.run([sys.executable, str(DOCS / "tools" / "draw_studio.py"), str(folder)], check=True)
    return folder


def settings(text: str) -> dict[str, Any]:
    return dict(parse_qsl(text))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("page", "run", "see"), LINKS, ids=[page for page, _, _ in LINKS])
def test_a_link_opens_the_studio_with_its_settings(browser, studio, page, run, see, language):
    wanted = {"lang": language, **settings(see)}
    opened = Page(browser, studio / f"{run}.html", f"#{urlencode(wanted)}")
    try:
        opened.page.wait_for_selector(".stage")
        assert opened.page.locator("html").get_attribute("lang") == ("zh-CN" if language == "zh" else "en")
        looked = {"mode", "field", "side", "exact", "level", "point", "sampler", "samplerSteps", "lang"}
        if set(wanted) - looked:  # it trains
            opened.until(lambda: opened.page.locator("progress").first.is_visible())
            opened.until(lambda: float(opened.page.locator("progress").first.get_attribute("value") or 0) > 0)
        else:
            opened.measured()
        opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
        opened.page.click("#copy-link")
        opened.until(lambda: opened.text("#saved").strip())
        got = settings(opened.page.evaluate("() => navigator.clipboard.readText()").split("#")[1])
        if "level" in wanted:  # the nearest one of the sampler
            assert 0.4 < float(got.pop("level")) / float(wanted.pop("level")) < 2.5
        got.pop("level", None)
        assert got == wanted
        assert opened.trouble == []
        assert [url for url in opened.asked if not url.startswith(("file:", "blob:", "data:"))] == []
    finally:
        opened.context.close()
