"""What may be wrong with the network: its reading, its times, its units, its average, its training?

Cheap questions that settle the matter come first; the last resort is to train, for a second at a time
(:mod:`~diffuscope.diagnosis.probes`). Such a training is ours, whatever the user's own loop does: of a loop
that was not run here it says what the network can still learn, not why it has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from diffuscope.diagnosis.budget import Budget
from diffuscope.diagnosis.dictionary import QUANTITIES, Entry
from diffuscope.diagnosis.distances import Clouds, Share
from diffuscope.diagnosis.findings import Finding, Gain, Measure, Suspect, matters
from diffuscope.diagnosis.left_out import left_out
from diffuscope.diagnosis.levels import Band, level_errors, mean_error, measured_loss, perfect_loss
from diffuscope.diagnosis.pictures import ErrorByLevel, Values
from diffuscope.diagnosis.probes import (
    EVALUATE,
    Probe,
    in_training_mode,
    probe_larger,
    probe_rates,
    with_fresh_weights,
    with_network,
)
from diffuscope.diagnosis.readings import (
    Readings,
    Units,
    copies_input,
    ignores_time,
    read_network,
    units_of_training,
)
from diffuscope.diagnosis.subject import Subject
from diffuscope.diagnosis.training_noise import ForwardFound, forward_of_training
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.metrics.floor import in_floors

__all__ = [
    "WORTH_NETWORK",
    "first_not_finite",
    "network_suspects",
    "reported_loss",
    "training_fault",
    "training_mode",
]

WORTH_NETWORK = 0.5  # the share of a network that is as good as one may expect scatters up to here
_WORTH_A_LINE = 1.0  # floors: a network that costs less is named only with what makes it better
_MUCH = 0.5
_MOST_OF_IT = 2 / 3  # of the distance beyond the floor: what another quantity has to bring
_LOW_RATE = 1e-4  # at which a network only settles where it is
_NEAR, _FEW = 1.5, 0.25  # an error that is nearly that of a fair network, and what settling leaves of it
_LARGER = 0.9  # of an error: what makes the samples of a larger network worth a look
_LESS = 0.98  # of an error of which a part cannot be avoided
_BELOW = 0.25  # of what the best trial gained: so much more is thought to be possible
_DECAY = "--set training.decay=linear"
_FEW_CLOUDS = 6
_LAST_LOSSES = 0.1  # of the training, whose mean is what it reports at its end
_FEWEST_LOSSES = 5
_NO_BETTER = 0.9  # of the error of another reading, the most that another forward step leaves
_LOWER = 0.75  # of the measured loss, the most that a reported one which is too low is


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


def network_suspects(clouds: Clouds, budget: Budget) -> list[Suspect]:
    """Return what may stand between the network as it is and the network as it is used."""
    subject = clouds.subject
    readings, units = read_network(subject), units_of_training(subject)
    forward = forward_of_training(subject)
    suspects = [_reading(subject, readings), _units(units, subject)]
    if forward is not None:
        fits = [readings.ratio_to_linear, *([] if units is None else [units.error / units.linear])]
        mistaken = _forward(forward, budget.get("network"))
        if forward.denoiser is not None:
            suspects.append(mistaken)
        elif mistaken is not None and forward.ratio < _NO_BETTER * min(fits):
            suspects = [mistaken]  # no sampling can show it, and whatever does a little of it would be tried
    return [one for one in (*suspects, _average(subject)) if one is not None]


def _forward(found: ForwardFound, network: Share | None) -> Suspect | None:
    """Return the forward step of a training that noised data otherwise than sampling takes it."""
    forward = found.forward
    errors = (
        f"its errors are {found.ratio:.2g} times those of the best linear estimate, "
        f"{{}} they are {found.normal:.2g} times those."
    )
    if forward.is_normal:
        return Suspect(
            "schedule_mismatch",
            f"Training noised the data by {forward.name}, not by √ᾱ x_0 + √(1−ᾱ) ε",
            f"On points noised so, {errors.format('on points noised rightly')}",
            "Noise the data in training by √ᾱ x_0 + √(1−ᾱ) ε, ᾱ the cumulative product of 1 − β, with both "
            "square roots (sqrt), and train again.",
            "likely",
            parts={"denoiser": found.denoiser},
        )
    if network is None or not matters(network, WORTH_NETWORK):
        return None
    return Suspect(
        "training_noise",
        f"The network was trained with {forward.name}, not with normal noise",
        f"With {forward.name} {errors.format('with normal noise')} It costs {network} × floor.",
        "Draw the noise of the training with torch.randn (normal), not torch.rand (uniform).",
        "likely",
        share=network,
    )


def _reading(subject: Subject, readings: Readings) -> Suspect | None:
    """Return another way to read the network, where that is much better."""
    best, own = readings.best, readings.own
    if best is None:
        return None
    entry = best.entry
    evidence = (
        f"As it is used, the mean squared error of its estimates is {own.error:.3g} (of the best linear "
        "estimate "
        f"{readings.linear:.3g}); read so, it is {best.error:.3g}."
    )
    second = readings.second
    if second is not None:
        evidence += f" The next best reading, {_words(second.entry)}, has {second.error:.3g}."
    what = _words(entry)
    picture = ErrorByLevel.of(
        readings.ratio,
        ("as it is used", own.errors.mean(axis=1)),
        ("its columns in another order" if entry.columns else f"read as {what}", best.errors.mean(axis=1)),
        limit=("the best linear estimate", readings.linear_errors),
    )
    if entry.columns:
        order = ", ".join(str(1 + j) for j in entry.columns)
        return Suspect(
            "column_order",
            "The network gets its columns in another order than in training",
            evidence,
            f"Give the network the columns in the order {order}.",
            parts={"denoiser": best.denoiser},
            picture=picture,
        )
    if entry.is_read_otherwise:
        sign = "the negative of " if entry.sign < 0 else ""
        title = f"The network predicts {sign}{QUANTITIES[entry.quantity]}, but its output is used as "
        title += QUANTITIES[entry.assumed]
        fix = f"Use its output as {sign}{QUANTITIES[entry.quantity]}."
        if entry.factor:
            factor = _factor_in_words(entry)
            title = f"The network's output is in other units: {factor} times it is {sign}"
            title += QUANTITIES[entry.quantity]
            fix = f"Multiply its output by {factor}, and use it as {sign}{QUANTITIES[entry.quantity]}."
        elif entry.sign > 0 and entry.quantity in ("noise", "data", "velocity", "flow"):
            fix = f'Set prediction="{entry.quantity}".'
        if entry.time != "t":
            title += f", at other times than in training ({entry.time})"
            fix += f" Give it {entry.time} as its time."
        parts = {"denoiser": best.denoiser}
        return Suspect(
            "prediction_type", title, evidence, fix, parts=parts, least=_MOST_OF_IT, picture=picture
        )
    if ignores_time(subject):
        return Suspect(
            "schedule_mismatch",
            "The network does not use the time: its output is the same at every time",
            evidence,
            "Pass the time to the network, in the units that it was trained with (0 ... T − 1, or t / T).",
            parts={"denoiser": best.denoiser},
            picture=picture,
        )
    return Suspect(
        "schedule_mismatch",
        f"The network was trained with other times than it is given: {entry.time}",
        f"{evidence} It fits as {what}.",
        f"Give the network {entry.time}, as in its training, or sample with the betas and times of training.",
        parts={"denoiser": best.denoiser},
        picture=picture,
    )


def _words(entry: Entry) -> str:
    factor = f"{_factor_in_words(entry)} × the output as " if entry.factor else ""
    return f"{factor}{'−' if entry.sign < 0 else ''}{entry.quantity} at {entry.time}"


def _factor_in_words(entry: Entry) -> str:
    """Return one number, or one for each column."""
    numbers = [f"{factor:.3g}" for factor in entry.factor]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"


def _units(units: Units | None, subject: Subject) -> Suspect | None:
    """Return other units in which the network is much better."""
    if units is None:
        return None
    return Suspect(
        "units",
        "The network gets other units than in training",
        f"The mean error of its estimates, for data of deviation 1, is {units.own_error:.3g} in the units "
        "that it "
        f"is said to see, and {units.error:.3g} where it sees {units.name}.",
        f"Scale as in training ({units.name}): scaling=(shift, scale) of the data, and in your own loop too.",
        parts={"scaling": units.scaling},
        picture=ErrorByLevel.of(
            units.ratio, ("in its present units", units.own_errors), (units.name, units.errors)
        ),
    )


def _average(subject: Subject) -> Suspect | None:
    """Return the last weights, where there are averaged ones too."""
    raw, steps = subject.training.raw, subject.training.steps
    if raw is None or not isinstance(subject.denoiser, Denoiser):
        return None
    last = with_network(subject.denoiser, raw).eval()
    of_last, of_average = (level_errors(subject, one) for one in (last, subject.denoiser))
    left, now = (mean_error(subject, one) for one in (last, subject.denoiser))
    most = f" (here {max(0.0, 1 - 10 / steps):.4g} at most)" if steps else ""
    return Suspect(
        "ema_slow",
        "The averaged weights lag behind: the average is too slow for this short run",
        f"The last weights have a mean error of {left:.3g}, their average one of {now:.3g}.",
        f"Lower the decay: 1 / (1 − decay) at most a tenth of the steps{most}; or warm it up, and copy "
        "buffers.",
        parts={"denoiser": last},
        picture=ErrorByLevel.of_network(of_average, other=("its last weights", of_last)),
    )


def training_mode(clouds: Clouds) -> Finding | None:
    """Measure what it costs to sample in training mode, where the network was given so and that matters.

    Samples of the user's own show in which mode they were made: they are compared with both.
    """
    subject = clouds.subject
    if not subject.in_training_mode or subject.samples is not None:
        return None
    other = in_training_mode(subject.denoiser)
    if other is None:
        return None
    changed = clouds.changed(denoiser=other)
    values = changed.distances(changed.subject.denoiser, _FEW_CLOUDS)
    if not np.isfinite(values).all():
        return None
    gain = clouds.gain(values, clouds.network[: len(values)])
    if not matters(gain):
        return None
    return Finding(
        "training_mode",
        "The network is in training mode: dropout or batch norm change its output",
        "It was passed in training mode. Samples in evaluation mode, which all else here is about, are "
        f"{gain} × "
        "floor nearer.",
        gain.ratio,
        EVALUATE,
        "likely",
        "Pass your samples as samples=: they show which mode they came from.",
        (gain.low, gain.high),
    )


# --- training -----------------------------------------------------------------------------------------------


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
            "The network does not use the time: its output is the same at every time",
            "For the same points it answers the same at the first and at the last time of the schedule, "
            f"and it costs {network} × floor, with a {what} of {now:.3g}.{where}",
            network.ratio,
            "Pass the time to the network, in the units that it was trained with (0 ... T − 1, or t / T).",
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
    absent = left_out(measure.clouds) if network is not None else None
    if absent is not None:
        return absent
    recipe, flag = subject.training.recipe, subject.training.flag
    falls = recipe is not None and recipe.training.decay != "none"  # the learning rate is known to decay
    probes = probe_rates(subject, subject.denoiser) if isinstance(subject.denoiser, Denoiser) else []
    probes.sort(key=lambda probe: probe.error)
    for best in probes[:2]:
        if not _is_much_better(subject, best.error, now):
            break
        gain = measure.gain(measure.clouds.changed(denoiser=best.denoiser))
        if gain.matters:
            return _verdict(subject, probes, best, now, falls, gain, where, reported)
    little = network is not None and network.ratio < _WORTH_A_LINE
    larger = None if little else probe_larger(subject)
    if larger is not None and larger.error < _LARGER * min([now, *(p.error for p in probes)]):
        gain = measure.gain(measure.clouds.changed(denoiser=larger.denoiser))
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


def _cannot_see_time(subject: Subject) -> bool:
    """Whether a network does not use the time, and would not with fresh weights either."""
    if not ignores_time(subject):
        return False
    fresh = with_fresh_weights(subject.denoiser) if isinstance(subject.denoiser, Denoiser) else None
    return fresh is None or ignores_time(replace(subject, denoiser=fresh))


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
        if rate < own / 2:
            title = f"A learning rate of {own:.3g} is too high"
            fall = "" if falls else f", and let it decay to 0{flag(_DECAY)}"
            fix = f"Lower it to {to}{fall}."
            return Finding(
                "learning_rate_high", title, f"{text}{reach}.{after}", nearer, fix, interval=interval
            )
        settled = steps is None or steps > best.steps or on is None or on - floor > _MUCH * (now - floor)
        if rate > 2 * own and settled:  # a training that was short as well needs steps first
            title = f"A learning rate of {own:.3g} is too low"
            fix = f"Raise it to {to}."
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
