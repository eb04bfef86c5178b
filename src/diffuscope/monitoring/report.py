"""How is a training that was watched described? A line for each look, and a report at any time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffuscope.monitoring.loss_floor import LossFloor
from diffuscope.pages import fragment, page
from diffuscope.translations import term, translate
from diffuscope.translations.display import fill, ljust, width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Watched", "html_report", "line_of", "state_of", "text_report"]

_WIDTH = 100
_SHOWN = 12  # looks


@dataclass(frozen=True)
class Watched:
    """What was seen of a training: the floor, records of looks, warnings, and notes on what they rest on."""

    floor: LossFloor
    history: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
    notes: tuple[str, ...]


def _with_interval(numbers: dict[str, float], digits: int = 3) -> str:
    value, low, high = (numbers[name] for name in ("value", "low", "high"))
    return f"{value:.{digits}g} ({low:.2g} to {high:.2g})"


def line_of(record: dict[str, Any]) -> str:
    """Return a look in a line."""
    excess = record["excess"]
    parts = [
        f"step {record['step']:,}",
        f"loss {record['loss']['value']:.4g}",
        f"{_with_interval(excess)} above the floor {record['floor']['value']:.4g}",
    ]
    if record["averaged"] is not None:
        parts.append(f"averaged {record['averaged']['excess']['value']:.3g} above")
    if record["trained"] is not None:
        parts.append(f"training rows {record['trained']['loss']['value']:.4g}")
    if record["samples"] is not None:
        found = record["samples"]
        parts.append(f"samples {found['value']:.2f} × floor ({found['low']:.2f} to {found['high']:.2f})")
    parts.append(state_of(record))
    return "  ".join(parts)


def state_of(record: dict[str, Any]) -> str:
    """Return whether there is something to gain, and where."""
    bands = record["bands"]
    if all(band["done"] for band in bands):
        return "nothing more to gain"
    left = record["left"]
    if not left:
        return "nothing more to gain for certain"
    runs = [list(left[0])]
    for low, high in left[1:]:  # neighbours are one
        if any(band["to"] == runs[-1][1] and _next(bands, band) == low for band in bands):
            runs[-1][1] = high
        else:
            runs.append([low, high])
    return "to gain at σ/α " + ", ".join(f"{_ratio(low)}–{_ratio(high)}" for low, high in runs)


def _next(bands: list[dict[str, Any]], band: dict[str, Any]) -> float | None:
    """Return where the band after this one begins."""
    at = bands.index(band)
    start: float | None = bands[at + 1]["from"] if at + 1 < len(bands) else None
    return start


def _ratio(value: float | None) -> str:
    return "∞" if value is None else f"{value:.3g}"


def _verdict(watched: Watched) -> str:
    """Return the answer to the question whether the training is done."""
    if not watched.history:
        return "There was no look yet: training has been too short for one within its share of the time."
    last = watched.history[-1]
    reported, excess = last["reported"], last["excess"]
    value, low, high = watched.floor.as_reported
    text = "" if reported is None else f"The loss is reported as {reported:.4g}. "
    if watched.floor.method == "exact":
        text += f"A perfect network would report {value:.4g}; this one is {_with_interval(excess)} above. "
    else:
        text += (
            f"A perfect network would report between {low:.4g} and {high:.4g}; this one may gain from "
            f"{excess['low']:.2g} to {excess['high']:.2g}. "
        )
    state = state_of(last)
    return text + f"{state[0].upper()}{state[1:]}."


def _table(watched: Watched) -> list[list[str]]:
    """Return the last look by band: a head and rows of cells."""
    rows = [["σ/α", "loss", "floor", "above the floor", ""]]
    for band in watched.history[-1]["bands"]:
        rows.append(
            [
                f"{_ratio(band['from'])}–{_ratio(band['to'])}",
                f"{band['loss']['value']:.4g}",
                f"{band['floor']['value']:.4g}",
                _with_interval(band["excess"]),
                "nothing to gain" if band["done"] else "",
            ]
        )
    return rows


def _warned(watched: Watched) -> list[str]:
    """Return each kind of warning once, the last of it, with the steps."""
    by_code: dict[str, list[dict[str, Any]]] = {}
    for warning in watched.warnings:
        by_code.setdefault(warning["code"], []).append(warning)
    lines = []
    for found in by_code.values():
        last, first = found[-1], found[0]["step"]
        when = f"step {first:,}" if len(found) == 1 else f"from step {first:,} to {last['step']:,}"
        lines.append(f"{last['title']} ({when}). {last['evidence']} {last['fix']}")
    return lines


def text_report(watched: Watched) -> str:
    """Return the report as text."""
    lines = [fill(_verdict(watched), _WIDTH)]
    if watched.history:
        rows = [[term(cell) for cell in row] for row in _table(watched)]
        widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
        lines += ["", translate("The last look, by noise level:")]
        lines += ["  ".join(ljust(c, w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += ["", term("Looks:"), *(translate(line_of(record)) for record in watched.history[-_SHOWN:])]
    lines += ["", term("Warnings:") if watched.warnings else translate("No warnings.")]
    lines += [fill(text, _WIDTH) for text in _warned(watched)]
    return "\n".join([*lines, "", *(fill(note, _WIDTH) for note in watched.notes)])


def html_report(watched: Watched, picture: Figure | None, by_itself: bool = True) -> str:
    """Return the report as a page that needs nothing else, or as what a notebook shows, with a picture."""
    values = {
        "verdict": _verdict(watched),
        "picture": picture,
        "rows": [[term(cell) for cell in row] for row in _table(watched)] if watched.history else [],
        "looks": [line_of(record) for record in watched.history[-_SHOWN:]],
        "warnings": _warned(watched),
        "notes": watched.notes,
    }
    if by_itself:
        return page("diffuscope.monitoring", "report.html", term("Training"), **values)
    return fragment("diffuscope.monitoring", "report.html", **values)
