r"""What would the loss be of a network that answers perfectly? Not 0: the floor of every loss curve.

Training compares the network's output F with a target F* that noise has drawn. Given x_t the target is still
random, and no network can say it; the best answer is its mean, whose loss is

.. math::
    L(t) = \frac{w(t)}{c_{out}(t)^2} \frac1d\, E\,|x_0 - E[x_0 \mid x_t]|^2 .

Where the law of the data is known, so is E[x_0 | x_t], and the floor is measured to within the error of a
mean (:mod:`~diffuscope.monitoring.floor_curve`). Elsewhere it lies between two bounds, which are proved in
:mod:`~diffuscope.monitoring.floor_bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffuscope.diffusion.schedules import Schedule
from diffuscope.errors import InputError
from diffuscope.monitoring.floor_bounds import Best, bounds
from diffuscope.monitoring.floor_curve import exact_curve
from diffuscope.monitoring.law import Law, law_of, schedule_of
from diffuscope.monitoring.visited import Visited, Weights, visited_levels
from diffuscope.seeds import stream_seed
from diffuscope.translations import term, translate
from diffuscope.translations.display import fill, rjust, width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LossFloor", "Reported", "floor_of", "loss_floor", "spread_of"]

Array = NDArray[np.float64]

_ROWS = 9  # of the printed table
_WIDTH = 100
_DRAWS = 20_000
_KNOWN = 0.1  # bounds so near to each other say the floor


class Reported(NamedTuple):
    """A loss as a training loop reports it, with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True, eq=False)
