r"""What of a column in which (nearly) every row has a text of its own, such as a customer's number?

There is nothing in it that a model could learn, and to draw its values again would hand out real ones. It has
no coordinate; what is decoded are identifiers made up by the pattern of the real ones, each different from
the others and from every real one.

A pattern is an alphabet for each place of a text. Its texts are numbered from 0 to N - 1, in mixed radix.
Those with the numbers :math:`a k \bmod N`, for the ``free`` values of k from ``first`` on, are no real
identifiers; so nothing of the real ones has to be kept but their alphabets.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Column, Floats, Name, Text
from diffuscope.data.tables.dtypes import dtype_name, kind_of_dtype
from diffuscope.data.tables.values import as_whole, is_present, kind_of, label, restore
from diffuscope.errors import InputError
from diffuscope.seeds import stream_seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Identifier", "is_identifier"]

_LEAST_ROWS = 30  # from which a column can be said to be one of identifiers
_DISTINCT = 0.95  # of the rows, at least
_LONGEST = 64  # characters of a pattern
_COVERED = 20  # rows for each character seen at a place, from which there are no others there
_MULTIPLIERS = 3
_CLASSES = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEXADECIMAL = ("0123456789abcdef", "0123456789ABCDEF")
_Size = Annotated[int, Field(ge=0, le=10**308)]


class Identifier(Column):
    """A column of identifiers; see the module's docstring. Of integers ``first`` is the next one not used."""

    kinds = ("category", "object", "integer")
    kind: Literal["identifier"] = "identifier"
    alphabets: tuple[Annotated[Text, Field(min_length=1)], ...] = Field(max_length=2 * _LONGEST)
    multiplier: _Size
    first: _Size
    free: Annotated[int, Field(ge=1, le=10**308)]
    tail: Annotated[str, Field(max_length=8)]
    """What stands before the number of a round, once all free identifiers are used."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.is_whole == bool(self.alphabets):
            raise ValueError("texts, and nothing else, have alphabets")
        if self.is_whole and self.first + self.free > 2**63:
            raise ValueError("numbers are beyond 64 bits")
        size = math.prod(map(len, self.alphabets))
        if any(len(set(alphabet)) < len(alphabet) for alphabet in self.alphabets):
            raise ValueError("letters of an alphabet must be distinct")
        if self.alphabets and (self.free > size or math.gcd(self.multiplier, size) != 1):
            raise ValueError("the free identifiers must be some of the pattern")
        return self

    @classmethod
    def fit(cls, values: pd.Series[Any], name: Name) -> Self:
        """Fit to texts or integers (n,); an InputError where they are something else."""
        dtype, present = dtype_name(values.dtype), is_present(values)
        if kind_of(values, name) == "integer":
            whole, _ = as_whole(values, name)
            first = max(int(whole.max()) + 1, 0)
            limit = 2**63 if dtype == "object" else int(np.iinfo(_plain(dtype)).max) + 1
            return cls(name=name, dtype=dtype, missing=not present.all(), alphabets=(), multiplier=1,
                       first=first, free=max(limit - first, 1), tail="")  # fmt: skip
        texts = values[present].astype(object).unique().tolist()
        if dtype == "category" or not texts or not all(isinstance(text, str) for text in texts):
            raise InputError(
                f"{label(name)} is {values.dtype}, and identifiers are text or integers.",
                "Convert it: column.astype(str).",
            )
        found = _pattern(texts)
        return cls(
            name=name,
            dtype=dtype,
            missing=not present.all(),
            alphabets=found.alphabets,
            multiplier=found.multiplier,
            first=found.first,
            free=found.free,
            tail=_tail(texts),
        )

    @property
    def is_whole(self) -> bool:
        """Whether the identifiers are integers."""
        return kind_of_dtype(self.dtype) == "integer" or (self.dtype == "object" and not self.tail)

    def as_given(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return given values (n,) as they are, see :meth:`Column.as_given`."""
        return restore(values.to_numpy(dtype=object), values.notna().to_numpy(), self.dtype, self.name)

    @property
    def width(self) -> int:
        """Number of coordinates: 0."""
        return 0

    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return no coordinates, shape (n, 0): any identifier may stand there."""
        return np.empty((len(values), 0))

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return a made-up identifier for each row of coordinates (n, 0)."""
        return self.made(len(coordinates))

    def made(self, n: int, start: int = 0, seed: int = 0) -> pd.Series[Any]:
        """Return n made-up identifiers, from ``start`` on of the sequence of a seed; all are distinct."""
        if self.is_whole:
            values = np.array([self.first + (start + i) % self.free for i in range(n)], dtype=object)
        else:
            size = math.prod(map(len, self.alphabets))
            shift = stream_seed(seed, "identifiers") % self.free
            values = np.empty(n, dtype=object)
            for i in range(n):
                turn, place = divmod(start + i, self.free)
                k = self.first + (place + shift) % self.free
                text = _text(self.multiplier * k % size, self.alphabets)
                values[i] = f"{text}{self.tail}{turn + 1}" if turn else text
        return restore(values, np.ones(n, dtype=bool), self.dtype, self.name)

    def _about(self) -> str:
        return f"made up, such as {self.made(1).iloc[0]}"


def is_identifier(values: pd.Series[Any], name: Name) -> bool:
    """Whether (nearly) every row of a column of text has a text of its own."""
    import pandas as pd

    dtype = dtype_name(values.dtype)
    n = int(is_present(values).sum())
    if n < _LEAST_ROWS or dtype == "category" or kind_of(values, name) != "category":
        return False
    texts = values[is_present(values)].astype(object)
    if not isinstance(texts.iloc[0], str) or texts.nunique() < _DISTINCT * n:
        return False
    numbers = pd.to_numeric(texts, errors="coerce").notna().mean()
    return bool(numbers < 0.8 or texts.str.fullmatch(r"\d+").all())  # others were meant to be numbers


