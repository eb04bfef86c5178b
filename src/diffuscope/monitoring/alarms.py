"""What do looks at a network in training warn of? Copies, noise that is reused, steps that are too large.

Each rule compares measurements with their intervals, so that chance seldom sets it off.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diffuscope.monitoring.looks import Measured, Rows, Samples, mean_of
from diffuscope.monitoring.reported import Alarm

__all__ = ["average_lags", "copies", "memorising", "reported_apart", "unsteady", "weights_growing"]

Array = NDArray[np.float64]

_GAP = 0.03  # of the loss
_TENTH = 0.1  # of perfect samples are as near to training rows as the nearest tenth of held-out rows
_LOWER, _HIGHER = 0.85, 1.5
_FEW, _LATE = 16, 64  # reported losses
_MOVE = 0.25  # of what stands above the floor
_SURE = 4.0  # standard errors
_GROWN = 4.0
_STOP = "Stop here, keep earlier weights, or use more data, dropout or a smaller network."


def memorising(unseen: Measured, trained: Measured, unseen_rows: Rows, trained_rows: Rows) -> Alarm | None:
    """Compare the loss on training rows with that on others, at the same times and noise."""
    few = min(unseen_rows.group, trained_rows.group, key=lambda group: len(np.unique(group)))
    gap = mean_of(unseen.losses - trained.losses, few)
    if gap.value < 1.5 * (gap.high - gap.value) or gap.value < _GAP * unseen.loss.value:
        return None
    return Alarm(
        "memorising",
        "The network is learning the training rows by heart",
        f"Their loss is {trained.loss.value:.4g}, that of other rows higher by {gap}.",
        _STOP,
    )


def copies(samples: Samples) -> Alarm | None:
    """Look at whether samples lie nearer to training rows than other real rows do."""
    share = samples.copies
    if share is None or share.low <= 2 * _TENTH:
        return None
    return Alarm(
        "copies",
        "Samples are copies of training rows",
        f"{share.value:.0%} of them are nearer to a training row than the nearest tenth of held-out rows.",
        _STOP,
    )


def reported_apart(reported: Array, measured: Measured, d: int) -> Alarm | None:
    """Compare what the training reports with what is measured at the same weights, with fresh noise."""
    late = reported[-max(_LATE, len(reported) // 4) :]  # the network is that of the last ones
    if len(late) < _FEW:
        return None
    mean, error = float(late.mean()), float(late.std(ddof=1)) / math.sqrt(len(late))
    loss = measured.loss
    ratio = mean / loss.value
    if ratio < _LOWER and mean + _SURE * error < loss.low:
        return Alarm(
            "reported_lower",
            "The reported loss is lower than the loss of this network",
            f"Reported {mean:.4g}, measured with fresh noise and times {loss}.{_factor(ratio, d)}",
            "Draw noise and times anew for every batch; check that the loss is that of prediction, times and "
            "weighting as the monitor was told.",
        )
    before, after = np.array_split(late, 2)
    falls = float(before.mean() - after.mean()) > 2 * error
    if ratio > _HIGHER and mean - _SURE * error > loss.high and not falls:
        return Alarm(
            "reported_higher",
            "The reported loss is higher than the loss of this network",
            f"Reported {mean:.4g}, measured {loss}.{_factor(ratio, d)}",
            "Check reduction (a mean over coordinates is meant), scaling, betas, and dropout.",
        )
    return None


def _factor(ratio: float, d: int) -> str:
    """Say so where the ratio is one that a usual mistake gives."""
    if d > 1 and abs(ratio / d - 1) < 0.1:
        return f" The ratio is {d}, the number of coordinates: it is a sum over them, not a mean."
    for k in (2, 4, 8, 16, 32):
        if abs(ratio * k - 1) < 0.05:
            return f" The ratio is 1/{k}: the loss may be divided by the batches whose gradients are added."
    return ""


def unsteady(history: Sequence[Measured], rows: Rows) -> Alarm | None:
    """Look for a loss that goes up and down from look to look, on the same rows, and does not fall."""
    if len(history) < 4:
        return None
    last = history[-4:]
    moves = [mean_of(b.losses - a.losses, rows.group) for a, b in itertools.pairwise(last)]
    whole = mean_of(last[-1].losses - last[0].losses, rows.group)
    above = float(np.mean([one.excess.value for one in last]))
    up = any(move.low > 0 and move.value > _MOVE * above for move in moves)
    down = any(move.high < 0 and -move.value > _MOVE * above for move in moves)
    if not (up and down) or whole.high < 0 or above <= 0 or last[-1].excess.low <= 0:
        return None
    size = float(np.mean([abs(move.value) for move in moves]))
    return Alarm(
        "learning_rate_high",
        "The loss goes up and down about a level that does not fall",
        f"From look to look it moves by {size:.2g}, and stands {above:.2g} above the floor.",
        "Lower the learning rate, or let it fall to 0; sample from averaged weights.",
    )


def average_lags(raw: Measured, averaged: Measured, rows: Rows) -> Alarm | None:
    """Look at whether averaged weights are worse than the last ones."""
    behind = mean_of(averaged.losses - raw.losses, rows.group)
    if behind.low <= 0 or behind.value < max(0.02 * raw.loss.value, 0.5 * max(raw.excess.value, 0)):
        return None
    return Alarm(
        "ema_slow",
        "The averaged weights lag behind the last ones",
        f"Their loss is {averaged.loss}, that of the last weights {raw.loss}.",
        "Train on, or average over fewer steps (a decay nearer to 0.99), with a warm-up of the decay.",
    )


def weights_growing(norms: Sequence[float]) -> Alarm | None:
    """Look at whether the weights grow without bound: fourfold in all, twofold of late."""
    if len(norms) < 2 or not min(norms) > 0 or norms[-1] < _GROWN * min(norms) or norms[-1] < 2 * norms[-2]:
        return None
    return Alarm(
        "diverging",
        "The weights are growing, and may soon be NaN or infinite",
        f"Their norm went from {norms[-2]:.3g} to {norms[-1]:.3g} since the last look.",
        "Lower the learning rate, clip gradients, or use weight decay.",
    )
