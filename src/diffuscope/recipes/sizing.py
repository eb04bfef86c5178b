"""How large a network, and how long a training, suits a table of n rows and D coordinates?

Long enough is what matters: rows that are held out stop a training that would learn its table by heart.
"""

from __future__ import annotations

from typing import Any

__all__ = ["sizes_for"]

_FEW_COORDINATES = 4
_MANY_ROWS = 3000
_LEAST_BATCH, _BATCH = 32, 256


def sizes_for(n: int, d: int, whole: bool) -> dict[str, Any]:
    """Return the changes to the recipe ``table`` that a table asks for.

    Parameters
    ----------
    n, d : int
        Rows, and coordinates of a row.
    whole : bool
        Whether all rows are whole and all coordinates are numbers: in few dimensions, with many rows, the
        network is then trained towards posterior means, and shown waves, which makes it sharp.
    """
    few = d <= _FEW_COORDINATES
    changes: dict[str, Any] = {
        "network.width": 64 if few else 128 if n < _MANY_ROWS else 192,
        "training.batch_size": max(_LEAST_BATCH, min(_BATCH, n // 2)),
        "training.steps": 2000 if n < _MANY_ROWS else 3000,
    }
    if few and whole and n >= _MANY_ROWS:
        changes |= {"network.n_directions": 16, "loss.target": "posterior", "training.learning_rate": 1e-2}
    return changes
