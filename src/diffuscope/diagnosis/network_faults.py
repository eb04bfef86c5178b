"""What is wrong with the network: its reading, its times, its weights, its data, its training?

Asked only where the network's share of the error is worth it. Cheap questions that settle the matter come
first; the last resort is to train, for a second at a time (:mod:`~diffuscope.diagnosis.probes`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from diffuscope.diagnosis.budget import Budget, Walks
from diffuscope.diagnosis.clouds import Clouds, Configuration, Share
from diffuscope.diagnosis.findings import WORTH, Finding, matters
from diffuscope.diagnosis.levels import Band, LevelErrors, level_errors
from diffuscope.diagnosis.probes import Probe, probe_rates, probe_yardstick
from diffuscope.diagnosis.readings import better_labels, better_reading
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike

__all__ = ["few_data", "first_not_finite", "network_faults"]

_WORTH_NETWORK = 0.5  # the share of a network that is as good as one may expect scatters up to here
_MUCH = 0.5
_DECAY = "--set training.decay=linear"
_FEW_CLOUDS = 6
_FEW_DATA = 0.7
_MOST_TO_REMEMBER = 20_000
_MEMORISED = 0.5

_NAMES = {
    "noise": "the noise ε",
    "data": "the data x_0",
    "velocity": "the velocity v",
    "flow": "the flow ε − x_0",
}


def first_not_finite(subject: Subject) -> Finding | None:
    """Look for answers that are not finite, from the noisiest level on, and for losses that were not."""
    steps = [step for step, loss in subject.training.losses if not np.isfinite(loss)]
    if steps:
        return Finding(
            "not_finite",
            "The loss became NaN or infinite in training",
            f"The loss is first not finite at step {steps[0]:,}; all later weights are invalid.",
            None,
            "Train again with a tenth of the learning rate, gradients clipped at norm 1, and scaled data.",
        )
    network = subject.denoiser.network if isinstance(subject.denoiser, Denoiser) else None
    if network is not None:
        spoilt = [name for name, p in network.named_parameters() if not torch.isfinite(p).all()]
        if spoilt:
            return Finding(
                "not_finite",
                "The network's weights are not finite",
                f"{len(spoilt)} of its weight tensors contain NaN or infinity, the first is {spoilt[0]!r}.",
                None,
                "Continue from an earlier checkpoint, with a tenth of the learning rate.",
            )
    grid = subject.grid
    for i in range(grid.n_steps):
        level = grid.levels.at(i)
        _, x_t = subject.noised(level, k=5000, n=256)
        if not torch.isfinite(subject.ask(subject.denoiser, x_t, level)).all():
            return Finding(
                "not_finite",
                "The network's output has NaN or infinity",
                f"First at sampling step {i}, t = {level.t.item():g} (σ/α = {level.ratio.item():.3g}), on "
                "real data noised to that level.",
                None,
                "Check divisions, roots and logarithms in the network at that time.",
            )
    return None


def few_data(subject: Subject, clouds: Clouds, budget: Budget) -> Finding | None:
    """Check whether the error is the training set's own distance from its distribution."""
    share = budget["finite_data"]
    n = len(subject.data.x)
    closeness = _closeness(subject)
    memorised = closeness is not None and closeness < _MEMORISED
    gain: float | None = None
    if subject.is_exact or subject.data.draw is not None:
        total = budget["total"].ratio - 1 if "total" in budget else share.ratio
        gain = min(share.ratio, total)
        if not matters(share, _FEW_DATA) or gain < _FEW_DATA:
            return None
    elif not memorised:
        return None
    evidence = f"The {n:,} training points, resampled, are {1 + share.ratio:.2f} × floor from fresh ones. "
    title = f"{n:,} training points are too few"
    if memorised:
        title = f"The network has memorised its {n:,} training points"
        evidence += (
            f"The distance of samples to the nearest training point is {closeness:.2f} times that between "
            "real points."
        )
    fix = "Use more data; a smaller network, dropout or fewer training steps reduce memorisation."
    return Finding("few_data", title, evidence, gain, fix)


def _closeness(subject: Subject) -> float | None:
    """Return how near samples are to training points, over how near these are to each other; 1 is sound."""
    from sklearn.neighbors import NearestNeighbors

    x = subject.shown(subject.data.x[:_MOST_TO_REMEMBER])
    if len(x) < 3:
        return None
    samples = Clouds(subject).generate(Configuration(subject.denoiser), 1)[0]
    if not np.isfinite(samples).all():
        return None
    tree = NearestNeighbors(n_neighbors=2).fit(x)
    between = np.median(tree.kneighbors(x)[0][:, 1])
    near = np.median(tree.kneighbors(samples, n_neighbors=1)[0])
    return float(near / between) if between > 0 else None


