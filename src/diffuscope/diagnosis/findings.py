"""What is wrong, what is the evidence, what would a fix gain, how sure is that, and what is the fix?

A finding comes of a suspect: a part of the pipeline, and what would stand in its place. Suspects are tried
one after the other: the one whose change brings samples nearest to real data is a finding, its gain is what
was measured, and the others are measured again with that change made. What brings nothing is no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from diffuscope.diagnosis.distances import FIRST_CLOUDS, Clouds, Share, decided
from diffuscope.diagnosis.pictures import Picture
from diffuscope.diagnosis.subject import Subject
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CODES",
    "WORTH",
    "Distance",
    "Finding",
    "Gain",
    "Measure",
    "Sure",
    "Suspect",
    "in_order",
    "judge",
    "matters",
]

WORTH = 0.3  # parts that cost at least so many floors are reported
_FEW_CLOUDS = 6
_UNKNOWN = 0.25  # of its gain: what the errors of a network with unknown cause count
_FIRST = ("not_finite", "outliers", "duplicates")
Sure = Literal["certain", "likely", "possible"]

CODES = {
    "not_finite": "numbers that are not finite",
    "prediction_type": "the network's output is read as the wrong quantity",
    "schedule_mismatch": "the network was trained with another schedule, or gets other times",
    "column_order": "the network gets columns in another order than in training",
    "units": "the network gets other units than in training",
    "terminal_snr": "sampling does not start where training ended",
    "start": "sampling starts from the wrong noise",
    "data_scale": "the data is not scaled for its schedule",
    "noise_missing": "steps of the sampler add too little noise",
    "noise_scale": "the noise of the steps has the wrong scale",
    "noise_reused": "the noise of the steps is not fresh",
    "noise_last_step": "noise is added in the step to clean data",
    "step_coefficients": "steps of the sampler do not match the schedule",
    "skipped_betas": "steps that skip times use the β of single steps",
    "clipping": "the data estimate is clipped inside the range of the data",
    "few_steps": "the sampler takes too few steps",
    "sampling_code": "the sampling code, not the network",
    "steps_left_out": "the last steps of the loop are left out",
    "guidance": "guidance is too strong",
    "raw_weights": "the last weights sample, not their average",
    "training_mode": "dropout or batch norm are in training mode while sampling",
    "loss_disagrees": "the loss that training reported is not that of the network",
    "ema_slow": "the average of the weights lags behind them",
    "learning_rate_high": "the learning rate is too high",
    "learning_rate_low": "the learning rate is too low",
    "untrained": "the network was never trained, or its weights were not loaded",
    "undertrained": "training ended too early",
    "small_network": "the network is too small",
    "network_error": "errors of the network, with unknown cause",
    "few_data": "too few data: the network memorises the training set",
    "duplicates": "many rows of the training data are the same",
    "outliers": "single values far out spoil the scale of the data",
    "rounded": "the data is rounded, samples are not",
    "heavy_tails": "few values far out set the scale of the data",
    "training_target": "the loss of training was not against what the network has to predict",
    "training_noise": "training drew other noise than normal one",
    "data_shift": "the training data is not like the held-out data",
    "left_out": "a part of the data is absent from the samples, the rest is right",
    "differs": "samples differ from the data, with unknown cause",
}
"""Every code that a finding can have."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    code : str
        One of :data:`CODES`.
    title : str
        One line.
    evidence : str
        What was measured.
    gain : float or None
        How many floors nearer to real data samples are once it is fixed, as measured; None where nothing can
        be measured before it is fixed.
    fix : str
        The setting, flag or line of code to change.
    sure : {"certain", "likely", "possible"}
        ``certain``: the part was replaced, and samples were better. ``likely``: what replaces it could only
        be measured in part. ``possible``: other causes would look the same.
    needs : str
        What further input would decide; empty where nothing would.
    interval : (low, high) or None
        Of the gain, 95%.
    picture : Picture or None
        How to see it: the numbers of a picture of this one thing, where there is one.
    """

    code: str
    title: str
    evidence: str
    gain: float | None
    fix: str
    sure: Sure = "certain"
    needs: str = ""
    interval: tuple[float, float] | None = None
    picture: Picture | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain data, without its picture."""
        plain = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "picture"}
        return plain | {"interval": None if self.interval is None else list(self.interval)}

    def plot(self) -> Figure:
        """Draw the picture of this one thing; InputError where there is none."""
        if self.picture is None:
            raise InputError(
                f"There is no picture of its own for {self.code!r}.",
                "Draw the whole diagnosis by its plot().",
            )
        return self.picture.plot()


