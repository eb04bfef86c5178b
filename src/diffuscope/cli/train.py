"""``diffuscope train DATA``: from data to a finished run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from diffuscope.cli.common_options import (
    Device,
    Pictures,
    RunOut,
    is_main,
    read_interval,
    read_settings,
    reads_files,
)
from diffuscope.cli.outcome import announce, line, report

_DATA = (
    "A built-in set (diffuscope list datasets), a .csv, .tsv (also .gz), .xlsx, .parquet, .arrow, .npy or "
    ".npz file, a folder of images, or one that was packed; optional if the recipe names one."
)
_RECIPE = (
    "A name (diffuscope list recipes) or a TOML file. [default: table for tables, images for "
    "images (digits and fashion_fast for these two sets), else fast]"
)
_CONSTRAINT = (
    "For tables: what holds in every row, such as 'start < end' or 'total == a + b', a name that is not "
    "Python's in backticks; may be repeated."
)
_RANGE = "For images of more than 8 bits: the values that are black and white. [default: found of all images]"
_SPLIT = "For a folder of images: the subfolder to learn from. [default: train, where there are such parts]"
_TARGET = (
    "The column to condition on: of a table any (y), of points (--recipe fast) one of classes, or one or "
    "several (a,b) of numbers, of a .npz file an array of these, of a folder of images columns of its "
    "metadata.csv. [default: of a .npz file y or labels, of a folder its subfolders]"
)
_ORIGIN = "The points from which a flow (--recipe flow) starts in place of noise: a built-in set or a file."
_SET = "Change any setting of the recipe, such as schedule.end=0.2 or width=128."


@reads_files
def train(
    data: Annotated[str | None, Argument(metavar="DATA", help=_DATA, show_default=False)] = None,
    recipe: Annotated[str | None, Option(metavar="NAME|FILE", help=_RECIPE)] = None,
    out: RunOut = None,
    seed: Annotated[int | None, Option(help="Seed of all random numbers. [default: the recipe's, 0]")] = None,
    target: Annotated[str | None, Option(metavar="COLUMN", help=_TARGET)] = None,
    constraint: Annotated[
        list[str] | None, Option(metavar="TEXT", help=_CONSTRAINT, show_default=False)
    ] = None,
    range_: Annotated[str | None, Option("--range", metavar="LOW,HIGH", help=_RANGE)] = None,
    split: Annotated[str | None, Option(metavar="FOLDER", help=_SPLIT)] = None,
    read: Any = None,
    epochs: Annotated[int | None, Option(help="Number of epochs.")] = None,
    steps: Annotated[int | None, Option(help="Number of training steps.")] = None,
    origin: Annotated[str | None, Option(metavar="DATA", help=_ORIGIN, show_default=False)] = None,
    size: Annotated[int | None, Option(help="Number of points of a built-in set.")] = None,
    noise: Annotated[float | None, Option(help="Standard deviation of the noise of a built-in set.")] = None,
    schedule: Annotated[
        str | None, Option(help="Noise schedule, with its defaults. [default: the recipe's]")
    ] = None,
    zero_terminal_snr: Annotated[
        bool | None, Option("--zero-terminal-snr", help="Rescale a discrete schedule to zero terminal SNR.")
    ] = None,
    sampler: Annotated[
        str | None, Option(help="Sampler of the figures and the quality. [default: the recipe's]")
    ] = None,
    sampling_steps: Annotated[int | None, Option(help="Number of sampling steps.")] = None,
    set_: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help=_SET)] = None,
    device: Device = "auto",
    start: Annotated[
        Path | None,
        Option(metavar="RUN", help="Start from the weights of a trained run, with other data or settings."),
    ] = None,
    resume: Annotated[
        bool,
        Option(
            "--resume",
            help="Resume the run in --out; with more --steps also a finished one. --resume auto: begin it "
            "where there is none.",
        ),
    ] = False,
    resume_auto: Annotated[bool, Option("--resume-auto", hidden=True)] = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace the run in --out, by default runs/NAME, if there is one.")
    ] = False,
    pictures: Pictures = True,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Also write losses and samples for TensorBoard.")
    ] = False,
) -> None:
    """Train a model, and write it to a run directory.

    The directory also has figures, animations and the quality of samples. Of a table it is printed how each
    column was taken.
    """
    import time

    begun = time.perf_counter()
    from diffuscope.runs.train import train as run_training

    if range_ is not None:
        read["data.range"] = read_interval(range_, "--range")
    if split is not None:
        read["data.split"] = split
    if constraint:
        read["data.constraints"] = tuple(constraint)
    run = run_training(
        data,
        recipe=recipe,
        out=out,
        seed=seed,
        target=target,
        origin=origin,
        size=size,
        noise=noise,
        epochs=epochs,
        steps=steps,
        schedule=schedule,
        zero_terminal_snr=zero_terminal_snr,
        sampler=sampler,
        sampling_steps=sampling_steps,
        settings={**read, **read_settings(set_)},
        device=device,
        start=start,
        resume="auto" if resume_auto else resume,
        overwrite=overwrite,
        pictures=pictures,
        tensorboard=tensorboard,
        announce=announce if is_main else None,
        report=line if is_main else None,
    )
    if is_main:
        report(run, time.perf_counter() - begun)
