"""What comes of a trained run: straighter flows (reflow), and students that sample in a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffuscope.errors import InputError
from diffuscope.runs.run import Run, load
from diffuscope.runs.train import train

__all__ = ["distill", "reflow"]

_PAIRS = 20_000
_MOST_STEPS = 64


def distill(run: Run | str | Path, steps: int = 4, **options: Any) -> Run:
    """Train a student of a run that samples in a few steps.

    It starts from the run's weights, and learns to end each of its steps where the run ends after many
    (:mod:`diffuscope.diffusion.distillation`).

    Parameters
    ----------
    run : Run or path
        The teacher: a run of points, or of images without classes.
    steps : int
        In which the student samples, 1 to 64.
    **options
        Those of :func:`diffuscope.train`, such as ``out`` and ``settings``.

    Returns
    -------
    Run
        ``student.quality`` stands beside ``run.quality``.

    Raises
    ------
    InputError
        Where the run has conditions, or the number of steps is out of range.

    Examples
    --------
    >>> import diffuscope
    >>> options = {"out": "runs/student", "exist_ok": True, "pictures": False}
    >>> student = diffuscope.distill("runs/moons", steps=2, **options)
    >>> student.recipe.sampling.steps
    2
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= _MOST_STEPS:
        raise InputError(f"A student in {steps!r} steps cannot be trained.", f"Give 1 to {_MOST_STEPS}.")
    settings = {"loss.target": "teacher", "training.reflow": 0, **(options.pop("settings", None) or {})}
    return train(start=run, sampler="ddim", sampling_steps=steps, settings=settings, **options)


def reflow(run: Run | str | Path, pairs: int = _PAIRS, **options: Any) -> Run:
    """Train a rectified flow again on its own pairs of start and end, which makes its paths straighter.

    (Liu et al. 2023, section 2.2.) A straighter flow needs fewer steps.

    Parameters
    ----------
    run : Run or path
        A run with the schedule "flow".
    pairs : int
        How many are drawn with it.
    **options
        Those of :func:`diffuscope.train`, such as ``out`` and ``sampling_steps``.

    Raises
    ------
    InputError
        Where the run's schedule is another, or it has conditions.

    Examples
    --------
    >>> import diffuscope
    >>> options = {"steps": 50, "pictures": False, "exist_ok": True}
    >>> flow = diffuscope.train("moons", recipe="flow", out="runs/flow", **options)
    >>> straighter = diffuscope.reflow(flow, pairs=500, out="runs/straighter", **options)
    >>> straighter.recipe.training.reflow
    500
    """
    teacher = run if isinstance(run, Run) else load(run, device="cpu")
    schedule = teacher.recipe.schedule.name
    if schedule != "flow":
        raise InputError(
            f"{teacher.path} is no flow: its schedule is {schedule}.", "Train one with the recipe 'flow'."
        )
    settings = {"training.reflow": pairs, **(options.pop("settings", None) or {})}
    return train(start=teacher, settings=settings, **options)
