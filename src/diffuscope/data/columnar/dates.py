"""How are dates written in a text, and read out of it? ``2024-09-13``, ``13/09/2024``, ``2024年9月13日``.

ISO 8601 is read by Arrow. A time of the day, ``14:05``, is one of 1 January 1900. For other dates the formats
that one cell suggests are tried on all of them. Where several fit, as day and month do in 03/04/2024, days
stand first unless other columns of the file say otherwise; the result says that this is a guess. A column in
which dates are written in several ways is read where each way has one reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FoundDates",
    "find_date_format",
    "find_date_formats",
    "iso_form",
    "looks_like_a_date",
    "parse_any",
    "parse_dates",
    "write_dates",
    "write_zoned",
]

_NUMERIC = re.compile(r"(\d{1,4})([/.-])(\d{1,2})\2(\d{1,4})(.*)", re.DOTALL)
_NAMED = re.compile(r"(?:\d{1,2}[ -])?[A-Za-z]{3,9}[ .,-].*\d")
_NAMED_DATES = [
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%B-%Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"),
    *("%d-%b-%y", "%d %b %y"),
]
_CHINESE = re.compile(r"\d{4}年\d{1,2}月(?:\d{1,2}日.*)?", re.DOTALL)
_CHINESE_TIMES = ["", " %H:%M", " %H:%M:%S", "%H:%M", "%H:%M:%S", "%H时%M分", "%H时%M分%S秒"]
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?(?: ?[AaPp][Mm])?")
_CLOCKS = ["%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p"]
_TIMES = [
    "",
    " %H:%M",
    " %H:%M:%S",
    " %I:%M %p",
    " %I:%M:%S %p",
    "T%H:%M",
    "T%H:%M:%S",
    ", %H:%M",
    ", %H:%M:%S",
]
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:([ T])\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d:?\d\d)?")
_MOST_SHAPES = 8
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]
_MONTHS += ["November", "December"]
_PARTS: dict[str, Callable[[Any], str]] = {
    "d": lambda t: f"{t.day:02d}",
    "-d": lambda t: str(t.day),
    "m": lambda t: f"{t.month:02d}",
    "-m": lambda t: str(t.month),
    "Y": lambda t: f"{t.year:04d}",
    "y": lambda t: f"{t.year % 100:02d}",
    "H": lambda t: f"{t.hour:02d}",
    "-H": lambda t: str(t.hour),
    "I": lambda t: f"{(t.hour - 1) % 12 + 1:02d}",
    "-I": lambda t: str((t.hour - 1) % 12 + 1),
    "M": lambda t: f"{t.minute:02d}",
    "S": lambda t: f"{t.second:02d}",
    "f": lambda t: f"{t.microsecond:06d}",
    "3f": lambda t: f"{t.microsecond // 1000:03d}",
    "p": lambda t: "AM" if t.hour < 12 else "PM",
    "b": lambda t: _MONTHS[t.month - 1][:3],
    "B": lambda t: _MONTHS[t.month - 1],
}


class FoundDates(NamedTuple):
    """A format of dates, and which other ones suit the cells as well."""

    format: str
    others: tuple[str, ...]
    day_first: bool | None  # what the cells prove; None where nothing


def find_date_format(texts: Sequence[str], day_first: bool | None) -> FoundDates | None:
    """Return the format of distinct texts, if all are dates of one format that is not ISO 8601.

    ``day_first`` is what other columns of the file prove.
    """
    fitting = [form for form in _suggested(texts[0]) if _fit(texts[:100], form) and _fit(texts, form)]
    if not fitting:
        return None
    if fitting[0][0:2] == "%d" and "." in fitting[0][:4]:  # with points nobody writes the month first
        fitting = fitting[:1]
    first = fitting[0]
    if len(fitting) > 1 and day_first is False:
        first = next((form for form in fitting if form.startswith("%m")), first)
    proven = None
    if len(fitting) == 1 and "/" in first and first[:2] in ("%d", "%m"):
        proven = first.startswith("%d")
    form = _unpadded(first, texts)
    others = tuple(other for other in fitting if other != first)
    return FoundDates(form, others, proven)


def looks_like_a_date(text: str) -> bool:
    """Whether a text is shaped like a date, whatever its format; a time of the day is not."""
    return any(form.fullmatch(text) for form in (_ISO, _NUMERIC, _CHINESE)) or bool(_NAMED.match(text))


def find_date_formats(
    texts: Sequence[str], day_first: bool | None, given: str | None = None
) -> tuple[list[str], tuple[str, ...]]:
    """Return the formats of distinct texts that are dates written in several ways, the most usual first.

    Texts of one shape have one format. There are none where a text is no date, or day and month of a shape
    could be exchanged: the second are then two examples. A format that is ``given`` goes before all others.
    """
    shapes: dict[str, list[str]] = {}
    for text in texts:
        shapes.setdefault(_shape(text), []).append(text)
        if len(shapes) > _MOST_SHAPES or not looks_like_a_date(text):
            return [], ()
    found: dict[str, int] = {}
    unclear: list[str] = []
    for some in shapes.values():
        form = given if given is not None and _fit(some, given) else None
        if form is None and _ISO.fullmatch(some[0]):
            form, zone = iso_form(some)
            if not form or zone:
                return [], ()
        if form is None:
            one = find_date_format(some, day_first)
            if one is None:
                return [], ()
            form = one.format
            if day_first is None:
                unclear += _of_two_readings(some, (form, *one.others))[:2]
        found[form] = found.get(form, 0) + len(some)
    if unclear:
        other = next((some[0] for some in shapes.values() if unclear[0] not in some), unclear[-1])
        return [], (unclear[0], other)
    return sorted(found, key=lambda form: -found[form]), ()


def _of_two_readings(texts: Sequence[str], forms: Sequence[str]) -> list[str]:
    """Return the texts that mean another time in another one of the formats, which all suit them."""
    times = [parse_dates(texts, form) for form in forms]
    other = [i for i in range(len(texts)) if any(one[i] != times[0][i] for one in times[1:])]
    return [texts[i] for i in other]


def _shape(text: str) -> str:
    """Return a text with its numbers and words by their kind, so that texts of one format have one shape."""
    text = re.sub(r"\d{3,}", "Y", text)
    return re.sub(r"[A-Za-z]+", "a", re.sub(r"\d{1,2}", "0", text))


def _suggested(text: str) -> list[str]:
    """Return the formats that one cell may have, the most usual first."""
    match = _NUMERIC.fullmatch(text)
    if _CLOCK.fullmatch(text):
        return _CLOCKS
    if _CHINESE.fullmatch(text):
        return ["%Y年%m月", *(f"%Y年%m月%d日{time}" for time in _CHINESE_TIMES)]
    if match is None:
        return [d + t for d in _NAMED_DATES for t in _TIMES[:5]] if _NAMED.match(text) else []
    first, mark, _, last, rest = match.groups()
    if len(first) == 4:
        days = [f"%Y{mark}%m{mark}%d"]
    elif len(last) == 4:
        days = [f"%d{mark}%m{mark}%Y", f"%m{mark}%d{mark}%Y"]
    elif len(first) <= 2 and len(last) == 2:
        days = [f"%d{mark}%m{mark}%y", f"%m{mark}%d{mark}%y", f"%y{mark}%m{mark}%d"]
    else:
        return []
    return [day + time for day in days for time in _TIMES if bool(rest) == bool(time)]


def _fit(texts: Sequence[str], form: str) -> bool:
    return not bool(parse_dates(texts, form).isna().any())


def _unpadded(form: str, texts: Sequence[str]) -> str:
    """Return the format with days, months and hours of one digit, where some are written so."""
    pieces = re.split(r"%([A-Za-z])", form)
    pattern = re.compile(
        "".join(
            re.escape(piece) if i % 2 == 0 else r"(\w+)" if piece in "bBp" else r"(\d+)"
            for i, piece in enumerate(pieces)
        )
    )
    tokens, short, padded = pieces[1::2], False, set()
    for text in texts:
        match = pattern.fullmatch(text.strip())
        for token, part in zip(tokens, match.groups() if match else (), strict=False):
            if token in "dmHI":
                short = short or len(part) == 1
                padded |= {token} if len(part) > 1 and part[0] == "0" else set()
    for token in set("dmHI") - padded if short else ():
        form = form.replace(f"%{token}", f"%-{token}")
    return form


def parse_dates(texts: Any, form: str) -> pd.Series[Any]:
    """Return texts (n,) of a format as times, datetime64[us]; NaT where one is none."""
    import pandas as pd

    column = pd.Series(texts, dtype="str").str.strip()
    times = pd.to_datetime(
        column, format=form.replace("%-", "%").replace("%3f", "%f"), errors="coerce", exact=True
    )
    return times.astype("datetime64[us]")


def parse_any(texts: Sequence[str], forms: Sequence[str]) -> pd.Series[Any]:
    """Return texts (n,) as times, each by the first of the formats that suits it; NaT where none does."""
    times = parse_dates(texts, forms[0])
    for form in forms[1:]:
        left = times.isna()
        if not left.any():
            break
        times[left] = parse_dates([text for text, gap in zip(texts, left, strict=True) if gap], form).array
    return times


def iso_form(texts: Sequence[str]) -> tuple[str, str]:
    """Return the format and the zone of dates by ISO 8601; each is empty where it differs among them.

    The format is also empty for parts of a second that are neither three nor six digits. It then stands for
    the shortest that tells all times of the column apart.
    """
    shapes, zones = set(), set()
    for text in texts:
        match = _ISO.fullmatch(text)
        if match is None:
            return "", ""
        shapes.add((match[1], match[2] is not None, len(match[3] or ".") - 1))
        zones.add(match[4] or "")
    zone = zones.pop() if len(zones) == 1 else ""
    mark, seconds, fraction = shapes.pop()
    if shapes or fraction not in (0, 3, 6):
        return "", zone
    if mark is None:
        return "%Y-%m-%d", zone
    return f"%Y-%m-%d{mark}%H:%M" + ":%S" * seconds + {0: "", 3: ".%3f", 6: ".%f"}[fraction], zone


def write_zoned(times: pd.Series[Any], zone: str) -> pd.Series[Any]:
    """Return times (n,) that have a zone as those of a clock in another, such as Z or +02:00."""
    import datetime as dt

    hours, minutes = (0, 0) if zone in ("", "Z") else (int(zone[1:3]), int(zone[3:].strip(":") or 0))
    offset = dt.timedelta(hours=hours, minutes=minutes) * (-1 if zone.startswith("-") else 1)
    made: pd.Series[Any] = times.dt.tz_convert("UTC").dt.tz_localize(None) + offset
    return made


def write_dates(times: Sequence[Any], form: str) -> list[str]:
    """Return times (n,) as texts of a format; anything where one is missing."""
    pieces = re.split(r"%(-?[A-Za-z]|3f)", form)
    literal, tokens = pieces[::2], [_PARTS[token] for token in pieces[1::2]]
    known: dict[Any, str] = {}
    texts = []
    for time in times:
        if time not in known:
            parts = [] if time is None or time != time else [token(time) for token in tokens]
            known[time] = "".join(a + b for a, b in zip(literal, [*parts, ""], strict=False))
        texts.append(known[time])
    return texts
