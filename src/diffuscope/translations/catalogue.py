"""How is a catalogue of translations read, and how does a text find its translation in it?

A catalogue is a file of gettext, of texts and their translations. What the program fills in is a hole::

    msgid "{0} has {1:n} row{2=s|}, {3=no|one} of them missing."
    msgstr "{0} 有 {1} 行，{3=没有|有一行}缺失。"

``{0}`` stands for any text, ``{0:n}`` for a number, ``{0:r}`` for a quoted name, and ``{0=a|b}`` for one of
some words, which a translation gives in the same order. In a translation ``{0!}`` is a hole in which a single
word is one of the program's own, and is translated as well.

A text is looked up as it is, then as a template with something in its holes. Where neither is found it is
divided: into lines, sentences, and parts of sentences. What is in a hole is translated likewise. A single
word, and what is in quotes, is left alone: it may be a name.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

__all__ = ["CATALOGUES", "SIGNS", "Catalogue", "Hole", "parse", "read_catalogue", "sentences", "written"]

CATALOGUES = Path(__file__).parent


@dataclass(frozen=True)
class Hole:
    """A place in a template: its number, its kind ("", "n" or "r"), and the words that it may be.

    In a translation a term of the program's own is marked by !, names that stay as they are by *.
    """

    number: int
    kind: str = ""
    words: tuple[str, ...] = ()
    is_term: bool = False
    is_name: bool = False

    def with_number(self, number: int) -> Hole:
        """Return the same hole with another number."""
        return replace(self, number=number)


_HOLE = re.compile(r"\{\{|\}\}|\{(\d+)([!*])?(?::([nr]))?(?:=([^{}]*))?\}")
_SENTENCE = re.compile(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<! al\.) (?=\S)")


def parse(template: str) -> list[str | Hole]:
    """Return the literal texts and the holes of a template."""
    parts: list[str | Hole] = []
    at, literal = 0, ""
    for match in _HOLE.finditer(template):
        literal += template[at : match.start()]
        at = match.end()
        if match[1] is None:
            literal += match[0][0]
            continue
        if literal:
            parts.append(literal)
        literal = ""
        words = () if match[4] is None else tuple(match[4].split("|"))
        parts.append(Hole(int(match[1]), match[3] or "", words, match[2] == "!", match[2] == "*"))
    literal += template[at:]
    return [*parts, literal] if literal else parts


def written(parts: list[str | Hole]) -> str:
    """Return the template of which :func:`parse` gives these parts."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part.replace("{", "{{").replace("}", "}}")
        else:
            kind = f":{part.kind}" if part.kind else ""
            words = f"={'|'.join(part.words)}" if part.words else ""
            text += f"{{{part.number}{'!' * part.is_term}{'*' * part.is_name}{kind}{words}}}"
    return text


def sentences(text: str) -> list[str]:
    """Divide a text after each full stop, question mark and exclamation mark with a space behind it."""
    return _SENTENCE.split(text)


_ESCAPES = {"n": "\n", "t": "\t"}


def read_catalogue(path: Path) -> dict[str, str]:
    """Return the texts of a file of gettext with their translations."""
    found: dict[str, str] = {}
    texts, key = {"msgid": "", "msgstr": ""}, ""
    for line in [*path.read_text("utf-8").splitlines(), "msgid"]:
        word, _, rest = line.partition(" ")
        if word == "msgid":
            if texts["msgid"]:
                found[texts["msgid"]] = texts["msgstr"]
            texts = {"msgid": "", "msgstr": ""}
        if word in texts:
            key = word
        elif line.startswith('"'):
            rest = line
        else:
            continue
        text = rest.strip()[1:-1]
        if "\\" in text:
            text = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
        texts[key] += text
    return found


