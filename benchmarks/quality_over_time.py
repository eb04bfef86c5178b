"""What do the runs of ``time_to_quality.py`` show, as a table, a judgement and a figure?

A ratio is a distance over the floor. The time to a ratio is that of the first model at or below it, taken
for each seed; the table has the median of the seeds and their range, where a seed that never came to it
stands last.
"""

from __future__ import annotations

import importlib.metadata
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from contestants import ARTICLE, FAST, MEMORY, PEERS, PLAIN
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from report import table

from diffuscope.plots import GENERATED, INK, MUTED
from diffuscope.plots.style import chart, heading

__all__ = ["Outcome", "Outcomes", "Record", "draw", "outcomes_of", "write_up"]

THRESHOLDS = (2.0, 1.5, 1.2, 1.1)
ASKED, ASKED_OF_PLAIN, ASKED_OF_PEER = 1.2, 500, 15
PLAIN_STEPS, PLAIN_EPOCHS = 395_000, 5_000

HUES = {
    FAST: GENERATED,
    ARTICLE: "#c48bd6",
    "azula": "#c9822b",
    "torchcfm": "#3f8f6b",
    "smalldiffusion": "#5b7083",
}

Record = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a contestant's runs have shown.

    Attributes
    ----------
    seconds, ratios : ndarray of shape (seeds, points)
    """

    seconds: np.ndarray
    ratios: np.ndarray

    @classmethod
    def of(cls, runs: Sequence[Record], clock: str, floor: float) -> Outcome:
        """Read a contestant's runs.

        Where one has a point more than another, the ends are kept, and what comes before the end is cut.
        """
        n = min(len(run["points"]) for run in runs)
        rows = [run["points"][: n - 1] + run["points"][-1:] for run in runs]
        return cls(
            np.array([[point[clock] for point in row] for row in rows]),
            np.array([[point["distance"] / floor for point in row] for row in rows]),
        )

    @property
    def length(self) -> float:
        """Median seconds of the longest training."""
        return float(np.median(self.seconds[:, -1]))

    def times(self, ratio: float) -> list[float]:
        """Return the seconds to the first model with at most this ratio, for each seed; inf for never."""
        reached = self.ratios <= ratio
        return [
            float(row[hit][0]) if hit.any() else math.inf
            for row, hit in zip(self.seconds, reached, strict=True)
        ]

    def time(self, ratio: float) -> float:
        """Return the median of those times; inf where fewer than half of the seeds came to it."""
        return statistics.median_high(self.times(ratio))

    def time_of_mean(self, ratio: float) -> float:
        """Return the median seconds to the first point whose mean over the seeds is at most this ratio."""
        reached = self.ratios.mean(axis=0) <= ratio
        return float(np.median(self.seconds, axis=0)[reached][0]) if reached.any() else math.inf

    def cell(self, ratio: float) -> str:
        """Write the median of those times, and their range."""
        times = self.times(ratio)
        low, high = self.say(min(times)), self.say(max(times))
        return low if low == high else f"{self.say(self.time(ratio))} ({low} to {high})"

    def say(self, time: float) -> str:
        """Write a time; for one that never came, that it is longer than a run."""
        return f"> {self.length:.3g}" if time == math.inf else f"{time:.3g}"

    def end(self) -> str:
        """Write the ratio after the longest training."""
        last = self.ratios[:, -1]
        return f"{np.median(last):.2f} ({last.min():.2f} to {last.max():.2f})"


Outcomes = Mapping[str, Outcome]


def outcomes_of(records: Sequence[Record], jobs: int) -> tuple[dict[str, Outcome], float, str]:
    """Read the results.

    Parameters
    ----------
    records : sequence of dict
    jobs : int
        How many of the runs went side by side.

    Returns
    -------
    outcomes : dict
        For each contestant that was trained.
    plain : float
        Seconds that the tutorial's loop takes for its 5,000 epochs: steps of it were measured.
    clock : {"wall", "cpu"}
        The wall clock, unless other work than this benchmark's disturbed it.
    """
    clock = "cpu" if _load(records) > jobs + 0.5 else "wall"
    floor = next(record["value"] for record in records if record["contestant"] == "floor")
    runs: dict[str, list[Record]] = {}
    for record in records:
        runs.setdefault(record["contestant"], []).append(record)
    plain = [run["points"][0] for run in runs[PLAIN]]
    step = statistics.median(point[clock] / point["steps"] for point in plain)
    names = [name for name in (ARTICLE, *PEERS, FAST) if name in runs]
    return {name: Outcome.of(runs[name], clock, floor) for name in names}, step * PLAIN_STEPS, clock


def _load(records: Sequence[Record]) -> float:
    return statistics.median(record["load"] for record in records if "load" in record)


def write_up(records: Sequence[Record], missing: Mapping[str, str], jobs: int) -> str:
    """Return table and judgement, as Markdown.

    Parameters
    ----------
    records : sequence of dict
    missing : mapping
        Libraries that could not run, and why.
    jobs : int
        How many of the runs went side by side.
    """
    outcomes, plain, clock = outcomes_of(records, jobs)
    head = ["", "trained for, s", "÷ floor at its end", *(f"s to {ratio} × floor" for ratio in THRESHOLDS)]
    rows = [
        [name, f"{one.length:.3g}", one.end(), *(one.cell(ratio) for ratio in THRESHOLDS)]
        for name, one in outcomes.items()
    ]
    rows += [[name, f"cannot run here: {why}", *[""] * 5] for name, why in missing.items()]
    floor = next(record for record in records if record["contestant"] == "floor")
    memory = Outcome.of(
        [record for record in records if record["contestant"] == MEMORY], clock, floor["value"]
    )
    plan, seeds = floor["plan"], len({record["seed"] for record in records if "seed" in record})
    which = "a processor's work" if clock == "cpu" else "the wall clock"
    with_peers = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PEERS if name in outcomes)
    return (
        f"{table(head, rows)}\n\n"
        f"Medians of {seeds} seeds, and their range, in seconds of {which}; {jobs} runs side by side on a "
        f"thread each, load average {_load(records):.1f} in the median. The floor is {floor['value']:.4f} ± "
        f"{1.96 * floor['error']:.4f} (95%), the mean of {plan['pairs']} pairs; a distance is the mean of "
        f"{plan['clouds']} generated clouds against {plan['real']} real ones each. Perfect memory of the "
        f"training points would come to {memory.end()}. Other libraries: {with_peers or 'none'}. The "
        f"tutorial's loop as printed takes {plain / PLAIN_STEPS * 1e3:.2f} ms a step, and so {plain:.0f} s "
        f"for its {PLAIN_EPOCHS:,} epochs (steps were measured, and multiplied); `article` is the same "
        f"training by this package, to its end.\n\n{verdict(outcomes, plain)}"
    )


def verdict(outcomes: Outcomes, plain: float) -> str:
    """Say how ``fast`` stands against the targets, with the tutorial's loop taking ``plain`` seconds."""
    medians = {name: one.time(ASKED) for name, one in outcomes.items()}
    means = {name: one.time_of_mean(ASKED) for name, one in outcomes.items()}
    return (
        f"Target of `fast`: {ASKED} × floor in at most 1/{ASKED_OF_PLAIN} of the time of the tutorial's "
        f"loop, and in at most 1/{ASKED_OF_PEER} of the time of the best other library. By the table's "
        f"medians: {_compare(medians, outcomes, plain)}. By the first point at which the mean of all seeds "
        f"is as low, which one lucky model does not make: {_compare(means, outcomes, plain)}."
    )