def network_faults(
    subject: Subject, clouds: Clouds, walks: Walks, budget: Budget, errors: LevelErrors, bands: Sequence[Band]
) -> Iterator[Finding]:
    """Yield the cause of the network's errors: at most one."""
    share = budget["network"]
    if not matters(share, _WORTH_NETWORK):
        return
    where = _worst(bands)
    # One fault may look like another: averaged weights that lag also look like other times. The cause is the
    # one whose fix leaves the least error.
    looks = (_prediction_type, _schedule_mismatch, _ema_slow)
    swaps = [found for look in looks if (found := look(subject, clouds, walks, errors)) is not None]
    if swaps:
        yield min(swaps, key=lambda swap: swap.left).finding
        return
    yield _training_fault(subject, clouds, walks, errors, share, where)


class _Swap(NamedTuple):
    """A finding, and the error that is left once it is fixed."""

    finding: Finding
    left: float


def _worst(bands: Sequence[Band]) -> str:
    if not bands:
        return ""
    worst = max(bands, key=lambda band: band.share.ratio)
    return f" Its errors at {worst} matter most ({worst.share.ratio:.2f} × floor)."


def _gain(clouds: Clouds, walks: Walks, better: DenoiserLike) -> Share:
    """Measure how much nearer samples end with another denoiser."""
    count = min(_FEW_CLOUDS, clouds.count)
    return clouds.share(walks.network[:count], clouds.distances(Configuration(better), count))


def _prediction_type(subject: Subject, clouds: Clouds, walks: Walks, errors: LevelErrors) -> _Swap | None:
    reading = better_reading(subject, errors)
    if reading is None:
        return None
    gain = _gain(clouds, walks, reading.denoiser)
    if not matters(gain):
        return None
    evidence = (
        f"Interpreted as {_NAMES[reading.assumed]}, its output has a mean excess error of "
        f"{errors.mean_excess:.3g}; interpreted as {_NAMES[reading.meant]}, of "
        f"{reading.errors.mean_excess:.3g}, and samples are {gain.ratio:.2f} × floor nearer."
    )
    finding = Finding(
        "prediction_type",
        f"The network predicts {_NAMES[reading.meant]}, but its output is used as {_NAMES[reading.assumed]}",
        evidence,
        gain.ratio,
        f'Set prediction="{reading.meant}".',
    )
    return _Swap(finding, reading.errors.mean_excess)


def _schedule_mismatch(subject: Subject, clouds: Clouds, walks: Walks, errors: LevelErrors) -> _Swap | None:
    labels = better_labels(subject)
    if labels is None:
        return None
    gain = _gain(clouds, walks, labels.denoiser)
    middle = len(labels.t) // 2
    evidence = (
        f"At t = {labels.t[middle]:g} the schedule has σ/α = {labels.claimed[middle]:.3g}, but the "
        f"network's output fits {labels.believed[middle]:.3g}; at t = {labels.t[0]:g} the values are "
        f"{labels.claimed[0]:.3g} and {labels.believed[0]:.3g}."
    )
    if labels.believed.max() < 1.5 * labels.believed.min() and len(labels.t) > 2:
        title = "The network does not use the time: its output is the same at every time"
        fix = "Pass the time to the network, in the units that it was trained with (0 ... T − 1, or t / T)."
    else:
        title = "The network was trained with another schedule than the sampler's"
        fix = "Sample with the betas and times of training, or train with those of sampling."
    if matters(gain):
        evidence += f" With the times of its own schedule, samples are {gain.ratio:.2f} × floor nearer."
    return _Swap(Finding("schedule_mismatch", title, evidence, max(gain.ratio, WORTH), fix), labels.error)


def _ema_slow(subject: Subject, clouds: Clouds, walks: Walks, errors: LevelErrors) -> _Swap | None:
    raw, denoiser = subject.training.raw, subject.denoiser
    if raw is None or not isinstance(denoiser, Denoiser):
        return None
    last = _with_network(denoiser, raw)
    last_errors = level_errors(subject, last)
    if not last_errors.mean_excess < _MUCH * errors.mean_excess:
        return None
    gain = _gain(clouds, walks, last)
    if not matters(gain):
        return None
    finding = Finding(
        "ema_slow",
        "The averaged weights lag behind: the average is too slow for this short run",
        f"The last weights have a mean excess error of {last_errors.mean_excess:.3g}, their average one "
        f"of {errors.mean_excess:.3g}. With the last weights, samples are {gain.ratio:.2f} × floor nearer.",
        gain.ratio,
        f"Lower the decay: 1 / (1 − decay) at most a tenth of the steps{_of_steps(subject)}; or warm it up.",
    )
    return _Swap(finding, last_errors.mean_excess)


def _with_network(denoiser: Denoiser, network: torch.nn.Module) -> Denoiser:
    return Denoiser(
        network, denoiser.schedule, denoiser.prediction, denoiser.sigma_data, denoiser.conditioning
    ).eval()


