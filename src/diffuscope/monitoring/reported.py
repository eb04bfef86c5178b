"""What do the losses say that a training reports, before anything is measured?

The last ones are kept as they are, older ones as means over ever more steps. Spikes and a loss that rises are
seen in them at once.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Alarm", "ReportedLosses"]

_RECENT = 1_024
_MOST = 4_096
_WINDOW = 256
_SPIKES = 3
_HIGH, _FAR = 3.0, 8.0  # a spike: times the median, and deviations of the logarithm
_RISEN = 3.0
_SHORT = 24


@dataclass(frozen=True)
class Alarm:
    """Something that is likely to go wrong: a code, a line, what was seen, and what to do."""

    code: str
    title: str
    evidence: str
    fix: str

    def to_json(self) -> dict[str, str]:
        """Return it as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.title}: {self.evidence} {self.fix}"


class ReportedLosses:
    """Losses by step, in memory that does not grow: ``count`` in all."""

    def __init__(self) -> None:
        self.recent: deque[tuple[int, float]] = deque(maxlen=_RECENT)
        self.count = 0
        self._each = 1  # losses in a mean
        self._steps: list[float] = []
        self._means: list[float] = []
        self._sum, self._in_sum = 0.0, 0
        self._least = math.inf  # the least median of a short time

    def add(self, step: int, loss: float) -> None:
        """Keep a finite loss."""
        self.recent.append((step, loss))
        self.count += 1
        self._sum += loss
        self._in_sum += 1
        if self._in_sum == self._each:
            self._steps.append(step)
            self._means.append(self._sum / self._each)
            self._sum, self._in_sum = 0.0, 0
            if len(self._means) >= _MOST:
                self._steps = self._steps[1::2]
                self._means = [(a + b) / 2 for a, b in zip(self._means[::2], self._means[1::2], strict=True)]
                self._each *= 2

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return steps and means (k,)."""
        return np.array(self._steps), np.array(self._means)

    def last(self, since: int) -> NDArray[np.float64]:
        """Return the recent losses after a step, (n,)."""
        return np.array([loss for step, loss in self.recent if step > since])

    def alarms(self, naive: float) -> list[Alarm]:
        """Return what the last losses give away; ``naive`` is the loss of knowing nothing but a deviation."""
        losses = np.array([loss for _, loss in self.recent])
        found: list[Alarm] = []
        if len(losses) >= 2 * _SHORT:
            before, now = np.median(losses[-2 * _SHORT : -_SHORT]), np.median(losses[-_SHORT:])
            self._least = min(self._least, float(before))
            if now > _RISEN * self._least and now > before and now > naive:
                found.append(self._diverging(float(now), naive))
        window = losses[-_WINDOW:]
        if len(window) >= _WINDOW // 2 and (window > 0).all():
            logs = np.log(window)
            middle = np.median(logs)
            deviation = 1.4826 * np.median(np.abs(logs - middle))
            high = (logs - middle > math.log(_HIGH)) & (logs - middle > _FAR * deviation)
            if high.sum() >= _SPIKES:
                found.append(_spikes(int(high.sum()), len(window), float(window.max() / np.exp(middle))))
        return found

    def _diverging(self, now: float, naive: float) -> Alarm:
        return Alarm(
            "diverging",
            "The loss is growing, and may soon be NaN or infinite",
            f"It is {now:.3g}, {now / self._least:.3g} times its least; knowing nothing costs {naive:.3g}.",
            "Go back to the last good weights, lower the learning rate, and clip gradients (norm 1).",
        )


def _spikes(count: int, n: int, most: float) -> Alarm:
    return Alarm(
        "learning_rate_high",
        "The loss has spikes",
        f"{count} of the last {n} losses stand far above the others, up to {most:.3g} times their median.",
        "Lower the learning rate, warm it up, or clip gradients; look for broken rows in the data.",
    )


def plain(values: tuple[float, float, float]) -> dict[str, Any]:
    """Return a value with its interval as plain data."""
    return dict(zip(("value", "low", "high"), map(float, values), strict=True))
