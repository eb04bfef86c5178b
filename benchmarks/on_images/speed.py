"""Who is how fast, in training and in sampling? All contestants in turns, round by round, a process each."""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import torch
from report import table

from diffuscope.precision import half_type
from on_images.contestants import CONTESTANTS, OURS, THEIRS_BY_US
from on_images.jobs import Job, MissingError, Result, start

__all__ = ["measure_speed", "middle"]

ASKED = 1.5
WORKS = ("training", "sampling")

Results = dict[tuple[str, str, str], list[Result]]  # by who, precision and work; one for each round


def measure_speed(options: argparse.Namespace) -> str:
    """Have all do the same, and return tables and judgements.

    Parameters
    ----------
    options : Namespace
        ``device``, ``compile``, ``rounds``, ``steps``, ``evaluations``, ``images``, ``batch``, ``warm_up``,
        ``threads``.
    """
    half = half_type("auto", torch.device(options.device))
    precisions = ["float32", "auto"] if half is not None else ["float32"]
    names = {"float32": "float32", "auto": str(half).removeprefix("torch.")}
    results, missing = _rounds(options, precisions)
    parts = [
        _training_table(results, names, options.batch),
        _judged(results, names, "training", "images/s in training", lambda one: 1 / one.seconds),
        _sampling_table(results, names, options.images),
        _judged(results, names, "sampling", "images/s in sampling", lambda one: 1 / one.seconds / one.walk),
        _judged(
            results, names, "sampling", "evaluations of the network a second", lambda one: 1 / one.seconds
        ),
        _memory(results, names),
    ]
    said = (
        f"{options.rounds} rounds, in turns, a process each: {options.warm_up} step(s) to warm up and "
        f"{options.steps} of {options.batch} images that are timed; walks with {options.images} images. Of "
        f"longer walks the first {options.evaluations} evaluations are timed, and multiplied. "
        f"Threads: {options.threads or 'as torch takes them'}; {_device(options.device)}"
        f"{', compiled for training' if options.compile else ''}."
    )
    if half is None:
        said += " The device has no 16-bit products in hardware: all is float32."
    said += "".join(f" {who} left out: {why}." for who, why in missing.items())
    return "\n\n".join([*(part for part in parts if part), said])


def _device(name: str) -> str:
    return f"on {torch.cuda.get_device_name()}" if name == "cuda" else "on the CPU"


def _rounds(options: argparse.Namespace, precisions: Sequence[str]) -> tuple[Results, dict[str, str]]:
    """Let all do their work in turns; who is missing is asked once."""
    results: Results = defaultdict(list)
    missing: dict[str, str] = {}
    for number in range(options.rounds):
        for work in WORKS:
            for precision in precisions:
                for who in CONTESTANTS:
                    if who in missing:
                        continue
                    job = Job(
                        who,
                        work,
                        precision,
                        options.device,
                        options.compile,
                        options.batch,
                        options.steps,
                        options.images,
                        options.evaluations,
                        options.warm_up,
                        options.threads,
                    )
                    try:
                        result = start(job)
                    except MissingError as error:
                        missing[who] = str(error)
                        print(f"{who} is missing: {error}", flush=True)
                        continue
                    results[who, precision, work].append(result)
                    words = f"{result.seconds:.3f} s, {result.peak:.0f} MiB"
                    print(f"round {number + 1}, {work}, {precision}, {who}: {words}", flush=True)
    return results, missing


def _training_table(results: Results, names: dict[str, str], batch: int) -> str:
    head = ["training", "parameters", "GFLOP an image", "in", "a step, s", "images/s", "peak memory, MiB"]
    rows = []
    for (who, precision, work), found in _ordered(results):
        if work == "training":
            seconds = [one.seconds for one in found]
            rows.append(
                [
                    who,
                    f"{found[0].parameters:,}",
                    f"{found[0].gflop:.3f}",
                    names[precision],
                    middle(seconds, 3),
                    middle([batch / one for one in seconds], 1),
                    middle([one.peak for one in found], 0),
                ]
            )
    return table(head, rows)


def _sampling_table(results: Results, names: dict[str, str], n: int) -> str:
    head = ["sampling", "in", "evaluations", "an evaluation, s", f"{n} images, s", "peak memory, MiB"]
    rows = []
    for (who, precision, work), found in _ordered(results):
        if work == "sampling":
            rows.append(
                [
                    who,
                    names[precision],
                    str(found[0].walk),
                    middle([one.seconds for one in found], 4),
                    middle([one.seconds * one.walk for one in found], 2),
                    middle([one.peak for one in found], 0),
                ]
            )
    return table(head, rows)


def _judged(
    results: Results, names: dict[str, str], work: str, what: str, speed: Callable[[Result], float]
) -> str:
    """Say by how much ours is faster than the best other of each round, in each precision and at best."""
    said = []
    for ours, others, words in (
        *(([precision], [precision], f"in {name}") for precision, name in names.items()),
        (list(names), list(names), "the best precision of each"),
    ):
        mine = _best(results, [OURS], ours, work, speed)
        theirs = _best(results, _peers(), others, work, speed)
        if mine and theirs:
            ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
            verdict = "met" if statistics.median(ratios) >= ASKED else "NOT met"
            said.append(f"{words} {middle(ratios, 2)}, {verdict}")
    if not said:
        return ""
    return f"{what}, ours ÷ the best other's, round by round (target: {ASKED}): {'; '.join(said)}."


def _memory(results: Results, names: dict[str, str]) -> str:
    """Say whether our peaks are above those of the least of the others."""
    said = []
    for work in WORKS:
        for precision, name in names.items():
            mine = _best(results, [OURS], [precision], work, lambda one: -one.peak)
            theirs = _best(results, _peers(), [precision], work, lambda one: -one.peak)
            if mine and theirs:
                ratio = statistics.median(mine) / statistics.median(theirs)
                said.append(f"{work} in {name} {ratio:.2f}, {'met' if ratio <= 1 else 'NOT met'}")
    return f"Peak memory, ours ÷ the least other's (target: at most 1): {'; '.join(said)}." if said else ""


def _best(
    results: Results,
    who: Iterable[str],
    precisions: Iterable[str],
    work: str,
    value: Callable[[Result], float],
) -> list[float]:
    """Return the largest value in each round; nothing where nobody was measured."""
    found = [results.get((one, precision, work), []) for one in who for precision in precisions]
    return [max(values) for values in zip(*([value(r) for r in own] for own in found if own), strict=True)]


def _peers() -> list[str]:
    return [who for who in CONTESTANTS if who not in (OURS, THEIRS_BY_US)]


def _ordered(results: Results) -> list[tuple[tuple[str, str, str], list[Result]]]:
    """Return what was measured by contestant, not by precision."""
    order = list(CONTESTANTS)
    return sorted(results.items(), key=lambda item: order.index(item[0][0]))


def middle(values: Sequence[float], digits: int) -> str:
    """Return the median, and the least and the largest value."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"
