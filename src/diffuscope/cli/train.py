"""``diffuscope train DATA``: from data to a finished run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffuscope.cli.common import Debug, Device, is_main, read_settings

if TYPE_CHECKING:
    from diffuscope.runs.run import Run


def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A built-in set (diffuscope list datasets), a .csv, .tsv, .parquet, .npy or .npz file, or a "
            "folder of images; "
            "may be left out where the recipe names one.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Settings: a name or a TOML file. [default: table for tables, images for images (digits and "
            "fashion_fast for these two), else fast]",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory. [default: runs/NAME]")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything. [default: the recipe's, 0]")] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of a table: the column that rows are asked for by.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Length in passes over the data.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length in steps.")] = None,
    size: Annotated[int | None, typer.Option(help="Points of a built-in set.")] = None,
    noise: Annotated[float | None, typer.Option(help="Noise of a built-in set.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Another schedule, with its defaults.")] = None,
    zero_terminal_snr: Annotated[
        bool | None, typer.Option("--zero-terminal-snr", help="Rescale a discrete schedule to end in noise.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="Another sampler for pictures and quality.")] = None,
    sampling_steps: Annotated[int | None, typer.Option(help="Steps of the sampler.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change any setting of the recipe, such as schedule.end=0.2."
        ),
    ] = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    pictures: Annotated[bool, typer.Option(help="Draw figures and GIFs.")] = True,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write losses and samples for TensorBoard too.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train a model and keep it, its pictures and its quality in a run directory."""
    import time

    begun = time.perf_counter()
    changes = read_settings(set_ or [])
    for key, value in (
        ("data.target", target),
        ("data.size", size),
        ("data.noise", noise),
        ("schedule.name", schedule),
        ("schedule.zero_terminal_snr", zero_terminal_snr),
        ("sampling.name", sampler),
        ("sampling.steps", sampling_steps),
    ):
        if value is not None:
            changes = {key: value, **changes}
    from diffuscope.runs.train import train as run_training

    run = run_training(
        data,
        recipe=recipe,
        out=out,
        seed=seed,
        epochs=epochs,
        steps=steps,
        changes=changes,
        device=device,
        resume=resume,
        pictures=pictures,
        tensorboard=tensorboard,
    )
    if is_main:
        _tell(run, time.perf_counter() - begun)


def _tell(run: Run, seconds: float) -> None:
    """Say where everything is, how long it took, and how good it is."""
    summary = run.summary
    quality = summary["quality"]["sliced_wasserstein"]
    of = "of features " if run.model.is_of_images else ""
    is_table = run.model.rows is not None
    following = f"sample {run.path} -n 1000 -o samples.csv"
    if is_table:
        following = f"evaluate {run.path} --html"
    elif run.model.is_of_images:
        following = f"sample {run.path} -o samples.png" + (" --label each" * bool(run.images.classes))
    lines = [
        ("run", f"{run.path}/"),
        ("model", f"{run.path / 'model.safetensors'}"),
        ("pictures", f"{run.path / 'figures'}/"),
        ("animations", ", ".join(str(path) for path in sorted(run.path.glob("*.gif")))),
        ("training", f"{summary['train_seconds']:.1f} s, {summary['steps']:,} steps; in all {seconds:.1f} s"),
        (
            "quality",
            f"sliced Wasserstein distance {of}{quality['value']:.4g} = {quality['ratio']:.2f} × floor "
            f"(95%: {quality['low']:.2f} to {quality['high']:.2f})",
        ),
        ("next", f"diffuscope {following}"),
    ]
    for name, text in lines:
        if text:
            typer.echo(f"{name:<11} {text}")
