"""The results of a diagnosis: a budget and findings to read, plain data, a figure."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.diagnosis.budget import Budget, Row
from diffuscope.diagnosis.findings import Finding
from diffuscope.diagnosis.levels import Band, LevelErrors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Diagnosis"]

_WIDTH = 100
_BAR = 24


@dataclass(frozen=True)
class Diagnosis:
    """The results of a diagnosis.

    Attributes
    ----------
    budget : Budget
        Rows from the floor to the total; empty where samples are not finite.
    findings : tuple of Finding
        Worst first; none for a sound pipeline.
    errors : LevelErrors or None
        The network's error at each noise level, beside the irreducible one.
    bands : tuple of Band
        The effect of its errors on the samples, in bands of noise levels.
    perfect_loss : float or None
        The loss of a perfect denoiser under the training's own loss.
    certainty : str
        What replaced the true distribution, and how certain the results are.
    """

    budget: Budget
    findings: tuple[Finding, ...]
    errors: LevelErrors | None
    bands: tuple[Band, ...]
    perfect_loss: float | None
    certainty: str

    def to_json(self) -> dict[str, Any]:
        """Return budget and findings as plain data."""
        return {
            "budget": [row.to_json() for row in self.budget.rows],
            "findings": [finding.to_json() for finding in self.findings],
        }

    def __str__(self) -> str:
        """Return the report as text."""
        return "\n".join([*_budget(self), "", *_network(self), *_findings(self)])

    def plot(self) -> Figure:
        """Draw the waterfall of the budget, and the network's error by noise level."""
        from diffuscope.plots import plot_diagnosis

        errors = self.errors
        first = (
            self.findings[0].title
            if self.findings
            else "No findings: no part costs enough to be worth fixing"
        )
        return plot_diagnosis(
            self.budget.rows,
            levels=None if errors is None else (errors.ratio, errors.excess, errors.irreducible),
            bands=self.bands,
            finding=first,
        )

    def save(self, folder: str | Path) -> None:
        """Write ``diagnosis.json`` and ``figures/diagnosis.png`` into a folder."""
        from diffuscope.files import write_json
        from diffuscope.plots import save_figure

        folder = Path(folder)
        write_json(folder / "diagnosis.json", self.to_json())
        save_figure(self.plot(), folder / "figures" / "diagnosis.png")


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
            f"The network's errors at {worst} affect the samples most: {share.ratio:.2f} × floor "
            f"({share.low:.2f} to {share.high:.2f})."
        )
    if diagnosis.perfect_loss is not None:
        lines += _wrapped(f"The training loss of a perfect denoiser is {diagnosis.perfect_loss:.4g}, not 0.")
    return [*lines, ""] if lines else lines


def _findings(diagnosis: Diagnosis) -> list[str]:
    if not diagnosis.findings:
        return ["No findings: no part costs enough to be worth fixing."]
    lines = ["Findings, worst first"]
    for number, finding in enumerate(diagnosis.findings, 1):
        gain = "" if finding.gain is None else f"  (gain: {finding.gain:.2f} × floor)"
        lines += ["", f"{number}. {finding.title}{gain}"]
        lines += _wrapped(finding.evidence, 3)
        lines += _wrapped(f"Fix: {finding.fix}", 3)
    return lines


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)
