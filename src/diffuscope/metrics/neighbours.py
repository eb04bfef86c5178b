r"""Are samples in the support of the data, do they cover it, and do they copy training points?

With :math:`B_k(z)` the ball around z up to its k-th neighbour in its own cloud, for n samples X and m
real points Y:

* **precision**, the fraction of samples in the ball of any real point: realistic samples;
* **recall**, the fraction of real points in the ball of any sample: data that the model can generate
  (both Kynkäänniemi et al. 2019, Eq. 1 and 2);
* **density**, :math:`\frac1{kn} \sum_{x, y} 1[x \in B_k(y)]`: like precision, but robust to outliers among
  the real points; it may exceed 1;
* **coverage**, the fraction of real points with a sample in their ball (both Naeem et al. 2020, Eq. 3, 4).

**Memorisation**: the fraction of samples that are nearer to a training point than the nearest tenth of
held-out points. It is a tenth for perfect samples, so **a ratio above 1 means copying**, and 10 means only
copies. A fraction is used instead of a mean distance, in which a few outliers would hide many copies (the
argument of Meehan et al. 2020, who compare ranks).

Nearest neighbours are found by k-d trees in up to ten dimensions, above by brute force in blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.metrics.clouds import Points, checked_pair

__all__ = ["Neighbourhoods", "memorisation", "neighbour_distances", "neighbourhoods"]

Counts = NDArray[np.int_]

_TREE_DIMENSIONS = 10
_TREE_BLOCK = 1000  # balls per query: balls of duplicates may contain all points
_BLOCK_MIB = 64


class Neighbourhoods(NamedTuple):
    """Precision, recall, density and coverage; 0 is the worst, and only density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhoods(generated: ArrayLike, real: ArrayLike, k: int = 5) -> Neighbourhoods:
    """Return precision, recall, density and coverage of samples; k = 5 as in Naeem et al. 2020."""
    x, y = checked_pair(generated, real, least=k + 1)
    around_real, in_real = _occupancy(y, neighbour_distances(y, y, k, itself=True), x)
    _, in_generated = _occupancy(x, neighbour_distances(x, x, k, itself=True), y)
    return Neighbourhoods(
        precision=float((in_real > 0).mean()),
        recall=float((in_generated > 0).mean()),
        density=float(in_real.mean() / k),
        coverage=float((around_real > 0).mean()),
    )


def _occupancy(centres: Points, radii: Points, points: Points) -> tuple[Counts, Counts]:
    """Return the number of points in each ball, shape (m,), and of balls around each point, (n,)."""
    held: list[Counts] = []
    within: Counts = np.zeros(len(points), dtype=np.int_)
    if centres.shape[1] <= _TREE_DIMENSIONS:
        from scipy.spatial import KDTree

        tree = KDTree(points)
        for start in range(0, len(centres), _TREE_BLOCK):
            part = slice(start, start + _TREE_BLOCK)
            found = tree.query_ball_point(centres[part], radii[part], return_sorted=False)
            held.append(np.array([len(inside) for inside in found]))
            members = np.concatenate([np.asarray(inside, dtype=np.int_) for inside in found])
            within += np.bincount(members, minlength=len(points))
    else:
        from sklearn.metrics import pairwise_distances_chunked

        start = 0
        for distances in pairwise_distances_chunked(centres, points, working_memory=_BLOCK_MIB):
            near = distances <= radii[start : start + len(distances), None]
            start += len(distances)
            held.append(near.sum(axis=1))
            within += near.sum(axis=0)
    return np.concatenate(held), within


def neighbour_distances(points: Points, cloud: Points, k: int = 1, itself: bool = False) -> Points:
    """Return the distance of each point (n, d) to its k-th neighbour in a cloud (m, d), shape (n,).

    With ``itself`` the points are the cloud, and each point's distance to itself is excluded.
    """
    rank = k + 1 if itself else k
    if cloud.shape[1] <= _TREE_DIMENSIONS:
        from scipy.spatial import KDTree

        return np.asarray(KDTree(cloud).query(points, [rank])[0][:, 0])
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=rank, algorithm="brute").fit(cloud)
    return np.asarray(search.kneighbors(points)[0][:, -1])


def memorisation(generated: ArrayLike, held_out: ArrayLike, training: ArrayLike) -> float:
    """Return the fraction of samples that are unusually near to the training set, a tenth if perfect.

    ``training`` (l, d) are all training points: copies of points that are missing there are not found. An
    InputError is raised if more than a tenth of the held-out points are training points.
    """
    x, y = checked_pair(generated, held_out, least=20)
    y, z = checked_pair(y, training)
    near = float(np.quantile(neighbour_distances(y, z), 0.1))
    if near == 0:
        raise InputError(
            "Memorisation cannot be measured: too many held-out points are also in the training set.",
            "Give held-out points that are not in the training set, or data without duplicates.",
        )
    return float((neighbour_distances(x, z) <= near).mean())
