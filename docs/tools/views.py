"""How do live figures stand in the book? In a frame each, loaded when in sight, with one script for all.

A cell that ends with ``run.view()`` shows a page of the viewer. A notebook has all of it in the cell; the
book has its data in a file, and script and style, which are the same for all, once. The same pages are the
studio of the book: ``{studio} moons`` leads to that of a run in ``docs/runs``, with settings in the address.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

_FRAME = re.compile(r'<iframe [^>]*srcdoc="([^"]*)"[^>]*></iframe>')
_PACKED = re.compile(r'<script type="text/plain" id="packed">(.*?)</script>\n', re.DOTALL)
_STYLE = re.compile(r"<style>(.*?)</style>\n", re.DOTALL)
_FOLDER = "_views"
_WORDS = {
    "en": (
        "Do it yourself",
        "Open in the studio",
        " (it computes in this browser; nothing is installed).",
        "In Python:",
    ),
    "zh": ("自己动手", "在工作室里打开", "（就在这个浏览器里计算，什么都不用装）。", "用 Python 计算："),
}


def write_shared(page: str, folder: Path, name: str) -> None:
    """Write a page of the viewer, and the script beside it that gives it what all such pages share."""
    packed, style = _PACKED.search(page), _STYLE.search(page)
    assert packed is not None
    assert style is not None
    both = {"packed": packed[1], "style": style[1]}
    script = f"""(() => {{
  const {{ packed, style }} = {json.dumps(both)};
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  document.head.append(make("style", {{ textContent: style }}));
  document.body.append(make("script", {{ type: "text/plain", id: "packed", textContent: packed }}));
  document.currentScript.remove(); // a page that saves itself has all of it
}})();
"""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n', "", _STYLE.sub("", page))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shared.js").write_text(script, "utf-8")
    (folder / name).write_text(_PACKED.sub('<script src="shared.js"></script>\n', page), "utf-8")


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
        name = hashlib.sha256(whole.encode()).hexdigest()[:16] + ".html"
        write_shared(whole, Path(self.app.outdir) / _FOLDER, name)
        up = "../" * self.env.docname.count("/")
        title = "可交互的图" if self.config.language == "zh_CN" else "A live figure"
        return f'<iframe class="live" loading="lazy" title="{title}" src="{up}{_FOLDER}/{name}"></iframe>'


class Studio(SphinxDirective):
    """A box with a link to the studio, as ``:see:`` says, a command, and what there is to be seen.

    ``:see:`` is what *Copy link* in the studio puts behind the ``#``, but for the language.
    """

    required_arguments = 1
    has_content = True
    option_spec = {"see": directives.unchanged, "command": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Return the box."""
        language = "zh" if self.config.language == "zh_CN" else "en"
        title, link, how, python = _WORDS[language]
        seen = parse_qsl(self.options.get("see", ""), strict_parsing=bool(self.options.get("see")))
        address = f"{'../' * (self.env.docname.count('/') + 1)}studio/{self.arguments[0]}.html"
        address += "#" + urlencode({"lang": language, **dict(seen)})
        address, gap = html.escape(address), "" if language == "zh" else " "
        lines = [
            *(f":::{{admonition}} {title}", ":class: seealso", ""),
            f'<a class="studio" href="{address}" target="_blank">{link}</a>{how}'
            + gap
            + "\n".join(self.content),
            "",
            *(python, "", "```bash", self.options["command"].replace(" && ", "\n"), "```", ":::"),
        ]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Any) -> dict[str, Any]:
    """Register the transform with Sphinx."""
    app.add_directive("studio", Studio)
    app.add_post_transform(Views)
    return {"parallel_read_safe": True}
