"""How similar is a synthetic table to a real one? All metrics in one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from diffuscope.data.tables.columns.base import Name
from diffuscope.errors import InputError
from diffuscope.metrics import Measured, TwoSampleTest
from diffuscope.metrics.tabular.associations import Associations, Associator
from diffuscope.metrics.tabular.marginals import column_distances, column_p_values, missing_share
from diffuscope.metrics.tabular.privacy import Privacy, measure_privacy
from diffuscope.metrics.tabular.result import TABLE_METRICS, ColumnQuality, TableQuality
from diffuscope.metrics.tabular.splits import Splits, relate_parts
from diffuscope.metrics.tabular.tables import Floats, Table, read_tables, some_rows
from diffuscope.metrics.tabular.trees import LEAST_ROWS, predicts_classes, tell_apart, train_on_synthetic

__all__ = ["measure_table"]

_LEAST = 20
_SHOWN = 20_000
_PRIVATE = ("closer_to_training", "distance_to_training")


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
    place = None if target is None else tables["training"].place(target)
    splits = _splits(tables, seed)
    metrics: dict[str, Measured] = {}
    left_out: dict[str, str] = {}
    values, floors, factor = splits.compare(column_distances)
    metrics["marginals"] = relate_parts(values.mean(axis=1), floors.mean(axis=1), factor)
    columns = _columns(tables, values, floors, factor)
    associations = _associations(splits, tables, metrics, left_out)
    told_apart = _told_apart(splits, metrics, left_out)
    _trained(splits, place, metrics, left_out)
    privacy = _privacy(splits, "held-out" in tables, metrics, left_out)
    return TableQuality(
        {name: metrics[name] for name in TABLE_METRICS if name in metrics},
        columns,
        associations,
        told_apart,
        privacy,
        target,
        left_out,
        _certainty(tables, splits),
        {said.replace("training", "train").replace("-", "_"): len(t) for said, t in tables.items()},
    )


def _splits(tables: dict[str, Table], seed: int) -> Splits:
    train = tables["training"]
    if "held-out" in tables:
        return Splits(tables["synthetic"], train, tables["held-out"], seed)
    order = some_rows(len(train), len(train), seed, "halves")
    one, other = order[: len(train) // 2], order[len(train) // 2 :]
    return Splits(tables["synthetic"], train.take(one), train.take(other), seed)


def _columns(
    tables: dict[str, Table], values: Floats, floors: Floats, factor: float
) -> dict[Name, ColumnQuality]:
    real, synthetic = tables["training"], tables["synthetic"]
    missing, synthetic_missing = missing_share(real).tolist(), missing_share(synthetic).tolist()
    seen = np.concatenate([table.codes for said, table in tables.items() if said != "synthetic"])
    p_values = column_p_values(Table(real.columns, seen), synthetic).tolist()
    found = {}
    for j, column in enumerate(real.columns):
        new = np.setdiff1d(synthetic.codes[:, j], np.append(seen[:, j], -1)).size
        found[column.name] = ColumnQuality(
            column.kind,
            relate_parts(values[:, j], floors[:, j], factor),
            missing[j],
            synthetic_missing[j],
            p_values[j],
            0 if column.ordered else int(new),
        )
    return found


def _associations(
    splits: Splits, tables: dict[str, Table], metrics: dict[str, Measured], left_out: dict[str, str]
) -> Associations | None:
    associate = Associator(tables["training"])
    if len(associate.names) < 2:
        left_out["associations"] = "It needs at least two columns."
        return None
    values, floors, factor = splits.compare(lambda x, y: np.array(associate.difference(x, y)))
    metrics["associations"] = relate_parts(values, floors, factor)
    shown = [
        table.take(some_rows(len(table), _SHOWN, splits.seed, "associations"))
        for table in (tables["training"], tables["synthetic"])
    ]
    return Associations(associate.names, associate(shown[0]), associate(shown[1]))


def _told_apart(
    splits: Splits, metrics: dict[str, Measured], left_out: dict[str, str]
) -> TwoSampleTest | None:
    if splits.smallest < LEAST_ROWS:
        why = f"It needs at least {LEAST_ROWS} rows in each table; the smallest has {splits.smallest}."
        _leave_out(("classifier_accuracy", "classifier_auc"), why, left_out)
        return None
    found, test = tell_apart(splits)
    metrics.update(found)
    return test


def _trained(
    splits: Splits, place: int | None, metrics: dict[str, Measured], left_out: dict[str, str]
) -> None:
    if place is None:
        return
    if len(splits.train.columns) < 2:
        found: dict[str, Measured] | str = "There is no other column to predict the target from."
    else:
        found = train_on_synthetic(splits, place)
    if isinstance(found, str):
        classes = predicts_classes(splits.train, place)
        _leave_out(("target_accuracy", "target_auc") if classes else ("target_r2",), found, left_out)
    else:
        metrics.update(found)


def _privacy(
    splits: Splits, held_out: bool, metrics: dict[str, Measured], left_out: dict[str, str]
) -> Privacy | None:
    if not held_out:
        _leave_out(_PRIVATE, "It needs held-out rows.", left_out)
        return None
    found, privacy = measure_privacy(splits)
    metrics.update(found)
    if "distance_to_training" not in found:
        left_out["distance_to_training"] = "Most held-out rows equal a training row, so its floor is 0."
    return privacy


def _leave_out(names: Iterable[str], why: str, left_out: dict[str, str]) -> None:
    left_out.update(dict.fromkeys(names, why))


def _certainty(tables: dict[str, Table], splits: Splits) -> str:
    if "held-out" in tables:
        return (
            f"{len(splits.synthetic):,} synthetic rows were compared with {len(splits.unseen):,} held-out "
            f"rows; the floor compares {len(splits.train):,} training rows with the same held-out rows."
        )
    return (
        f"{len(splits.synthetic):,} synthetic rows were compared with one half of the training rows; the "
        "floor compares the other half with it. A model that memorised its training rows would look "
        "perfect, and copies cannot be detected: give held-out rows to check this."
    )
