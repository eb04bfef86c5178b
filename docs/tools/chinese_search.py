"""How is Chinese found? Pages and questions are cut into pairs of characters: no dictionary is needed."""

from __future__ import annotations

import re
from typing import Any

from sphinx.search import SearchLanguage, languages
from sphinx.search.en import SearchEnglish

_PART = re.compile(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+")


def pieces(text: str) -> list[str]:
    """Return words of letters, and of Chinese each pair of neighbours; one that stands alone by itself."""
    found = []
    for part in _PART.findall(text):
        if "\u4e00" <= part[0] <= "\u9fff":
            found += [part[i : i + 2] for i in range(max(1, len(part) - 1))]
        else:
            found.append(part)
    return found


class Chinese(SearchEnglish):
    """English with its word stems, and Chinese in pairs."""

    lang = "zh"
    language_name = "English"  # by this name the page finds the stemmer
    js_splitter_code = r"""
function splitQuery(query) {
  const found = [];
  for (const part of query.match(/[\u4e00-\u9fff]+|[\p{L}\p{N}_]+/gu) || [])
    if (/[\u4e00-\u9fff]/.test(part))
      for (let i = 0; i < Math.max(1, [...part].length - 1); i++) found.push(part.slice(i, i + 2));
    else
      for (const word of part.match(/[^\u4e00-\u9fff]+/g)) found.push(word);
  return found;
}
"""

    def split(self, text: str) -> list[str]:
        """Return what a text is found by."""
        return pieces(text)

    def stem(self, word: str) -> str:
        """Return the stem of an English word; Chinese has none."""
        return word if word[0] > "\u2fff" else super().stem(word)

    def word_filter(self, word: str) -> bool:
        """Whether a word is worth an entry."""
        return word[0] > "\u2fff" or super().word_filter(word)


def setup(app: Any) -> dict[str, Any]:
    """Register the language with Sphinx."""
    assert issubclass(Chinese, SearchLanguage)
    languages["zh"] = Chinese
    return {"parallel_read_safe": True}
