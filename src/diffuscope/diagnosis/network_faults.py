"""What is wrong with the network: its reading, its times, its weights, its data, its training?

Asked only where the network's share of the error is worth it. Cheap questions that settle the matter come
first; the last resort is to train, for a second at a time (:mod:`~diffuscope.diagnosis.probes`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from diffuscope.diagnosis.budget import Budget
from diffuscope.diagnosis.conventions import better_labels, better_reading
from diffuscope.diagnosis.distances import Clouds, Share
from diffuscope.diagnosis.findings import WORTH, Finding, matters
from diffuscope.diagnosis.levels import Band, LevelErrors, level_errors
from diffuscope.diagnosis.probes import Probe, probe_rates, probe_yardstick, with_network
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike

__all__ = ["few_data", "first_not_finite", "network_fault"]

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
    denoiser = subject.denoiser
    weights = denoiser.network.named_parameters() if isinstance(denoiser, Denoiser) else ()
    spoilt = [name for name, p in weights if not torch.isfinite(p).all()]
    if spoilt:
        return Finding(
            "not_finite",
            "The network's weights are not finite",
            f"{len(spoilt)} of its weight tensors contain NaN or infinity, the first is {spoilt[0]!r}.",
            None,
            "Continue from an earlier checkpoint, with a tenth of the learning rate.",
        )
    for i in range(subject.grid.n_steps):
        level = subject.grid.levels.at(i)
        _, x_t = subject.noised(level, k=5000, n=256)
        if not torch.isfinite(subject.ask(denoiser, x_t, level)).all():
            return Finding(
                "not_finite",
                "The network's output has NaN or infinity",
                f"First at sampling step {i}, t = {level.t.item():g} (σ/α = {level.ratio.item():.3g}), on "
                "real data noised to that level.",
                None,
                "Check divisions, roots and logarithms in the network at that time.",
            )
    return None


def few_data(clouds: Clouds, budget: Budget) -> Finding | None:
    """Check whether the error is the training set's own distance from its distribution."""
    subject, share = clouds.subject, budget["finite_data"]
    n = len(subject.data.x)
    closeness = _closeness(clouds)
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


def _closeness(clouds: Clouds) -> float | None:
    """Return how near samples are to training points, over how near these are to each other; 1 is sound."""
    from sklearn.neighbors import NearestNeighbors

    x = clouds.subject.shown(clouds.subject.data.x[:_MOST_TO_REMEMBER])
    if len(x) < 3:
        return None
    samples = clouds.generate(clouds.subject.denoiser, 1)[0]
    if not np.isfinite(samples).all():
        return None
    tree = NearestNeighbors(n_neighbors=2).fit(x)
    between = np.median(tree.kneighbors(x)[0][:, 1])
    near = np.median(tree.kneighbors(samples, n_neighbors=1)[0])
    return float(near / between) if between > 0 else None


def network_fault(
    clouds: Clouds, budget: Budget, errors: LevelErrors, bands: Sequence[Band]
) -> Finding | None:
    """Return the cause of the network's errors, where they are worth it."""
    share = budget["network"]
    if not matters(share, _WORTH_NETWORK):
        return None
    # One fault may look like another: averaged weights that lag also look like other times. The cause is the
    # one whose fix leaves the least error.
    looks = (_prediction_type, _schedule_mismatch, _ema_slow)
    found = [fix for look in looks if (fix := look(clouds, errors)) is not None]
    if found:
        return min(found, key=lambda fix: fix[1])[0]
    worst = max(bands, key=lambda band: band.share.ratio)
    where = f" Its errors at {worst} matter most ({worst.share.ratio:.2f} × floor)."
    return _training_fault(clouds, errors.mean_excess, share, where)


_Fix = tuple[Finding, float]  # a finding, and the error that is left once it is fixed


def _gain(clouds: Clouds, better: DenoiserLike) -> Share:
    """Measure how much nearer samples end with another denoiser."""
    return clouds.gain(clouds.network, clouds.distances(better, _FEW_CLOUDS))


def _prediction_type(clouds: Clouds, errors: LevelErrors) -> _Fix | None:
    reading = better_reading(clouds.subject, errors)
    if reading is None:
        return None
    gain = _gain(clouds, reading.denoiser)
    if not matters(gain):
        return None
    assumed, meant, left = _NAMES[reading.assumed], _NAMES[reading.meant], reading.errors.mean_excess
    finding = Finding(
        "prediction_type",
        f"The network predicts {meant}, but its output is used as {assumed}",
        f"Interpreted as {assumed}, its output has a mean excess error of {errors.mean_excess:.3g}; "
        f"interpreted as {meant}, of {left:.3g}, and samples are {gain.ratio:.2f} × floor nearer.",
        gain.ratio,
        f'Set prediction="{reading.meant}".',
    )
    return finding, left


def _schedule_mismatch(clouds: Clouds, errors: LevelErrors) -> _Fix | None:
    labels = better_labels(clouds.subject)
    if labels is None:
        return None
    gain = _gain(clouds, labels.denoiser)
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
    return Finding("schedule_mismatch", title, evidence, max(gain.ratio, WORTH), fix), labels.error


