"""What are samples held against? Real clouds and their floor, drawn once for all cells of a comparison.

The distance is the sliced Wasserstein one, as in :mod:`diffuscope.modalities.reference`. Each seed has real
clouds of its own, so that the spread over seeds has that of the real draws in it; all cells of a seed share
them, and the noise that sampling starts from, so that cells differ by what they are and not by luck. The
floor is the mean distance of further real pairs. Its error is common to all cells and moves none past
another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.base import Dataset
from diffuscope.data.images import ImageData
from diffuscope.errors import FormatError
from diffuscope.files import atomic_write, write_json
from diffuscope.metrics import sliced_wasserstein
from diffuscope.modalities.reference import extractor_for, unseen_features
from diffuscope.seeds import stream_seed
from diffuscope.threads import side_by_side

__all__ = ["Truth", "as_points", "cloud_size", "law_of", "prepare_truth", "truth_digest"]

_MOST_POINTS, _MOST_IMAGES = 10_000, 256
_FLOOR_PAIRS = 64

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Real clouds and floor of one law, in a folder of their own.

    Attributes
    ----------
    folder : Path
        ``truth.json`` holds what follows, ``real-SEED.npy`` the clouds of a seed.
    n : int
        Points in a cloud.
    middle, unit : ndarray of shape (d,)
        The distance is of points less the middle (far from 0 its float32 would round the differences
        away), over the unit.
    floors : list of float
        Distances of real pairs; the floor is their mean.
    """

    folder: Path
    n: int
    middle: Points
    unit: Points
    floors: list[float]

    @classmethod
    def load(cls, folder: Path) -> Truth:
        """Read what :func:`prepare_truth` has written.

        Raises
        ------
        FormatError
            When the file is damaged.
        """
        path = folder / "truth.json"
        try:
            facts = json.loads(path.read_text("utf-8"))
            middle, unit = (np.asarray(facts[key], dtype=np.float64) for key in ("middle", "unit"))
            return cls(folder, int(facts["n"]), middle, unit, [float(value) for value in facts["floors"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{path} cannot be read: {error}.", f"Remove {folder}.") from error

    def shown(self, x: NDArray[np.floating]) -> Points:
        """Bring points (n, d) of the data's units into those of the distance."""
        return np.asarray((x - self.middle) / self.unit, dtype=np.float64)

    def real(self, seed: int) -> NDArray[np.float32]:
        """Return the real clouds of a seed, shape (clouds, n, d), in the units of the distance.

        Raises
        ------
        FormatError
            When the file is damaged.
        """
        path = self._real(seed)
        try:
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        except (OSError, ValueError) as error:
            raise FormatError(f"{path} cannot be read: {error}.", f"Remove {path}.") from error

    def _real(self, seed: int) -> Path:
        return self.folder / f"real-{seed}.npy"

    def draw(self, data: Dataset, clouds: int, seed: int) -> None:
        """Draw the real clouds of a seed, if they are not there yet."""
        if not self._real(seed).is_file():
            drawn = [self.shown(_pair(data, self.n, seed, f"real {i}")[0]) for i in range(clouds)]
            with atomic_write(self._real(seed)) as temporary, temporary.open("wb") as file:
                np.save(file, np.stack(drawn).astype(np.float32), allow_pickle=False)


def as_points(data: Dataset) -> Dataset:
    """Return data whose points can be compared: of images, the features of those that were held out."""
    if not isinstance(data, ImageData):
        return data
    return Dataset(data.name, unseen_features(data, extractor_for(data)), None, None, data.source)


def prepare_truth(folder: Path, data: Dataset, n: int, clouds: int, seeds: Sequence[int]) -> Truth:
    """Return the truth in ``folder``; draw and measure what is not there yet.

    Parameters
    ----------
    folder : Path
    data : Dataset
        Of points, see :func:`as_points`.
    n : int
        Points in a cloud.
    clouds : int
        For each seed.
    seeds : sequence of int
    """
    path = folder / "truth.json"
    if not path.is_file():
        unit = np.ones(data.x.shape[1]) if data.draw is not None else data.x.std(axis=0)
        unit = np.where(unit > 0, unit, 1.0)  # a feature may be the same everywhere
        bare = Truth(folder, n, data.x.mean(axis=0), unit, [])
        facts = {"n": n, "middle": bare.middle.tolist(), "unit": bare.unit.tolist()}
        write_json(path, {**facts, "floors": _measure_floors(bare, data)})
    truth = Truth.load(folder)
    for seed in seeds:
        truth.draw(data, clouds, seed)
    return truth


def _measure_floors(truth: Truth, data: Dataset) -> list[float]:
    def measure(pair: int) -> float:
        a, b = _pair(data, truth.n, 0, f"floor {pair}")
        return sliced_wasserstein(truth.shown(a), truth.shown(b))

    return list(side_by_side(measure, range(_FLOOR_PAIRS)))


def _pair(data: Dataset, n: int, seed: int, place: str) -> tuple[Points, Points]:
    """Draw two real clouds: fresh ones where the law is known, else two halves of the data."""
    number = stream_seed(seed, "comparison", place) % 2**32
    if data.draw is not None:
        both = data.draw(2 * n, number)
        return both[:n], both[n:]
    order = np.random.default_rng(number).permutation(len(data.x))
    return data.x[order[:n]], data.x[order[n : 2 * n]]


def cloud_size(sets: Sequence[Dataset], points: Dataset) -> int:
    """Points of a cloud for data sets of one law: as many as the largest has, half of one's own data."""
    if isinstance(sets[0], ImageData):
        return min(_MOST_IMAGES, len(points.x) // 2)
    return min(_MOST_POINTS, max(len(x.x) if x.draw is not None else len(x.x) // 2 for x in sets))


def law_of(data: Dataset) -> str:
    """Return what data sets of one law have in common, whatever their size and seed."""
    return json.dumps(
        {key: value for key, value in data.source.items() if key not in ("size", "seed", "path")},
        sort_keys=True,
    )


def truth_digest(data: Dataset, n: int, clouds: int) -> str:
    """Return what a truth is known by: the law, the size of its clouds and their number."""
    kind = data.source["kind"]
    content = None
    if kind in ("array", "callable"):  # of these nothing but their points is known
        content = hashlib.sha256(data.x.tobytes()).hexdigest()
    text = json.dumps([law_of(data), content, n, clouds, _FLOOR_PAIRS])
    return hashlib.sha256(text.encode()).hexdigest()
