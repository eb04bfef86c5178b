"""How are lines of Chinese joined? Without the space that stands for the end of a line between words."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform

_WIDE = "\u3000-\u303f\u4e00-\u9fff\uff00-\uffef“”‘’—…"
_SIGNS = "，。；：、！？（）《》「」"
_BETWEEN = re.compile(rf"(?<=[{_WIDE}])\n(?=[{_WIDE}])|(?<=[{_SIGNS}])\n|\n(?=[{_SIGNS}])")


def joined(text: str) -> str:
    """Return a text in which no line ends between two Chinese characters, or beside a wide sign."""
    return _BETWEEN.sub("", text)


class ChineseLines(SphinxTransform):
    """Join the lines of all paragraphs; code is left as it is."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        """Look at every text of a page."""
        for parent in {id(text.parent): text.parent for text in self.document.findall(nodes.Text)}.values():
            if isinstance(parent, nodes.FixedTextElement | nodes.literal | nodes.raw | nodes.math):
                continue
            whole: list[nodes.Node] = []  # the end of a line is a text of its own
            for child in parent.children:
                if isinstance(child, nodes.Text) and whole and isinstance(whole[-1], nodes.Text):
                    child = nodes.Text(whole.pop() + child)
                whole.append(child)
            parent[:] = [nodes.Text(joined(one)) if isinstance(one, nodes.Text) else one for one in whole]


def setup(app: Any) -> dict[str, Any]:
    """Register the transform with Sphinx."""
    app.add_transform(ChineseLines)
    return {"parallel_read_safe": True}
