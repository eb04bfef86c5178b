"""Which characters can be drawn, whatever people call their columns?

Matplotlib's own font has Latin, Greek, Cyrillic, Arabic and many signs, but no Chinese, Japanese or Korean.
Where a font with those is installed it is used for what the first one lacks; a character that none has is
drawn as an empty box. Signs of mathtext are escaped: a column named ``$`` is one.
"""

from __future__ import annotations

import contextlib
from functools import cache

__all__ = ["can_draw", "families", "look_again", "plain"]

_OWN = "DejaVu Sans"
_OTHERS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR"),
    *("Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
)
_BOX = "□"


@cache
def families() -> tuple[str, ...]:
    """Return matplotlib's own font and those installed that have what it lacks."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return (_OWN, *(name for name in _OTHERS if name in installed))


@cache
def _glyphs() -> frozenset[int]:
    """Return the code points that can be drawn."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset().union(*(get_font(findfont(name)).get_charmap() for name in families()))


def look_again() -> None:
    """Find the fonts that were installed since matplotlib made its list of them."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            with contextlib.suppress(OSError, RuntimeError):  # no font, or one that cannot be read
                fontManager.addfont(path)
    families.cache_clear()
    _glyphs.cache_clear()


def can_draw(text: str) -> bool:
    """Whether there is a glyph for each character of a text."""
    return all(ord(character) in _glyphs() for character in text)


def plain(text: object, most: int = 18) -> str:
    """Return a text as it can be drawn, in one line, cut to ``most`` characters in its middle."""
    line = " ".join(str(text).split())
    if len(line) > most:
        line = line[: most - most // 3 - 1] + "…" + line[-(most // 3) :]
    line = "".join(c if ord(c) in _glyphs() else _BOX for c in line)
    return line.replace("$", r"\$")
