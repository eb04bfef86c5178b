"""Can everybody read the book? ``python docs/tools/accessible.py FOLDER`` asks axe-core about some pages.

Pages of both languages are opened in a real browser, light and dark; a finding that axe-core calls serious or
critical is an error. Live figures are asked by the tests of the viewer.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread

from playwright.sync_api import sync_playwright

_AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
_PAGES = ("index", "tutorial/forward", "beyond/budget", "own/tables", "mathematics", "reference/index")
_ASK = """async () => {
  const { violations } = await axe.run({ exclude: ["iframe"] });
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ target }) => target).join(", ")}`);
}"""


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def findings(folder: Path) -> list[str]:
    """Return what is seriously wrong, with the page on which it is."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme, language, name in product(("light", "dark"), ("en", "zh"), _PAGES):
            page = browser.new_context(color_scheme=scheme, bypass_csp=True).new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/{language}/{name}.html")
            page.evaluate(_AXE.read_text("utf-8"))
            found += [f"{language}/{name} ({scheme}): {what}" for what in page.evaluate(_ASK)]
            page.context.close()
    server.shutdown()
    return found


if __name__ == "__main__":
    wrong = findings(Path(sys.argv[1]))
    sys.exit("\n".join(wrong) or None)
