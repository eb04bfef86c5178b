"""How does a diagnosis read on a terminal?"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffuscope.diagnosis.budget import Row
    from diffuscope.diagnosis.examination import Diagnosis

__all__ = ["as_text"]

_WIDTH = 100
_BAR = 24


def as_text(diagnosis: Diagnosis) -> str:
    """Return the budget as a table with bars, and the findings in plain words."""
    return "\n".join([*_budget(diagnosis), "", *_network(diagnosis), *_findings(diagnosis)])


def _budget(diagnosis: Diagnosis) -> list[str]:
    rows = diagnosis.budget.rows
    if not rows:
        return _wrapped(diagnosis.certainty)
    lines = ["Error budget, in multiples of the floor (sliced Wasserstein distance; 95% intervals)", ""]
    most = max([abs(row.share.ratio) for row in rows] + [1e-9])
    titles = [row.title for row in rows]
    ratios = [_signed(row) for row in rows]
    intervals = [f"({row.share.low:.2f} to {row.share.high:.2f})".replace("-", "−") for row in rows]
    title, ratio, interval = (max(map(len, column)) for column in (titles, ratios, intervals))
    for row, value, between in zip(rows, ratios, intervals, strict=True):
        if row.part == "total":
            lines.append("  " + "─" * (title + ratio + interval + 4))
        bar = ("█" if row.share.ratio >= 0 else "░") * round(_BAR * abs(row.share.ratio) / most)
        lines.append(f"  {row.title:<{title}}  {value:>{ratio}}  {between:<{interval}}  {bar}".rstrip())
    return [*lines, "", *_wrapped(diagnosis.certainty)]


def _signed(row: Row) -> str:
    sign = "" if row.part in ("floor", "total") else "+" if row.share.ratio >= 0 else "−"
    return f"{sign}{abs(row.share.ratio):.2f}"


def _network(diagnosis: Diagnosis) -> list[str]:
    lines = []
    if diagnosis.bands:
        worst = max(diagnosis.bands, key=lambda band: band.share.ratio)
        share = worst.share
        lines += _wrapped(
            f"Of the network's errors, those at {worst} do most to the samples: {share.ratio:.2f} × floor "
            f"({share.low:.2f} to {share.high:.2f})."
        )
    if diagnosis.perfect_loss is not None:
        lines += _wrapped(f"The training loss of a perfect denoiser is {diagnosis.perfect_loss:.4g}, not 0.")
    return [*lines, ""] if lines else lines


def _findings(diagnosis: Diagnosis) -> list[str]:
    if not diagnosis.findings:
        return ["No findings: nothing here costs enough to be worth mending."]
    lines = ["Findings, worst first"]
    for number, finding in enumerate(diagnosis.findings, 1):
        gain = "" if finding.gain is None else f"  (gain: {finding.gain:.2f} × floor)"
        lines += ["", f"{number}. {finding.title}{gain}"]
        lines += _wrapped(finding.evidence, 3)
        lines += _wrapped(f"To mend it: {finding.fix}", 3)
    return lines


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)
