"""The results of a diagnosis: a budget and findings to read, plain data, a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
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
_NOTHING = "No findings: no part costs enough to be worth fixing"


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
        lines = [*_budget(self.budget.rows), *_wrapped(self.certainty), ""]
        network = []
        if self.bands:
            worst = max(self.bands, key=lambda band: band.share.ratio)
            share = worst.share
            network += _wrapped(
                f"The network's errors at {worst} affect the samples most: {share.ratio:.2f} × floor "
                f"({share.low:.2f} to {share.high:.2f})."
            )
        if self.perfect_loss is not None:
            network += _wrapped(f"The training loss of a perfect denoiser is {self.perfect_loss:.4g}, not 0.")
        if network:
            lines += [*network, ""]
        lines.append("Findings, worst first" if self.findings else f"{_NOTHING}.")
        for number, finding in enumerate(self.findings, 1):
            gain = "" if finding.gain is None else f"  (gain: {finding.gain:.2f} × floor)"
            lines += ["", f"{number}. {finding.title}{gain}"]
            lines += _wrapped(finding.evidence, 3) + _wrapped(f"Fix: {finding.fix}", 3)
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Draw the waterfall of the budget, and the network's error by noise level."""
        from diffuscope.plots import plot_diagnosis

        errors = self.errors
        return plot_diagnosis(
            self.budget.rows,
            levels=None if errors is None else (errors.ratio, errors.excess, errors.irreducible),
            bands=self.bands,
            finding=self.findings[0].title if self.findings else _NOTHING,
        )

    def save(self, folder: str | Path) -> None:
        """Write ``diagnosis.json`` and ``figures/diagnosis.png`` into a folder."""
        from diffuscope.files import write_json
        from diffuscope.plots import save_figure

        folder = Path(folder)
        write_json(folder / "diagnosis.json", self.to_json())
        save_figure(self.plot(), folder / "figures" / "diagnosis.png")


def _budget(rows: Sequence[Row]) -> list[str]:
    """Return a table of title, ratio, interval and bar."""
    if not rows:
        return []
    lines = ["Error budget, in multiples of the floor (sliced Wasserstein distance; 95% intervals)", ""]
    signs = ["" if row.part in ("floor", "total") else "+" if row.share.ratio >= 0 else "−" for row in rows]
    ratios = [f"{sign}{abs(row.share.ratio):.2f}" for sign, row in zip(signs, rows, strict=True)]
    intervals = [f"({row.share.low:.2f} to {row.share.high:.2f})".replace("-", "−") for row in rows]
    title, ratio, interval = (
        max(map(len, column)) for column in ([r.title for r in rows], ratios, intervals)
    )
    most = max(1e-9, *(abs(row.share.ratio) for row in rows))
    for row, value, between in zip(rows, ratios, intervals, strict=True):
        if row.part == "total":
            lines.append("  " + "─" * (title + ratio + interval + 4))
        bar = ("█" if row.share.ratio >= 0 else "░") * round(_BAR * abs(row.share.ratio) / most)
        lines.append(f"  {row.title:<{title}}  {value:>{ratio}}  {between:<{interval}}  {bar}".rstrip())
    return [*lines, ""]


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)
