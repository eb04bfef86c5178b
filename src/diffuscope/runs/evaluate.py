"""How is a run evaluated? Its samples are compared with real data by the metrics of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffuscope.errors import InputError
from diffuscope.modalities.base import Evaluation
from diffuscope.progress import Reporter
from diffuscope.runs.run import Run, load
from diffuscope.shares import is_first

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

    Points are compared with three baselines fitted to the same data; rows of a table by marginals,
    associations, utility and privacy; images by features and classes. The first number is the one that
    training printed.

    Parameters
    ----------
    run : Run or path
    data : optional
        Its training data, where it was passed as an array.
    held_out : path, array_like of shape (m, d), table or images, optional
        Real data that was not used for training, in the same units. Samples are compared with it where the
        distribution of the data is unknown.
    baselines : bool
        Whether to fit and measure the baselines.
    only : sequence of str, optional
        Some of :data:`diffuscope.metrics.METRICS`, for points; all by default.
    samples : int, optional
        Number of images to sample.
    extractor : Extractor, optional
        The features of images, such as :class:`diffuscope.metrics.features.InceptionFeatures`; by default
        those of a classifier of the training images.
    device, seed, progress : optional
        The seed is the run's own by default.

    Returns
    -------
    Evaluation
        It prints as a table, and has ``to_json()``, ``plot()`` and ``save(folder)``.

    Raises
    ------
    InputError
        When there is no such run, its data is not available, ``held_out`` does not match it, or an option
        does not apply to its kind of data.
    RunError
        When its samples are not finite.

    Examples
    --------
    >>> import diffuscope
    >>> evaluation = diffuscope.evaluate("runs/moons", baselines=False, only=["sliced_wasserstein"])
    >>> evaluation.metrics["sliced_wasserstein"].ratio > 0.5
    True
    """
    run = run if isinstance(run, Run) else load(run, device=device, data=data)
    reporter, own = Reporter(progress if is_first() else False), run.modality
    options = {"only": only, "samples": samples, "extractor": extractor}
    options = {name: value for name, value in options.items() if value is not None}
    if not baselines:
        options["baselines"] = False
    for name in options:
        if name not in own.evaluation_options:
            raise InputError(
                f"{name} is not an option for {own.unit}.",
                f"Leave it out. Options: {', '.join(own.evaluation_options) or 'none'}.",
            )
    seed = run.recipe.seed if seed is None else seed
    unseen = None if held_out is None else own.held_out(held_out, run.model, run.data)
    reference, clouds = run.measured_clouds(unseen, seed, reporter)
    return own.evaluate(
        run.model, run.data, reference, clouds, unseen, seed, reporter, facts=run.facts(), **options
    )
