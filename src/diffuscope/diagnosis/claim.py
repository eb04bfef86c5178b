"""Can samples be told from real rows? "No findings" is a claim too, and is tested.

Gradient-boosted trees try to tell samples from rows of the reference, each half of the rows judged by trees
that were fitted to the other. Where they can, columns and pairs say in what samples differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffuscope.diagnosis.data_faults import atoms_of, heavy_tails, lattice_of
from diffuscope.diagnosis.differences import differences
from diffuscope.diagnosis.distances import Clouds
from diffuscope.diagnosis.findings import Finding, Gain, Measure, Suspect, judge
from diffuscope.diagnosis.imitations import closest_loop
from diffuscope.diagnosis.pictures import Differences
from diffuscope.diagnosis.subject import Points
from diffuscope.metrics.two_sample import TwoSampleTest, classifier_two_sample

__all__ = ["Accuracy", "told_apart"]

_TOLD_APART = 0.56  # accuracy on rows that trees were not fitted to, above which samples differ
_MOST = 3_000  # rows of each kind
_LEAST = 50
_LESS = 0.5  # of what trees see beyond chance, the most that a cause leaves when it is mended


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
        # Of one value, or of one among many, any digit tells samples: distances see what matters.
        varies = (np.ptp(real, axis=0) > 0) & ~atoms_of(real)
        if not varies.any():
            return None
        return cls(clouds, classifier_two_sample(made[:, varies], real[:, varies], subject.seed))

    @classmethod
    def of_network(cls, clouds: Clouds) -> Accuracy | None:
        """Measure samples of the pipeline's own network."""
        return cls.of(clouds, clouds.first(1)[0])

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
    own = len(subject.reference.middle) == subject.d  # distances of images are those of features
    lattice = lattice_of(subject) if own else None
    if lattice is not None:  # values between its points tell samples, whatever else may be wrong
        as_written, rounded = subject.as_written, lattice.rounded
        clouds = Clouds(replace(subject, as_written=lambda x: rounded(as_written(x))))
        measure = Accuracy.of(clouds, made)
        if measure is None or not measure.differs:
            return [] if lattice.is_whole else [lattice.finding(subject)]
        subject = clouds.subject
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
    tails = heavy_tails(subject)
    if tails is not None:
        return [tails]
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
            "Longer training and other rates did not help in short trials. Look at the loop of the training: "
            "fresh noise and times for each batch, all rows, the right target; then at these columns.",
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
    return clouds.first(1)[0][:n]
