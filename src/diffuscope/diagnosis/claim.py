"""Can samples be told from real rows? "No findings" is a claim too, and is tested.

Gradient-boosted trees try to tell samples from rows of the reference, each half of the rows judged by trees
that were fitted to the other. Where they can, columns and pairs say in what samples differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from diffuscope.data.spread import centre_and_scale
from diffuscope.diagnosis.distances import Clouds
from diffuscope.diagnosis.findings import Finding, Gain, Measure, Suspect, judge
from diffuscope.diagnosis.imitations import closest_loop
from diffuscope.diagnosis.pictures import Difference, Differences
from diffuscope.diagnosis.subject import Points, Subject
from diffuscope.metrics.two_sample import TwoSampleTest, classifier_two_sample

__all__ = ["Accuracy", "differences", "told_apart"]

_TOLD_APART = 0.56  # accuracy on rows that trees were not fitted to, above which samples differ
_MOST = 3_000  # rows of each kind
_LEAST = 50
_LESS = 0.5  # of what trees see beyond chance, the most that a cause leaves when it is mended
_COLUMNS = 30  # of more, pairs are not looked at
_NAMED = 3


@dataclass(frozen=True)
class Accuracy:
    """How often boosted trees tell samples from real rows, where distances see no difference."""

    clouds: Clouds
    test: TwoSampleTest

    @classmethod
    def of(cls, clouds: Clouds, made: Points) -> Accuracy | None:
        """Measure samples as ``shown``; None where there are too few."""
        subject = clouds.subject
        real = subject.shown(replace(subject.points, n=min(len(made), _MOST)).real(0))
        n = min(len(real), len(made))
        if n < _LEAST or not np.isfinite(made).all():
            return None
        real, made = subject.written(real[:n]), subject.written(made[:n])
        varies = np.ptp(real, axis=0) > 0  # of one value, any digit tells samples: distances see what matters
        return cls(clouds, classifier_two_sample(made[:, varies], real[:, varies], subject.seed))

    @classmethod
    def of_network(cls, clouds: Clouds) -> Accuracy | None:
        """Measure samples of the pipeline's own network."""
        return cls.of(clouds, clouds.generate(clouds.subject.denoiser, 1)[0])

    @property
    def differs(self) -> bool:
        """Whether samples differ by more than those of a fair network."""
        return self.test.low >= _TOLD_APART

    def gain(self, changed: Clouds) -> Gain:
        """Return whether samples of a changed pipeline are told from real rows less often."""
        other = self.of_network(changed)
        if other is None:
            return Gain(None, False, "")
        after = other.test
        less = after.high < self.test.low and after.accuracy - 0.5 < _LESS * (self.test.accuracy - 0.5)
        words = (
            f"With it, boosted trees tell samples from real rows in {after.accuracy:.0%} of cases, not in "
            f"{self.test.accuracy:.0%} (chance is 50%)."
        )
        return Gain(None, bool(less), words)

    def mended(self, changed: Clouds) -> Accuracy:
        """Return the measure of further changes."""
        return self.of_network(changed) or self


