"""How does a model become one file that can be mailed? Script, style, weights and a picture in one page.

The page asks nothing of any network: its policy lets it run its own script, known by its digest, and nothing
else. What comes from a run is in it as JSON or as escaped text, never as markup. Where scripts are off it
shows a picture.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from diffuscope.errors import InputError
from diffuscope.files import atomic_write
from diffuscope.translations import Language
from diffuscope.viewer.shell import policy, render

__all__ = ["View"]

_HEIGHT = 860  # pixels in a notebook

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "caption": "Samples of a diffusion model, beside its data.",
        "alt": "Samples of the model beside the data",
        "hint": "This is a live page: open the file in a browser that runs scripts to watch the model, "
        "ask it and train it again. It needs no network.",
    },
    "zh": {
        "caption": "扩散模型的样本，与数据并列。",
        "alt": "模型的样本与数据并列",
        "hint": "这是一个可交互的页面：用允许脚本的浏览器打开此文件，"
        "就能观察模型、向它提问、重新训练它。无需联网。",
    },
}


class View:
    """The interactive page of a model.

    The last line of a cell shows it in a notebook, in a frame of its own that has no access to the notebook.

    Parameters
    ----------
    payload : dict
        What :func:`diffuscope.viewer.payload` returns.
    picture : str
        The address of an image, ``data:image/png;base64,...``, which is shown where scripts are off.
    """

    def __init__(self, payload: dict[str, Any], picture: str) -> None:
        self.payload, self.picture = payload, picture

    @property
    def html(self) -> str:
        """The page, as text."""
        language: Language = self.payload["language"]
        title, words = self.payload["title"], _WORDS[language]
        return render(self.payload, policy(), language=language, title=title, picture=self.picture, **words)

    def save(self, path: str | Path) -> Path:
        """Write the page to a .html file, whole or not at all; another suffix is an InputError."""
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            what = f"A page cannot be written as {path.name!r}."
            raise InputError(what, "Choose a name that ends in .html.")
        with atomic_write(path) as temporary:
            temporary.write_text(self.html, "utf-8")
        return path

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        look = f"width:100%;height:{_HEIGHT}px;border:0"
        return f'<iframe sandbox="allow-scripts" style="{look}" srcdoc="{page}" title="Diffuscope"></iframe>'

    def __repr__(self) -> str:
        return f"View({self.payload['title']!r}; .save('run.html') writes it)"