def _of_steps(subject: Subject) -> str:
    steps = subject.training.steps
    return "" if not steps else f" (here {max(0.0, 1 - 10 / steps):.4g} at most)"


def _training_fault(
    subject: Subject, clouds: Clouds, walks: Walks, errors: LevelErrors, share: Share, where: str
) -> Finding:
    now = errors.mean_excess
    probes = probe_rates(subject, subject.denoiser) if isinstance(subject.denoiser, Denoiser) else []
    verdict = _verdict(subject, probes, now)
    if verdict is None:
        yardstick = probe_yardstick(subject)
        reach = min([probe.excess for probe in probes], default=now)
        if yardstick is not None and yardstick.excess < _MUCH * min(reach, now):
            verdict = _small(subject, yardstick, now, reach, bool(probes))
    if verdict is None:
        falling = (
            "" if _falls(subject) else f"a learning rate that decays to 0{subject.training.flag(_DECAY)}, "
        )
        return Finding(
            "network_error",
            "The network has errors, and none of the short trials reduced them",
            f"The network costs {share.ratio:.2f} × floor, with a mean excess error of {now:.3g}.{where}",
            share.ratio,
            f"Train with {falling}with more steps, or with a larger network.",
        )
    finding, best = verdict
    gain = _gain(clouds, walks, best.denoiser)
    evidence = f"{finding.evidence}{where}"
    if gain.is_certain:
        evidence += f" After that, samples are {gain.ratio:.2f} × floor nearer."
    return dataclasses.replace(finding, evidence=evidence, gain=max(gain.ratio, WORTH))


def _verdict(subject: Subject, probes: Sequence[Probe], now: float) -> tuple[Finding, Probe] | None:
    """Return the finding of the probes; None if none of them is much better."""
    good = [probe for probe in probes if probe.excess < _MUCH * now]
    if not good:
        return None
    own = subject.training.learning_rate
    best = min(good, key=lambda probe: probe.excess)
    on = min((p for p in probes if p.kind == "on" and _same(p, own)), key=lambda p: p.excess, default=None)
    text = f"{best.steps} steps from {'these' if best.kind == 'on' else 'fresh'} weights "
    if own is not None:
        text += f"at a learning rate of {best.learning_rate:.1g} "
    text += f"reduce the mean excess error from {now:.3g} to {best.excess:.3g}"
    if own is not None and (on is None or best.excess < _MUCH * on.excess):
        reach = "" if on is None else f"; at its own rate of {own:.3g}, to {on.excess:.3g}"
        to = f"to {best.learning_rate:.1g}"
        to += subject.training.flag(f"--set training.learning_rate={best.learning_rate:.1g}")
        if best.learning_rate < own / 2:
            title = f"A learning rate of {own:.3g} is too high"
            return Finding("learning_rate_high", title, f"{text}{reach}.", 0.0, _lower(subject, to)), best
        if best.learning_rate > 2 * own:
            title = f"A learning rate of {own:.3g} is too low"
            return Finding("learning_rate_low", title, f"{text}{reach}.", 0.0, f"Raise it {to}."), best
    steps = subject.training.steps
    after = f" after {steps:,} steps" if steps else ""
    longer = "several times as many steps"
    if steps:
        enough = 3 * max(steps, best.steps)
        longer = f"{enough:,} steps{subject.training.flag(f'--steps {enough}')}"
    title = f"Training ended too early{after}"
    return Finding("undertrained", title, f"{text}.", 0.0, f"Train longer, for {longer}."), best


def _same(probe: Probe, own: float | None) -> bool:
    return own is None or probe.learning_rate == own


def _falls(subject: Subject) -> bool:
    """Whether the learning rate is known to decay during training."""
    recipe = subject.training.recipe
    return recipe is not None and recipe.training.decay != "none"


def _lower(subject: Subject, to: str) -> str:
    fall = "" if _falls(subject) else f", and let it decay to 0{subject.training.flag(_DECAY)}"
    return f"Lower it {to}{fall}."


def _small(
    subject: Subject, yardstick: Probe, now: float, reach: float, tried: bool
) -> tuple[Finding, Probe]:
    weights = sum(p.numel() for p in yardstick.denoiser.network.parameters())
    own = ""
    if isinstance(subject.denoiser, Denoiser):
        own = f" It has {sum(p.numel() for p in subject.denoiser.network.parameters()):,} weights."
    evidence = (
        f"A residual perceptron of {weights:,} weights reaches a mean excess error of "
        f"{yardstick.excess:.3g} in {yardstick.steps} steps; this network has {now:.3g}"
    )
    evidence += f" and does not get below {reach:.3g} at any learning rate." if tried else "."
    flag = subject.training.flag("--set network.width=64 --set network.depth=3")
    fix = f"Give it more units or layers{flag}, and train again."
    return Finding("small_network", "The network is too small", evidence + own, 0.0, fix), yardstick