class _Pattern(NamedTuple):
    alphabets: tuple[str, ...]
    multiplier: int
    first: int
    free: int


def _pattern(texts: Sequence[str]) -> _Pattern:
    """Return a pattern of texts, wide enough for many more of them."""
    texts = [text[:_LONGEST] for text in texts]
    enough = max(1000, 4 * len(texts))
    best = None
    for alphabets in _alphabets(_alike(texts)):
        found = _gap(alphabets, texts, enough)
        if best is None or found.free > best.free:
            best = found
        if best.free >= enough:
            break
    assert best is not None
    return best


def _alike(texts: Sequence[str]) -> list[str]:
    """Return the texts of the most frequent shape: digits, small and capital letters, others; or length."""

    def shape(text: str) -> str:
        return re.sub(r"[A-Z]", "A", re.sub(r"[a-z]", "a", re.sub(r"[0-9]", "9", text)))

    shapes = Counter(map(shape, texts))
    usual, count = shapes.most_common(1)[0]
    if count >= max(5, len(texts) // 100):
        return [text for text in texts if shape(text) == usual]
    length = Counter(map(len, texts)).most_common(1)[0][0]
    return [text for text in texts if len(text) == length] or list(texts)


def _alphabets(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield patterns of texts of one length, each with more texts than the one before."""
    seen = ["".join(sorted(set(letters))) for letters in zip(*texts, strict=True)]
    if not seen:  # the empty text alone
        seen = ["0123456789"]
    whole = [_completed(letters) for letters in _in_runs(seen)]
    yield tuple(
        one if len(texts) >= _COVERED * len(one) else all_ for one, all_ in zip(seen, whole, strict=True)
    )
    yield tuple(whole)
    places = [j for j, letters in enumerate(whole) if len(letters) > 1]
    last = places[-1] if places else len(whole) - 1
    more = whole[last] if places else "0123456789"
    for extra in range(1, 13):
        yield (*whole[: last + 1], *[more] * extra, *whole[last + 1 :])


def _in_runs(seen: Sequence[str]) -> list[str]:
    """Return the letters seen at each place; zeros before a number are digits like those that follow."""
    runs, varies = list(seen), False
    for j in reversed(range(len(seen))):
        varies = seen[j].isdigit() and (varies or len(seen[j]) > 1)
        if varies and len(seen[j]) == 1:
            runs[j] = _CLASSES[0]
    return runs


def _completed(letters: str) -> str:
    """Return the alphabet from which the letters seen at one place come."""
    if len(letters) == 1:
        return letters
    found = set(letters)
    for alphabet in _HEXADECIMAL:
        if found <= set(alphabet) and found & set(alphabet[:10]) and found & set(alphabet[10:]):
            return alphabet
    classes = [alphabet for alphabet in _CLASSES if found & set(alphabet)]
    rest = sorted(found - set("".join(_CLASSES)))
    return "".join([*classes, *rest])


def _gap(alphabets: tuple[str, ...], texts: Sequence[str], enough: int) -> _Pattern:
    """Return the longest run of a pattern's texts that has no real one in it, in one of several orders."""
    size = math.prod(map(len, alphabets))
    tables = [{letter: i for i, letter in enumerate(alphabet)} for alphabet in alphabets]
    numbers = [number for text in texts if (number := _number(text, tables)) is not None]
    plain = _longest_run(numbers, size, 1)
    best = _Pattern(alphabets, 1, *plain)
    draw = random.Random(0)
    for _ in range(_MULTIPLIERS if size > 8 * enough else 0):
        multiplier = draw.randrange(size // 3, size)
        while math.gcd(multiplier, size) != 1:
            multiplier += 1
        first, free = _longest_run(numbers, size, multiplier)
        if free >= 8 * enough:  # identifiers all over the pattern, where there are enough
            return _Pattern(alphabets, multiplier, first, free)
    return best


def _longest_run(numbers: Sequence[int], size: int, multiplier: int) -> tuple[int, int]:
    """Return first place and length of the longest run without these numbers, modulo the size."""
    if not numbers:
        return 0, size
    inverse = pow(multiplier, -1, size) if size > 1 else 0
    places = sorted({number * inverse % size for number in numbers})
    ends = [*places[1:], places[0] + size]
    free, first = max((end - place - 1, -place) for place, end in zip(places, ends, strict=True))
    return (1 - first) % size, free


def _tail(texts: Sequence[str]) -> str:
    """Return a mark such that no text ends with it and a number."""
    ends = {match[1] for match in (re.search(r"(\D{1,8})\d+$", text) for text in texts) if match}
    marks = ("-", "_", ".", "--", "__", "-_-", "~", "~~", "-~-~-~-")
    return next((mark for mark in marks if not any(end.endswith(mark) for end in ends)), "-~-~-~-~")


def _number(text: str, tables: Sequence[dict[str, int]]) -> int | None:
    """Return the number of a text among those of a pattern; None where it is none of them."""
    if len(text) != len(tables):
        return None
    number = 0
    for letter, table in zip(text, tables, strict=True):
        if letter not in table:
            return None
        number = number * len(table) + table[letter]
    return number


def _text(number: int, alphabets: Sequence[str]) -> str:
    """Return the text of a number."""
    letters = []
    for alphabet in reversed(alphabets):
        number, place = divmod(number, len(alphabet))
        letters.append(alphabet[place])
    return "".join(reversed(letters))


def _plain(dtype: str) -> Any:
    from diffuscope.data.tables.columns.numeric import precision_of

    return precision_of(dtype)
