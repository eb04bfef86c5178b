"""What may be wrong with a network as it is used: its reading, times, units, average, mode?"""

from __future__ import annotations

import numpy as np
import torch

from diffuscope.diagnosis.budget import Budget
from diffuscope.diagnosis.dictionary import FITTED, QUANTITIES, Entry
from diffuscope.diagnosis.distances import Clouds, Share
from diffuscope.diagnosis.findings import Finding, Suspect, matters
from diffuscope.diagnosis.levels import level_errors, mean_error
from diffuscope.diagnosis.pictures import ErrorByLevel
from diffuscope.diagnosis.probes import (
    EVALUATE,
    in_training_mode,
    with_network,
)
from diffuscope.diagnosis.readings import (
    Readings,
    Units,
    ignores_time,
    read_network,
    units_of_training,
)
from diffuscope.diagnosis.subject import Subject
from diffuscope.diagnosis.training_noise import ForwardFound, forward_of_training
from diffuscope.diffusion.denoiser import Denoiser

__all__ = [
    "PASS_THE_TIME",
    "TIME_IS_UNUSED",
    "WORTH_NETWORK",
    "first_not_finite",
    "network_suspects",
    "training_mode",
]

TIME_IS_UNUSED = "The network does not use the time: its output is the same at every time"
PASS_THE_TIME = "Pass the time to the network, in the units that it was trained with (0 ... T − 1, or t / T)."

WORTH_NETWORK = 0.5  # the share of a network that is as good as one may expect scatters up to here
_MOST_OF_IT = 2 / 3  # of the distance beyond the floor: what another quantity, or fitted times, have to bring
_FEW_CLOUDS = 6
_NO_BETTER = 0.9  # of the error of another reading, the most that another forward step leaves


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
    rows = 256 if subject.probe else 16
    for i in range(subject.grid.n_steps):
        level = subject.grid.levels.at(i)
        _, x_t = subject.noised(level, k=5000, n=rows)
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
    if forward.is_normal:
        return Suspect(
            "schedule_mismatch",
            f"Training noised the data by {forward.name}, not by √ᾱ x_0 + √(1−ᾱ) ε",
            f"On points noised so, its errors are {found.ratio:.2g} times those of the best linear estimate, "
            f"on points noised rightly they are {found.normal:.2g} times those.",
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
        f"With {forward.name} its errors are {found.ratio:.2g} times those of the best linear estimate, with "
        f"normal noise they are {found.normal:.2g} times those. It costs {network} × floor.",
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
            TIME_IS_UNUSED,
            evidence,
            PASS_THE_TIME,
            parts={"denoiser": best.denoiser},
            picture=picture,
        )
    return Suspect(
        "schedule_mismatch",
        f"The network was trained with other times than it is given: {entry.time}",
        f"{evidence} It fits as {what}.",
        f"Give the network {entry.time}, as in its training, or sample with the betas and times of training.",
        parts={"denoiser": best.denoiser},
        least=_MOST_OF_IT if entry.time == FITTED else 0.0,  # fitted, they explain a little of anything
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
    values = changed.first_distances(_FEW_CLOUDS)
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
