"""How good are a run's samples? Their sliced Wasserstein distance from real data, as a multiple of its floor.

Where the data's law is known (built-in sets, one's own generator) samples meet fresh real draws, in the
data's units. Otherwise they meet halves of the data, each column over its standard deviation, and the
floor is the distance of one half from the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffuscope.datasets import Dataset
from diffuscope.errors import RunError
from diffuscope.metrics import Measured, against_floor, sliced_wasserstein
from diffuscope.model import Model
from diffuscope.seeds import stream_seed

__all__ = ["measure_quality"]

Points = NDArray[np.float64]

_MOST_POINTS = 10_000
_DRAWS = 8
_FLOOR_PAIRS = 32


def measure_quality(model: Model, data: Dataset, seed: int = 0) -> dict[str, Measured]:
    """Measure a model's samples against its data.

    Parameters
    ----------
    model : Model
    data : Dataset
        What it was trained on.
    seed : int

    Returns
    -------
    dict
        The one metric ``sliced_wasserstein``: clouds of as many points as the data has, at most 10,000
        (half of the data's where no fresh draws can be had), means over 8 pairs; the floor over 32.
    """
    if data.draw is not None:
        n = min(len(data.x), _MOST_POINTS)
        draws = [data.draw(n, _seed(seed, "real", i)) for i in range(_DRAWS + 2 * _FLOOR_PAIRS)]
        real, rest = draws[:_DRAWS], draws[_DRAWS:]
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
        unit = np.ones(data.x.shape[1])
    else:
        n = min(len(data.x) // 2, _MOST_POINTS)
        pairs = [_halves(data.x, n, _seed(seed, "halves", i)) for i in range(_FLOOR_PAIRS)]
        real = [first for first, _ in pairs[:_DRAWS]]
        unit = data.x.std(axis=0)
    samples = model.sample(_DRAWS * n, seed=_seed(seed, "generated", 0)).astype(np.float64)
    if not np.isfinite(samples).all():
        raise RunError(
            "The trained model's samples are not all finite, so nothing can be measured; the model is kept.",
            "Sample it another way (diffuscope sample RUN --sampler NAME --steps N), or train longer.",
        )
    middle = data.x.mean(axis=0)  # far from 0 the metric's float32 would round the differences away

    def shown(x: Points) -> Points:
        return np.asarray((x - middle) / unit)

    measured = against_floor(
        sliced_wasserstein,
        [shown(part) for part in np.split(samples, _DRAWS)],
        [shown(x) for x in real],
        [(shown(a), shown(b)) for a, b in pairs],
    )
    return {"sliced_wasserstein": measured}


def _halves(x: Points, n: int, seed: int) -> tuple[Points, Points]:
    order = np.random.default_rng(seed).permutation(len(x))
    return x[order[:n]], x[order[n : 2 * n]]


def _seed(seed: int, *place: str | int) -> int:
    return stream_seed(seed, "quality", *place) % 2**32
