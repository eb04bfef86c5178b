"""How are numbers written in a text, and read out of it? ``1,903,000``, ``8,99``, ``$9.87``, ``45%``.

All cells of a column have one form: the same words before and behind, one separator of thousands, one decimal
sign. Both signs may be a comma or a point; which is which follows from the cells.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.columnar.schema import SPACES, ColumnSchema

__all__ = ["Found", "decimals_of", "exponents_of", "find_number_form", "parse_number", "write_numbers"]

_SYMBOLS = "$€£¥￥₹₩₽₺₫฿₴₦₱₪₡₵₲₸₮₭"
_CODES = (
    "USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|RUB|BRL|MXN|ZAR|KRW|SGD|"
    "HKD|TWD|THB|IDR|MYR|PHP|VND|AED|SAR|ILS|EGP|NGN|KES|ARS|CLP|COP|PEN|UAH"
)
_UNITS = (
    "mg|g|kg|mm|cm|m|km|ml|l|s|ms|min|h|kW|Hz|kHz|MHz|GHz|kB|MB|GB|TB|kWh|mmHg|bpm|km/h|mph|ft|lb|lbs|oz|"
)
_UNITS += "元|万元|亿元|万|亿|岁|个|件|次|人|天|小时|分钟|秒|公斤|千克|克|斤|公里|千米|米|厘米|毫米|升|毫升|"
_UNITS += "度|倍|平方米"
_OTHER = {",": ".", ".": ","}
_SPACE = f"[{''.join(SPACES)}]"
_MONEY = rf"(?:[A-Za-z]{{0,3}}[{_SYMBOLS}]|{_CODES})"
_NUMBER = re.compile(
    rf"(?P<open>\()?(?P<sign>[-+−]?)(?P<prefix>(?:{_MONEY}{_SPACE}?)?)(?P<inner>[-+−]?)"
    rf"(?P<body>\d[\d.,'’{''.join(SPACES)}]*?|[.,]\d+)"
    rf"(?P<suffix>(?:{_SPACE}?(?:[%％‰]|°[CF]?|{_MONEY}|{_UNITS})|{_SPACE}[^\W\d_][\w/%°²³]{{0,19}})?)(?P<close>\))?"
)
_SCIENTIFIC = re.compile(r"[-+]?(?:\d+(\.\d*)?|\.\d+)([eE])([-+]?\d+)")
_LEAST_LONG = 9  # digits in groups of equal length from which a number looks like that of a telephone
_MOST_ROUNDED = 12  # decimals up to which numbers are rounded where they are written


class Found(NamedTuple):
    """A form of numbers. ``is_ambiguous``: the cells suit another reading of comma and point as well."""

    form: ColumnSchema
    is_ambiguous: bool
    decides: str | None  # the decimal sign that the cells prove


def find_number_form(
    texts: Sequence[str], decimal: str | None, thousands: str | None, like: str | None
) -> Found | None:
    """Return the form of distinct texts, if all are numbers of one form.

    ``decimal`` and ``thousands`` are as the user says; where neither is said and the cells do not decide, a
    single comma before three digits separates thousands and a single point is the decimal sign, unless other
    columns of the file have a comma there (``like``).
    """
    parts = []
    for text in texts:
        match = _NUMBER.fullmatch(text)
        if match is None or bool(match["open"]) != bool(match["close"]) or (match["sign"] and match["inner"]):
            return None
        parts.append(match)
    if len({(match["prefix"], match["suffix"]) for match in parts}) != 1:
        return None
    bodies = [match["body"] for match in parts]
    signs = _signs(bodies, decimal, thousands, like)
    if signs is None:
        return None
    separator, point, is_ambiguous, proven = signs
    whole = rf"(?:\d+|\d{{1,3}}(?:{re.escape(separator)}\d{{3}})+)" if separator else r"\d+"
    fits = re.compile(rf"{whole}(?:{re.escape(point)}\d+)?|{re.escape(point)}\d+")
    if not all(map(fits.fullmatch, bodies)) or _is_code(bodies):
        return None
    groups = bool(separator) and any(separator in body for body in bodies)
    if groups and separator != "," and _looks_like_a_telephone(bodies):
        return None
    counts = [len(body.partition(point)[2]) for body in bodies]
    form = ColumnSchema(
        name=0,
        kind="number" if max(counts) else "integer",
        prefix=parts[0]["prefix"],
        suffix=parts[0]["suffix"],
        thousands=separator if groups else "",
        decimal=point,
        decimals=(min(counts), min(max(counts), 30)),
        parentheses=any(match["open"] for match in parts),
    )
    return Found(form, is_ambiguous, proven)


class _Signs(NamedTuple):
    separator: str  # of thousands, empty where there is none
    point: str
    is_ambiguous: bool = False
    proven: str | None = None  # the decimal sign that the cells prove


def _signs(
    bodies: Sequence[str], decimal: str | None, thousands: str | None, like: str | None
) -> _Signs | None:
    """Tell separators of thousands and decimal signs apart; None where cells contradict each other."""
    marks = {mark for body in bodies for mark in body if not mark.isdigit()}
    spaces = marks - {",", "."}
    if len(spaces) > 1:
        return None
    marks, space = marks - spaces, next(iter(spaces), "")
    if decimal is not None or thousands is not None:
        point = decimal or ("," if thousands == "." else ".")
        chosen = {"none": "", None: space or _OTHER[point], " ": space}
        return _Signs(chosen.get(thousands, thousands or ""), point)
    if space or not marks:
        return None if len(marks) > 1 else _Signs(space, next(iter(marks), like or "."))
    points = {mark for mark in marks if _must_be_decimal(bodies, mark)}
    points |= {_OTHER[mark] for mark in marks if any(body.count(mark) > 1 for body in bodies)}
    points |= {max(",.", key=body.rfind) for body in bodies if "," in body and "." in body}
    if len(points) == 1:
        point = points.pop()
        return _Signs(_OTHER[point], point, proven=point)
    if points or len(marks) > 1:
        return None
    mark, point = marks.pop(), like or "."  # a single mark before three digits, wherever there is one
    unsettled = mark == "," if like is None else point != mark and like == ","
    return _Signs(_OTHER[point], point, is_ambiguous=unsettled)


def _must_be_decimal(bodies: Iterable[str], mark: str) -> bool:
    """Whether a mark stands where no thousands end."""
    whole = re.compile(rf"\d+|[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+")
    return any(mark in body and not whole.fullmatch(body.split(_OTHER[mark])[0]) for body in bodies)


def _is_code(bodies: Sequence[str]) -> bool:
    """Whether digits begin with a zero that means nothing to a number."""
    return all(map(str.isdigit, bodies)) and any(len(body) > 1 and body[0] == "0" for body in bodies)


def _looks_like_a_telephone(bodies: Sequence[str]) -> bool:
    digits = {len(re.sub(r"\D", "", body)) for body in bodies}
    return len(bodies) > 1 and len(digits) == 1 and digits.pop() >= _LEAST_LONG


def parse_number(text: str, form: ColumnSchema) -> float | int | None:
    """Return the number that a text means in a form, with or without its words; None where it is none."""
    text = text.strip()
    negative = text.startswith("(") and text.endswith(")")
    body = text[1:-1] if negative else text
    sign = ""
    for _ in range(2):  # the sign stands before the prefix or behind it
        if body[:1] in ("-", "−", "+"):
            sign, body = body[0], body[1:]
        body = body.removeprefix(form.prefix)
    body = body.removesuffix(form.suffix).strip()
    if form.thousands:
        body = body.replace(form.thousands, "")
    if form.decimal != ".":
        if "." in body:
            return None
        body = body.replace(form.decimal, ".")
    if not re.fullmatch(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?i:inf|infinity|nan)", body):
        return None
    value: float | int = int(body) if body.isdigit() else float(body)
    return -value if negative or sign in ("-", "−") else value


def decimals_of(texts: Any) -> tuple[int, int] | None:
    """Return the least and the greatest number of decimals of plain numbers, an Arrow array of texts.

    None where one has an exponent or is no number in digits.
    """
    import pyarrow.compute as pc

    if pc.any(pc.match_substring_regex(texts, r"[^-+.\d]|\.$|^[-+]?\.")).as_py():
        return None
    point = pc.find_substring(texts, ".")
    length = pc.utf8_length(texts)
    counts = pc.if_else(pc.equal(point, -1), 0, pc.subtract(pc.subtract(length, point), 1))
    ends = pc.min_max(counts).as_py()
    return (ends["min"], ends["max"]) if ends["max"] <= 30 else None


def exponents_of(texts: Sequence[str]) -> tuple[str, tuple[int, int] | None]:
    """Return how exponents are written in plain numbers, distinct texts, and the decimals before them.

    The first is that of :class:`ColumnSchema`, empty where no text has an exponent. The decimals, the least
    and the greatest number of them, are None unless all texts but zeros have one.
    """
    matches = [match for match in map(_SCIENTIFIC.fullmatch, texts) if match]
    if not matches:
        return "", None
    letters, powers = [match[2] for match in matches], [match[3] for match in matches]
    signed = all(power[0] in "+-" for power in powers)
    lengths = [len(power.lstrip("+-")) for power in powers]
    padded = [len(power) - 1 for power in powers if power[0] in "+-" and power[1] == "0"]
    digits = min(max(padded, default=min(lengths)), 3)
    exponent = max("eE", key=letters.count) + "+" * signed + "0" * digits
    plain = [text for text in texts if not _SCIENTIFIC.fullmatch(text) and text.strip("+-0.")]
    if plain or not all(re.match(r"[-+]?[1-9](\.|[eE])|[-+]?0(\.0*)?[eE]", text[0]) for text in matches):
        return exponent, None
    counts = [len(match[1] or ".") - 1 for match in matches]
    return exponent, (min(counts), min(max(counts), 30))


def write_numbers(values: NDArray[Any], form: ColumnSchema) -> list[str]:
    """Return numbers (n,), integers or floats, as texts of a form; anything where NaN.

    Floats are written with the form's decimals. One that has more of them keeps its own, if the form has at
    most 6, so that a text always means its number; before an exponent it is rounded.
    """
    if form.exponent and not form.has_form:
        return _with_exponents(values.astype(np.float64).tolist(), form)
    if values.dtype.kind in "iuO":
        texts = [str(value) for value in values.tolist()]
        if form.kind == "number" and form.decimals and form.decimals[0]:
            texts = [f"{text}.{'0' * form.decimals[0]}" for text in texts]
    else:
        texts = _floats(values.astype(np.float64).tolist(), form.decimals)
    return [_dressed(text, form) for text in texts] if form.has_form else texts


def _with_exponents(values: Sequence[float], form: ColumnSchema) -> list[str]:
    """Return floats as texts: all with exponents where the form has decimals, else where Python has them."""
    letter, sign = form.exponent[0], "+" * ("+" in form.exponent)
    width = form.exponent.count("0")
    texts = []
    for value in values:
        text = repr(value)
        if form.decimals is not None and math.isfinite(value):
            least, most = form.decimals
            own = max(len(Decimal(text).normalize().as_tuple().digits) - 1, least)
            text = f"{value:.{min(own, most)}e}"
            head, _, power = text.partition("e")
            whole, _, digits = head.partition(".")
            digits = digits.rstrip("0").ljust(least, "0")
            text = f"{whole}.{digits}e{power}" if digits else f"{whole}e{power}"
        head, mark, power = text.partition("e")
        if mark:
            negative, digits = power.startswith("-"), power.lstrip("+-").lstrip("0").rjust(width, "0")
            text = f"{head}{letter}{'-' if negative else sign}{digits}"
        texts.append(text)
    return texts


def _floats(values: Sequence[float], decimals: tuple[int, int] | None) -> list[str]:
    if decimals is None or decimals[1] > _MOST_ROUNDED:
        return list(map(repr, values))
    least, most = decimals
    texts = []
    for value in values:
        text = f"{value:.{most}f}"
        if most <= 6 and float(text) != value:
            text = repr(value)
        elif most > 6 and "e" not in repr(value):  # without the digits that a float has behind its own
            text = repr(round(value, most))
        if most > least and "e" not in text:
            whole, _, digits = text.partition(".")
            digits = digits.rstrip("0").ljust(least, "0")
            text = f"{whole}.{digits}" if digits else whole
        texts.append(text[1:] if text[0] == "-" and not text.strip("-0.") else text)
    return texts


def _dressed(text: str, form: ColumnSchema) -> str:
    """Return the digits of a program in a form."""
    negative, digits = text.startswith("-"), text.lstrip("-")
    whole, point, rest = digits.partition(".")
    if whole.isdigit():
        if form.thousands:
            whole = f"{int(whole):,}".replace(",", form.thousands)
        digits = whole + (form.decimal if point else "") + rest
    body = f"{form.prefix}{digits}{form.suffix}"
    if not negative:
        return body
    return f"({body})" if form.parentheses else f"-{body}"
