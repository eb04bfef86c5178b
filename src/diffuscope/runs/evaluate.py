"""How is a run evaluated? Its samples meet real ones, by the metrics of its kind of data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffuscope.errors import InputError
from diffuscope.modalities.base import Evaluation
from diffuscope.modalities.registry import modality_of
from diffuscope.progress import Reporter
from diffuscope.runs.run import Run, load

__all__ = ["evaluate"]


def evaluate(
    run: Run | str | Path,
    *,
    data: object = None,
    held_out: Any = None,
    baselines: bool = True,
    only: Sequence[str] | None = None,
    device: str = "auto",
    seed: int | None = None,
    samples: int | None = None,
    extractor: Any = None,
    progress: bool | None = None,
) -> Evaluation:
    """Measure a run's samples by all metrics of its kind of data.

    Points are measured beside three simpler methods fitted to the same data; rows of a table by their columns,
    dependence, use and privacy; images by features and classes. The first number is the one that training
    printed.

    Parameters
    ----------
    run : Run or path
    data : optional
        Its training data, where that was handed over from Python.
    held_out : path, array_like of shape (m, d), table or images, optional
        Real data that the run never saw, in the units of the data. Samples meet it where the law of the data
        is not known.
    baselines : bool
        Whether to fit and measure the simpler methods.
    only : sequence of str, optional
        Some of :data:`diffuscope.metrics.METRICS`, of points; all by default.
    samples : int, optional
        How many images are drawn.
    extractor : Extractor, optional
        What images are compared in, such as :class:`diffuscope.metrics.features.InceptionFeatures`; by default
        the features of a classifier of the training images.
    device, progress : optional
    seed : int, optional
        The run's own by default.

    Returns
    -------
    Evaluation
        It prints as a table; ``to_json()``, ``plot()`` and ``save(folder)`` do what they say.

    Raises
    ------
    InputError
        When there is no such run, its data cannot be had, ``held_out`` does not go with it, or an option is not
        for its kind of data.
    RunError
        When its samples are not finite.
    """
    run = run if isinstance(run, Run) else load(run, device=device, data=data)
    reporter, own = Reporter(progress), modality_of(run.model)
    options = {"only": only, "samples": samples, "extractor": extractor}
    options = {name: value for name, value in options.items() if value is not None}
    if not baselines:
        options["baselines"] = False
    for name in options:
        if name not in own.evaluation_options:
            raise InputError(
                f"{name} is not an option for {own.unit}.",
                f"Leave it out; options: {', '.join(own.evaluation_options) or 'none'}.",
            )
    seed = run.recipe.seed if seed is None else seed
    unseen = None if held_out is None else own.held_out(held_out, run.model, run.data)
    reference, clouds = run.measured_clouds(unseen, seed, reporter)
    return own.evaluate(
        run.model, run.data, reference, clouds, unseen, seed, reporter, facts=run.facts(), **options
    )
