"""``diffuscope train DATA``: from data to a finished run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, echo

import diffuscope.cli.common_options as common
from diffuscope.cli.common_options import Device, is_main, read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffuscope.runs.run import Run


_DATA = (
    "A built-in set (diffuscope list datasets), a .csv, .tsv (also .gz), .xlsx, .parquet, .npy or .npz file, "
    "or a folder of images; optional if the recipe names one."
)
_RECIPE = (
    "A name (diffuscope list recipes) or a TOML file. [default: table for tables, images for "
    "images (digits and fashion_fast for these two sets), else fast]"
)
_CONSTRAINT = (
    "For tables: what holds in every row, such as 'start < end' or 'total == a + b', a name that is not "
    "Python's in backticks; may be repeated."
)
_SET = "Change any setting of the recipe, such as schedule.end=0.2 or width=128."


def train(
    data: Annotated[str | None, Argument(metavar="DATA", help=_DATA, show_default=False)] = None,
    recipe: Annotated[str | None, Option(metavar="NAME|FILE", help=_RECIPE)] = None,
    out: Annotated[Path | None, Option("--out", "-o", help="Run directory. [default: runs/NAME]")] = None,
    seed: Annotated[int | None, Option(help="Seed of all random numbers. [default: the recipe's, 0]")] = None,
    target: Annotated[
        str | None, Option(metavar="COLUMN", help="For tables: the column to condition on (y).")
    ] = None,
    constraint: Annotated[
        list[str] | None, Option(metavar="TEXT", help=_CONSTRAINT, show_default=False)
    ] = None,
    types: common.Types = None,
    missing: common.Missing = None,
    decimal: common.Decimal = None,
    thousands: common.Thousands = None,
    date_format: common.DateFormat = None,
    sep: common.Sep = None,
    encoding: common.Encoding = None,
    epochs: Annotated[int | None, Option(help="Number of epochs.")] = None,
    steps: Annotated[int | None, Option(help="Number of training steps.")] = None,
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
        bool, Option("--resume", help="Resume the run in --out; with more --steps also a finished one.")
    ] = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace the run in --out, if there is one.")
    ] = False,
    pictures: Annotated[bool, Option(help="Draw figures and animations.")] = True,
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

    read = common.file_settings(types, missing, decimal, thousands, date_format, sep, encoding)
    if constraint:
        read["data.constraints"] = tuple(constraint)
    run = run_training(
        data,
        recipe=recipe,
        out=out,
        seed=seed,
        target=target,
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
        resume=resume,
        overwrite=overwrite,
        pictures=pictures,
        tensorboard=tensorboard,
        announce=_announce if is_main else None,
    )
    if is_main:
        _report(run, time.perf_counter() - begun)


def _announce(notes: Sequence[str]) -> None:
    """Print how the data was read."""
    for i, note in enumerate(notes):
        echo(f"  {note}" if i else f"{'reading':<11} {note}")


def _report(run: Run, seconds: float) -> None:
    """Print the paths of the results, the time taken and the quality."""
    summary = run.summary
    of = f"{run.modality.measured_in} " if run.modality.measured_in else ""
    said = run.modality.unmeasurable(run.data)
    if said is None:
        said = f"sliced Wasserstein distance {of}{run.quality.value:.4g} = {run.quality}"
    lines = [
        ("run", f"{run.path}/"),
        ("model", f"{run.path / 'model.safetensors'}"),
        ("pictures", f"{run.path / 'figures'}/"),
        ("animations", ", ".join(str(path) for path in sorted(run.path.glob("*.gif")))),
        ("training", f"{summary['train_seconds']:.1f} s, {summary['steps']:,} steps; in all {seconds:.1f} s"),
        ("quality", said),
        ("next", f"diffuscope {run.modality.next_command(run.path, run.model, len(run.data.x))}"),
    ]
    for name, text in lines:
        if text:
            echo(f"{name:<11} {text}")
