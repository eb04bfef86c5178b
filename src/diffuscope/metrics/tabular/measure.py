"""How similar is a synthetic table to a real one? All metrics in one call."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from diffuscope.data.tables.columns.base import Name
from diffuscope.errors import InputError
from diffuscope.metrics import Measured
from diffuscope.metrics.tabular.associations import Associations, Associator
from diffuscope.metrics.tabular.detection import tell_apart
from diffuscope.metrics.tabular.heaps import measure_heaps
from diffuscope.metrics.tabular.marginals import column_distances, column_p_values
from diffuscope.metrics.tabular.missingness import measure_missing
from diffuscope.metrics.tabular.privacy import measure_privacy
from diffuscope.metrics.tabular.relations import measure_relations
from diffuscope.metrics.tabular.result import TABLE_METRICS, ColumnQuality, TableQuality
from diffuscope.metrics.tabular.splits import LEAST_ROWS, Splits, relate_parts
from diffuscope.metrics.tabular.tables import Table, read_tables, some_rows
from diffuscope.metrics.tabular.trees import predicts_classes, train_on_synthetic

__all__ = ["measure_table"]

Part = TypeVar("Part")

_LEAST = 20
_NEED_ROWS = (
    "classifier_accuracy",
    "classifier_auc",
    "missing_rates",
    "missing_together",
    "missing_beside",
    "heap_rates",
    "heap_share",
    "relations_kept",
)
_SHOWN = 20_000


def measure_table(
    train: Any, held_out: Any, synthetic: Any, target: Name | None = None, seed: int = 0
) -> TableQuality:
    """Measure the quality of synthetic rows, each metric as a multiple of its value for real rows.

    At most 50,000 rows of each table are used, and fewer for expensive metrics, see their modules. A table of
    10,000 rows and 30 columns takes some ten seconds on one core.

    Parameters
    ----------
    train : DataFrame of shape (n, d)
        The training rows of the model: numbers, integers, booleans, categories, times; values may be
        missing. For other containers see :func:`diffuscope.data.tables.read_frame`.
    held_out : DataFrame of shape (m, d), or None
        Real rows that the model was not trained on. Without them halves of the training rows are used: a
        model that memorised them then looks perfect, and copies cannot be detected.
    synthetic : DataFrame of shape (l, d)
        Samples of the model; at least as many as training rows.
    target : str or int, optional
        A column for the utility of the rows: models are trained to predict it. A category, a boolean or an
        integer with two values is predicted as a class, any other column as a number.
    seed : int
        Equal tables and seeds give equal numbers.

    Returns
    -------
    TableQuality
        It prints as a table; ``write_report`` writes it as an HTML page.

    Raises
    ------
    InputError
        When a table has fewer than 20 rows, columns differ in name or kind, numbers are infinite, or there is
        no column named ``target``.
    """
    sources = {"training": train, "synthetic": synthetic}
    sources |= {} if held_out is None else {"held-out": held_out}
    tables = dict(zip(sources, read_tables(sources, seed), strict=True))
    for said, table in tables.items():
        if len(table) < _LEAST:
            raise InputError(
                f"There are only {len(table)} {said} rows.", f"Give at least {_LEAST} for the evaluation."
            )
    real, made, unseen = tables["training"], tables["synthetic"], tables.get("held-out")
    place = None if target is None else real.place(target)
    if unseen is not None:
        splits = Splits(made, real, unseen, seed)
    else:
        halves = some_rows(len(real), len(real), seed, "halves")
        one, other = np.split(halves, [len(real) // 2])
        splits = Splits(made, real.take(one), real.take(other), seed)
    left_out: dict[str, str] = {}
    values, floors, factor = splits.compare(column_distances)
    metrics = {"marginals": relate_parts(values.mean(axis=1), floors.mean(axis=1), factor)}
    distances = [relate_parts(*pair, factor) for pair in zip(values.T, floors.T, strict=True)]
    columns = _columns(real, made, unseen, distances)
    associate, associations = Associator(real), None
    if len(associate.names) < 2:
        left_out["associations"] = "It needs at least two columns."
    else:
        values, floors, factor = splits.compare(lambda x, y: np.array(associate.difference(x, y)))
        metrics["associations"] = relate_parts(values, floors, factor)
        shown = (table.some(_SHOWN, seed, "associations") for table in (real, made))
        associations = Associations(associate.names, *map(associate, shown))
    told_apart = detection = missing = heaps = relations = privacy = None
    if splits.smallest < LEAST_ROWS:
        few = f"It needs at least {LEAST_ROWS} rows in each table; the smallest has {splits.smallest}."
        left_out |= dict.fromkeys(_NEED_ROWS, few)
    else:
        found, told_apart, detection = tell_apart(splits)
        metrics |= found
        metrics, missing = _added(metrics, measure_missing(splits))
        metrics, heaps = _added(metrics, measure_heaps(splits))
        metrics, relations = _added(metrics, measure_relations(splits))
    if place is not None:
        learned = train_on_synthetic(splits, place)
        metrics |= learned if isinstance(learned, dict) else {}
        if isinstance(learned, str):
            classes = predicts_classes(splits.train, place)
            left_out |= dict.fromkeys(
                ("target_accuracy", "target_auc") if classes else ("target_r2",), learned
            )
    if unseen is None:
        left_out |= dict.fromkeys(("closer_to_training", "distance_to_training"), "It needs held-out rows.")
        certainty = (
            f"{len(made):,} synthetic rows were compared with one half of the training rows; the floor "
            "compares the other half with it. A model that memorised its training rows would look perfect, "
            "and copies cannot be detected: give held-out rows to check this."
        )
    else:
        found, privacy = measure_privacy(splits)
        metrics |= found
        if "distance_to_training" not in found:
            left_out["distance_to_training"] = "Most held-out rows equal a training row, so its floor is 0."
        certainty = (
            f"{len(made):,} synthetic rows were compared with {len(unseen):,} held-out rows; the floor "
            f"compares {len(real):,} training rows with the same held-out rows."
        )
    return TableQuality(
        {name: metrics[name] for name in TABLE_METRICS if name in metrics},
        columns,
        associations,
        told_apart,
        detection,
        missing,
        heaps,
        relations,
        privacy,
        target,
        left_out,
        certainty,
        {said.replace("training", "train").replace("-", "_"): len(t) for said, t in tables.items()},
    )


def _added(
    metrics: dict[str, Measured], measured: tuple[dict[str, Measured], Part] | None
) -> tuple[dict[str, Measured], Part | None]:
    """Return the metrics with those of a part of the quality, and the part, if the table has it."""
    return (metrics, None) if measured is None else ({**metrics, **measured[0]}, measured[1])


def _columns(
    real: Table, made: Table, unseen: Table | None, distances: list[Measured]
) -> dict[Name, ColumnQuality]:
    seen = real.codes if unseen is None else np.concatenate([real.codes, unseen.codes])
    missing, made_missing = ((table.codes < 0).mean(axis=0).tolist() for table in (real, made))
    p_values = column_p_values(Table(real.columns, seen), made).tolist()
    found = {}
    for j, column in enumerate(real.columns):
        new = 0 if column.ordered else np.setdiff1d(made.codes[:, j], np.append(seen[:, j], -1)).size
        found[column.name] = ColumnQuality(
            column.kind, distances[j], missing[j], made_missing[j], p_values[j], new
        )
    return found
