"""What do all cells say together? Shares of right answers, false alarms, seconds, and each wrong text.

A fault whose samples are as near to real ones as those of sound pipelines (within 1.5 × floor) does no harm.
It is counted by itself; that nothing is said of it is no mistake.

A mended pipeline is sound where it is as good as sound ones on the same data, which small networks do not
bring to the floor: within 1.5 × floor or 1.25 times their median, or without an alarm.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from report import table as markdown

from .faults import FAULTS, SOUND

__all__ = ["judged", "summarise"]

ALARM, HARMLESS = 0.2, 1.5
ALIKE = 1.25  # times the median of sound pipelines
OTHER_NETWORKS = ("folder", "run")  # ways in whose networks are not those of the other ways

Record = dict[str, Any]


def usual_totals(records: Sequence[Record]) -> dict[str, float]:
    """Return the median distance of sound pipelines by their data, in floors."""
    totals: dict[str, list[float]] = {}
    for record in records:
        if record["kind"] == "sound" and record["way"] not in OTHER_NETWORKS and record["total"] is not None:
            totals.setdefault(record["data"], []).append(record["total"])
    return {data: statistics.median(values) for data, values in totals.items()}


def judged(record: Record, usual: Mapping[str, float] | None = None) -> Record:
    """Return a record with what it amounts to: right, mendable, harmless; ``usual`` are the sound totals."""
    case = (FAULTS | SOUND)[record["case"]]
    first = record["findings"][0] if record["findings"] else None
    answered = record["error"] is None
    alarms, total = _alarms(record), record["total"]
    return record | {
        "right": answered and (not alarms if case.sound else case.is_right(first)),
        "anywhere": answered and any(case.is_right(one) for one in record["findings"]),
        "mends": _is_sound(record.get("mended"), _limit(record, usual or {})),
        "harmless": answered and not case.sound and total is not None and total < HARMLESS and not alarms,
    }


def _alarms(record: Record) -> list[Record]:
    return [one for one in record["findings"] if one["gain"] is None or one["gain"] > ALARM]


def _limit(record: Record, usual: Mapping[str, float]) -> float:
    """Return the floors within which a mended pipeline is as good as sound ones of its kind."""
    if record["way"] in OTHER_NETWORKS:
        return HARMLESS
    return max(HARMLESS, ALIKE * usual.get(record["data"], 0.0))


def _is_sound(mended: Record | None, limit: float) -> bool:
    """Return whether a pipeline is sound after its owner did what the first finding says."""
    if mended is None or mended["error"] is not None or mended["total"] is None:
        return False
    return bool(mended["total"] <= limit or not _alarms(mended))


def _share(records: Sequence[Record], what: str = "right") -> str:
    if not records:
        return ""
    count = sum(record[what] for record in records)
    return f"{count} of {len(records)} ({100 * count / len(records):.0f}%)"


def _by(records: Sequence[Record], title: str, of: Callable[[Record], str]) -> str:
    rows = []
    for value in dict.fromkeys(map(of, records)):
        own = [record for record in records if of(record) == value]
        faults = [r for r in own if r["kind"] != "sound" and not r["harmless"]]
        sound = [r for r in own if r["kind"] == "sound"]
        rows.append(
            [
                value,
                _share(faults),
                _share(faults, "anywhere"),
                _share(faults, "mends"),
                str(sum(r["harmless"] for r in own) or ""),
                _share(sound),
            ]
        )
    head = [title, "right first", "right anywhere", "mended by it", "no harm", "sound: no alarm"]
    return markdown(head, sorted(rows) if title != "half" else rows)


def _said(record: Record) -> str:
    if record["error"]:
        return record["error"]
    if not record["findings"]:
        return "nothing"
    first = record["findings"][0]
    gain = "" if first["gain"] is None else f" (gain {first['gain']:.2f})"
    return f"{first['code']}: {first['title']}{gain}. {first['fix']}"


def _wrong(records: Sequence[Record]) -> str:
    rows = []
    for record in sorted(records, key=lambda r: (r["kind"], r["case"], r["key"])):
        if record["right"] or record["harmless"]:
            continue
        total = "" if record["total"] is None else f"{record['total']:.2f}"
        where = [record["case"], record["variant"], record["data"], record["way"], total]
        rows.append([*where, _said(record).replace("|", "/").replace("\n", " ")])
    return (
        markdown(["pipeline", "variant", "data", "way", "samples ÷ floor", "first finding"], rows)
        if rows
        else ""
    )


def summarise(records: Sequence[Record], wrong: bool = True) -> str:
    """Return the summary of records as Markdown."""
    if not records:
        return "No cell has been run."
    usual = usual_totals(records)
    records = [judged(record, usual) for record in records]
    faults = {record["case"] for record in records if record["kind"] != "sound"}
    sound = [record for record in records if record["kind"] == "sound"]
    seconds, cpu = ([record[name] for record in records] for name in ("seconds", "cpu"))
    errors = sum(record["error"] is not None for record in records)
    slow = max(records, key=lambda r: r["seconds"])
    n = len(records) - len(sound)
    parts = [
        f"{len(records)} cells: {len(faults)} faults in {n} cells, {len(sound)} sound ones; {errors} ended "
        f"with an error. A diagnosis took {statistics.median(seconds):.0f} s in the median, at most "
        f"{max(seconds):.0f} s ({slow['key']}); of CPU {statistics.median(cpu):.0f} and {max(cpu):.0f} s. "
        f"An alarm is a finding above {ALARM} × floor; a fault does no harm where samples are within "
        f"{HARMLESS} × floor and there is no alarm."
    ]
    for title, of in {
        "half": lambda r: r["half"],
        "kind": lambda r: r["kind"],
        "data": lambda r: r["data"],
        "way in": lambda r: r["way"],
    }.items():
        parts.append(_by(records, title, of))
    if wrong:
        parts.append(_wrong(records))
    return "\n\n".join(part for part in parts if part)