@dataclass(frozen=True)
class Suspect:
    """A part that may be wrong.

    ``parts`` are the fields of the subject that would replace it. ``share`` is a gain that is known already,
    ``least`` the least share of the distance beyond the floor that it has to bring, and ``most`` what it
    brings to a perfect denoiser: what it brings beyond that is a matter of the network's errors.
    """

    code: str
    title: str
    evidence: str
    fix: str
    sure: Sure = "certain"
    needs: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)
    share: Share | None = None
    least: float = 0.0
    most: Share | None = None
    picture: Picture | None = field(default=None, repr=False)

    def gain(self, measure: Measure) -> Gain:
        """Return what it brings to replace it."""
        if self.share is not None:
            return Gain(self.share, matters(self.share), "")
        return self._judged(measure.gain(measure.clouds.changed(**self.parts)))

    def _judged(self, gain: Gain) -> Gain:
        """Return a measured gain as far as it speaks for this suspect."""
        enough = gain.part is None or gain.part >= self.least
        if (
            gain.matters
            and self.most is not None
            and (gain.share is None or gain.share.ratio > self.most.ratio)
        ):
            words = f"With it, samples of a perfect denoiser are {self.most} × floor nearer to real data."
            return Gain(self.most, matters(self.most), words)
        full = gain.in_full
        return gain._replace(
            matters=gain.matters and enough,
            in_full=None if full is None else lambda: self._judged(full()),
        )

    def finding(self, gain: Share | None, note: str = "") -> Finding:
        """Return the finding that it is."""
        interval = None if gain is None else (gain.low, gain.high)
        evidence = f"{self.evidence}{note}"
        return Finding(
            self.code,
            self.title,
            evidence,
            None if gain is None else gain.ratio,
            self.fix,
            self.sure,
            self.needs,
            interval,
            self.picture,
        )


class Gain(NamedTuple):
    """What a change of the pipeline brings."""

    share: Share | None  # how many floors nearer samples are; None where there were no finite ones before
    matters: bool
    words: str  # a sentence about the samples after the change
    part: float | None = None  # of the distance beyond the floor that vanishes; None where that is not known
    changed: Clouds | None = None  # of the pipeline after the change, where they were drawn
    in_full: Callable[[], Gain] | None = None  # of all clouds by the pipeline's own walk
    is_settled: bool = False  # all clouds would not change whether it matters

    def confirmed(self, beside_others: bool = False) -> Gain:
        """Return the gain of all clouds, where it may not be what few clouds say, or not the greatest."""
        if not self.matters or self.in_full is None or (self.is_settled and not beside_others):
            return self
        return self.in_full()


class Measure(Protocol):
    """How good are samples, and how much better are those of a changed pipeline?"""

    @property
    def clouds(self) -> Clouds:
        """Return the pipeline as it is."""

    def gain(self, changed: Clouds) -> Gain:
        """Return what a change brings."""

    def mended(self, changed: Clouds) -> Measure:
        """Return the measure of further changes, once this one is made."""