def told_apart(
    clouds: Clouds, suspects: Sequence[Suspect], fault: Callable[[Measure], Finding | None]
) -> list[Finding]:
    """Return why samples can be told from real rows, or in what they differ; nothing where they cannot.

    The user's own loop is tried first, then ``suspects``, then ``fault`` is asked what the training lacks.
    """
    subject = clouds.subject
    made = _made(clouds, _MOST)
    measure = Accuracy.of(clouds, made)
    if measure is None or not measure.differs:
        return []
    if subject.samples is not None:
        loop = closest_loop(clouds)
        if loop is not None:
            return [loop.finding(None)]
    network = measure
    if subject.samples is not None:  # it is not the loop: the network's own samples are asked about
        network = Accuracy.of_network(clouds) or measure
    if network.differs:
        found, _ = judge(network, [one for one in suspects if one.share is None])
        if found:
            return found[:1]
        known = [one for one in suspects if one.share is not None and one.share.ratio > 0]
        if known:  # what an exact denoiser loses by it is not certain, but that samples differ is
            worst = max(known, key=lambda one: 0.0 if one.share is None else one.share.ratio)
            return [replace(worst, sure="likely").finding(worst.share)]
        cause = fault(network)
        if cause is not None:
            return [cause]
    real = subject.shown(replace(subject.points, n=len(made)).real(0))
    n = min(len(real), len(made))
    apart = differences(subject, subject.written(real[:n]), subject.written(made[:n]))
    words = [part.words for part in apart] or ["no single column or pair, but several together"]
    test = measure.test
    return [
        Finding(
            "differs",
            "Samples differ from the data, though no part is known to be at fault",
            f"Boosted trees tell samples from real rows in {test.accuracy:.0%} of cases ({test.low:.0%} to "
            f"{test.high:.0%}; chance is 50%). They differ in this: {'; '.join(words)}.",
            None,
            "Train longer or a larger network, and compare these columns first.",
            "certain",
            "Pass losses=, held_out=, samples= or raw=: what is known of the pipeline narrows the cause.",
            picture=Differences(tuple(apart), ("real rows", "samples")) if apart else None,
        )
    ]


def _made(clouds: Clouds, n: int) -> Points:
    """Return samples as they are measured: the user's own, where there are some."""
    subject = clouds.subject
    if subject.samples is not None:
        order = subject.random("claim").permutation(len(subject.samples))[:n]
        return subject.shown(subject.samples[order])
    return clouds.generate(subject.denoiser, 1)[0][:n]


def differences(subject: Subject, real: Points, made: Points) -> list[Difference]:
    """Return in which columns and pairs two tables (n, d) differ most, beyond chance."""
    names: Any = subject.data.columns
    d = real.shape[1]
    named = names is not None and len(names) == d
    name = [repr(names[j]) if named else f"column {j + 1}" for j in range(d)]
    found: list[tuple[float, str, tuple[int, ...]]] = []
    _, spread = centre_and_scale(real)
    se = np.sqrt(1 / len(real) + 1 / len(made))
    for j in range(d):
        if not spread[j] > 0:
            continue
        shift = (made[:, j].mean() - real[:, j].mean()) / spread[j]
        ratio = made[:, j].std() / spread[j]
        distance = _kolmogorov(real[:, j], made[:, j]) / se
        if distance > 2.0:
            what = f"{name[j]} is {'higher' if shift > 0 else 'lower'} by {abs(shift):.2g} deviations"
            if abs(ratio - 1) > abs(shift):
                what = f"{name[j]} has {ratio:.2g} times its deviation"
            elif abs(shift) < 0.05:
                what = f"{name[j]} has another shape"
            found.append((distance, what, (j,)))
    if 1 < d <= _COLUMNS:
        with np.errstate(divide="ignore", invalid="ignore"):  # columns of one value
            a, b = (np.nan_to_num(np.atleast_2d(np.corrcoef(part, rowvar=False))) for part in (real, made))
        for i, j in combinations(range(d), 2):
            step = abs(
                np.arctanh(np.clip(b[i, j], -0.9999, 0.9999)) - np.arctanh(np.clip(a[i, j], -0.9999, 0.9999))
            )
            if step / se > 5.0:
                words = f"the correlation of {name[i]} and {name[j]} is {b[i, j]:.2f}, not {a[i, j]:.2f}"
                found.append((step / se, words, (i, j)))
    found.sort(reverse=True)
    return [Difference.of(words, columns, real, made) for _, words, columns in found[:_NAMED]]


def _kolmogorov(a: Points, b: Points) -> float:
    """Return the largest difference of two distribution functions."""
    every = np.concatenate([a, b])
    one = np.searchsorted(np.sort(a), every, side="right") / len(a)
    other = np.searchsorted(np.sort(b), every, side="right") / len(b)
    return float(np.abs(one - other).max())
