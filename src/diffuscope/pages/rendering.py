"""How do results become HTML? By templates that escape all that is put into them.

A page is a file by itself: it has no scripts and asks nothing of any network, pictures are in it, and it can
be read on a phone, in the dark and on paper. A fragment is the same for a notebook: its style touches nothing
around it, and its ink and ground are those of the notebook, light or dark.

A template stands beside the code that fills it. It begins with ``{% extends frame %}`` and has the blocks
``style``, whose selectors begin with ``{{ scope }}``, and ``body``.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from diffuscope.translations import language, term, translate

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure
    from PIL.Image import Image as PillowImage

__all__ = ["fragment", "image_address", "page", "png_address"]

_COLORS = 256


def page(package: str, template: str, title: str, **values: Any) -> str:
    """Return a page that needs nothing else, by a template of a package such as ``diffuscope.diagnosis``."""
    made = _environment(package, language()).get_template(template)
    return _spoken(made.render(frame="page.html", scope="", title=title, language=language(), **values))


def fragment(package: str, template: str, **values: Any) -> str:
    """Return what a notebook shows, by the same template as a page, without a title."""
    made = _environment(package, language()).get_template(template)
    return _spoken(made.render(frame="fragment.html", scope=".diffuscope ", title="", **values))


def image_address(image: PillowImage, kind: str, **options: Any) -> str:
    """Return a Pillow image as the address of a file of that kind, png or webp, that holds it."""
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def png_address(figure: Figure, dpi: int = 160) -> str:
    """Return a figure as the address of a PNG that holds it, its colours cut to 256."""
    from PIL import Image

    from diffuscope.plots.style import pixels

    picture = Image.fromarray(pixels(figure, dpi)).quantize(_COLORS, dither=Image.Dither.NONE)
    return image_address(picture, "png", optimize=True)


_NODE = re.compile(r"(<(style|script|code)\b.*?</\2>|<[^>]*>)|([^<]+)", re.DOTALL)
_SAID = re.compile(r"""\b(alt|title|aria-label|data-title)="([^"]*)\"""")
_JINJA = re.compile(r"(\{[{%#].*?[}%#]\})", re.DOTALL)


def _spoken(text: str, say: Callable[[str], str] = translate) -> str:
    """Return HTML whose texts, and those of its attributes, are in the chosen language."""
    if language() == "en":
        return text

    def node(match: re.Match[str]) -> str:
        if match[2]:
            return match[0]
        if match[1]:
            return _SAID.sub(lambda found: f'{found[1]}="{_said(found[2], say)}"', match[1])
        return _said(match[3], say)

    return _NODE.sub(node, text)


def _said(text: str, say: Callable[[str], str]) -> str:
    """Return a text of a page, with its entities, in the chosen language."""
    bare = html.unescape(" ".join(text.split()))
    words = say(bare)
    if words == bare:
        return text
    space = ["", ""] if words[:1] > "\u2e80" else [" " * text[:1].isspace(), " " * text[-1:].isspace()]
    return space[0] + html.escape(words) + space[1]


@cache
def _environment(package: str, spoken: str) -> Environment:
    """Return where templates come from: the package, and what all pages share, in the language spoken.

    What stands in a template is the program's own, so that single words are translated, too.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from jinja2.ext import Extension

    class Spoken(Extension):
        def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
            return source if spoken == "en" else _of_template(source)

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("diffuscope.pages", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=[Spoken],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["png"] = png_address
    environment.filters["term"] = term
    return environment


def _of_template(source: str) -> str:
    """Return a template whose single words are translated; its sentences are when the page is finished."""
    parts = _JINJA.split(source)
    return "".join(part if i % 2 else _spoken_words(part) for i, part in enumerate(parts))


def _spoken_words(text: str) -> str:
    return _WORD.sub(lambda match: f">{match[1]}{html.escape(term(match[2]))}{match[3]}<", text)


_WORD = re.compile(r">(\s*)([A-Za-z]+)(\s*)<")