@dataclass(frozen=True)
class Distance:
    """The distance of samples from real data, cloud by cloud."""

    clouds: Clouds

    def gain(self, changed: Clouds) -> Gain:
        """Return how many floors nearer to real data the samples of a changed pipeline are.

        Few clouds are drawn first, and more only where these leave open whether that matters. Where the walk
        stays as it is, and takes long, both are drawn by a brief one first.
        """
        before, after = self.clouds, changed
        is_brief = _walks_alike(changed.subject, self.clouds.subject) and changed.brief is not changed
        if is_brief:
            before, after = before.brief, changed.brief
        gain = self._between(before, after, FIRST_CLOUDS)
        settled = gain.share is not None and decided(gain.share, WORTH)
        if gain.share is not None and not settled:
            gain = self._between(before, after, _FEW_CLOUDS)
        return gain._replace(
            in_full=lambda: self._between(self.clouds, changed, _FEW_CLOUDS),
            is_settled=settled and not is_brief,
        )

    def _between(self, before: Clouds, after: Clouds, count: int) -> Gain:
        values, own = after.first_distances(count), before.first_distances(count)
        if not np.isfinite(values).all():
            return Gain(None, False, "Samples would not be finite.")
        if not before.is_finite:
            return Gain(None, True, "With it, samples are finite.", changed=after)
        share = before.gain(own, values)
        beyond = float(own.mean()) - before.floor
        part = share.value / beyond if beyond > 0 else None
        words = f"With it, samples are {share} × floor nearer to real data."
        return Gain(share, matters(share), words, part, after)

    def mended(self, changed: Clouds) -> Distance:
        """Return the measure of further changes."""
        return Distance(changed)


def _worth(gain: Gain) -> float:
    """Return the floors that a change brings: infinitely many where there were no finite samples before."""
    if not gain.matters:
        return -np.inf
    return np.inf if gain.share is None else gain.share.ratio


def _walks_alike(one: Subject, other: Subject) -> bool:
    """Whether samples of two pipelines differ by their networks only."""
    return one.sampler is other.sampler and one.grid is other.grid and one.start_std == other.start_std


def judge(measure: Measure, suspects: Sequence[Suspect]) -> tuple[list[Finding], Measure]:
    """Try suspects one after the other; return findings, and the measure once all of them are mended."""
    found: list[Finding] = []
    left = list(suspects)
    while left:
        gains = [suspect.gain(measure) for suspect in left]
        worth = [_worth(gain) for gain in gains]
        at = int(np.argmax(worth))
        if worth[at] == -np.inf:
            break
        least = -np.inf if (best := gains[at].share) is None else best.low
        close = [
            i for i, one in enumerate(gains) if one.matters and (not one.share or one.share.high > least)
        ]
        for i in {at, *close}:  # of several that are close, few clouds do not say which is the greatest
            gains[i] = gains[i].confirmed(beside_others=len(close) > 1)
        at = int(np.argmax([_worth(gain) for gain in gains]))
        suspect, gain = left.pop(at), gains[at]
        if not gain.matters:
            continue
        found.append(suspect.finding(gain.share, f" {gain.words}" if suspect.share is None else ""))
        left = [one for one in left if one.code != suspect.code]
        if suspect.parts:
            measure = measure.mended(gain.changed or measure.clouds.changed(**suspect.parts))
    return found, measure


def matters(share: Share, worth: float = WORTH) -> bool:
    """Whether a share is large enough to report, and certain."""
    return share.ratio >= worth and share.is_certain


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings: what must be mended before anything is measured, then by gain, then what has none.

    The gain of an unknown cause is what an exact denoiser would bring, not what a change did bring: a cause
    that is known comes first, unless it is much smaller.
    """

    def place(finding: Finding) -> tuple[int, float]:
        if finding.code in _FIRST and finding.sure == "certain":
            return 0, 0.0
        if finding.gain is None:
            return 2, 0.0
        return 1, -finding.gain * (_UNKNOWN if finding.code == "network_error" else 1.0)

    return tuple(sorted(findings, key=place))
