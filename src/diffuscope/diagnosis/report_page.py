"""How does a diagnosis look as a page, or in a notebook? In the words of its text, with pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from diffuscope.diagnosis.budget import Row
from diffuscope.diagnosis.findings import Finding
from diffuscope.diagnosis.pictures import ErrorByLevel
from diffuscope.pages import fragment, page
from diffuscope.translations import translate
from diffuscope.words import in_python

__all__ = ["html_report", "lines_to_copy"]

_PLACES = ("diffuscope.diagnosis", "diagnosis.html")
_CODE = re.compile(
    r"""
      \((?P<options>--[^()]*)\)                 # options of a command
    | (?P<call>\b[a-z_]+\.[a-z_]+\(\))          # network.eval()
    | (?P<drawn>\b[a-z]\ =\ torch\.\w+\([^()]*\))   # z = torch.randn_like(x)
    | (?P<formula>\b[a-z]\ =\ \([^.]*)        # x = (x − β/√(1−ᾱ) · ε̂) / √α
    | (?P<setting>\b[a-z_]+="[^"]*")            # prediction="data"
    """,
    re.VERBOSE,
)
# Where in the budget a finding shows that has no picture of its own.
_PARTS = {
    "few_steps": "discretisation",
    "terminal_snr": "prior",
    "start": "prior",
    "few_data": "finite_data",
    "training_mode": "network",
    "sampling_code": "rest",
    "noise_missing": "rest",
    "noise_scale": "rest",
    "noise_reused": "rest",
    "noise_last_step": "rest",
    "step_coefficients": "rest",
    "skipped_betas": "rest",
}


def html_report(
    rows: Sequence[Row],
    cells: Sequence[tuple[str, str, str]],
    notes: Sequence[str],
    headline: str,
    findings: Sequence[Finding],
    levels: ErrorByLevel | None,
    title: str | None = None,
) -> str:
    """Return a page of this title that needs nothing else; without a title what a notebook shows.

    ``cells`` are title, ratio and interval of each row, ``levels`` is the picture of the network's errors,
    for where no finding has it.
    """
    words: Callable[[str], str] = in_python if title is None else str  # a page is of a command, too
    shown = levels if not any(isinstance(one.picture, ErrorByLevel) for one in findings) else None
    values: dict[str, Any] = {
        "bars": [bar | {"cells": texts} for bar, texts in zip(_bars(rows), cells, strict=True)],
        "one": _percent(rows, 1.0),
        "notes": notes,
        "headline": headline,
        "findings": [_card(number, one, rows, words) for number, one in enumerate(findings, 1)],
        "levels": shown,
    }
    return fragment(*_PLACES, **values) if title is None else page(*_PLACES, title, **values)


def _card(number: int, finding: Finding, rows: Sequence[Row], words: Callable[[str], str]) -> dict[str, Any]:
    part = _PARTS.get(finding.code)
    bar = next((row.title for row in rows if row.part == part), None)
    return {
        "number": number,
        "finding": finding,
        "fix": words(translate(finding.fix)),
        "needs": words(translate(finding.needs)),
        "code": [words(line) for line in lines_to_copy(finding.fix)],
        "bar": bar if finding.picture is None else None,
    }


def lines_to_copy(fix: str) -> list[str]:
    """Return the options, settings and lines of code that a fix names, in their order."""
    found = ("".join(text for text in match.groups() if text).strip() for match in _CODE.finditer(fix))
    return list(dict.fromkeys(found))


# --- the waterfall ------------------------------------------------------------------------------------------


def _ends(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Return where the bar of each row begins and ends, in floors."""
    level, found = 0.0, []
    for row in rows:
        start = 0.0 if row.part in ("floor", "total") else level
        level = start + row.share.ratio
        found.append((start, level))
    return found


def _reach(rows: Sequence[Row]) -> tuple[float, float]:
    """Return from where to where the bars and their intervals reach."""
    values = [0.0, 1.0]
    for (start, end), row in zip(_ends(rows), rows, strict=True):
        values += [start, end, start + row.share.high]
        values += [row.share.low] if row.part == "total" else []
    return min(values), max(values)


def _percent(rows: Sequence[Row], value: float) -> float:
    """Return where a distance in floors stands, in percent of the width."""
    low, high = _reach(rows)
    return round(100 * (min(max(value, low), high) - low) / (high - low), 2)


def _bars(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return bars and intervals in percent of the width, and what kind of bar each is."""
    found = []
    for (start, end), row in zip(_ends(rows), rows, strict=True):
        share, whole = row.share, row.part in ("floor", "total")
        left, right = sorted(_percent(rows, value) for value in (start, end))
        low, high = (_percent(rows, start + value) for value in (share.low, share.high))
        certain = whole or share.low > 0 or share.high < 0
        kind = row.part if whole else "more" if share.ratio >= 0 else "less"
        found.append(
            {
                "kind": kind if certain else f"{kind} pale",
                "left": left,
                "width": round(right - left, 2),
                "low": low,
                "span": round(high - low, 2),
            }
        )
    return found
