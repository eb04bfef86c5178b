"""How do live figures stand in the book? In a frame each, loaded when in sight, with one script for all.

A cell that ends with ``run.view()`` shows a page of the viewer. A notebook has all of it in the cell; the
book has its data in a file, and the script, which is the same for all, once.
"""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

import diffuscope.viewer

_FRAME = re.compile(r'<iframe [^>]*srcdoc="([^"]*)"[^>]*></iframe>')
_PARTS = Path(diffuscope.viewer.__file__).parent
_PACKED = re.compile(r'<script type="text/plain" id="packed">(.*?)</script>\n', re.DOTALL)
_FOLDER = "_views"


def shared(page: str) -> str:
    """Return a page of the viewer that takes its style and its packed script from files beside it."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n', "", page)
    page = re.sub(r"<style>.*?</style>", '<link rel="stylesheet" href="viewer.css">', page, flags=re.DOTALL)
    return _PACKED.sub('<script src="packed.js"></script>\n', page)


def packed_file(page: str) -> str:
    """Return a script that puts the packed script of a page where the page's loader finds it."""
    found = _PACKED.search(page)
    assert found is not None
    return (
        'const packed = document.createElement("script");\n'
        'packed.type = "text/plain";\npacked.id = "packed";\n'
        f'packed.textContent = "{found[1]}";\ndocument.body.append(packed);\n'
    )


class Views(SphinxPostTransform):
    """Puts the pages of the viewer into files, and frames that load them into the page."""

    default_priority = 900

    def run(self, **_: Any) -> None:
        """Look at every piece of HTML of a page."""
        for node in list(self.document.findall(nodes.raw)):
            if "srcdoc=" in node.astext():
                text = _FRAME.sub(self._frame, node.astext())
                node.replace_self(nodes.raw("", text, format="html"))

    def _frame(self, found: re.Match[str]) -> str:
        whole = html.unescape(found[1])
        page = shared(whole)
        name = hashlib.sha256(page.encode()).hexdigest()[:16] + ".html"
        folder = Path(self.app.outdir) / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(page, "utf-8")
        (folder / "packed.js").write_text(packed_file(whole), "utf-8")
        (folder / "viewer.css").write_text((_PARTS / "viewer.css").read_text("utf-8"), "utf-8")
        up = "../" * self.env.docname.count("/")
        title = "活动的插图" if self.config.language == "zh_CN" else "A live figure"
        return f'<iframe class="live" loading="lazy" title="{title}" src="{up}{_FOLDER}/{name}"></iframe>'


def setup(app: Any) -> dict[str, Any]:
    """Register the transform with Sphinx."""
    app.add_post_transform(Views)
    return {"parallel_read_safe": True}
