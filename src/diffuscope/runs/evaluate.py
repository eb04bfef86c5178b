"""How is a run evaluated? Its samples and those of simpler methods meet the same real points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffuscope.data.base import Dataset
from diffuscope.errors import InputError
from diffuscope.modalities.points.baselines import Baseline, fit_baselines
from diffuscope.modalities.images.evaluation import ImageEvaluation, evaluate_images
from diffuscope.modalities.points.evaluation import Evaluation
from diffuscope.modalities.tables.evaluation import TableEvaluation, evaluate_rows
from diffuscope.metrics.features import Extractor
from diffuscope.data.images import ImageData
from diffuscope.metrics import Measured, MetricSuite, classifier_two_sample, relate
from diffuscope.metrics.clouds import Points
from diffuscope.metrics.likelihood import LogDensity
from diffuscope.oracle import oracle_of
from diffuscope.progress import Reporter
from diffuscope.modalities.reference import Reference, generated_clouds, real_clouds
from diffuscope.runs.run import Run, load
from diffuscope.seeds import stream_seed

__all__ = ["evaluate"]

_CLOUDS = 8
_PAIRS = 24
_LIKELIHOOD_POINTS = 256
_LIKELIHOOD_CLOUDS = 4


def evaluate(
    run: Run | str | Path,
    *,
    data: object = None,
    held_out: Any = None,
    baselines: bool = True,
    only: Sequence[str] | None = None,
    device: str = "auto",
    seed: int = 0,
    samples: int | None = None,
    extractor: Extractor | None = None,
    progress: bool | None = None,
) -> Evaluation | TableEvaluation | ImageEvaluation:
    """Measure a run's samples by all metrics, beside three simpler methods fitted to the same data.

    Rows of a table meet real rows by metrics of their own, see
    :func:`diffuscope.modalities.tables.evaluation.evaluate_rows`; images too, see
    :func:`diffuscope.modalities.images.evaluation.evaluate_images`.

    Parameters
    ----------
    run : Run or path
    data : optional
        Its training data, where that was handed over from Python.
    held_out : array_like of shape (m, d), or table, optional
        Real points or rows that the run never saw, in the units of the data. Samples meet them where the law
        of the data is not known; without them, points meet the training data, and rows of a table those that
        training held out.
    baselines : bool
        Whether to fit and measure the simpler methods.
    only : sequence of str, optional
        Some of :data:`diffuscope.metrics.METRICS`; all by default.
    samples : int, optional
        How many images are drawn; of points as many as the data has.
    extractor : Extractor, optional
        What images are compared in, such as :class:`diffuscope.metrics.features.InceptionFeatures`; by default the
        features of a classifier of the training images.
    device, seed, progress : optional

    Returns
    -------
    Evaluation, TableEvaluation for a table, or ImageEvaluation for images
        It prints as a table; ``to_json()``, ``plot()`` and ``save(folder)`` do what they say.

    Raises
    ------
    InputError
        When there is no such run, its data cannot be had, or ``held_out`` does not go with it.
    RunError
        When its samples are not finite.
    """
    run = run if isinstance(run, Run) else load(run, device=device, data=data)
    reporter = Reporter(progress)
    if run.model.rows is not None:
        return evaluate_rows(run, held_out, seed, reporter)
    if run.model.is_of_images:
        images = held_out.pixels if isinstance(held_out, ImageData) else held_out
        return evaluate_images(run, images, seed, reporter, samples, extractor)
    known = run.data.draw is not None
    unseen = None if held_out is None or known else np.asarray(held_out, dtype=np.float64)
    with reporter.stage("drawing real points"):
        clouds = real_clouds(run.data, unseen, seed, _CLOUDS, _PAIRS)
        truth = _true_log_density(run.data)
        fresh = known or unseen is not None
        suite = MetricSuite(
            clouds.real,
            clouds.pairs,
            training=clouds.shown(run.data.x) if fresh else None,
            log_density=None if truth is None else _in_clouds(truth, clouds),
            seed=seed,
            only=only,
        )
    with reporter.stage("measuring samples"):
        generated = generated_clouds(run.model, clouds, seed)
        measured = suite.measure(generated)
        metrics, left_out = dict(measured), dict(measured.left_out)
        told_apart = None
        if "classifier_accuracy" in metrics:
            told_apart = classifier_two_sample(generated[0], clouds.real[0], seed)
    likelihood = _Likelihood(run.data, truth, seed) if _wanted("log_likelihood_gap", only) else None
    if likelihood is not None:
        with reporter.stage("integrating the model's log-density"):
            _add(metrics, left_out, likelihood.gap(run.model.log_density))
    rivals: dict[str, dict[str, Measured]] = {}
    titles = {}
    if baselines:
        with reporter.stage("fitting and measuring simpler methods"):
            for baseline in fit_baselines(run.data.x, stream_seed(seed, "baselines") % 2**32):
                if baseline.name == "training_data" and not fresh:
                    continue  # it would be compared with itself
                found = dict(suite.measure(_clouds_of(baseline, clouds, seed)))
                if likelihood is not None and baseline.log_density is not None:
                    _add(found, {}, likelihood.gap(baseline.log_density))
                rivals[baseline.name] = found
                titles[baseline.name] = baseline.title
    return Evaluation(metrics, rivals, titles, left_out, _certainty(known, unseen, clouds), told_apart)


class _Likelihood:
    """Real points with their true log-density, to hold another log-density against."""

    def __init__(self, data: Dataset, truth: LogDensity | None, seed: int) -> None:
        self.clouds: list[tuple[Points, Points]] = []
        if truth is None or data.draw is None:
            return
        for i in range(_LIKELIHOOD_CLOUDS):
            x = data.draw(_LIKELIHOOD_POINTS, stream_seed(seed, "likelihood", i) % 2**32)
            self.clouds.append((x, truth(x)))
        many = truth(data.draw(2 * _PAIRS * _LIKELIHOOD_POINTS, stream_seed(seed, "floor") % 2**32))
        means = many.reshape(_PAIRS, 2, -1).mean(axis=2)
        self.floors = (means[:, 0] - means[:, 1]).tolist()

    def gap(self, log_density: LogDensity) -> Measured | str:
        """Return E_real[log p_true - log p], or why it cannot be had."""
        if not self.clouds:
            return "It needs the true density, which is not known."
        x = np.concatenate([points for points, _ in self.clouds])
        own = np.split(log_density(x), len(self.clouds))
        gaps = [float((true - log_p).mean()) for (_, true), log_p in zip(self.clouds, own, strict=True)]
        if not np.isfinite(gaps).all():
            return "It is infinite: real points lie where the density is 0."
        return relate(gaps, self.floors, "zero")


def _add(found: dict[str, Measured], left_out: dict[str, str], gap: Measured | str) -> None:
    if isinstance(gap, str):
        left_out["log_likelihood_gap"] = gap
    else:
        found["log_likelihood_gap"] = gap


def _wanted(name: str, only: Sequence[str] | None) -> bool:
    return only is None or name in only


def _true_log_density(data: Dataset) -> LogDensity | None:
    """Return the law's log-density in the units of the data, where it has one that is known."""
    try:
        oracle = oracle_of(data)
        oracle.log_density(data.x[:1])
    except InputError:
        return None
    return lambda x: np.asarray(oracle.log_density(x).numpy())


def _in_clouds(log_density: LogDensity, clouds: Reference) -> LogDensity:
    """Return the log-density in the units of the clouds."""
    volume = float(np.log(clouds.unit).sum())
    return lambda z: log_density(z * clouds.unit + clouds.middle) + volume


def _clouds_of(baseline: Baseline, clouds: Reference, seed: int) -> list[Points]:
    return [
        clouds.shown(baseline.sample(clouds.n, stream_seed(seed, "baseline", i) % 2**32))
        for i in range(len(clouds.real))
    ]


def _certainty(known: bool, unseen: Points | None, clouds: Reference) -> str:
    if known:
        return f"The law of this data is known: samples meet fresh real clouds of {clouds.n:,} points."
    if unseen is not None:
        return (
            f"The law of this data is not known: samples meet halves of the {len(unseen):,} held-out rows. "
            "These stay the same, so intervals are somewhat too narrow."
        )
    return (
        f"The law of this data is not known: samples meet halves of the training data, {clouds.n:,} rows "
        "each, so a model that learned them by heart would look perfect. Held-out rows tell it apart: "
        "--held-out FILE."
    )
