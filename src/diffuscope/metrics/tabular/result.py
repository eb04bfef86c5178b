"""The result of measuring a synthetic table: as a table, as plain data, and as a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from diffuscope.data.tables.columns.base import Name
from diffuscope.metrics import Measured, TwoSampleTest
from diffuscope.metrics.tabular.associations import Associations
from diffuscope.metrics.tabular.detection import Detection
from diffuscope.metrics.tabular.heaps import Heaps
from diffuscope.metrics.tabular.missingness import Missingness
from diffuscope.metrics.tabular.privacy import Privacy
from diffuscope.metrics.tabular.relations import Relations
from diffuscope.metrics.tabular.splits import as_plain
from diffuscope.metrics.tabular.tables import ColumnKind
from diffuscope.terminal import one_line
from diffuscope.translations import term, translate
from diffuscope.translations.display import fill

__all__ = ["TABLE_METRICS", "ColumnQuality", "TableMetric", "TableQuality"]

_WIDTH = 100
_WORST = 5
_PRIVATE = ("closer_to_training", "distance_to_training")
_GRAVE = 1.68  # from 95% to 99.9%, of a normal distribution


class TableMetric(NamedTuple):
    """A metric: display name, description, and whether lower or higher ratios are better; 1 is perfect."""

    title: str
    about: str
    better: Literal["low", "high"] = "low"


TABLE_METRICS = {
    "marginals": TableMetric("Marginals", "Mean distance between real and synthetic columns."),
    "associations": TableMetric("Associations", "Mean difference of the associations of pairs of columns."),
    "classifier_accuracy": TableMetric(
        "Two-sample classifier: accuracy",
        "Accuracy of trees that classify rows as real or synthetic; 1/2 is chance.",
    ),
    "classifier_auc": TableMetric("Two-sample classifier: AUC", "Area under their ROC curve; 1/2 is chance."),
    "missing_rates": TableMetric(
        "Missing values: rates", "Mean difference of the shares of rows that lack a column."
    ),
    "missing_together": TableMetric(
        "Missing values: together", "Mean difference of how columns are missing in the same rows."
    ),
    "missing_beside": TableMetric(
        "Missing values: beside others",
        "Mean difference of how missing values go with those of other columns.",
    ),
    "heap_rates": TableMetric(
        "Heaps: rates", "Sum of the differences of the shares of values that many rows have, mean of columns."
    ),
    "heap_share": TableMetric(
        "Heaps: share", "Mean difference of the share of a column's values that are on heaps."
    ),
    "relations_kept": TableMetric(
        "Relations kept", "Mean share of rows that keep a relation that holds in all training rows.", "high"
    ),
    "target_accuracy": TableMetric(
        "Utility: accuracy", "Accuracy on real rows of trees that were trained on synthetic rows.", "high"
    ),
    "target_auc": TableMetric("Utility: AUC", "Area under their ROC curve.", "high"),
    "target_r2": TableMetric(
        "Utility: R²", "R² on real rows of trees that were trained on synthetic rows.", "high"
    ),
    "closer_to_training": TableMetric(
        "Nearer to training rows",
        "Fraction of rows that are nearer to training rows than to as many held-out ones.",
    ),
    "distance_to_training": TableMetric(
        "Distance to training rows", "Median distance to the nearest training row.", "high"
    ),
}


@dataclass(frozen=True)
class ColumnQuality:
    """The quality of a column.

    Attributes
    ----------
    kind : {"number", "integer", "datetime", "boolean", "category"}
    distance : Measured
        Kolmogorov–Smirnov distance or total variation, see :mod:`diffuscope.metrics.tabular.marginals`.
    missing, synthetic_missing : float
        Fraction of missing values in the training rows and in the synthetic ones.
    p_value : float
        Of a test of all synthetic rows against all real ones for equal distributions.
    new_values : int
        Distinct synthetic values of a category that do not occur in real rows.
    """

    kind: ColumnKind
    distance: Measured
    missing: float
    synthetic_missing: float
    p_value: float
    new_values: int = 0


@dataclass(frozen=True)
class TableQuality:
    """A synthetic table measured against a real one.

    Attributes
    ----------
    metrics : dict of str to Measured
        Measured ones, in the order of :data:`TABLE_METRICS`.
    columns : dict of name to ColumnQuality
        In the order of the table.
    associations : Associations or None
        None for a table of one column.
    told_apart : TwoSampleTest or None
        Classifier two-sample test of synthetic against real rows.
    detection : Detection or None
        Which columns give synthetic rows away to it.
    missing : Missingness or None
        None without missing values.
    heaps : Heaps or None
        None where no column of numbers has heaps.
    relations : Relations or None
        None where no relation holds in all training rows.
    privacy : Privacy or None
        None without held-out rows.
    target : str, int or None
    left_out : dict of str to str
        Omitted metrics, each with the reason.
    certainty : str
        Which real rows were used, and what follows from it.
    rows : dict of str to int
        Numbers of ``"train"``, ``"held_out"`` and ``"synthetic"`` rows used.
    """

    metrics: dict[str, Measured]
    columns: dict[Name, ColumnQuality]
    associations: Associations | None
    told_apart: TwoSampleTest | None
    detection: Detection | None
    missing: Missingness | None
    heaps: Heaps | None
    relations: Relations | None
    privacy: Privacy | None
    target: Name | None
    left_out: dict[str, str]
    certainty: str
    rows: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the matrices as plain data; an infinite ratio is None."""
        return {
            "metrics": {name: as_plain(measured) for name, measured in self.metrics.items()},
            "columns": {
                str(name): {**vars(column), "distance": as_plain(column.distance)}
                for name, column in self.columns.items()
            },
            "classifier_two_sample": None if self.told_apart is None else self.told_apart._asdict(),
            **{
                name: None if part is None else part.to_json()
                for name, part in (
                    ("detection", self.detection),
                    ("missing", self.missing),
                    ("heaps", self.heaps),
                    ("relations", self.relations),
                )
            },
            "privacy": None if self.privacy is None else self.privacy.to_json(),
            "target": self.target,
            "left_out": self.left_out,
            "rows": self.rows,
        }

    def worst_columns(self, most: int = _WORST) -> list[Name]:
        """Return the columns that differ significantly from the real ones, worst first.

        That is with p < 0.05 after Bonferroni's correction, and with a distance more than a tenth above its
        floor: with very many rows every difference is significant.
        """
        off = {
            name: column.distance.value - column.distance.floor
            for name, column in self.columns.items()
            if column.p_value * len(self.columns) < 0.05 and column.distance.ratio > 1.1
        }
        return sorted(off, key=lambda name: -off[name])[:most]

    def off(self, name: str) -> Literal["as real", "nearly", "worse", "copied"]:
        """Return how a metric compares with real rows.

        "as real" if its interval reaches the floor or is beyond it, "nearly" if it is within a tenth of it,
        else "worse"; "copied" if rows are nearer to training rows than real ones at the 99.9% level, as this
        is a serious finding.
        """
        m = self.metrics[name]
        gap, room = m.ratio - 1, m.ratio - m.low
        if TABLE_METRICS[name].better == "high":
            gap, room = 1 - m.ratio, m.high - m.ratio
        if name in _PRIVATE:
            return "copied" if gap > _GRAVE * room else "as real"
        if gap <= room:
            return "as real"
        return "nearly" if gap <= 0.1 else "worse"

    def verdict(self) -> list[str]:
        """Return the findings in a few sentences, the most important first."""
        said = []
        if (test := self.told_apart) is not None:
            much = "a little" if test.accuracy < 0.6 else "clearly" if test.accuracy < 0.8 else "far"
            chance = test.low <= 0.5 or self.off("classifier_auc") == "as real"
            better = ": no better than chance." if chance else f", {much} better than chance (50%)."
            found = f"A classifier distinguishes synthetic from real rows with {test.accuracy:.0%} accuracy"
            said.append(found + better)
        if "marginals" in self.metrics:
            *others, last = [repr(str(name)) for name in self.worst_columns(3)] or [""]
            if others:
                listed = f"{', '.join(others)} and {last}"
                said.append(f"The columns with the largest differences from real rows are {listed}.")
            elif last:
                said.append(f"The column with the largest difference from real rows is {last}.")
            else:
                said.append("No column differs significantly from the real one.")
        if self.associations is not None:
            if self.off("associations") != "worse":
                said.append("The associations of columns are like those of real rows.")
            else:
                ratio = self.metrics["associations"].ratio
                one, other, real, synthetic = self.associations.furthest(1)[0]
                said.append(
                    f"The associations of columns differ from those of real rows ({ratio:.1f} times the "
                    f"floor), most for {one!r} and {other!r}: {synthetic:.2f} instead of {real:.2f}."
                )
        for name, what in (("target_auc", "an area under the ROC curve"), ("target_r2", "an R²")):
            if name in self.metrics:
                m = self.metrics[name]
                said.append(
                    f"Models trained on the synthetic rows to predict {str(self.target)!r} reach {what} of "
                    f"{m.value:.3f} on real rows; models trained on as many real rows reach {m.floor:.3f}."
                )
        if (p := self.privacy) is None:
            said.append("Copies cannot be detected without held-out rows.")
        elif p.too_many_copies:
            said.append(
                f"{p.copies:.1%} of the rows are copies of training rows (of held-out rows "
                f"{p.unseen_copies:.1%}): do not publish them as anonymous data."
            )
        elif "copied" in (self.off(name) for name in _PRIVATE if name in self.metrics):
            said.append("Rows are nearer to training rows than held-out rows are: some were memorised.")
        else:
            said.append("No sign that training rows were copied.")
        return said

    def reasons(self) -> dict[str, str]:
        """Return why metrics were left out, by the titles of those with the same reason."""
        found: dict[str, list[str]] = {}
        for name, why in self.left_out.items():
            found.setdefault(why, []).append(term(TABLE_METRICS[name].title))
        return {", ".join(titles): why for why, titles in found.items()}

    def troubles(self) -> list[str]:
        """Return the lines on missing values, heaps and relations that differ from those of real rows."""
        parts = (self.missing, self.heaps, self.relations)
        return [part.line() for part in parts if part is not None and part.off]

    def lines(self) -> list[str]:
        """Return a line each on detection, missing values, heaps and relations, where there are some."""
        parts = (self.detection, self.missing, self.heaps, self.relations)
        return [part.line() for part in parts if part is not None]

    def __str__(self) -> str:
        """Return the whole report as text."""
        metrics = [
            (term(TABLE_METRICS[name].title), *_numbers(m), term(self.off(name)))
            for name, m in self.metrics.items()
        ]
        columns = [
            (str(name), term(column.kind), *_numbers(column.distance))
            for name, column in self.columns.items()
        ]
        notes = [_READ, " ".join(self.verdict()), self.certainty]
        if (test := self.told_apart) is not None:
            notes.append(
                f"Two-sample classifier: {test.accuracy:.1%} accuracy (95% interval {test.low:.1%} to "
                f"{test.high:.1%}); as high by chance with probability {test.p_value:.2g}."
            )
        notes += self.lines()
        notes += [f"{titles}: {why}" for titles, why in self.reasons().items()]
        return "\n".join(
            [
                _as_text(metrics, ("metric", "real rows", "these rows", "÷ floor", "")),
                "",
                _as_text(columns, ("column", "kind", "real rows", "these rows", "÷ floor")),
                "",
                *(fill(note, _WIDTH) for note in notes if note),
            ]
        )


