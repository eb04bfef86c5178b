"""In which language does a figure speak? In the chosen one, where a font has its characters.

A figure is made in English. Before it is drawn its texts are translated, those of ticks and legends included;
mathtext and names stay as they are. Where no installed font has Chinese characters figures stay English.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from diffuscope.plots.fonts import can_draw, families, look_again, plain
from diffuscope.translations import language, term, translate
from diffuscope.translations.display import broken

__all__ = ["months", "said", "said_in_lines", "speak", "word"]

_SAMPLE = "图像数据"


def said(text: str) -> str:
    """Return a text as figures say it."""
    return translate(text) if _speaks() else text


def word(text: str) -> str:
    """Return a word of the program's own as figures say it."""
    return term(text) if _speaks() else text


def said_in_lines(text: str, columns: int, most: int = 300) -> str:
    """Return a text as figures say it, cut to ``most`` characters, in lines of so many columns."""
    return "\n".join(broken(plain(said(text), most), columns))


def months() -> str:
    """Return the format of a month, as figures write it."""
    return "%m月" if _speaks() else "%b"


def speak(figure: Figure) -> None:
    """Translate the texts of a figure that is finished."""
    if not _speaks():
        return
    for axes in figure.get_axes():
        for axis in (axes.xaxis, axes.yaxis):
            for formatter in (axis.get_major_formatter(), axis.get_minor_formatter()):
                if isinstance(formatter, FixedFormatter):
                    formatter.seq = [said(one) for one in formatter.seq]
                elif isinstance(formatter, FuncFormatter):  # as texts for chosen ticks are
                    formatter.func = _Spoken(formatter.func)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        words = said(text.get_text())
        if words != text.get_text():
            text.set_text(words)
        if not words.isascii():
            text.set_fontfamily(list(families()))


class _Spoken:
    """What a function of a tick returns, as figures say it."""

    def __init__(self, usual: Any) -> None:
        self._usual = usual.usual if isinstance(usual, _Spoken) else usual

    @property
    def usual(self) -> Any:
        """The function."""
        return self._usual

    def __call__(self, *at: Any) -> str:
        return said(self._usual(*at))


def _speaks() -> bool:
    """Whether figures speak another language than English."""
    return language() != "en" and _has_font()


@cache
def _has_font() -> bool:
    """Whether a font with Chinese characters is installed; where there is none that is said, once."""
    if not can_draw(_SAMPLE):
        look_again()
    found = can_draw(_SAMPLE)
    if not found:
        warnings.warn(
            "No installed font has Chinese characters, so figures are in English. Install one, such as "
            "Noto Sans CJK SC (Debian: fonts-noto-cjk).",
            stacklevel=2,
        )
    return found
