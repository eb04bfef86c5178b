"""Which mistake makes samples like the user's, of whose sampling code nothing else is seen?

The user's network is run in every loop with a mistake (:mod:`.loops`), at other times, in training mode, with
guidance, with columns and units mistaken. The samples that are nearest to the user's name the mistake: with
certainty where they cannot be told apart.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffuscope.data.affine import Scaling
from diffuscope.diagnosis.budget import Budget
from diffuscope.diagnosis.dictionary import orders_of
from diffuscope.diagnosis.distances import Clouds, Share
from diffuscope.diagnosis.findings import Suspect, matters
from diffuscope.diagnosis.loops import LOOPS, SOUND, Loop
from diffuscope.diagnosis.probes import EVALUATE, in_training_mode, with_network
from diffuscope.diagnosis.subject import Points, Subject
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.schedules import DiscreteSchedule, Grid, NoiseLevel
from diffuscope.metrics.two_sample import classifier_two_sample

__all__ = ["closest_loop", "own_code"]

_CLOSE = 1.5  # floors apart: the loop is the user's
_ANOTHER = 0.15  # of how far samples of our sampler are: another sound loop is the user's
_WIDE, _NEAR = 0.3, 2.0  # the same, where two clouds as wide are hardly nearer to each other
_NEARLY = 0.3  # floors more: another loop may be it as well
_OTHER = 0.54  # accuracy of trees from which on samples are not those of a sound loop: 5 standard errors
_CHANCE = 0.02  # accuracies that may differ by chance
_ALIKE = 0.53  # accuracy up to which two clouds do not differ
_AGREED = 4
_ENOUGH = 1_000  # samples of a loop
_FINALISTS = 10
_ONE_POINT = 1e-6  # deviations of the data
_MOST = 2_000  # samples that trees look at
_SWAPPED = 12  # columns, at most, of which pairs are exchanged
_STRIDES, _HARDLY = (2, 3, 5, 7, 10, 12, 16, 20, 25, 33, 50), 4  # of levels; up to some do no harm
_USUAL_STRIDES = (2, 5, 10)
_GUIDANCE = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
_MOST_CLASSES = 1_000
_STEP = "Pass your step as sampler=: then its coefficients are measured."


class _Imitation(NamedTuple):
    """A mistake, and samples of the same network made with it, as ``shown``."""

    code: str
    words: str
    fix: str
    made: Points
    more: Callable[[], Points]  # as many again


class _Made(NamedTuple):
    """Samples, and how as many again are made."""

    made: Points
    more: Callable[[], Points]


def own_code(clouds: Clouds, budget: Budget) -> Suspect | None:
    """Find the mistake in the user's sampling code, where its samples are worse than ours of the network."""
    subject, share = clouds.subject, budget.get("rest")
    if subject.samples is None or share is None or not matters(share):
        return None
    evidence = (
        f"Samples of the same network with our sampler are {share} × floor nearer to real data than the "
        "given samples."
    )
    clouds = Clouds(subject.with_clouds(_ENOUGH))  # each loop is run but once
    subject = clouds.subject
    assert subject.samples is not None
    given = subject.shown(subject.samples[: subject.reference.n])
    if np.ptp(given, axis=0).max() < _ONE_POINT:
        return _one_point(clouds, evidence, share)
    halves = subject.reference.distance(given[::2], given[1::2])
    floor = max(clouds.floor, halves / math.sqrt(2))  # of two clouds as wide as the given one

    def apart(made: Points) -> float:
        return subject.reference.distance(given, made) if np.isfinite(made).all() else math.inf

    own, *alike = (apart(one) for one in _sound(clouds))
    ours = min(own, *alike)
    if ours < max(_CLOSE * clouds.floor, _ANOTHER * own, min(_NEAR * floor, _WIDE * own)):
        return None  # that another sound loop makes so much of a difference is not the loop's fault
    tried = sorted(((apart(one.made), one) for one in _imitations(clouds)), key=lambda pair: pair[0])
    like_it = {one.code for far, one in tried if far < tried[0][0] + _NEARLY * floor}
    if tried[0][0] > _CLOSE * floor or len(like_it) > 1:  # it may be two things at once
        tried += [(apart(one.made), one) for one in _of_strided_loops(clouds)]
        tried.sort(key=lambda pair: pair[0])
    distance = tried[0][0]
    agreed = len({one.code for _, one in tried[:_AGREED]}) == 1  # of a kind, though not the very loop
    far = distance > 0.5 * ours or (distance > 3 * floor and distance > 0.2 * ours)
    if far and not (agreed and distance < 0.75 * ours):
        return Suspect(
            "sampling_code",
            "Your sampling code makes worse samples than the network allows",
            f"{evidence} They are not like those of any loop with a common mistake.",
            "Compare its start, α, σ and noise with diffuscope.diffusion.samplers, or sample with those.",
            "certain",
            _STEP,
            share=share,
        )
    near = [pair for pair in tried if pair[0] < distance + _NEARLY * floor][:_FINALISTS]
    if len({one.code for _, one in near}) > 1:
        given, near = _with_more(subject, given, near)
        # Trees see more than a distance; below one half they see nothing.
        told = {id(one): max(0.5, _accuracy(given, one.made, subject.seed)) for _, one in near}
        least = min(told.values())
        near.sort(key=lambda pair: (told[id(pair[1])] > least + _CHANCE, pair[0]))
    distance, best = near[0]
    others = [one for _, one in near[1:] if one.code != best.code]
    apart_by = f"{distance / clouds.floor:.1f} × floor apart (ours are {ours / clouds.floor:.1f})"
    evidence += f" They are like those of a loop in which {best.words}: {apart_by}."
    if others:
        evidence += f" Nearly as alike: {others[0].words}."
    sure = distance < _CLOSE * floor and not others
    return Suspect(
        best.code,
        f"In your sampling code {best.words}",
        evidence,
        best.fix,
        "certain" if sure else "likely",
        "" if sure else _STEP,
        share=share,
    )


