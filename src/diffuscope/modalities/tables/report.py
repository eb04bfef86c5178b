"""How is the quality of a synthetic table reported to others? By one self-contained HTML file.

The page has no scripts and asks nothing of any network: pictures are in it. It can be read on a phone, in the
dark and on paper. Whatever stands in a table or is said about it is text, never markup: the template
escapes all of it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from diffuscope.data.tables import read_frame
from diffuscope.errors import InputError
from diffuscope.files import write_text
from diffuscope.metrics.tabular.result import TABLE_METRICS, TableQuality, ratio_with_interval
from diffuscope.modalities.tables.report_drawings import draw_columns, draw_distances, draw_matrices
from diffuscope.modalities.tables.report_sections import sections_of
from diffuscope.pages import page

__all__ = ["write_report"]

_REACH = 2.5  # to which ratio the drawn intervals reach
_PACKAGES = ("diffuscope", "numpy", "pandas", "scikit-learn", "scipy", "torch")
_STATES = {"as real": "good", "nearly": "good", "worse": "bad", "copied": "bad"}


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    train: Any,
    held_out: Any,
    synthetic: Any,
    quality: TableQuality,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write an HTML page about a synthetic table: a verdict, all metrics, pictures, and how it was made.

    The data frames are those that the quality was measured of; ``held_out`` may be None. Pictures show
    training and held-out rows together. ``facts`` say how the table was made; a mapping in them becomes a
    list. InputError where columns differ from those of the quality, RunError where writing fails.
    """
    from diffuscope.plots import plot_pairs

    real, made = _pictured(train, held_out, synthetic)
    if list(real.columns) != list(quality.columns):
        raise InputError(
            "The columns of the tables differ from those of the quality.",
            "Pass write_report the same tables as measure_table.",
        )
    privacy = quality.privacy
    text = page(
        "diffuscope.modalities.tables",
        "report.html",
        title,
        quality=quality,
        metrics=[_metric(name, quality) for name in quality.metrics],
        sections=sections_of(quality),
        columns=_columns(real, made, quality),
        matrices=[] if quality.associations is None else draw_matrices(quality.associations),
        distances=None if privacy is None else draw_distances(privacy.distances, privacy.unseen_distances),
        pairs=plot_pairs(real, made),
        facts=_listed(facts or {}),
        versions=_versions(),
        reach=_REACH,
    )
    write_text(path, text)


def _pictured(train: Any, held_out: Any, synthetic: Any) -> tuple[Any, Any]:
    """Return all real rows, and the synthetic ones with the same columns in the same order."""
    import pandas as pd

    real, made = read_frame(train).data, read_frame(synthetic).data
    lost = [name for name in real.columns if name not in made.columns]
    if lost:
        raise InputError(f"The synthetic rows have no column named {lost[0]!r}.", "Give the same columns.")
    if held_out is not None:
        unseen = read_frame(held_out).data
        if set(unseen.columns) != set(real.columns):
            raise InputError(
                "The columns of the held-out rows differ from those of the training rows.",
                "Give the same columns.",
            )
        real = pd.concat([real, unseen[list(real.columns)]], ignore_index=True)
    return real, made[list(real.columns)]


def _metric(name: str, quality: TableQuality) -> dict[str, Any]:
    """Return a row of the table of metrics; its interval on a scale from 0 to 2.5, in percent of it."""
    metric, m, state = TABLE_METRICS[name], quality.metrics[name], quality.off(name)
    low, at, high = (round(100 * min(max(x, 0.0), _REACH) / _REACH, 2) for x in (m.low, m.ratio, m.high))
    return {
        "title": metric.title,
        "about": metric.about,
        "better": metric.better,
        "floor": f"{m.floor:.3g}",
        "value": f"{m.value:.3g}",
        "ratio": ratio_with_interval(m),
        "state": state,
        "look": _STATES[state],
        "drawn": {"low": low, "at": at, "high": high},
    }


def _columns(real: Any, made: Any, quality: TableQuality) -> list[dict[str, Any]]:
    """Return what the card of each column says."""
    worst = set(quality.worst_columns(len(quality.columns)))
    cards = []
    for (name, column), drawing in zip(quality.columns.items(), draw_columns(real, made), strict=True):
        m, missing = column.distance, (column.missing, column.synthetic_missing)
        cards.append(
            {
                "name": str(name),
                "kind": column.kind,
                "drawing": drawing,
                "ratio": ratio_with_interval(m),
                "value": f"{m.value:.3f}",
                "floor": f"{m.floor:.3f}",
                "off": name in worst,
                "missing": "{:.1%} missing, synthetic {:.1%}".format(*missing) if max(missing) > 0 else "",
                "new_values": column.new_values,
            }
        )
    return cards


def _listed(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return facts as pairs of text, those of a mapping in it as pairs again."""
    return [
        (str(name), _listed(value) if isinstance(value, Mapping) else str(value))
        for name, value in facts.items()
    ]


def _versions() -> str:
    versions = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # it is not installed as a package
            continue
    return ", ".join(versions)
