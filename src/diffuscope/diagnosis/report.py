"""The results of a diagnosis: a budget and findings to read, plain data, a figure, a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.diagnosis.budget import Budget, Row
from diffuscope.diagnosis.findings import Finding
from diffuscope.diagnosis.levels import Band, LevelErrors
from diffuscope.diagnosis.pictures import ErrorByLevel
from diffuscope.metrics.floor import in_floors
from diffuscope.translations import term, translate
from diffuscope.translations.display import ljust, width, wrap
from diffuscope.words import in_python

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Diagnosis"]

_WIDTH = 100
_BAR = 24
_NOTHING = "No findings: no part costs enough to be worth fixing"


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The results of a diagnosis. A notebook shows them as HTML, any other prompt as text.

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

    Examples
    --------
    >>> import diffuscope, torch
    >>> d = diffuscope.diagnose(lambda x, t: 0 * x, torch.linspace(1e-4, 0.02, 20), "moons")
    >>> d.budget.rows[0].part  # the first of the rows from a perfect sample to the total
    'floor'
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
        return self.text(lambda text: in_python(translate(text)))

    def text(self, said: Callable[[str], str] = str) -> str:
        """Return budget and findings as text.

        Options are named as on the command line, unless ``said`` rewrites the sentences that name them.
        """
        lines = [*_budget(self.budget.rows), *_wrapped(self.certainty), ""]
        network = [line for note in self._of_network() for line in _wrapped(note)]
        if network:
            lines += [*network, ""]
        lines.append(translate("Findings, worst first" if self.findings else f"{_NOTHING}."))
        for number, finding in enumerate(self.findings, 1):
            gain = "" if finding.gain is None else f"gain: {in_floors(finding.gain)} × floor, "
            title = f"{number}. {translate(finding.title)}"
            lines += ["", f"{title}  ({translate(gain)}{term(finding.sure)})"]
            lines += _wrapped(finding.evidence, 3) + _wrapped(f"Fix: {said(finding.fix)}", 3)
            if finding.needs:
                lines += _wrapped(f"To be sure: {said(finding.needs)}", 3)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self._html(None)

    def _html(self, title: str | None) -> str:
        """Return a page of a title; without one what a notebook shows."""
        from diffuscope.diagnosis.report_page import html_report

        return html_report(
            self.budget.rows,
            _cells(self.budget.rows),
            [self.certainty, *self._of_network()],
            "Findings, worst first" if self.findings else f"{_NOTHING}.",
            self.findings,
            ErrorByLevel.of_network(self.errors, self.bands) if self.errors and self.bands else None,
            title,
        )

    def _of_network(self) -> list[str]:
        """Return where the network's errors matter, and what loss is the least, in a sentence each."""
        notes = []
        if self.bands:
            worst = max(self.bands, key=lambda band: band.share.ratio)
            share = worst.share
            notes.append(
                f"The network's errors at {worst} affect the samples most: {in_floors(share.ratio)} × floor "
                f"({in_floors(share.low)} to {in_floors(share.high)})."
            )
        if self.perfect_loss is not None:
            notes.append(f"The training loss of a perfect denoiser is {self.perfect_loss:.4g}, not 0.")
        return notes

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

    def save(self, folder: str | Path, html: bool = False) -> list[Path]:
        """Write ``diagnosis.json``, ``figures/diagnosis.png`` and, on request, ``diagnosis.html``.

        The page is one file that needs nothing else. The picture is left out where nothing could be
        measured. Returns the paths of picture and page.
        """
        from diffuscope.files import stay_inside, write_json, write_text
        from diffuscope.plots import save_figure

        stay_inside(folder)
        folder, files = Path(folder), []
        write_json(folder / "diagnosis.json", self.to_json())
        if self.budget.rows:
            files.append(folder / "figures" / "diagnosis.png")
            save_figure(self.plot(), files[-1])
        if html:
            files.append(folder / "diagnosis.html")
            write_text(files[-1], self._html(f"Diagnosis: {folder.resolve().name}"))
        return files


def _cells(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Return title, ratio and interval of each row, as text."""
    signs = ["" if row.part in ("floor", "total") else "+" if row.share.ratio >= 0 else "−" for row in rows]
    ratios = [f"{sign}{in_floors(abs(row.share.ratio))}" for sign, row in zip(signs, rows, strict=True)]
    bounds = [(in_floors(row.share.low), in_floors(row.share.high)) for row in rows]
    intervals = [f"({low} to {high})".replace("-", "−") for low, high in bounds]
    return list(zip([row.title for row in rows], ratios, intervals, strict=True))


def _budget(rows: Sequence[Row]) -> list[str]:
    """Return a table of title, ratio, interval and bar."""
    if not rows:
        return []
    lines = ["Error budget, in multiples of the floor (sliced Wasserstein distance; 95% intervals)", ""]
    lines[0] = translate(lines[0])
    cells = [(term(words), value, translate(between)) for words, value, between in _cells(rows)]
    title, ratio, interval = (max(map(width, column)) for column in zip(*cells, strict=True))
    most = max(1e-9, *(abs(row.share.ratio) for row in rows))
    for row, (words, value, between) in zip(rows, cells, strict=True):
        if row.part == "total":
            lines.append("  " + "─" * (title + ratio + interval + 4))
        bar = ("█" if row.share.ratio >= 0 else "░") * round(_BAR * abs(row.share.ratio) / most)
        line = f"  {ljust(words, title)}  {value:>{ratio}}  {ljust(between, interval)}  {bar}"
        lines.append(line.rstrip())
    return [*lines, ""]


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return wrap(text, _WIDTH, " " * indent)
