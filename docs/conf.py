"""How is the book built? Two trees of pages, ``en`` and ``zh``, by one configuration: ``make book``.

``docs/build.py`` calls Sphinx once for each language, with the tag of its name. The cells of a page are run
where they changed, in the language of the page; figures, messages and reports are so in that language.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import mathjax

import diffuscope

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS / "tools"))

chinese = tags.has("zh")  # type: ignore[name-defined]  # noqa: F821  (Sphinx hands it over)
dry = tags.has("dry")  # type: ignore[name-defined]  # noqa: F821  (no cell is run: are the pages themselves right?)
os.environ["DIFFUSCOPE_LANG"] = "zh" if chinese else "en"

project = "扩散镜 Diffuscope" if chinese else "Diffuscope"
author = "Diffuscope"
language = "zh_CN" if chinese else "en"
version = release = diffuscope.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "chinese_lines",
    "chinese_search",
    "gallery",
    "reference",
    "views",
]
templates_path = ["templates"]
exclude_patterns = ["_build"]


def _surroundings() -> str:
    """Return what is known of where cells run: with other runs or fonts they give other results."""
    digest = hashlib.sha256()
    startup = Path(os.environ.get("IPYTHONDIR", "")) / "profile_default" / "startup"
    for path in sorted([*(DOCS / "runs").rglob("*.*"), *startup.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# Pages are notebooks as text.
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = True
nb_execution_mode = "off" if dry else "cache"
nb_execution_cache_path = str(
    ROOT / "build" / "book" / ".cells" / ("zh" if chinese else "en") / _surroundings()
)
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_code_prompt_show = "显示答案" if chinese else "Show the solution"  # cells are hidden for nothing else
nb_code_prompt_hide = "收起答案" if chinese else "Hide the solution"

# The reference is made from docstrings.
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = project
html_static_path = ["static", str(Path(mathjax.__file__).parent / "static")]
html_css_files = ["book.css"]
mathjax_path = "mathjax/es5/tex-chtml.js"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2b6cb8", "color-brand-content": "#2b6cb8"},
    "dark_css_variables": {"color-brand-primary": "#7fb2ee", "color-brand-content": "#7fb2ee"},
}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "languages.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
nb_mime_priority_overrides = [("*", "image/gif", 15)]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
show_warning_types = True
suppress_warnings = [
    "mystnb.unknown_mime_type",
    "ref.python",  # a name such as low, of several classes
]

# What is outside of the book is named, not linked: the built book may stand anywhere.
_OUTSIDE = re.compile(
    r"\[([^\]]*)\]\((?:\.\./)+((?:benchmarks|examples|src|tests|CHANGELOG)[^)#]*)(?:#[^)]*)?\)"
)


def _named(_app: object, _page: str, text: list[str]) -> None:
    """Put the place of a file of the repository where a page links to it."""
    opening, closing = ("（", "）") if chinese else (" (", ")")
    text[0] = _OUTSIDE.sub(
        lambda found: (
            f"`{found[2]}`"
            if found[1].rstrip("/") in found[2]
            else f"{found[1]}{opening}`{found[2]}`{closing}"
        ),
        text[0],
    )


def _with_a_language(_app: object, _page: str, text: list[str]) -> None:
    """Say what the cells of a page are written in, which is else known of the kernel that ran them."""
    text[0] = text[0].replace("kernelspec:\n", "kernelspec:\n  language: python\n", 1)


def _made_by_a_cell(_app: object, _env: object, node: Any, text: Any) -> Any:
    """Let references to figures be their text, as only a cell that runs makes the figures."""
    return text if str(node.get("reftarget", "")).startswith("fig-") else None


def _reachable(_app: object, _page: str, _template: str, context: dict[str, str], _tree: object) -> None:
    """Let code that is wider than the page be scrolled by keys, and solutions be called what they show."""
    if "body" in context:
        context["body"] = (
            context["body"]
            .replace("<pre>", '<pre tabindex="0">')
            .replace(' aria-label="Toggle hidden content"', "")
        )


# Words of the theme, which has no Chinese.
_THEME = {
    "Next": "下一页",
    "Previous": "上一页",
    "On this page": "本页内容",
    "Back to top": "回到顶部",
    "Skip to content": "跳到正文",
    "Menu": "菜单",
    "Expand": "展开",
    "Light mode": "浅色",
    "Dark mode": "深色",
    "Auto light/dark, in light mode": "自动，此刻为浅色",
    "Auto light/dark, in dark mode": "自动，此刻为深色",
    "Made with": "主题：",
    "Languages": "语言",
    "Toggle navigation of": "展开或收起",
    "Toggle table of contents sidebar": "显示或隐藏本页目录",
    "Toggle site navigation sidebar": "显示或隐藏全书目录",
    "Toggle Light / Dark / Auto color theme": "浅色、深色或自动",
}
_SAID = re.compile(
    rf"""(>\s*|(?:aria-label|title)=")({"|".join(map(re.escape, _THEME))})(?=\s*<|"| [^\x00-\x7f\d]|  | \d)"""
)


def _in_chinese(app: Any, trouble: Exception | None) -> None:
    """Say the words of the theme in Chinese."""
    if chinese and trouble is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            if "_views" not in page.parts and "_static" not in page.parts:
                text = page.read_text("utf-8")
                page.write_text(_SAID.sub(lambda found: found[1] + _THEME[found[2]], text), "utf-8")


def setup(app: object) -> None:
    """Let pages be changed as they are read, and as they are written."""
    if dry:
        app.connect("source-read", _with_a_language)  # type: ignore[attr-defined]
        app.connect("missing-reference", _made_by_a_cell)  # type: ignore[attr-defined]
    app.connect("html-page-context", _reachable)  # type: ignore[attr-defined]
    app.connect("build-finished", _in_chinese)  # type: ignore[attr-defined]
    app.connect("source-read", _named)  # type: ignore[attr-defined]
    app.connect("include-read", lambda app, _path, parent, text: _named(app, parent, text))  # type: ignore[attr-defined]
