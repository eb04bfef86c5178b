"""``diffuscope sample RUN -o FILE``: points, rows of a table, or images from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli.common import (
    Debug,
    Device,
    Force,
    Guidance,
    Interval,
    RunDir,
    SamplerName,
    Seed,
    Steps,
    free,
    read_settings,
    steering,
)
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from diffuscope.runs.run import Run


def sample(
    run: RunDir,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="FILE.npy, .npz, .csv, .tsv, .parquet or .png; of images .png (one sheet), .npy, .npz "
            "or FOLDER.",
            show_default=False,
        ),
    ],
    n: Annotated[int | None, typer.Option("-n", help="How many. [default: 10000, of images 64]")] = None,
    sampler: SamplerName = None,
    steps: Steps = None,
    spacing: Annotated[
        str | None, typer.Option(help="uniform, trailing or karras. [default: the run's]")
    ] = None,
    seed: Seed = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the sampler, such as eta=0.5."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Of a table: rows with this value, such as sex=F."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="Of images: the class asked for, by name or number from 0, or 'each'."
        ),
    ] = None,
    guidance: Guidance = None,
    interval: Interval = None,
    force: Force = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Draw points, rows of a table, or images from a trained model into a file, or as a picture."""
    if not out.is_dir():
        free(out, force)
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    opened = load(run, device=device)
    wanted = {
        "sampler": sampler,
        "steps": steps,
        "spacing": spacing,
        "seed": seed,
        **read_settings(set_ or []),
        **_conditions(opened, given or [], label, guidance, interval),
    }
    images = opened.model.is_of_images
    if n is None:
        n = _default(opened, label)
    if not images and out.suffix.lower() in (".png", ".svg", ".pdf"):
        from diffuscope.plots import save_figure

        save_figure(opened.plot_samples(n, **wanted), out)
    else:
        opened.sample_to(out, n, reporter=Reporter(), **wanted)
    typer.echo(f"{n:,} {_unit(opened)} in {out}")


def _default(run: Run, label: str | None) -> int:
    """Return how many are drawn where nobody says; of each class as many."""
    if not run.model.is_of_images:
        return 10_000
    classes = len(run.images.classes) if label == "each" else 0
    return max(64 // classes, 1) * classes if classes else 64


def _unit(run: Run) -> str:
    if run.model.is_of_images:
        return "images"
    return "points" if run.model.rows is None else "rows"


def _conditions(
    run: Run, given: list[str], label: str | None, guidance: float | None, interval: str | None
) -> dict[str, Any]:
    """Return what is asked of images, or known of the rows of a table."""
    if run.model.is_of_images:
        if given:
            raise InputError("--given speaks of columns, and this is a run of images.", "Give --label CLASS.")
        return steering(label, guidance, interval)
    for option, value in (("--label", label), ("--interval", interval)):
        if value is not None:
            raise InputError(
                f"{option} is for images, and this is a run of {_unit(run)}.",
                "Leave it out." if run.model.rows is None else "Ask for rows by --given COLUMN=VALUE.",
            )
    if not given and guidance is None:
        return {}
    rows = run.table.rows
    values = {}
    for pair in given:
        name, sign, text = pair.partition("=")
        if not sign:
            raise InputError(f"{pair!r} says nothing of a column.", "Write --given COLUMN=VALUE.")
        values[name] = rows.read_value(name, text)
    return {"given": values, **({} if guidance is None else {"guidance": guidance})}
