"""From where does one look at a cloud of points: which axes, and how far do they reach?

Points of one or two dimensions are seen as they are, others on the first two principal axes of a
reference set. All clouds of one picture or one animation are seen from the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.plots.ink import Limits, histogram

BINS = 80
_KEPT = 0.999  # of each cloud's values, per side, that the axes have to hold
_ZOOM = 1.7  # the axes are at most this many times as wide as the cloud that has to be recognisable
_DIVERGED = 1e100  # no axis reaches so far

Points = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class State:
    r"""All points at one moment of a trajectory between data and noise.

    Parameters
    ----------
    x : ndarray of shape (n, d)
    label : str
        What the panel is called; mathtext such as ``r"$q(\mathbf{x}_{7})$"`` is typeset.
    progress : float
        Position in the trajectory, in [0, 1].
    """

    x: Points
    label: str
    progress: float


@dataclass(frozen=True)
class Projection:
    """The view of a d-dimensional space: principal axes where d > 2, the space itself otherwise."""

    mean: Points  # (d,): the centre of the reference set; zero where d <= 2
    axes: Points  # (d, k): orthonormal directions, k = min(d, 2)
    explained: Points  # (k,): the share of its variance along each, in [0, 1]

    @classmethod
    def fit(cls, x: ArrayLike) -> Projection:
        """Find the view of ``x`` (n, d). Rows that are not finite do not count."""
        points = as_points(x)
        d = points.shape[1]
        if d <= 2:
            return cls(np.zeros(d), np.eye(d), np.full(d, np.nan))
        points = points[np.isfinite(points).all(axis=1)]
        if not len(points):  # all lost: any view shows as much
            return cls(np.zeros(d), np.eye(d, 2), np.zeros(2))
        mean = points.mean(axis=0)
        away = points - mean
        away = away / max(float(np.abs(away).max()), 1e-300)  # squares of diverged points would overflow
        variance, axes = np.linalg.eigh(away.T @ away)
        axes = axes[:, :-3:-1]
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)  # a fixed sign
        total = variance.sum()
        return cls(mean, axes, variance[:-3:-1] / (total if total > 0 else 1.0))

    @property
    def is_identity(self) -> bool:
        """Whether the points are drawn as they are."""
        return len(self.mean) <= 2

    def transform(self, x: ArrayLike) -> Points:
        """Project ``x`` (n, d) to (n, k)."""
        points = as_points(x)
        if points.shape[1] != len(self.mean):
            raise InputError(
                f"Points of {points.shape[1]} and of {len(self.mean)} dimensions cannot share a figure."
            )
        if self.is_identity:
            return points
        with np.errstate(over="ignore", invalid="ignore"):  # what has diverged may do so here as well
            return np.asarray((points - self.mean) @ self.axes)

    def names(self, columns: Sequence[str] | None = None) -> list[str]:
        """Axis labels: the columns (or nothing) where d <= 2, else the axes and what they explain."""
        if not self.is_identity:
            return [
                f"principal axis {k + 1} ({share:.0%} of variance)" for k, share in enumerate(self.explained)
            ]
        if columns is None:
            return [""] * len(self.mean)
        if len(columns) != len(self.mean):
            raise InputError(f"There are {len(columns)} names for {len(self.mean)} columns.")
        return [str(name).replace("$", r"\$") for name in columns]


def axis_limits(
    clouds: Sequence[ArrayLike], focus: ArrayLike | None = None, also: ArrayLike | None = None
) -> Limits:
    """Fixed axes for clouds (n, k) that are drawn together: square, unless the columns differ in scale.

    The ``focus`` (n, k) has to be recognisable; by default the cloud of least extent. Points that are not
    finite do not count. ``also`` (m, k) has to be seen whole.
    """
    boxes = [box for cloud in clouds if (box := _box(as_points(cloud))) is not None]
    if not boxes:
        raise InputError("Nothing to plot: no point is finite.", "Check whether the loss diverged.")
    inner = _box(as_points(focus)) if focus is not None else None
    if inner is None:
        # A cloud that has collapsed to a point has no shape to recognise.
        inner = min(boxes, key=lambda box: float((box[1] - box[0]).max()) or np.inf)
    if also is not None and (other := _box(as_points(also))) is not None:
        inner = np.stack([np.minimum(inner[0], other[0]), np.maximum(inner[1], other[1])])
    everything = np.stack([inner, *boxes])
    low, high = everything[:, 0].min(axis=0), everything[:, 1].max(axis=0)
    centre, half = (inner[0] + inner[1]) / 2, (inner[1] - inner[0]) / 2
    room = _ZOOM * _square(_never_zero(half, centre))
    low, high = np.maximum(low, centre - room), np.minimum(high, centre + room)
    centre = (low + high) / 2
    half = 1.06 * _square(_never_zero((high - low) / 2, centre))  # a margin, so that no disc is cut
    return tuple((float(c - h), float(c + h)) for c, h in zip(centre, half, strict=True))


@dataclass(frozen=True)
class View:
    """One place from which several clouds are seen."""

    projection: Projection
    limits: Limits
    top: float  # the upper end of the density axis; only d = 1 has one

    def shows(self, x: ArrayLike) -> float:
        """Return the share of the finite points (n, d) that lie within the limits."""
        points = self.projection.transform(x)
        points = points[np.isfinite(points).all(axis=1)]
        low, high = np.array(self.limits).T
        return float(((points >= low) & (points <= high)).all(axis=1).mean()) if len(points) else 1.0


def view_of(
    states: Sequence[State], reference: ArrayLike | None = None, also: ArrayLike | None = None
) -> View:
    """Find the place from which all ``states`` are seen, and the ``reference`` (n, d) best.

    ``also`` (m, d) has to be seen whole as well.
    """
    if not len(states):
        raise InputError("Nothing to plot: no states were given.", "Give at least one state.")
    if reference is None:
        # Noise has no principal axes: of the two ends, look along those of the one that has.
        ends = [Projection.fit(states[k].x) for k in (0, -1)]
        projection = max(ends, key=lambda view: float(view.explained.sum()))
    else:
        projection = Projection.fit(reference)
    clouds = [projection.transform(state.x) for state in states]
    focus = None if reference is None else projection.transform(reference)
    whole = None if also is None else projection.transform(also)
    limits, top = axis_limits(clouds, focus, whole), 0.0
    if len(limits) == 1:
        top = 1.08 * max(float(histogram(cloud, limits, BINS).max()) for cloud in clouds)
    return View(projection, limits, top or 1.0)


def as_points(x: ArrayLike) -> Points:
    """Return ``x`` as floats of shape (n, d); a flat array is one column."""
    points = np.asarray(x)
    if points.dtype.kind not in "fiub":
        raise InputError(f"Points must be numbers, not {points.dtype}.")
    points = points.astype(np.float64, copy=False)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or 0 in points.shape:
        raise InputError(f"Points must have shape (n, d), n and d at least 1, not {points.shape}.")
    return points


def _box(points: Points) -> Points | None:
    """Low and high corner (2, k) of a cloud but for its outermost points."""
    points = points[(np.abs(points) < _DIVERGED).all(axis=1)]
    if not len(points):
        return None
    points = points[:: max(1, len(points) // 20_000)]  # the outline of more does not differ
    box: Points = np.quantile(points, [1 - _KEPT, _KEPT], axis=0)
    return box


def _never_zero(half: Points, centre: Points) -> Points:
    """Give room to a column that is constant."""
    least = 1e-6 * np.abs(centre)
    room = half.max() if (half > least).any() else max(0.5, 0.5 * float(np.abs(centre).max()))
    return np.where(half > least, half, np.maximum(room, least))


def _square(half: Points) -> Points:
    """Give all columns the widest one's extent, so that shapes are true, unless scales are too far apart."""
    return np.full_like(half, half.max()) if half.max() <= 4 * half.min() else half
