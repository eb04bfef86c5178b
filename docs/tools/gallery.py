"""How does the gallery become pages? ``{gallery} points`` shows a theme's scripts with their pictures."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

SCRIPTS = Path(__file__).parents[2] / "examples" / "gallery"


def described(script: Path, chinese: bool) -> tuple[str, str, str]:
    """Return title, description and code of a script; its docstring has the first two in both languages."""
    text = script.read_text("utf-8")
    head, _, *lines = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    titles, half = head.split(" | "), len(lines) // 2
    about = lines[half:] if chinese else lines[:half]
    code = text[text.index('"""\n', 3) + 4 :].strip()
    return titles[chinese], " ".join(about), code


class Gallery(SphinxDirective):
    """Tiles that lead to the scripts of a theme, or (``:full:``) the scripts themselves."""

    required_arguments = 1
    option_spec = {"full": directives.flag}  # noqa: RUF012  (docutils asks for it)

    def run(self) -> list[nodes.Node]:
        """Return tiles, or sections."""
        theme, chinese = self.arguments[0], self.config.language == "zh_CN"
        scripts = sorted(SCRIPTS.glob(f"{theme}_*.py"))
        up = "../" * self.env.docname.count("/")
        self.env.note_dependency(str(SCRIPTS))
        if "full" in self.options:
            lines = []
            for script in scripts:
                title, about, code = described(script, chinese)
                place = script.stem.replace("_", "-")
                lines += [
                    f"({place})=",
                    "",
                    f"## {title}",
                    "",
                    about,
                    "",
                    f"`examples/gallery/{script.name}`",
                    "",
                ]
                lines += [
                    "```{raw} html",
                    f'<p><img alt="{title}" src="{up}_gallery/{script.stem}.png"></p>',
                    "```",
                    "",
                ]
                lines += ["```python", code, "```", ""]
                self.env.note_dependency(str(script))
            return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)
        tiles = []
        for script in scripts:
            title, _, _ = described(script, chinese)
            place = f"{theme}.html#{script.stem.replace('_', '-')}"
            tiles.append(
                f'<a class="tile" href="{place}">'
                f'<img loading="lazy" alt="" src="{up}_gallery/{script.stem}.png"><p>{title}</p></a>'
            )
            self.env.note_dependency(str(script))
        return [nodes.raw("", f'<div class="gallery">{"".join(tiles)}</div>', format="html")]


def setup(app: Any) -> dict[str, Any]:
    """Register the directive with Sphinx."""
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": True}
