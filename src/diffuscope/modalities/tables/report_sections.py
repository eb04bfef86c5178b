"""Where should one look in a report, and what can be done? Detection, missing values, heaps and relations.

Each is a short section with a picture or a table, worst first, and with what to do next. A table that lacks
nothing, has no heaps or no relations has no section on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from diffuscope.metrics.tabular.detection import Detection
from diffuscope.metrics.tabular.heaps import Heaps
from diffuscope.metrics.tabular.missingness import Missingness
from diffuscope.metrics.tabular.relations import Relation, Relations
from diffuscope.metrics.tabular.result import TableQuality
from diffuscope.metrics.tabular.tables import percent
from diffuscope.modalities.tables.report_drawings import Drawing, draw_shares
from diffuscope.translations import translate

__all__ = ["Row", "Section", "sections_of"]

_MOST = 12


class Row(NamedTuple):
    """A row of a section's table; ``off`` where it says what is wrong."""

    cells: tuple[str, ...]
    off: bool


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes
    ----------
    title, line : str
        The line says what was found, in one sentence.
    off : bool
        Whether something is wrong.
    drawing : Drawing, optional
    headings : tuple of str
        Of a table's columns.
    rows : list of Row
        The first cell is text, the others are numbers or short.
    left_out : int
        How many more rows there are.
    advice : list of str
        What to do next, where something is wrong.
    """

    title: str
    line: str
    off: bool
    drawing: Drawing | None = None
    headings: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    left_out: int = 0
    advice: list[str] = field(default_factory=list)


def sections_of(quality: TableQuality) -> list[Section]:
    """Return the sections that there is something to say in, those with something wrong first."""
    found = []
    if quality.detection is not None and quality.detection.off:
        found.append(_detection(quality.detection))
    if quality.relations is not None:
        found.append(_relations(quality.relations))
    if quality.missing is not None:
        found.append(_missing(quality.missing))
    if quality.heaps is not None:
        found.append(_heaps(quality.heaps))
    return sorted(found, key=lambda section: not section.off)


def _without_title(line: str) -> str:
    """Return a line as it is said, without the word at its beginning that says what it is on."""
    said = translate(line)
    rest = said.partition(": " if said == line else "：")[2]
    return rest[:1].upper() + rest[1:]


def _detection(detection: Detection) -> Section:
    names, rows = detection.giveaways(), []
    for name in names[:_MOST]:
        column = detection.columns[name]
        where = {
            (True, False): "its own values",
            (False, True): "how it goes with other columns",
            (True, True): "its own values, and how it goes with others",
        }[column.by_itself, column.with_others]
        alone = f"{column.alone.value:.3f} ({column.alone.floor:.3f})"
        rows.append(Row((str(name), alone, f"{column.fall:.3f} ({column.real_fall:.3f})", where), off=True))
    advice = []
    if any(detection.columns[name].by_itself for name in names):
        advice.append(
            "Its own values: see the column's card under Marginals, and whether it has heaps or missing "
            "values. Few different numbers may be better learned as categories (--types NAME=category)."
        )
    if any(detection.columns[name].with_others for name in names):
        advice.append(
            "How it goes with others: see Relations and Associations. A column that follows from others is "
            "best left out of the training (--types NAME=ignored) and computed from the sampled rows."
        )
    advice.append(
        "Where many columns are off by a little, train longer or with a larger network: diffuscope diagnose "
        "RUN says which of them helps."
    )
    return Section(
        "What gives synthetic rows away",
        _without_title(detection.line()),
        off=True,
        headings=("Column", "Area by itself (real rows)", "Fall if shuffled (real rows)", "Where to look"),
        rows=rows,
        left_out=len(names) - len(rows),
        advice=advice,
    )


def _missing(missing: Missingness) -> Section:
    shares = [(str(rate.column), rate.real, rate.synthetic) for rate in missing.rates]
    said = [(f"'{rate.column}' is missing", rate.real, rate.synthetic) for rate in missing.rates if rate.off]
    said += [
        (f"'{pair.one}' and '{pair.other}' are missing together", pair.real, pair.synthetic)
        for pair in missing.together
    ]
    said += [(f"where {b.where}, '{b.column}' is missing", b.real, b.synthetic) for b in missing.beside]
    advice = [
        "Which values are missing is learned before the values: train longer, or a larger network.",
        "If you know the rule, such as that the unemployed have no employer, apply it to the sampled rows. "
        "If missing values mean nothing, sample without (--missing none).",
    ]
    return Section(
        "Missing values",
        _without_title(missing.line()),
        off=missing.off,
        drawing=draw_shares("Missing values by column", shares[:_MOST]),
        headings=("What differs", "Real rows", "Synthetic rows"),
        rows=[Row((words, percent(real), percent(made)), off=True) for words, real, made in said[:_MOST]],
        left_out=max(len(said) - _MOST, 0),
        advice=advice if missing.off else [],
    )


def _heaps(heaps: Heaps) -> Section:
    found = [(f"{name} = {h.value}", h) for name, column in heaps.columns.items() for h in column.heaps]
    found.sort(key=lambda entry: (not entry[1].off, -abs(entry[1].real - entry[1].synthetic)))
    rows = [
        Row((str(name), str(len(c.heaps)), percent(c.real), percent(c.synthetic)), bool(c.off))
        for name, c in heaps.columns.items()
    ]
    advice = [
        "A heap that is too low is a value that real rows repeat, such as a round amount, and synthetic ones "
        "do not: round the sampled column to its values, or, if these are few, learn them as categories "
        "(--types NAME=category).",
        "Heaps that only some rows have, say of one category, need more steps or a larger network.",
    ]
    return Section(
        "Heaps",
        _without_title(heaps.line()),
        off=heaps.off,
        drawing=draw_shares("Shares of heaps", [(name, h.real, h.synthetic) for name, h in found[:_MOST]]),
        headings=("Column", "Heaps", "On heaps, real", "On heaps, synthetic"),
        rows=rows[:_MOST],
        left_out=max(len(rows) - _MOST, 0),
        advice=advice if heaps.off else [],
    )


def _relations(relations: Relations) -> Section:
    shown = relations.found[:_MOST]
    kinds = {relation.kind: relation for relation in reversed(relations.broken)}
    order = ("equation", "function", "missing", "order")
    return Section(
        "Relations",
        _without_title(relations.line()),
        off=relations.off,
        headings=("Holds in all training rows", "Held-out rows", "Synthetic rows"),
        rows=[Row((r.words, _share(r.real), _share(r.synthetic)), r.broken) for r in shown],
        left_out=len(relations.found) - len(shown),
        advice=[_kept_by(kinds[kind]) for kind in order if kind in kinds],
    )


def _share(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _kept_by(relation: Relation) -> str:
    """Return how relations of this kind are kept, by the example of one."""
    name, *others = (f"'{column}'" for column in relation.columns)
    rest = " and ".join(others)
    without = f"train without {name} (--types {relation.columns[0]}=ignored)"
    return {
        "equation": f"What can be computed need not be learned: {without}, and compute it from {rest} "
        "in the sampled rows.",
        "function": f"What follows from another column need not be learned: {without}, and look it up "
        f"by {rest} in the sampled rows.",
        "missing": f"Remove {name} from the sampled rows where the rule says so; where it then lacks a "
        "value, fill it (diffuscope impute).",
        "order": f"Where {name} must not exceed {rest}, train on their difference in place of one of them, "
        "or leave out the sampled rows that break it.",
    }[relation.kind]
