"""What came of an evaluation: a table to read, plain data, a picture, and an honest sentence."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.metrics import METRICS, Measured, TwoSampleTest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Evaluation"]

_WIDTH = 100
_SAME = 0.01


@dataclass(frozen=True)
class Evaluation:
    """Samples measured against real data, beside simpler methods.

    Attributes
    ----------
    metrics : dict
        Name of a metric to what was measured of the run's samples, in the order of the table.
    baselines : dict
        The same of each simpler method, by its name.
    titles : dict
        How each baseline was fitted, in words.
    left_out : dict
        Metrics that could not be had, with the reason.
    certainty : str
        What stood for real data, and what that costs in certainty.
    told_apart : TwoSampleTest, optional
        How well a classifier tells one cloud of samples from a real one, with interval and p-value.
    """

    metrics: dict[str, Measured]
    baselines: dict[str, dict[str, Measured]]
    titles: dict[str, str]
    left_out: dict[str, str]
    certainty: str
    told_apart: TwoSampleTest | None = None

    def to_json(self) -> dict[str, Any]:
        """Return ``{"metrics": {name: {value, floor, ratio, low, high}}, "baselines": {name: ...}, ...}``."""
        test = self.told_apart
        return {
            "metrics": _plain(self.metrics),
            "classifier_two_sample": None if test is None else test._asdict(),
            "baselines": {name: _plain(measured) for name, measured in self.baselines.items()},
        }

    def best(self, metric: str) -> list[str]:
        """Return who is best by a metric: "" for the run, else names of baselines; several where tied.

        Nearest to what real data reaches is best, not beyond it; tied is whose interval reaches as near,
        give or take a hundredth of the floor.
        """
        measured = {"": self.metrics.get(metric)} | {k: v.get(metric) for k, v in self.baselines.items()}
        off = {name: _off(metric, m) for name, m in measured.items() if m is not None}
        if not off:
            return []
        nearest = min(value for value, _ in off.values())
        return [name for name, (_, least) in off.items() if least <= nearest + _SAME]

    def verdict(self) -> str:
        """Say in a sentence or two how the run compares with the simpler methods."""
        if not self.baselines:
            return ""
        shared = [name for name in self.metrics if any(name in b for b in self.baselines.values())]
        own = [name for name in shared if "" in self.best(name)]
        said = f"By {len(own)} of {len(shared)} metrics no simpler method is better than this model."
        rivals = {}
        for baseline in self.baselines:
            better = [n for n in shared if "" not in self.best(n) and baseline in self.best(n)]
            if better:
                rivals[baseline] = better
        for baseline, better in rivals.items():
            names = ", ".join(_lower(METRICS[name].title) for name in better)
            label = _LABELS.get(baseline, baseline)
            said += f" The {label} is better by {names}."
        if rivals and "kernel_density" in rivals:
            said += " In few dimensions a kernel density is hard to beat; it needs no training."
        return said

    def __str__(self) -> str:
        """Return the whole report as text; a star marks the best of each row."""
        import io

        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        table.add_column("metric")
        for title in ("real data", "this model", "÷ floor", *(_LABELS.get(n, n) for n in self.baselines)):
            table.add_column(title, justify="right")
        for name, own in self.metrics.items():
            best = self.best(name)
            row = [METRICS[name].title, f"{own.floor:.3g}", f"{own.value:.3g}", _cell(own, "" in best)]
            row += [_cell(found.get(name), who in best) for who, found in self.baselines.items()]
            table.add_row(*row)
        stream = io.StringIO()
        Console(file=stream, width=2 * _WIDTH, color_system=None).print(table)
        lines = [line.rstrip() for line in stream.getvalue().strip("\n").splitlines()]
        return "\n".join([*lines, "", self.notes()])

    def notes(self) -> str:
        """Return what stands under the table."""
        notes = [_READ, self.verdict(), self.certainty]
        if (test := self.told_apart) is not None:
            notes.append(
                f"A classifier that is shown samples and real points is right in {test.accuracy:.1%} of all "
                f"(95%: {test.low:.1%} to {test.high:.1%}; by chance alone so often: p = {test.p_value:.2g})."
            )
        if self.titles:
            notes.append("Fitted to the same data: " + "; ".join(self.titles.values()) + ".")
        notes += [f"{METRICS[name].title}: {why}" for name, why in self.left_out.items()]
        return "\n".join(textwrap.fill(note, _WIDTH) for note in notes if note)

    def plot(self) -> Figure:
        """Draw the ratio of every metric, of the run and of the baselines, with intervals."""
        from diffuscope.plots import plot_quality

        rows = [(METRICS[name].title, METRICS[name].ideal == "floor") for name in self.metrics]
        ratios = {"this model": [self.metrics[name] for name in self.metrics]} | {
            _LABELS.get(baseline, baseline): [measured.get(name) for name in self.metrics]
            for baseline, measured in self.baselines.items()
        }
        return plot_quality(rows, ratios)

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``evaluation.json`` and ``figures/quality.png`` into a folder; return the picture's path."""
        from diffuscope.files import write_json
        from diffuscope.plots import save_figure

        folder = Path(folder)
        write_json(folder / "evaluation.json", self.to_json())
        picture = folder / "figures" / "quality.png"
        save_figure(self.plot(), picture)
        return [picture]


_READ = (
    "÷ floor: as a multiple of what real data scores against real data, with its 95% interval; * marks the "
    "best. Perfect samples reach 1, or 0 (energy distance, mean discrepancy, divergence, likelihood gap). "
    "Low is good, but for precision, recall, density and coverage."
)
_LABELS = {
    "kernel_density": "kernel density",
    "gaussian_mixture": "Gaussian mixture",
    "training_data": "training data",
}


def _plain(measured: Mapping[str, Measured]) -> dict[str, Any]:
    return {name: m.to_json() for name, m in measured.items()}


def _cell(m: Measured | None, best: bool) -> str:
    if m is None:
        return "– "
    return f"{m.ratio:.2f} ± {m.high - m.ratio:.2f}".replace("-", "−") + ("*" if best else " ")


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]


def _off(name: str, m: Measured) -> tuple[float, float]:
    """Return how far a ratio is from that of real data, and how near its interval comes to it."""
    metric = METRICS[name]
    ideal = 1.0 if metric.ideal == "floor" else 0.0
    if metric.better == "high":
        return max(ideal - m.ratio, 0.0), max(ideal - m.high, 0.0)
    return max(m.ratio - ideal, 0.0), max(m.low - ideal, 0.0)
