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


LOOKED = {"lang", "mode", "field", "side", "exact", "level", "point", "sampler", "samplerSteps"}


def settings(text: str) -> dict[str, Any]:
    return dict(parse_qsl(text))


def copied(opened: Page) -> dict[str, Any]:
    """Return the settings in the address that *Copy link* gives now."""
    opened.page.click("#copy-link")
    opened.page.wait_for_function("() => document.querySelector('#saved').textContent.trim() !== ''")
    return settings(opened.page.evaluate("() => navigator.clipboard.readText()").split("#")[1])


def has_all(wanted: dict[str, Any], got: dict[str, Any]) -> dict[str, Any] | None:
    """Return what was got if it is what was wanted, at the nearest of the sampler's levels."""
    for name, value in wanted.items():
        if name != "level" and got.get(name) != value:
            return None
        if name == "level" and not 0.4 < float(got.get(name, 0)) / float(value) < 2.5:
            return None
    return got


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("page", "run", "see"), LINKS, ids=[page for page, _, _ in LINKS])
def test_a_link_opens_the_studio_with_its_settings(browser, studio, page, run, see, language):
    wanted = {"lang": language, **settings(see)}
    opened = Page(browser, studio / f"{run}.html", f"#{urlencode(wanted)}")
    try:
        opened.page.wait_for_selector(".stage")
        assert opened.page.locator("html").get_attribute("lang") == ("zh-CN" if language == "zh" else "en")
        trains = set(wanted) - LOOKED
        if trains:
            bar = opened.page.locator("progress").first
            opened.until(lambda: bar.is_visible() and float(bar.get_attribute("value") or 0) > 0)
        opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
        got = opened.until(lambda: has_all(wanted, copied(opened)))
        assert set(got) - {"level"} == set(wanted) - {"level"}  # the ruler moves where nothing is looked at
        assert opened.trouble == []
        assert [url for url in opened.asked if not url.startswith(("file:", "blob:", "data:"))] == []
    finally:
        opened.context.close()
