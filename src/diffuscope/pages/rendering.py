"""How do results become HTML? By templates that escape all that is put into them.

A page is a file by itself: it has no scripts and asks nothing of any network, pictures are in it, and it can
be read on a phone, in the dark and on paper. A fragment is the same for a notebook: its style touches nothing
around it, and its ink and ground are those of the notebook, light or dark.

A template stands beside the code that fills it. It begins with ``{% extends frame %}`` and has the blocks
``style``, whose selectors begin with ``{{ scope }}``, and ``body``.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

__all__ = ["fragment", "page", "png_address"]

_COLORS = 256


def page(package: str, template: str, title: str, **values: Any) -> str:
    """Return a page that needs nothing else, by a template of a package such as ``diffuscope.diagnosis``."""
    made = _environment(package).get_template(template)
    return made.render(frame="page.html", scope="", title=title, **values)


def fragment(package: str, template: str, **values: Any) -> str:
    """Return what a notebook shows, by the same template as a page, without a title."""
    made = _environment(package).get_template(template)
    return made.render(frame="fragment.html", scope=".diffuscope ", title="", **values)


def png_address(figure: Figure, dpi: int = 160) -> str:
    """Return a figure as the address of a PNG that holds it, its colours cut to 256."""
    from PIL import Image

    from diffuscope.plots.style import pixels

    small = io.BytesIO()
    picture = Image.fromarray(pixels(figure, dpi)).quantize(_COLORS, dither=Image.Dither.NONE)
    picture.save(small, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode('ascii')}"


@cache
def _environment(package: str) -> Environment:
    """Return where templates come from: the package, and what all pages share."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("diffuscope.pages", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["png"] = png_address
    return environment
