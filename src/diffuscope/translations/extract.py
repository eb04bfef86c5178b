"""Which texts does the package have for people? Those that ``zh.po`` has to translate.

They are found in the source, in the templates of pages, in the descriptions of recipes, and in what
``diffuscope list`` shows; ``by_hand.toml`` has those that no rule finds, and what only looks like a text.

``python -m diffuscope.translations.extract`` writes the catalogue anew: new texts with an empty translation,
and without those that the source no longer has; it lists both.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

from diffuscope.translations.catalogue import CATALOGUES, read_catalogue, sentences
from diffuscope.translations.source import Source, has_words, literal, texts_of_page, words_of_page

__all__ = ["extract", "needed", "write"]

_PACKAGE = Path(__file__).parents[1]
_BY_HAND = tomllib.loads((CATALOGUES / "by_hand.toml").read_text("utf-8"))
_SKIPPED = ("viewer/", "translations/")  # the interactive page speaks Chinese by itself
_OF_COLUMNS = ("data/tables/columns/", "data/tables/values")  # messages that may speak of y
_TARGETS = "data/tables/targets.py"


def extract(package: Path = _PACKAGE) -> dict[str, list[str]]:
    """Return the texts for people of a package, each with the files that it stands in."""
    found: dict[str, list[str]] = {}

    def add(text: str, place: str) -> None:
        for line in text.split("\n"):
            for sentence in sentences(line):
                one = _from_zero(sentence.strip())
                if has_words(one) and one not in _BY_HAND["not_said"]:
                    found.setdefault(one, []).append(place)

    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        if not place.startswith(_SKIPPED):
            source = Source(path.read_text("utf-8"), place)
            for text in source.texts():
                add(text, place)
            for word in source.terms():
                found.setdefault(literal(word), []).append(place)
    for text in [one for one, places in found.items() if any(p.startswith(_OF_COLUMNS) for p in places)]:
        add(_speaking_of_y(text, package), _TARGETS)
    for path in sorted(package.rglob("*.html")):
        place = path.relative_to(package).as_posix()
        if not place.startswith(_SKIPPED):
            for text in texts_of_page(path.read_text("utf-8")):
                add(text, place)
            for word in words_of_page(path.read_text("utf-8")):
                found.setdefault(word, []).append(place)
    for path in sorted(package.glob("recipes/*.toml")):
        add(literal(tomllib.loads(path.read_text("utf-8"))["description"]), f"recipes/{path.name}")
    for path in package.glob("cli/parts.json"):
        for row in (row for rows in json.loads(path.read_text("utf-8")).values() for row in rows.values()):
            for text in row:
                if not re.search(r"\w = ", text):  # settings with their defaults
                    add(literal(text), "cli/parts.json")
    return found


def _by_hand() -> list[str]:
    """Return the texts that no rule finds."""
    foreign = _BY_HAND["foreign"]
    rewritten = [text.replace("Input should", "It should") for text in foreign]  # by recipes/schema.py
    return [*_BY_HAND["terms"], *_BY_HAND["composed"], *foreign, *rewritten]


def _from_zero(text: str) -> str:
    """Return a sentence of a template with its holes numbered from 0."""
    numbers: dict[str, int] = {}

    def renumber(match: re.Match[str]) -> str:
        return f"{{{numbers.setdefault(match[1], len(numbers))}"

    return re.sub(r"(?<!\{)\{(\d+)(?=[}:=])", renumber, text)


def _speaking_of_y(text: str, package: Path) -> str:
    """Return a message about a column as it is put where the column is a target."""
    if not (package / _TARGETS).exists():
        return text
    words = Source((package / _TARGETS).read_text("utf-8"), _TARGETS).assigned("_SAID")
    for own, said in ast.literal_eval(words).items():
        text = text.replace(own, said)
    return re.sub(r"; of a file .*$", ".", re.sub(r" \(of a file: [^)]*\)", "", text))


def write() -> None:
    """Write the catalogue anew, and list what is gone and what has no translation."""
    path = CATALOGUES / "zh.po"
    known, found = read_catalogue(path), needed()
    places: dict[str, list[str]] = {}
    for text, of in found.items():
        places.setdefault(of[0], []).append(text)
    lines = [_HEADER]
    for place, texts in places.items():
        lines += [
            f"#: {place}\nmsgid {_quoted(one)}\nmsgstr {_quoted(known.get(one, ''))}\n" for one in texts
        ]
    path.write_text("\n".join(lines), "utf-8")
    gone = [text for text in known if text not in found]
    missing = [text for text in found if not known.get(text)]
    sys.stdout.writelines([*(f"gone: {text}\n" for text in gone), *(f"new: {text}\n" for text in missing)])
    sys.stdout.write(f"{len(found)} texts, {len(missing)} without a translation\n")


def needed() -> dict[str, list[str]]:
    """Return all texts that a catalogue needs, each with the files that it stands in."""
    found = extract()
    for text in _by_hand():
        found.setdefault(text, ["translations/by_hand.toml"])
    return found


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_HEADER = 'msgid ""\nmsgstr ""\n"Language: zh_CN\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'

if __name__ == "__main__":
    write()
