"""How good are the images of finished runs, and how few steps of which sampler do as well?

Images meet held-out ones in the features of a classifier that was trained on the real training images, as
:func:`diffuscope.metrics.features.image_quality` has it. Where a run is conditioned on classes, images are
drawn of classes as they come in the data.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import table, timed

import diffuscope
from diffuscope.data.images import ImageData
from diffuscope.metrics import FEATURE_METRICS, METRICS, Measured, extrapolated_frechet, frechet_distance
from diffuscope.metrics.features import Extractor, ImageQuality, cached_classifier, image_quality
from diffuscope.runs.run import Run
from on_images.speed import middle

__all__ = ["measure_quality", "measure_sampling"]

MINUTES = 12
SECONDS, IMAGES, WITHIN = 5.0, 64, 1.10
WALKS = (
    *(("dpmpp_2m_sde", steps) for steps in (12, 18, 24, 30)),
    *(("dpmpp_2m", steps) for steps in (10, 18)),
    ("unipc", 10),
    ("heun", 12),
)
LONG = (("ddpm", 200), ("dpmpp_2m_sde", 200))
SHOWN = (
    "frechet_distance",
    "frechet_extrapolated",
    "kernel_distance",
    "precision",
    "recall",
    "class_imbalance",
    "entropy_gap",
)

Pixels = NDArray[np.uint8]


def measure_quality(options: argparse.Namespace) -> str:
    """Put two runs beside each other.

    Parameters
    ----------
    options : Namespace
        ``reference``, ``fast``: run directories; ``n``; ``device``.
    """
    titles = ("annotated_fashion", "fashion_fast")
    runs = [_run(path, options.device) for path in (options.reference, options.fast)]
    found = []
    for title, run in zip(titles, runs, strict=True):
        made = _draw(run, options.n, seed=0)
        found.append(_measured(run, made))
        print(f"{title} is measured: {found[-1]['frechet_distance'].ratio:.2f} × floor", flush=True)
    rows = [
        ["training", *(_length(run.summary["train_seconds"]) for run in runs)],
        ["steps of training", *(f"{run.summary['steps']:,}" for run in runs)],
        ["a step, s, median of its log", *(f"{_step(run):.3f}" for run in runs)],
        ["sampler", *(f"{run.recipe.sampling.name}, {run.recipe.sampling.steps} steps" for run in runs)],
    ]
    for name in SHOWN:
        if any(name in quality for quality in found):
            title = (METRICS | FEATURE_METRICS)[name].title
            rows.append([title, *(_cell(quality.get(name)) for quality in found)])
    judged = [quality.classes for quality in found]
    if all(one is not None for one in judged):
        for title, key in (("Entropy of all classes, nats", "balance"), ("Entropy of one image", "entropy")):
            cells = [f"{getattr(one, key):.3f} (real {getattr(one, f'real_{key}'):.3f})" for one in judged]
            rows.append([title, *cells])
    left_out = {name: why for quality in found for name, why in quality.left_out.items()}
    said = (
        f"{options.n:,} images of each run, in parts of {found[0].size:,}: value, and in brackets its "
        "multiple of what training images score against held-out ones, with the 95% interval. Perfect images "
        f"have a multiple of 1, of the extrapolated and the kernel distance of 0. {_verdict(runs[1], *found)}"
    )
    said += "".join(f" {name} left out: {why}" for name, why in left_out.items())
    return f"{table(['', *titles], rows)}\n\n{said}"


def _verdict(fast: Run, theirs: ImageQuality, ours: ImageQuality) -> str:
    seconds = fast.summary["train_seconds"]
    in_time = "met" if seconds <= 60 * MINUTES else "NOT met"
    a, b = theirs["frechet_distance"], ours["frechet_distance"]
    words = (
        "met" if b.value <= a.value else "no larger within the intervals" if b.low <= a.high else "NOT met"
    )
    return (
        f"Target: at most {MINUTES} minutes of training: {in_time} ({seconds / 60:.1f}); a Fréchet distance "
        f"no larger than the reference's: {words} ({b.value / a.value:.2f} of it)."
    )


def measure_sampling(options: argparse.Namespace) -> str:
    """Sample with few steps and with 200, from the same noise; say what is as good, and what it takes.

    Parameters
    ----------
    options : Namespace
        ``fast``: a run directory; ``sampling_n``, ``sampling_rounds``, ``device``.
    """
    run = _run(options.fast, options.device)
    extractor, data = _extractor(run), _data(run)
    assert data.held_out is not None
    real = extractor.features(data.held_out.pixels)
    seconds: dict[tuple[str, int], list[float]] = {walk: [] for walk in (*WALKS, *LONG)}
    run.images.sample(IMAGES, sampler=WALKS[0][0], steps=WALKS[0][1])  # warms up
    for round_ in range(options.sampling_rounds):
        for sampler, steps in WALKS if round_ else seconds:  # of the long ones one round says enough
            y = "each" if run.images.classes else None
            work = lambda: run.images.sample(IMAGES, sampler=sampler, steps=steps, y=y)  # noqa: B023, E731
            seconds[sampler, steps].append(timed(work))
    plain, beyond = {}, {}
    for walk in seconds:
        made = extractor.features(_draw(run, options.sampling_n, 0, sampler=walk[0], steps=walk[1]))
        plain[walk], beyond[walk] = frechet_distance(made, real), _extrapolated(made, real)
        print(f"{walk[0]}, {walk[1]} steps: {plain[walk]:.3f}", flush=True)
    best = min(LONG, key=lambda walk: plain[walk])
    rows = [
        [
            walk[0],
            str(walk[1]),
            middle(seconds[walk], 2),
            f"{plain[walk]:.3f}",
            f"{plain[walk] / plain[best]:.3f}",
            f"{beyond[walk]:.3f}",
        ]
        for walk in seconds
    ]
    head = ["sampler", "steps", f"{IMAGES} images, s", "Fréchet distance", "÷ the best of 200 steps"]
    good = [walk for walk in WALKS if plain[walk] <= WITHIN * plain[best]]
    verdict = "none"
    if good:
        least = min(good, key=lambda walk: statistics.median(seconds[walk]))
        took = statistics.median(seconds[least])
        verdict = f"{least[0]} in {least[1]} steps, {took:.2f} s: {'met' if took <= SECONDS else 'NOT met'}"
    said = (
        f"{options.sampling_n:,} images of each, from the same noise and of the same classes, against "
        f"{len(real):,} held-out ones; the best of 200 steps is {best[0]}. Extrapolated: to clouds of any "
        f"size. Target: {IMAGES} images within {SECONDS:g} s, at a distance of at most {WITHIN:.2f} of that "
        f"of 200 steps. The cheapest as good: {verdict}."
    )
    return f"{table([*head, 'extrapolated'], rows)}\n\n{said}"


def _run(path: Path, device: str) -> Run:
    return diffuscope.load(path, device=device)


def _data(run: Run) -> ImageData:
    data = run.data
    assert isinstance(data, ImageData)
    return data


def _extractor(run: Run) -> Extractor:
    data = _data(run)
    return cached_classifier(data.pixels, data.labels, data.classes)


def _draw(run: Run, n: int, seed: int, **options: object) -> Pixels:
    """Draw images, of classes as they come in the data where the run knows them."""
    return run.images.sample(n, y=_classes(run, n), seed=seed, **options)


def _classes(run: Run, n: int) -> NDArray[np.int64] | None:
    return _data(run).labels_like(n, np.random.default_rng(0)) if run.images.classes else None


def _measured(run: Run, made: Pixels) -> ImageQuality:
    data = _data(run)
    assert data.held_out is not None
    return image_quality(
        made, data.pixels, data.held_out.pixels, _extractor(run), labels=_classes(run, len(made))
    )


def _extrapolated(made: NDArray[np.floating], real: NDArray[np.floating]) -> float:
    """Return what is extrapolated, or no number where there are too few for it."""
    try:
        return extrapolated_frechet(made, real)
    except diffuscope.errors.InputError:
        return float("nan")


def _cell(one: Measured | None) -> str:
    if one is None:
        return "–"
    return f"{one.value:.3g} ({one.ratio:.2f}, {one.low:.2f} to {one.high:.2f})"


def _length(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _step(run: Run) -> float:
    """Return the median of what the log says of steps, in seconds."""
    log = run.metrics
    pairs = [(b["step"] - a["step"], b["seconds"] - a["seconds"]) for a, b in itertools.pairwise(log)]
    return statistics.median(seconds / steps for steps, seconds in pairs if steps > 0)