def _ema_slow(clouds: Clouds, errors: LevelErrors) -> _Fix | None:
    subject = clouds.subject
    raw, steps = subject.training.raw, subject.training.steps
    if raw is None or not isinstance(subject.denoiser, Denoiser):
        return None
    last = with_network(subject.denoiser, raw).eval()
    left = level_errors(subject, last).mean_excess
    if not left < _MUCH * errors.mean_excess:
        return None
    gain = _gain(clouds, last)
    if not matters(gain):
        return None
    most = f" (here {max(0.0, 1 - 10 / steps):.4g} at most)" if steps else ""
    finding = Finding(
        "ema_slow",
        "The averaged weights lag behind: the average is too slow for this short run",
        f"The last weights have a mean excess error of {left:.3g}, their average one of "
        f"{errors.mean_excess:.3g}. With the last weights, samples are {gain.ratio:.2f} × floor nearer.",
        gain.ratio,
        f"Lower the decay: 1 / (1 − decay) at most a tenth of the steps{most}; or warm it up.",
    )
    return finding, left


def _training_fault(clouds: Clouds, now: float, share: Share, where: str) -> Finding:
    """Return what a short training shows to be missing; ``now`` is the mean excess error."""
    subject = clouds.subject
    recipe, flag = subject.training.recipe, subject.training.flag
    falls = recipe is not None and recipe.training.decay != "none"  # the learning rate is known to decay
    probes = probe_rates(subject, subject.denoiser) if isinstance(subject.denoiser, Denoiser) else []
    good = [probe for probe in probes if probe.excess < _MUCH * now]
    if good:
        best = min(good, key=lambda probe: probe.excess)
        finding = _verdict(subject, probes, best, now, falls)
    else:
        yardstick = probe_yardstick(subject)
        reach = min([probe.excess for probe in probes], default=now)
        if yardstick is None or not yardstick.excess < _MUCH * min(reach, now):
            fall = "" if falls else f"a learning rate that decays to 0{flag(_DECAY)}, "
            return Finding(
                "network_error",
                "The network has errors, and none of the short trials reduced them",
                f"The network costs {share.ratio:.2f} × floor, with a mean excess error of {now:.3g}.{where}",
                share.ratio,
                f"Train with {fall}with more steps, or with a larger network.",
            )
        best = yardstick
        limit = f" and does not get below {reach:.3g} at any learning rate" if probes else ""
        own = ""
        if isinstance(subject.denoiser, Denoiser):
            own = f" It has {_weights(subject.denoiser):,} weights."
        finding = Finding(
            "small_network",
            "The network is too small",
            f"A residual perceptron of {_weights(best.denoiser):,} weights reaches a mean excess error of "
            f"{best.excess:.3g} in {best.steps} steps; this network has {now:.3g}{limit}.{own}",
            0.0,
            f"Give it more units or layers{flag('--set network.width=64 --set network.depth=3')}, and train "
            "again.",
        )
    gain = _gain(clouds, best.denoiser)
    after = f" After that, samples are {gain.ratio:.2f} × floor nearer." if gain.is_certain else ""
    evidence = f"{finding.evidence}{where}{after}"
    return dataclasses.replace(finding, evidence=evidence, gain=max(gain.ratio, WORTH))


def _weights(denoiser: Denoiser) -> int:
    return sum(p.numel() for p in denoiser.network.parameters())


def _verdict(subject: Subject, probes: Sequence[Probe], best: Probe, now: float, falls: bool) -> Finding:
    """Return what the best of the probes says, which is much better than ``now``."""
    training, rate = subject.training, best.learning_rate
    own, steps, flag = training.learning_rate, training.steps, training.flag
    on = min((p.excess for p in probes if p.kind == "on" and own in (None, p.learning_rate)), default=None)
    text = f"{best.steps} steps from {'these' if best.kind == 'on' else 'fresh'} weights "
    if own is not None:
        text += f"at a learning rate of {rate:.1g} "
    text += f"reduce the mean excess error from {now:.3g} to {best.excess:.3g}"
    if own is not None and (on is None or best.excess < _MUCH * on):
        reach = "" if on is None else f"; at its own rate of {own:.3g}, to {on:.3g}"
        to = f"{rate:.1g}{flag(f'--set training.learning_rate={rate:.1g}')}"
        if rate < own / 2:
            title = f"A learning rate of {own:.3g} is too high"
            fall = "" if falls else f", and let it decay to 0{flag(_DECAY)}"
            return Finding("learning_rate_high", title, f"{text}{reach}.", 0.0, f"Lower it to {to}{fall}.")
        if rate > 2 * own:
            title = f"A learning rate of {own:.3g} is too low"
            return Finding("learning_rate_low", title, f"{text}{reach}.", 0.0, f"Raise it to {to}.")
    after, longer = "", "several times as many steps"
    if steps:
        after, enough = f" after {steps:,} steps", 3 * max(steps, best.steps)
        longer = f"{enough:,} steps{flag(f'--steps {enough}')}"
    fix = f"Train longer, for {longer}."
    return Finding("undertrained", f"Training ended too early{after}", f"{text}.", 0.0, fix)
