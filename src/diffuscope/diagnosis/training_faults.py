"""What may be wrong with the training of a network? What its losses say, and what short trials reach.

Cheap questions that settle the matter come first; the last resort is to train, for a second at a time
(:mod:`~diffuscope.diagnosis.probes`). Such a training is ours, whatever the user's own loop does: of a loop
that was not run here it says what the network can still learn, not why it has not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from diffuscope.diagnosis.distances import Share
from diffuscope.diagnosis.findings import Finding, Gain, Measure
from diffuscope.diagnosis.left_out import left_out
from diffuscope.diagnosis.levels import Band, mean_error, measured_loss, perfect_loss
from diffuscope.diagnosis.network_faults import PASS_THE_TIME, TIME_IS_UNUSED, WORTH_NETWORK
from diffuscope.diagnosis.pictures import Values
from diffuscope.diagnosis.probes import Probe, probe_larger, probe_rates, with_fresh_weights
from diffuscope.diagnosis.readings import Strange, copies_input, ignores_time, strange_levels
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.metrics.floor import in_floors

__all__ = ["reported_loss", "training_fault"]

_WORTH_A_LINE = 1.0  # floors: a network that costs less is named only with what makes it better
_MUCH = 0.5
_NOWHERE = 0.85  # of an error that can be avoided: what a rate that leads nowhere leaves of it
_NEARLY = 0.1  # of what the best trial gained: another that gained so much less is nearly as good
_LOW_RATE = 1e-4  # at which a network only settles where it is
_NEAR, _FEW = 1.5, 0.25  # an error that is nearly that of a fair network, and what settling leaves of it
_LARGER = 0.9  # of an error: what makes the samples of a larger network worth a look
_LESS = 0.98  # of an error of which a part cannot be avoided
_BELOW = 0.25  # of what the best trial gained: so much more is thought to be possible
_DECAY = "--set training.decay=linear"
_AS_FRESH = 0.8  # of the error of fresh weights
_FEWEST_WEIGHTS, _SCATTER = 32, 2.0  # in a tensor; of its deviation, in roots of their number
_LAST_LOSSES = 0.1  # of the training, whose mean is what it reports at its end
_FEWEST_LOSSES = 5
_LOWER = 0.75  # of the measured loss, the most that a reported one which is too low is


def reported_loss(subject: Subject) -> Finding | None:
    """Compare the losses that a training reported with that of the network as it stands."""
    losses = [loss for _, loss in subject.training.losses if np.isfinite(loss)]
    last = losses[-max(_FEWEST_LOSSES, round(_LAST_LOSSES * len(losses))) :]
    if len(last) < _FEWEST_LOSSES or type(subject.denoiser) is not Denoiser:  # others get more than points
        return None
    measured = measured_loss(subject)
    reported = float(np.mean(last))
    error = float(np.std(last) / np.sqrt(len(last)))
    if reported + 3 * error > _LOWER * measured.value - 3 * measured.error:
        return None
    perfect = perfect_loss(subject)
    below = "" if perfect is None else f"; that of a perfect denoiser would be {perfect:.4g}"
    return Finding(
        "loss_disagrees",
        "The reported loss is much lower than that of the network on fresh noise",
        f"The last reported losses are {reported:.4g} in the mean. On training rows with fresh noise and "
        "times the "
        f"network has {measured.value:.4g} (± {1.96 * measured.error:.2g}){below}.",
        None,
        "Draw noise and times anew for each batch (randn, randint inside the loop), and check that the loss "
        "is of "
        "all times, of the noise that was added, and of the network that is kept.",
        "likely",
        picture=Values.of("the last reported losses", last, [(measured.value, "of the network, measured")]),
    )


def training_fault(
    measure: Measure, bands: Sequence[Band], reported: Finding | None, network: Share | None = None
) -> Finding | None:
    """Return what is missing in the network's training: what a short training of ours adds.

    ``network`` is its share of the distance; without one, nothing is returned where no training helps.
    """
    subject = measure.clouds.subject
    where = ""
    worst = max(bands, key=lambda band: band.share.ratio, default=None)
    if worst is not None and worst.share.is_certain:
        where = f" Its errors at {worst} matter most ({in_floors(worst.share.ratio)} × floor)."
    now = mean_error(subject, subject.denoiser)
    what = _error_in_words(subject)
    if network is not None and _cannot_see_time(subject):
        return Finding(
            "schedule_mismatch",
            TIME_IS_UNUSED,
            "For the same points it answers the same at the first and at the last time of the schedule, "
            f"and it costs {network} × floor, with a {what} of {now:.3g}.{where}",
            network.ratio,
            PASS_THE_TIME,
            "likely",
            interval=(network.low, network.high),
        )
    if network is not None and copies_input(subject):
        return Finding(
            "training_target",
            "The network answers its own input x_t: its loss was taken against x_t",
            f"At all levels its output is the noisy point that it was given, to 2% of its square; it costs "
            f"{network} × floor.",
            network.ratio,
            "Train with the loss against the noise ε that was added, not the loss against x_t.",
            "likely",
            interval=(network.low, network.high),
        )
    if network is not None and (fresh := _as_fresh(subject, now)) is not None:
        return Finding(
            "untrained",
            "The network was never trained, or its weights were not loaded",
            f"Its weights are spread as those of a new network, and its {what} of {now:.3g} is that of new "
            f"ones ({fresh:.3g}). It costs {network} × floor.",
            network.ratio,
            "Train it, or load the weights of its training before it samples (network.load_state_dict).",
            "likely",
            interval=(network.low, network.high),
        )
    strange = strange_levels(subject) if network is not None else None
    if network is not None and strange is not None:
        return _of_other_times(subject, network, strange)
    absent = left_out(measure.clouds) if network is not None else None
    if absent is not None:
        return absent
    recipe, flag = subject.training.recipe, subject.training.flag
    falls = recipe is not None and recipe.training.decay != "none"  # the learning rate is known to decay
    probes = probe_rates(subject, subject.denoiser) if isinstance(subject.denoiser, Denoiser) else []
    probes = _by_promise(probes, now, subject.training.learning_rate)
    for best in probes[:2]:
        if not _is_much_better(subject, best.error, now):
            break
        gain = measure.gain(measure.clouds.changed(denoiser=best.denoiser)).confirmed()
        if gain.matters:
            return _verdict(subject, probes, best, now, falls, gain, where, reported)
    little = network is not None and network.ratio < _WORTH_A_LINE
    larger = None if little else probe_larger(subject)
    if larger is not None and larger.error < _LARGER * min([now, *(p.error for p in probes)]):
        gain = measure.gain(measure.clouds.changed(denoiser=larger.denoiser)).confirmed()
        if gain.matters:
            own, more = _weights(subject.denoiser), _weights(larger.denoiser)
            return Finding(
                "small_network",
                "The network is too small",
                f"The same kind of network with {more:,} weights instead of {own:,}, trained for "
                f"{larger.steps} steps, has a {what} of {larger.error:.3g}; this one has {now:.3g}, and "
                f"further steps at any learning rate do not bring it there.{where} {gain.words}",
                None if gain.share is None else gain.share.ratio,
                f"Give it more units or layers{flag('--set network.width=64 --set network.depth=3')}, and "
                "train again.",
                interval=_interval(gain),
            )
    if network is None or network.low < WORTH_NETWORK or network.ratio < _WORTH_A_LINE:
        return None
    fall = "" if falls else f"a learning rate that decays to 0{flag(_DECAY)}, "
    return Finding(
        "network_error",
        "The network has errors, and none of the short trials reduced them much",
        f"The network costs {network} × floor, with a {what} of {now:.3g}.{where}",
        network.ratio,
        f"Train with {fall}more steps or a larger network.",
        "possible",
        "Pass losses=, learning_rate=, trained_steps= and raw= of the training."
        if recipe is None and not subject.training.losses
        else "",
        (network.low, network.high),
    )


def _of_other_times(subject: Subject, network: Share, strange: Strange) -> Finding:
    """Return that a network is handed points and times that it was not trained with."""
    ratio, errors = strange.ratio, strange.errors
    return Finding(
        "schedule_mismatch",
        "The network is handed times or noise levels that it was not trained with",
        f"At σ/α from {min(ratio):.2g} to {max(ratio):.2g} its errors are {min(errors):.2g} to "
        f"{max(errors):.2g} times those of the best linear estimate, while at less noise, which is harder, "
        f"they are {strange.known:.2g} times those. No rule for the times mends it. It costs {network} × "
        "floor.",
        network.ratio,
        f"Hand it the times of its training in their own units (0 to {subject.schedule.t_max:g} here; not "
        "t / T, log σ or σ), with the betas of its training.",
        "possible",
        "Pass the module that you trained, as it was called in training.",
        (network.low, network.high),
    )


def _cannot_see_time(subject: Subject) -> bool:
    """Whether a network does not use the time, and would not with fresh weights either."""
    if not ignores_time(subject):
        return False
    fresh = with_fresh_weights(subject.denoiser) if isinstance(subject.denoiser, Denoiser) else None
    return fresh is None or ignores_time(replace(subject, denoiser=fresh))


def _as_fresh(subject: Subject, now: float) -> float | None:
    """Return the error of a network with fresh weights, where the network as it is cannot be told from it.

    Nothing is returned where its training is known, which then has a fault of its own.
    """
    known = subject.training
    if not isinstance(subject.denoiser, Denoiser) or known.recipe or known.losses or known.steps:
        return None
    fresh = with_fresh_weights(subject.denoiser)
    if fresh is None:
        return None
    pairs = zip(subject.denoiser.network.parameters(), fresh.network.parameters(), strict=True)
    # A last layer may be all 0.
    large = [pair for pair in pairs if pair[0].numel() >= _FEWEST_WEIGHTS and pair[0].any()]
    error = mean_error(subject, fresh)
    alike = bool(large) and all(_spread_alike(*pair) for pair in large)
    return error if alike and now > _AS_FRESH * error else None


def _spread_alike(own: Tensor, fresh: Tensor) -> bool:
    """Whether weights have the deviation of fresh ones."""
    ratio = (own.square().mean() / fresh.square().mean()).sqrt().item()
    return abs(ratio - 1) < _SCATTER / math.sqrt(own.numel())


def _by_promise(probes: Sequence[Probe], now: float, own: float | None) -> list[Probe]:
    """Return probes, the best first; of rates above the training's own, the lowest that is nearly as good.

    A trial is short and decays to 0: it flatters high rates, at which a whole training ends far off.
    """
    probes = sorted(probes, key=lambda probe: probe.error)
    if own is None or not probes or probes[0].learning_rate <= 2 * own:
        return probes
    enough = probes[0].error + _NEARLY * (now - probes[0].error)
    near = [probe for probe in probes if probe.learning_rate > 2 * own and probe.error <= enough]
    first = min(near, key=lambda probe: probe.learning_rate, default=probes[0])
    return [first, *(probe for probe in probes if probe is not first)]


def _is_much_better(subject: Subject, error: float, now: float) -> bool:
    """Whether an error is so much less that samples are worth a look; what is unavoidable is hardly known."""
    return error < (_MUCH if subject.is_exact else _LESS) * now


def _error_in_words(subject: Subject) -> str:
    """Say what :func:`mean_error` is of."""
    return "mean excess error" if subject.is_exact else "mean squared error of its estimates"


def _interval(gain: Gain) -> tuple[float, float] | None:
    return None if gain.share is None else (gain.share.low, gain.share.high)


def _weights(denoiser: object) -> int:
    assert isinstance(denoiser, Denoiser)
    return sum(p.numel() for p in denoiser.network.parameters())


def _verdict(
    subject: Subject,
    probes: Sequence[Probe],
    best: Probe,
    now: float,
    falls: bool,
    gain: Gain,
    where: str,
    reported: Finding | None,
) -> Finding:
    """Return what the best of the probes says, which is much better than ``now``."""
    training, rate = subject.training, best.learning_rate
    own, steps, flag = training.learning_rate, training.steps, training.flag
    what = _error_in_words(subject)
    on = min((p.error for p in probes if p.kind == "on" and own in (None, p.learning_rate)), default=None)
    text = f"{best.steps} steps from {'these' if best.kind == 'on' else 'fresh'} weights "
    if own is not None:
        text += f"at a learning rate of {rate:.1g} "
    text += f"reduce the {what} from {now:.3g} to {best.error:.3g}"
    after = f"{where} {gain.words}"
    nearer, interval = None if gain.share is None else gain.share.ratio, _interval(gain)
    floor = 0.0 if subject.is_exact else best.error - _BELOW * (now - best.error)
    if own is not None and (on is None or best.error - floor < _MUCH * (on - floor)):
        reach = "" if on is None else f"; at its own rate of {own:.3g}, to {on:.3g}"
        to = f"{rate:.1g}{flag(f'--set training.learning_rate={rate:.1g}')}"
        fall = "" if falls else f", and let it decay to 0{flag(_DECAY)}"
        if rate < own / 2:
            title = f"A learning rate of {own:.3g} is too high"
            fix = f"Lower it to {to}{fall}."
            return Finding(
                "learning_rate_high", title, f"{text}{reach}.{after}", nearer, fix, interval=interval
            )
        # A trial that is as long as the whole training shows what its steps bring, and not the rate alone.
        part = _MUCH if steps is None or steps > 3 * best.steps else _NOWHERE
        if rate > 2 * own and (on is None or on - floor > part * (now - floor)):
            title = f"A learning rate of {own:.3g} is too low"
            longer = f", and train for {best.steps:,} steps at least" if steps and steps < best.steps else ""
            fix = f"Raise it to {to}{fall}{longer}."
            return Finding(
                "learning_rate_low", title, f"{text}{reach}.{after}", nearer, fix, interval=interval
            )
    low = min((p.error for p in probes if p.kind == "on" and p.learning_rate <= _LOW_RATE), default=now)
    near = now < _NEAR and low - best.error < _FEW * (now - best.error)
    if own is None and near and training.recipe is None:
        return Finding(
            "learning_rate_high",
            "The learning rate was too high at the end of training",
            f"{text}.{after} As small steps are enough, its weights lie near a good place.",
            nearer,
            "Let the learning rate decay to 0, or train on with a tenth of it; average the weights.",
            "possible",
            "Pass the learning rate of the training as learning_rate=, and its losses as losses=.",
            interval,
        )
    longer = "several times as many steps"
    if steps:
        enough = 3 * max(steps, best.steps)
        longer = f"{enough:,} steps{flag(f'--steps {enough}')}"
    if training.recipe is not None:
        title = "Training ended too early" + (f" after {steps:,} steps" if steps else "")
        return Finding(
            "undertrained",
            title,
            f"{text}.{after}",
            nearer,
            f"Train longer, for {longer}.",
            interval=interval,
        )
    # It was another loop that trained: what ours reaches says that the network can do more, not why.
    needs = (
        ""
        if training.losses
        else "Pass the losses of the training as losses=: they tell a short one from a faulty one; and where "
        "these are averaged weights, the last ones as raw=."
    )
    averaged = (
        "" if training.raw is not None else "; if these are averaged weights, look at the last ones first"
    )
    cause = (
        " The reported loss is far below the measured one: its noise or times are reused." if reported else ""
    )
    return Finding(
        "undertrained",
        "The network can learn more than it has",
        f"{text}, in a loop of ours.{after}{cause} Either training was too short, or its loop is at fault.",
        nearer,
        f"Train for {longer}, with noise and times drawn anew for each batch{averaged}.",
        "likely" if training.losses and not reported else "possible",
        needs,
        interval,
    )
