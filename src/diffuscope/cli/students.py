"""``diffuscope distill RUN`` and ``diffuscope reflow RUN``: what comes of a trained run in fewer steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

import diffuscope.cli.common_options as common
from diffuscope.cli.outcome import announce, report

if TYPE_CHECKING:
    from diffuscope.runs.run import Run

_TrainingSteps = Annotated[
    int | None, Option("--training-steps", help="Number of training steps. [default: the run's]")
]
_Set = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Change any other setting, such as learning_rate=0.0005."),
]


def distill(
    run: common.RunDir,
    out: common.RunOut = None,
    steps: Annotated[int, Option(help="Number of sampling steps of the student, 1 to 64.")] = 4,
    training_steps: _TrainingSteps = None,
    seed: common.SeedOfRun = None,
    set_: _Set = None,
    device: common.Device = "auto",
    pictures: common.Pictures = True,
) -> None:
    """Train a student of a run that samples in a few steps.

    It starts from the run's weights, and learns to end each of its steps where the run ends after many.
    """
    from diffuscope.runs.students import distill

    _train(distill, run, steps, out, training_steps, seed, set_, device, pictures)


def reflow(
    run: common.RunDir,
    out: common.RunOut = None,
    pairs: Annotated[int, Option(help="Number of pairs of start and end to train on.")] = 20_000,
    training_steps: _TrainingSteps = None,
    seed: common.SeedOfRun = None,
    set_: _Set = None,
    device: common.Device = "auto",
    pictures: common.Pictures = True,
) -> None:
    """Train a flow again on its own pairs of start and end, which makes its paths straighter.

    A straighter flow needs fewer steps. The run's schedule is "flow" (recipe flow).
    """
    from diffuscope.runs.students import reflow

    _train(reflow, run, pairs, out, training_steps, seed, set_, device, pictures)


def _train(
    train: Callable[..., Run],
    run: Path,
    number: int,
    out: Path | None,
    training_steps: int | None,
    seed: int | None,
    set_: list[str] | None,
    device: str,
    pictures: bool,
) -> None:
    """Train what comes of a run, and print what came of the training."""
    begun = time.perf_counter()
    settings = common.read_settings(set_)
    if training_steps is not None:
        settings["training.steps"] = training_steps
    options: dict[str, Any] = {"out": out, "seed": seed, "device": device, "pictures": pictures}
    if common.is_main:
        options["announce"] = announce
    trained = train(run, number, settings=settings, **options)
    if common.is_main:
        report(trained, time.perf_counter() - begun)
