"""How large a network, and how long a training, suits a table of n rows and D coordinates?

Long enough is what matters: rows that are held out stop a training before it memorises its table.
"""

from __future__ import annotations

from typing import Any

from diffuscope.data.tables import RowCodec

__all__ = ["sizes_for"]

_FEW_COORDINATES = 4
_MANY_ROWS = 3000
_LEAST_BATCH, _BATCH = 32, 256


def sizes_for(n: int, rows: RowCodec) -> dict[str, Any]:
    """Return the changes to the recipe ``table`` for a table of n rows.

    Where few columns are all numbers, and many rows are whole, the network is trained towards posterior
    means, and shown waves, which makes it sharp. Where there are categories, training sees more noise: these
    are decided there. Dropout keeps what is learned of few rows smooth: without it a held-out row here and
    there is thought all but impossible. Many rows need none, and lose by it; they bear longer training in
    smaller steps.
    """
    few = rows.width <= _FEW_COORDINATES
    changes: dict[str, Any] = {
        "network.width": 64 if few else 128 if n < _MANY_ROWS else 192,
        "network.dropout": 0.1 if n < _MANY_ROWS else 0.0,
        "training.batch_size": max(_LEAST_BATCH, min(_BATCH, n // 2)),
        "training.steps": 2000 if n < _MANY_ROWS else 5000,
    }
    if n >= _MANY_ROWS:
        changes["training.learning_rate"] = 2e-3
    if rows.choices:
        changes |= {"times.mean": 0.0, "times.std": 1.8}
    if few and rows.whole and n >= _MANY_ROWS:
        changes |= {"network.n_directions": 16, "loss.target": "posterior"}
        changes |= {"training.learning_rate": 1e-2, "training.steps": 3000}
    return changes