def _compare(times: Mapping[str, float], outcomes: Outcomes, plain: float) -> str:
    """Hold the time of ``fast`` against the two others."""
    took = times[FAST]
    if took == math.inf:
        return f"NOT met, not reached within {outcomes[FAST].length:.3g} s"
    met = _met(took * ASKED_OF_PLAIN <= plain)
    text = f"{took:.2f} s, 1/{plain / took:.0f} of the loop's {plain:.0f} s: {met}"
    peers = [name for name in PEERS if name in outcomes]
    if not peers:
        return f"{text}; none of the other libraries was there"
    best = min(peers, key=lambda name: times[name])
    theirs, less = times[best], ""
    who = f"{best}'s {theirs:.1f} s"
    if theirs == math.inf:  # all that is known is that it takes longer than was tried
        theirs, less = min(outcomes[name].length for name in peers), "less than "
        who = f"what the others take, more than {theirs:.0f} s"
    met = _met(took * ASKED_OF_PEER <= theirs)
    return f"{text}; {less}1/{theirs / took:.0f} of {who}: {met}"


def _met(good: bool) -> str:
    return "met" if good else "NOT met"


def draw(outcomes: Outcomes, plain: float) -> Figure:
    """Draw ratios over seconds: the median of the seeds as a line, their range as a band."""
    figure, ax = chart(8.4, 4.8)
    for name, one in outcomes.items():
        at, middle = np.median(one.seconds, axis=0), np.median(one.ratios, axis=0)
        low, high = one.ratios.min(axis=0), one.ratios.max(axis=0)
        ax.fill_between(at, low, high, color=HUES[name], alpha=0.13, linewidth=0)
        ax.plot(at, middle, color=HUES[name], linewidth=2.6 if name == FAST else 1.6)
    ax.set(xscale="log", yscale="log")
    first = min(float(one.seconds.min()) for one in outcomes.values())
    ax.set_xlim(first / 5, plain * 1.15)
    ax.set_ylim(0.7, None)
    _name_lines(ax, outcomes)
    small = {"fontsize": 9, "textcoords": "offset points"}
    ax.axhline(1, color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
    ax.annotate("floor: real against real", (first / 5, 1), xytext=(4, -12), color=INK, **small)
    ax.axvline(plain, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    end = f"{PLAIN}, as printed:\n{PLAIN_EPOCHS:,} epochs"
    ax.annotate(end, (plain, ax.get_ylim()[1]), xytext=(-4, -4), ha="right", va="top", color=MUTED, **small)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("seconds of training, on one thread", color=INK)
    ax.set_ylabel("distance ÷ floor", color=INK)
    heading(figure, "How soon samples are good: 10,000 points of the S-curve")
    return figure


def _name_lines(ax: Axes, outcomes: Outcomes) -> None:
    """Write each line's name to the left of its start, one above the other where starts are close."""
    starts = {name: np.log(np.median(one.ratios[:, 0])) for name, one in outcomes.items()}
    low, high = np.log(ax.get_ylim())
    least, last = 0.05 * (high - low), -math.inf
    for name in sorted(starts, key=lambda name: starts[name]):
        last = max(starts[name], last + least)
        ax.annotate(
            name,
            (np.median(outcomes[name].seconds[:, 0]), math.exp(last)),
            xytext=(-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=HUES[name],
            fontsize=10,
            fontweight="bold" if name == FAST else "normal",
        )