_READ = (
    "÷ floor: ratio of the metric to its value for real rows, with a 95% interval; 1 is as good as real "
    "rows. Lower is better, except for 'Utility', 'Relations' and 'Distance'."
)


def _numbers(m: Measured) -> tuple[str, str, str]:
    return f"{m.floor:.3g}", f"{m.value:.3g}", ratio_with_interval(m)


def ratio_with_interval(m: Measured) -> str:
    """Return ``"1.24 ± 0.10"``, or both ends of an interval that is not symmetric."""
    if not math.isfinite(m.ratio):
        return "∞"
    if not math.isfinite(m.high):
        return f"{m.ratio:.2f} (at least {m.low:.2f})"
    up, down = m.high - m.ratio, m.ratio - m.low
    if abs(up - down) <= 0.1 * max(up, down) or m.low == 0:
        return f"{m.ratio:.2f} ± {up:.2f}".replace("-", "−")
    return f"{m.ratio:.2f} ({m.low:.2f} to {m.high:.2f})".replace("-", "−")


def _as_text(rows: Sequence[Sequence[str]], titles: Sequence[str]) -> str:
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for k, title in enumerate(titles):
        side: Literal["left", "right"] = "left" if k == 0 or title in ("", "kind") else "right"
        table.add_column(Text(one_line(term(title))), justify=side)
    for row in rows:
        table.add_row(*(Text(one_line(translate(cell))) for cell in row))  # a name may look like markup
    stream = io.StringIO()
    Console(file=stream, width=2 * _WIDTH, color_system=None, force_jupyter=False).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().strip("\n").splitlines())