class LossFloor:
    """The least loss that any network can have.

    Attributes
    ----------
    times, ratio : ndarray of shape (k,)
        The times, and their σ/α.
    value, low, high : ndarray of shape (k,)
        The floor at each time, with its 95% interval; where ``method`` is "bounds" the best known denoiser's
        loss, and the two bounds, with what chance may add to them.
    share : ndarray of shape (k,)
        How often training draws each of these times; sums to 1.
    as_reported : Reported
        The mean over the times that training draws: what a training loop would print. Also a tuple
        ``(value, low, high)``.
    method : {"exact", "bounds"}
        Whether the law of the data is known.
    prediction : str
        What the network predicts.
    certainty : str
        What the numbers rest on, in words.

    Examples
    --------
    >>> import diffuscope, torch
    >>> floor = diffuscope.loss_floor("s_curve", torch.linspace(1e-4, 0.02, 100))
    >>> floor.value.shape
    (100,)
    """

    times: Array
    ratio: Array
    value: Array
    low: Array
    high: Array
    share: Array
    as_reported: Reported
    method: Literal["exact", "bounds"]
    prediction: str
    certainty: str
    _best: Best | None = field(default=None, repr=False)

    def excess(self, loss: float) -> Reported:
        """Return how far a reported loss stands above the floor, with the interval of the floor.

        The error of the loss itself is not in it: give the mean over many batches. InputError where it is
        not a number.
        """
        try:
            number = float(loss)
        except (TypeError, ValueError, RuntimeError):
            number = np.nan
        if not np.isfinite(number):
            raise InputError(f"A loss of {loss!r} cannot be compared.", "Give a finite number.")
        value, low, high = self.as_reported
        return Reported(number - value, number - high, number - low)

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as plain data; an infinite ratio is None."""
        finite = [r if np.isfinite(r) else None for r in self.ratio.tolist()]
        columns = {name: getattr(self, name).tolist() for name in ("times", "value", "low", "high", "share")}
        return {
            "as_reported": self.as_reported._asdict(),
            "method": self.method,
            "prediction": self.prediction,
            "ratio": finite,
            **columns,
            "certainty": self.certainty,
        }

    def headline(self) -> str:
        """Return what the floor is, in a sentence."""
        value, low, high = self.as_reported
        if self.method == "exact":
            return f"A perfect network reports a loss of {value:.4g} ({low:.4g} to {high:.4g}), not 0."
        if high - low <= _KNOWN * high:
            return f"A perfect network reports a loss between {low:.4g} and {high:.4g}, not 0."
        return (
            f"A perfect network reports a loss between {low:.4g} and {high:.4g}; "
            f"{value:.4g} is reached without any training."
        )

    def _picked(self) -> list[int]:
        k = len(self.times)
        picked: list[int] = np.unique(np.linspace(0, k - 1, min(k, _ROWS)).round().astype(int)).tolist()
        return picked

    def _cells(self) -> list[list[str]]:
        return [
            [f"{self.times[i]:g}"]
            + [f"{number:.3g}" for number in (self.ratio[i], self.value[i], self.low[i], self.high[i])]
            for i in self._picked()
        ]

    def _names(self) -> list[str]:
        middle = "floor" if self.method == "exact" else "reached"
        return [term(name) for name in ("time", "σ/α", middle, "at least", "at most")]

    def __str__(self) -> str:
        rows = [self._names(), *self._cells()]
        widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(rjust(cell, wide) for cell, wide in zip(row, widths, strict=True)) for row in rows]
        head = fill(self.headline(), _WIDTH)
        what = translate(f"By level, for a network that predicts {self.prediction}:")
        return "\n".join([head, "", what, *lines, "", fill(self.certainty, _WIDTH)])

    def _repr_html_(self) -> str:
        from diffuscope.pages import fragment

        told = {"headline": self.headline(), "names": self._names(), "cells": self._cells()}
        return fragment("diffuscope.monitoring", "loss_floor.html", certainty=self.certainty, **told)

    def plot(self, losses: ArrayLike | None = None) -> Figure:
        """Draw the floor over σ/α; ``losses`` (k,) of a network at the same times are drawn above it."""
        from diffuscope.plots import plot_loss_floor

        return plot_loss_floor(
            self.ratio, self.value, self.low, self.high, self.as_reported, self.method, losses
        )


def loss_floor(
    data: Any,
    betas: Schedule | ArrayLike | Tensor,
    prediction: str = "noise",
    *,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    weighting: Weights = None,
    times: Any = None,
    held_out: Any = None,
    seed: int = 0,
) -> LossFloor:
    r"""Return the least loss that any network can have: by level, and as a training loop reports it.

    A denoising loss has a floor above 0, as the noise cannot be told from the data with certainty:
    :math:`L(t) = w(t)\, c_{out}^{-2}\, E|x_0 - E[x_0 \mid x_t]|^2 / d`, a mean over coordinates as
    ``torch.nn.functional.mse_loss`` has it.

    Parameters
    ----------
    data : str, path, array_like, tensor, DataFrame, Dataset, callable or Oracle
        The training data, shape (n, ...), in its own units. The name of a built-in set or an
        :class:`~diffuscope.oracle.Oracle` gives the exact floor. Of rows, or of a function
        ``(n, rng) -> (n, d)`` that draws them, the law is not known: the floor is bounded.
    betas : array_like of shape (T,) or Schedule
        :math:`\beta_1 \dots \beta_T`, or a schedule of :mod:`diffuscope.diffusion.schedules`.
    prediction : {"noise", "data", "velocity", "flow"}
        What the network predicts.
    scaling : (shift, scale), optional
        The network sees (data - shift) / scale; by default the data as it is.
    weighting : {"none", "min_snr", "edm"}, Loss, callable or array_like of shape (k,), optional
        What multiplies the squared error of the network's output at a level; a function gets the
        :class:`~diffuscope.diffusion.schedules.NoiseLevel` of all k levels. None is 1.
    times : str, Times or array_like, optional
        The times that training draws: "uniform" (the default) over all, "log_normal",
        a :class:`~diffuscope.diffusion.losses.Times`, or times that are drawn equally often.
    held_out : array_like of shape (m, ...), optional
        Rows that are not in ``data``, for the upper bound. By default a fifth of the rows is held out.
    seed : int
        Of all that is drawn. Equal seeds give equal numbers.

    Returns
    -------
    LossFloor
        Print it. ``.as_reported`` is what a training loop would report; ``.method`` says whether the
        floor is exact or bounded.

    Raises
    ------
    InputError
        For betas outside (0, 1), data without finite numbers, images as bytes, or parts that do not fit.

    Notes
    -----
    Bounds: above, the loss of the best of some simple denoisers on held-out rows, since no denoiser is
    below the floor there; below, that of the exact denoiser of the rows on these rows themselves, since the
    floor is concave in the law (Jensen's inequality). In high dimension, and at levels finer than the
    distance between rows, they are far apart, and no method could do better without assumptions.

    Examples
    --------
    >>> import diffuscope, torch
    >>> floor = diffuscope.loss_floor("moons", torch.linspace(1e-4, 0.02, 1000))
    >>> floor.method
    'exact'
    >>> floor.as_reported.low < floor.as_reported.value < floor.as_reported.high
    True
    """
    law = law_of(data, scaling, held_out, seed)
    return floor_of(law, schedule_of(betas), prediction, weighting, times, seed)[0]


def floor_of(
    law: Law, schedule: Schedule, prediction: str, weighting: Weights, times: Any, seed: int
) -> tuple[LossFloor, Visited]:
    """Return the floor of a law, and the levels that training visits."""
    spread = spread_of(law, seed)
    visited = visited_levels(schedule, prediction, weighting, times, spread)
    best = None
    method: Literal["exact", "bounds"] = "exact"
    if law.oracle is not None:
        curve = exact_curve(law.oracle, visited, spread, seed)
    else:
        method = "bounds"
        curve, best = bounds(law, visited, spread, seed)
    floor = LossFloor(
        times=visited.level.t.double().numpy(),
        ratio=visited.level.ratio.numpy(),
        value=curve.value,
        low=curve.low,
        high=curve.high,
        share=visited.share,
        as_reported=Reported(*curve.mean),
        method=method,
        prediction=prediction,
        certainty=_certainty(law, best),
        _best=best,
    )
    return floor, visited


def spread_of(law: Law, seed: int) -> float:
    """Return the root mean square of a law in the units of the model."""
    place = int(stream_seed(seed, "loss floor", "spread") % 2**32)
    if law.oracle is not None:
        rows = law.oracle.draw(_DRAWS, place)
    elif law.draw is not None:
        rows = law.draw(_DRAWS, place)
    else:
        assert law.x is not None
        rows = law.x
    spread = float(rows.square().mean().sqrt())
    if not spread > 0:
        raise InputError("The data is 0 everywhere.", "Give data that varies.")
    return spread


def _certainty(law: Law, best: Best | None) -> str:
    if best is None:
        return (
            "The law of this data is known, and with it the best answer; the 95% interval is of chance alone."
        )
    if law.draw is not None:
        rows, unseen = "fresh rows", "other fresh rows"
    else:
        n = 0 if law.x is None else len(law.x)
        rows = f"{n:,} rows in {law.d:,} dimensions"
        unseen = "a fifth of them" if law.held_out is None else f"{len(law.held_out):,} held-out rows"
    found = [best.names[i] for i in dict.fromkeys(best.choice.tolist())]
    shown = ", ".join(found[:3])
    return (
        f"The law of this data is not known, so the floor is bounded, from {rows}. At most: the loss on "
        f"{unseen} of simple denoisers that need no training ({shown}). At least: the loss of the exact "
        "denoiser of the rows on these rows, which is near 0 where noise is finer than the distance between "
        "rows. A network whose loss on held-out rows is between both may be perfect."
    )
