"""What do all cells say together? Medians over tables with intervals, for each half, as Markdown.

A value of a table is the median of its seeds. The interval of a median over tables is a bootstrap over tables
(95%). Of two contestants the second table counts on how many tables, of those that have both, ours is better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from report import table as markdown

__all__ = ["MARKS", "Mark", "by_table", "summarise"]

_RESAMPLES = 2_000
OURS = "ours"

Values = dict[tuple[str, str], dict[str, float]]
"""(contestant, mark) -> table -> value."""


@dataclass(frozen=True)
class Mark:
    """What a number means.

    Attributes
    ----------
    title : str
    better : "high", "low" or float
        Or the value that is best.
    digits : int
        After the point.
    """

    title: str
    better: str | float
    digits: int = 2

    def loss(self, value: float) -> float:
        """Return what is less the better the value."""
        if self.better == "high":
            return -value
        return value if self.better == "low" else abs(value - float(self.better))


MARKS = {
    "told_apart": Mark("told apart by trees, ROC area (0.5)", "low", 3),
    "sdmetrics": Mark("SDMetrics, quality (1)", "high", 3),
    "columns": Mark("columns, × floor", "low"),
    "pairs": Mark("pairs of columns, × floor", "low"),
    "missing_rates": Mark("missing: rates of columns, × floor", "low"),
    "missing_together": Mark("missing: together, × floor", "low"),
    "missing_related": Mark("missing: beside other columns, × floor", "low"),
    "utility": Mark("trained on it, × trained on real", "high"),
    "nearer_to_training": Mark("nearer to training rows (0.5)", 0.5, 3),
    "copies_excess": Mark("copies of training rows beyond chance (0)", 0.0, 3),
    "relations": Mark("exact relations kept (1)", "high", 3),
    "rare_1": Mark("values below 1%: rate ÷ real (1)", 1.0),
    "rare_5": Mark("values of 1 to 5%: rate ÷ real (1)", 1.0),
    "rare_rates": Mark("rare values' rates, × floor", "low"),
    "heaps": Mark("share on heaps ÷ real (1)", 1.0),
    "heap_rates": Mark("heaps' rates, × floor", "low"),
    "on_grid": Mark("values seen in training ÷ real (1)", 1.0),
    "numbers_10": Mark("10% missing: error of numbers, σ", "low", 3),
    "numbers_30": Mark("30% missing: error of numbers, σ", "low", 3),
    "ranks_10": Mark("10% missing: error of ranks, of many values, σ", "low", 3),
    "ranks_30": Mark("30% missing: error of ranks, of many values, σ", "low", 3),
    "wrong_10": Mark("10% missing: categories wrong", "low", 3),
    "wrong_30": Mark("30% missing: categories wrong", "low", 3),
    "log_likelihood": Mark("log-likelihood, nats a row", "high"),
    "log_likelihood_median": Mark("log-likelihood, nats, median row", "high"),
    "fit_seconds": Mark("fit, s of CPU", "low", 1),
    "sample_seconds": Mark("sample, s of CPU", "low", 1),
    "impute_30_seconds": Mark("fill rows with 30% missing, s of CPU", "low", 1),
}
"""In the order of the tables."""


def shown(record: dict[str, Any]) -> str:
    """Return the name of a contestant in tables."""
    return f"{record['contestant']}@{record['label']}" if record["label"] else str(record["contestant"])


def collect(records: Iterable[dict[str, Any]]) -> Values:
    """Return the median over seeds of every mark."""
    seeds: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        marks = dict(record["marks"])
        for stage in ("fit", "sample", "impute_30"):
            if stage in record.get("seconds_of", {}):
                marks[f"{stage}_seconds"] = record["seconds_of"][stage]
        for mark in MARKS:
            if mark in marks:
                seeds[shown(record), mark][record["table"]].append(marks[mark])
    return {
        key: {table: float(np.median(values)) for table, values in tables.items()}
        for key, tables in seeds.items()
    }


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, and the bounds of its 95% interval by the bootstrap."""
    own = np.array(values)
    drawn = np.random.default_rng(0).integers(len(own), size=(_RESAMPLES, len(own)))
    low, high = np.quantile(np.median(own[drawn], axis=1), [0.025, 0.975])
    return float(np.median(own)), float(low), float(high)


def summarise(records: Sequence[dict[str, Any]]) -> str:
    """Return the summary of all records, half by half."""
    parts = []
    for half in ("tuning", "held-back"):
        own = [record for record in records if record["half"] == half]
        if own:
            tables = {record["table"] for record in own}
            seeds = {record["seed"] for record in own}
            parts.append(
                f"**{half}**: {len(tables)} tables, {len(seeds)} seeds, at most {_rows(own)} training rows. "
                "Medians over tables, with 95% intervals.\n\n" + _half(own)
            )
    failures = [f"{shown(r)} on {r['table']}, seed {r['seed']}: {r['error']}" for r in records if r["error"]]
    if failures:
        parts.append("Not finished: " + "; ".join(failures) + ".")
    return "\n\n".join(parts)


def _rows(records: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{rows:,}" for rows in sorted({record["rows"] for record in records}))


def _half(records: Sequence[dict[str, Any]]) -> str:
    values = collect(records)
    names = list(dict.fromkeys(shown(record) for record in records))
    rows, versus = [], []
    for key, mark in MARKS.items():
        found = [values.get((name, key), {}) for name in names]
        if not any(found):
            continue
        tables = max(len(own) for own in found)
        rows.append([mark.title, str(tables), *(_cell(list(own.values()), mark.digits) for own in found)])
        versus.append([mark.title, *(_versus(values, key, mark, name) for name in names[1:])])
    text = markdown(["", "tables", *names], rows)
    if len(names) > 1:
        head = ["", *(f"{names[0]} better than {name}" for name in names[1:])]
        text += "\n\n" + markdown(head, [row for row in versus if any(row[1:])])
    return text


def _cell(values: list[float], digits: int) -> str:
    if not values:
        return ""
    middle, low, high = interval(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _versus(values: Values, key: str, mark: Mark, other: str) -> str:
    """Return on how many tables the first contestant is better, and the median of by how much."""
    first = next(iter(values))[0]
    ours, theirs = values.get((first, key), {}), values.get((other, key), {})
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return ""
    gains = [mark.loss(theirs[table]) - mark.loss(ours[table]) for table in both]
    won = sum(gain > 0 for gain in gains)
    middle, low, high = interval(gains)
    digits = mark.digits
    return f"{won} of {len(both)}: {middle:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def by_table(records: Sequence[dict[str, Any]], mark: str) -> str:
    """Return one mark, table by table."""
    values = collect(records)
    names = list(dict.fromkeys(shown(record) for record in records))
    halves = {record["table"]: record["half"] for record in records}
    tables = sorted(halves, key=lambda name: (halves[name] != "tuning", name))
    digits = MARKS[mark].digits
    rows = [
        [
            table,
            *(
                f"{values[name, mark][table]:.{digits}f}" if table in values.get((name, mark), {}) else ""
                for name in names
            ),
        ]
        for table in tables
    ]
    return f"{MARKS[mark].title}:\n\n" + markdown(["table", *names], rows)