def _with_more(
    subject: Subject, given: Points, near: Sequence[tuple[float, _Imitation]]
) -> tuple[Points, list[tuple[float, _Imitation]]]:
    """Return twice as many of the given samples and of those of loops, where there are so many given."""
    assert subject.samples is not None
    rest = subject.samples[len(given) : 2 * len(given)]
    if len(rest) < len(given):
        return given, list(near)
    rest, found = subject.shown(rest), []
    for far, one in near:
        more = one.more()
        if np.isfinite(more).all():
            far = (far + subject.reference.distance(rest, more)) / 2
            found.append((far, one._replace(made=np.concatenate([one.made, more]))))
    if not found:
        return given, list(near)
    return np.concatenate([given, rest]), sorted(found, key=lambda pair: pair[0])


def _one_point(clouds: Clouds, evidence: str, share: Share) -> Suspect:
    """Return which loops overflow with this network, as all samples are the same point."""
    over = [one for one in _imitations(clouds) if not np.isfinite(one.made).all()]
    evidence += " All given samples are one and the same point, as where values that overflow are replaced."
    title, code = "Your sampling code returns one and the same point", "sampling_code"
    fix = "Print the largest |x| after each step: the first step that makes it grow is wrong."
    if over:
        most = max(over, key=lambda one: [other.code for other in over].count(one.code))
        code, title, fix = most.code, f"In your sampling code {most.words}", most.fix
        evidence += (
            f" Values overflow in loops in which {'; '.join(dict.fromkeys(one.words for one in over))}."
        )
    return Suspect(code, title, evidence, fix, "possible", _STEP, share=share)


def closest_loop(clouds: Clouds) -> Suspect | None:
    """Find the mistake in the user's sampling code where only trees tell its samples from ours."""
    if clouds.subject.samples is None:
        return None
    clouds = Clouds(clouds.subject.with_clouds(_MOST))
    subject = clouds.subject
    assert subject.samples is not None
    order = subject.random("claim").permutation(len(subject.samples))[:_MOST]
    given = subject.written(subject.shown(subject.samples[order]))

    def told(made: Points) -> float:
        finite = bool(np.isfinite(made).all())
        return _accuracy(given, subject.written(made), subject.seed) if finite else 1.0

    ours = min(told(one) for one in _sound(clouds))
    if ours < _OTHER:
        return None
    tried = [(told(one.made), one) for one in _imitations(clouds)]
    least = min(accuracy for accuracy, _ in tried)
    if least > _ALIKE and least - 0.5 > (ours - 0.5) / 2:
        return None
    same = [(accuracy, one) for accuracy, one in tried if accuracy < least + _CHANCE]
    accuracy, best = same[0]  # the most common mistake comes first
    others = list(dict.fromkeys(one.words for _, one in same if one.code != best.code))
    also = f" Not to be told from it: {'; '.join(others[:2])}." if others else ""
    sure = least < _ALIKE and not others
    return Suspect(
        best.code,
        f"In your sampling code {best.words}",
        f"Boosted trees tell the given samples from ours of the same network in {ours:.0%} of cases, and "
        f"from those of a loop in which {best.words} in {accuracy:.0%} (chance is 50%).{also}",
        best.fix,
        "certain" if sure else "likely",
        "" if sure else _STEP,
    )