_NUMBER = r"[-+−]?(?:\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?|nan|inf)%?"
_IN_SENTENCE, _IN_LIST = r"((?:(?![.!?] \S|; ).)*?)", r"((?:(?![.!?] \S).)*?)"
_REPR = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[\[({<].+?|[^\s'"]\S*?"""
_WORDS = re.compile(r"(?<![\w\0])[A-Za-z]{2,}(?![\w\0])")
_BRACES = re.compile(r"\{\{|\}\}")
_OPEN = re.compile(r"\{\d+[^{}]*\}")
_CHOICE = re.compile(r"\{\d+=([^{}]*)\}")
_FREE = re.compile(r"\{\d+(?::r)?\}")
_LETTERED = re.compile("[A-Za-z]{2,}")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_QUOTED = re.compile(r"""(['"`“]).*(['"`”])""")
_NAME = r"""(?:'[^']*'|"[^"]*"|[^\s,()\[\]{}'"]+)"""
_LIST = re.compile(rf"{_NAME}(?:, {_NAME})+(?: …)?")
_SMALL = set(
    re.findall(
        r"\w+", "of to in and or at by on for from is are not the with but more as different see column"
    )
)
_MEET = re.compile("[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]")
_APART = re.compile("[\u4e00-\u9fff] [\u4e00-\u9fff]")
_ENDS = "。，；：？！）"
_STARTS = "，；：（"
SIGNS = {"; ": "；", ": ": "：", ", ": "，"}
_LONGEST, _WHOLE = 4000, 700  # characters of a text that is looked at, and of one that is looked up
_DEEPEST, _TRIES = 12, 400  # texts in the holes of texts, and what is looked up for one
_MOST = 8  # parts that are looked up together


class _Template:
    """A text with holes, and its translation."""

    def __init__(self, text: str, translation: str) -> None:
        self.text, self.translation = text, translation
        bare = _OPEN.sub("\0", text)
        words = sum(min(map(len, found.split("|"))) for found in _CHOICE.findall(text))
        self.weight = len(bare) - bare.count("\0") + words, -len(_FREE.findall(text)), -text.count(":r}")
        self.words = frozenset(_WORDS.findall(bare))
        self.has_cells = "  " in text
        choices = [word for found in _CHOICE.findall(text) for word in _LETTERED.findall(found)]
        self.is_weak = _FREE.search(text) is not None and _SMALL.issuperset(_LETTERED.findall(bare) + choices)

    @cached_property
    def holes(self) -> list[Hole]:
        """The holes of the text, in their order."""
        return [part for part in parse(self.text) if isinstance(part, Hole)]

    @cached_property
    def said(self) -> list[str | Hole]:
        """The parts of the translation."""
        return parse(self.translation)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What matches the text with something in its holes."""
        pieces, parts = [], parse(self.text)
        around = ["", *parts, ""]
        for i, part in enumerate(parts):
            before, behind = around[i], around[i + 2]  # where another sentence may stand, it is said before
            is_open = (str(before)[-2:] == ": " and (not behind or str(behind)[1:2].isupper())) or (
                not before and str(behind)[:1].isupper()
            )
            if isinstance(part, str):
                pieces.append(re.escape(part))
            elif part.words:
                pieces.append(f"({'|'.join(map(re.escape, part.words))})")
            else:
                is_list = str(before)[-2:] == ": " or "; " in self.text
                free = "(.*?)" if is_open else _IN_LIST if is_list else _IN_SENTENCE
                pieces.append({"n": f"({_NUMBER})", "r": f"({_REPR})"}.get(part.kind, free))
        return re.compile("".join(pieces), re.DOTALL)


class Catalogue:
    """Translations of texts.

    Parameters
    ----------
    texts : dict of str to str
        Templates, with their translations; what has an empty translation is not translated.
    """

    def __init__(self, texts: dict[str, str]) -> None:
        self._exact: dict[str, str] = {}
        templates = []
        for text, translation in texts.items():
            for one, said in ((text, translation), *_without_sign(text, translation)):
                if said and "{" in _BRACES.sub("", one):
                    templates.append(_Template(one, said))
                elif said:
                    self._exact.setdefault(_plain(one), _plain(said))
        for one, said in list(self._exact.items()):
            self._exact.setdefault(one[0].lower() + one[1:], said)  # as a heading is put into a sentence
        often = Counter(word for template in templates for word in template.words)
        self._by_word: dict[str, list[_Template]] = {}  # under the word of each that is in the fewest
        for template in templates:
            key = min(template.words, key=lambda word: (often[word], word), default="")
            self._by_word.setdefault(key, []).append(template)
        self._work = threading.local()  # how much may still be done for a text
        self.translate = lru_cache(maxsize=4096)(self._translate)

    def term(self, word: str) -> str:
        """Return the translation of a word of the program's own."""
        return self._exact.get(word) or self.translate(word)

    def _translate(self, text: str) -> str:
        if len(text) > _LONGEST or not _LETTERS.search(text):
            return text
        self._work.depth, self._work.tries = 0, _TRIES
        return "\n".join(self._line(line) for line in text.split("\n"))

    def _line(self, line: str) -> str:
        """Return a line, of which the white space around it is kept."""
        bare = line.strip()
        if not bare or " " not in bare:
            return line
        said = self._text(bare)
        if said is None:
            return line
        start = line.index(bare)
        behind = line[start + len(bare) :]
        return line[:start] + said + ("" if said[-1:] in _ENDS else behind)

    def _text(self, text: str) -> str | None:
        """Return the translation of a text, or of its parts; None where nothing of it is known."""
        if self._work.depth >= _DEEPEST:
            return None
        self._work.depth += 1
        try:
            return self._whole_or_divided(text)
        finally:
            self._work.depth -= 1

    def _whole_or_divided(self, text: str) -> str | None:
        whole = self._whole(text)
        if whole is not None:
            return whole
        if text.startswith("(") and text.find(")") == len(text) - 1:
            inside = self._text(text[1:-1])
            if inside is not None:
                return f"（{inside}）"
        for divide, sign in _DIVISIONS:
            said = self._divided(divide(text), sign)
            if said is not None:
                return said
        said = self._whole(text, weak=True) or self._divided(text.split(", "), ", ")
        if said is None and text.endswith(".") and (said := self._whole(text[:-1])) is not None:
            said += "。"
        return said

    def _whole(self, text: str, weak: bool = False, holding: str = " ") -> str | None:
        """Return the translation of a text that stands in the catalogue as one.

        A ``weak`` template has few words, such as ``{0} of {1}``. Only those count that hold a certain sign.
        """
        if text in self._exact:
            return self._exact[text] if " " in text else None
        self._work.tries -= 1
        if self._work.tries < 0 or len(text) > _WHOLE:
            return None
        if text.endswith(".") and " " in text and text[:-1] in self._exact:
            return f"{self._exact[text[:-1]]}。"
        words, has_cells = set(_WORDS.findall(text)), "  " in text
        found = [
            template
            for word in (*words, "")
            for template in self._by_word.get(word, ())
            if template.is_weak == weak
            and template.words <= words
            and template.has_cells == has_cells
            and holding in template.text
        ]
        for template in sorted(found, key=lambda one: one.weight, reverse=True):
            match = template.pattern.fullmatch(text)
            if match is not None and (said := self._filled(template, match)) is not None:
                return f"{said[:-1]}。" if said.endswith(".") and not said.endswith("..") else said
        return None

    def _filled(self, template: _Template, match: re.Match[str]) -> str | None:
        """Return a translation with what is in the holes; None where this is not meant."""
        given = {
            hole.number: (hole, value) for hole, value in zip(template.holes, match.groups(), strict=True)
        }
        terms = {part.number for part in template.said if isinstance(part, Hole) and part.is_term}
        if template.is_weak and not all(
            hole.kind == "n" or hole.words or self._is_known(value, hole.number in terms)
            for hole, value in given.values()
        ):
            return None
        out = ""
        for part in template.said:
            piece = part
            if isinstance(part, Hole):
                hole, value = given[part.number]
                piece = self._value(hole, part, value)
            assert isinstance(piece, str)
            out = _beside(out, piece)
        return out

    def _value(self, hole: Hole, place: Hole, value: str) -> str:
        """Return what stands in a hole in the translation."""
        if place.words:
            return place.words[hole.words.index(value)]
        bare = value.strip()
        if place.is_name:
            return value.replace(", ", "、")
        if hole.kind or not bare:
            return value
        if hole.words or place.is_term:
            terms = [self._exact.get(word, "") for word in (bare, *bare.split(", "))]
            if terms[0] or all(terms[1:]):
                return terms[0] or "、".join(terms[1:])
        said = self._line(value)
        if said == value and _LIST.fullmatch(bare):
            return value.replace(", ", "、")
        return said

    def _is_known(self, value: str, is_term: bool) -> bool:
        """Whether a text is empty, a number, in quotes, or in the catalogue."""
        bare = value.strip()
        known = not _LETTERS.search(bare) or _QUOTED.fullmatch(bare) is not None
        return known or ((" " in bare or is_term) and (bare in self._exact or self._whole(bare) is not None))

    def _divided(self, parts: list[str], sign: str) -> str | None:
        """Return parts with those translated that are known, as many together as there can be."""
        if len(parts) < 2:
            return None
        out, at, was_known, is_any = "", 0, False, False
        while at < len(parts):
            piece, end, said = self._first(parts, at, sign)
            between = ""
            if at:
                known = (was_known, said is not None)
                meant = any(known) if sign == ": " else all(known)
                between = SIGNS.get(sign, sign) if meant else sign
            out = _beside(out, piece if said is None else said, between)
            was_known = said is not None
            is_any, at = is_any or was_known, end
        return out if is_any else None

    def _first(self, parts: list[str], at: int, sign: str) -> tuple[str, int, str | None]:
        """Return the most parts from a place on that are known together, their end and translation."""
        for end in range(min(len(parts), at + _MOST), at + 1, -1):
            piece = sign.join(parts[at:end])
            if end - at < len(parts) and (said := self._whole(piece, holding=sign)) is not None:
                return piece, end, said
        return parts[at], at + 1, self._text(parts[at].strip()) if " " in parts[at].strip() else None


def _plain(text: str) -> str:
    """Return a template without holes as the text that it stands for."""
    return text.replace("{{", "{").replace("}}", "}")


def _without_sign(text: str, translation: str) -> list[tuple[str, str]]:
    """Return a fragment that begins with a comma or the like without it, as where a text is divided."""
    is_fragment = text[:2] in (", ", "; ", ": ") and translation[:1] in _STARTS
    return [(text[2:], translation[1:])] if is_fragment else []


def _beside(text: str, piece: str, between: str = "") -> str:
    """Return two pieces as one text.

    There is no space beside a sign that is as wide as a Chinese character, and between two such characters,
    and there is one between a Chinese character and a Latin letter or a number.
    """
    if between == "  ":
        return text + between + piece
    if text[-1:] and text[-1] in _ENDS + _STARTS and not between.strip():
        between, piece = "", piece.lstrip(" ")
    if not between.strip() and piece[:1] and piece[0] in _ENDS + _STARTS:
        return text.rstrip(" ") + piece
    if between[:1] and between[0] in _ENDS:
        text = text.rstrip(" ")
    if not between and piece[:1] == " " and _APART.fullmatch(text[-1:] + piece[:2]):
        piece = piece[1:]
    if not between and text[-1:] == " " and _APART.fullmatch(text[-2:] + piece[:1]):
        text = text[:-1]
    if not between and _MEET.fullmatch(text[-1:] + piece[:1]):
        between = " "
    return text + between + piece


_DIVISIONS: tuple[tuple[Callable[[str], list[str]], str], ...] = (
    (lambda text: text.split("  "), "  "),
    (sentences, " "),
    (lambda text: re.split(r" (?=[(\[])", text), " "),
    (lambda text: text.split("; "), "; "),
    (lambda text: text.split(": "), ": "),
)