def _accuracy(one: Points, other: Points, seed: int) -> float:
    return classifier_two_sample(one[:_MOST], other[:_MOST], seed).accuracy


def _sound(clouds: Clouds) -> Iterator[Points]:
    """Yield samples of the network by loops without a mistake."""
    yield clouds.first(1)[0]
    for loop in SOUND:
        yield clouds.changed(sampler=loop).first(1)[0]


def _imitations(clouds: Clouds) -> Iterator[_Imitation]:
    """Yield what can be imitated; what the network cannot be handed is left out."""
    for make in (_of_loops, _of_grids, _of_times, _of_networks, _of_guidance, _of_units, _of_orders):
        yield from make(clouds)


def _made(clouds: Clouds, denoiser: DenoiserLike | None = None) -> _Made | None:
    """Return samples; None where the user's network fails."""
    own = denoiser or clouds.subject.denoiser
    try:
        made = clouds.generate(own, 1)[0]
    except Exception:  # whatever a network does with a time or class that is not its own
        return None
    return _Made(made, lambda: clouds.generate(own, 2, first=1)[0])


def _of_loops(clouds: Clouds) -> Iterator[_Imitation]:
    schedule = clouds.subject.schedule
    for loop in LOOPS:
        made = _made(clouds.changed(sampler=dataclasses.replace(loop, schedule=schedule)))
        if made is not None:
            yield _Imitation(loop.code, loop.words, loop.fix, *made)


def _loop(name: str) -> Loop:
    return next(loop for loop in (*LOOPS, *SOUND) if loop.name == name)


def _of_grids(clouds: Clouds) -> Iterator[_Imitation]:
    """Yield loops that visit other levels than they should."""
    grid, schedule = clouds.subject.grid, clouds.subject.schedule
    n = grid.n_steps
    single = _loop("betas of single steps")
    for every in _STRIDES:
        if n < 2 * every:
            continue
        last, some = _loop("all of the last β"), _every(grid, every)
        for loop in (last, dataclasses.replace(single, schedule=schedule)):
            made = _made(clouds.changed(sampler=loop, grid=some))
            if made is not None:
                yield _Imitation(loop.code, loop.words, loop.fix, *made)
        for loop in SOUND:
            made = _made(clouds.changed(sampler=loop, grid=some))
            if made is not None and every > _HARDLY:
                words = f"only about {some.n_steps} of {n} steps are taken"
                yield _Imitation("few_steps", words, f"Take more of the {n} steps.", *made)
    for left in sorted({1, n // 20, n // 5} - {0}):
        if n - left < 2:
            continue
        short = Grid(grid.levels.at(torch.arange(n - left + 1)), grid.at_ratio)
        for loop in SOUND:
            made = _made(clouds.changed(sampler=loop, grid=short))
            if made is not None:
                words = f"the last {left} of {n} steps are left out"
                yield _Imitation("steps_left_out", words, "Run the loop down to and including t = 0.", *made)


def _of_strided_loops(clouds: Clouds) -> Iterator[_Imitation]:
    """Yield loops with a mistake that skip levels as well, as sound ones may."""
    grid = clouds.subject.grid
    for every in _USUAL_STRIDES:
        if grid.n_steps < 4 * every:
            continue
        for loop in LOOPS:
            if loop.code in ("start", "skipped_betas"):
                continue
            made = _made(clouds.changed(sampler=loop, grid=_every(grid, every)))
            if made is not None:
                words = f"{loop.words} (and about {math.ceil(grid.n_steps / every)} times are visited)"
                yield _Imitation(loop.code, words, loop.fix, *made)


def _every(grid: Grid, k: int) -> Grid:
    """Return a grid of every k-th level."""
    n = grid.n_steps
    return Grid(grid.levels.at(torch.tensor([*range(0, n, k), n])), grid.at_ratio)


def _of_times(clouds: Clouds) -> Iterator[_Imitation]:
    """Yield loops that hand the network other times."""
    subject = clouds.subject
    schedule = subject.schedule
    if not isinstance(schedule, DiscreteSchedule):
        return
    last = int(schedule.T) - 1
    maps: dict[str, Callable[[Tensor], Tensor]] = {
        "t + 1": lambda t: (t + 1).clamp_max(last),
        "t − 1": lambda t: (t - 1).clamp_min(0),
        "T − 1 − t": lambda t: last - t,
        "one and the same time": lambda t: torch.full_like(t, last // 2),
        "0 at every step": torch.zeros_like,
        "t / T": lambda t: t / (last + 1),
    }
    for name, other in maps.items():
        made = _made(clouds, _at_times(subject, other))
        if made is not None:
            words = f"the network is handed {name} as its time, not t"
            yield _Imitation("schedule_mismatch", words, "Hand the network its times of training: t.", *made)


def _at_times(subject: Subject, other: Callable[[Tensor], Tensor]) -> DenoiserLike:
    def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
        return subject.denoiser(x_t, level._replace(t=other(level.t)))

    return denoise


def _of_networks(clouds: Clouds) -> Iterator[_Imitation]:
    """Yield the network in training mode, and with its last weights."""
    subject = clouds.subject
    denoiser, raw = subject.denoiser, subject.training.raw
    if not isinstance(denoiser, Denoiser):
        return
    training = in_training_mode(denoiser)
    if training is not None:
        made = _made(clouds, training)
        if made is not None:
            words = "the network is in training mode: dropout or batch norm change its output"
            yield _Imitation("training_mode", words, EVALUATE, *made)
    if raw is not None:
        made = _made(clouds, with_network(denoiser, raw).eval())
        if made is not None:
            yield _Imitation(
                "raw_weights",
                "the last weights sample, not their average",
                "Load the averaged weights before sampling.",
                *made,
            )


def _of_guidance(clouds: Clouds) -> Iterator[_Imitation]:
    """Yield classifier-free guidance of a network ``(x, t, y)``, all classes alike."""
    subject = clouds.subject
    denoiser = subject.denoiser
    if not isinstance(denoiser, Denoiser):
        return
    network = denoiser.network
    try:
        names = list(inspect.signature(network.forward).parameters)
    except (TypeError, ValueError):
        return
    tables = [m.num_embeddings for m in network.modules() if isinstance(m, nn.Embedding)]
    sizes = [n for n in tables if 2 <= n <= _MOST_CLASSES and n != getattr(subject.schedule, "T", None)]
    if len(names) < 3 or not sizes:
        return

    def guided(weight: float, classes: int) -> DenoiserLike:
        conditioned = with_network(denoiser, _OfClasses(network, classes)).eval()

        def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
            free: Tensor = denoiser(x_t, level)
            made: Tensor = free + weight * (conditioned(x_t, level) - free)
            return made

        return denoise

    most = min(sizes)  # with or without a row for the absent class
    for loop, weight, classes in product(SOUND[:2], _GUIDANCE, {max(2, most - 1), most}):
        made = _made(clouds.changed(sampler=loop), guided(weight, classes))
        if made is not None:
            words = f"guidance of about {weight:g} is applied"
            fix = "Lower the guidance towards 1, or guide in the middle of the noise levels only."
            yield _Imitation("guidance", words, fix, *made)


class _OfClasses(nn.Module):
    """A network with a class for each row, one after the other."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Answer for classes 0, 1, ... in turn."""
        y = torch.arange(len(x), device=x.device) % self.classes
        answer: Tensor = self.network(x, t, y)
        return answer


def _of_units(clouds: Clouds) -> Iterator[_Imitation]:
    """Yield samples that are brought back to the units of the data by mistake."""
    scaling, d = clouds.subject.scaling, clouds.subject.d
    one, zero = np.ones(d), np.zeros(d)
    found = [
        ("samples are not brought back to the units of the data", Scaling(zero, one)),
        ("samples are multiplied by the scale, but not shifted", Scaling(zero, scaling.scale)),
        ("samples are shifted, but not multiplied by the scale", Scaling(scaling.shift, one)),
        ("samples are multiplied by the square of the scale", Scaling(scaling.shift, scaling.scale**2)),
    ]
    for words, other in found:
        if np.allclose(other.shift, scaling.shift) and np.allclose(other.scale, scaling.scale):
            continue
        made = _made(clouds.changed(sampler=SOUND[0], scaling=other))
        if made is not None:
            fix = "Return samples · scale + shift, with shift and scale of training."
            yield _Imitation("units", words, fix, *made)


def _of_orders(clouds: Clouds) -> Iterator[_Imitation]:
    """Yield samples with two columns exchanged, or all turned round."""
    subject = clouds.subject
    d, reference = subject.d, subject.reference
    if not 1 < d <= _SWAPPED or len(reference.middle) != d:
        return
    made = _made(clouds.changed(sampler=SOUND[0]))
    if made is None:
        return

    def ordered(points: Points, order: list[int]) -> Points:
        return reference.normalised((points * reference.unit + reference.middle)[:, order])

    for order in orders_of(d):
        listed = ", ".join(str(1 + j) for j in order)
        words = f"columns are returned in the order {listed}"
        fix = "Return the columns in the order of the data."
        yield _Imitation(
            "column_order",
            words,
            fix,
            ordered(made.made, order),
            lambda order=order: ordered(made.more(), order),  # type: ignore[misc]
        )
