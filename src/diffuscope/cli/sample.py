"""``diffuscope sample RUN -o FILE``: points, or rows of a table, from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli.common import Debug, Device, RunDir, free, read_settings
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from diffuscope.run import Run


def sample(
    run: RunDir,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="FILE.npy, .npz, .csv, .tsv, .parquet or .png.", show_default=False),
    ],
    n: Annotated[int, typer.Option("-n", help="How many.")] = 10_000,
    sampler: Annotated[
        str | None, typer.Option(help="diffuscope list samplers. [default: the run's]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the walk. [default: the run's]")] = None,
    spacing: Annotated[
        str | None, typer.Option(help="uniform, trailing or karras. [default: the run's]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the sampler, such as eta=0.5."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Of a table: rows with this value, such as sex=F."),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Of a table: how typical of its target a row is to be. [default: 1]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Draw points, or rows of a table, from a trained model into a file, or as a picture beside the data."""
    free(out, force)
    picture = out.suffix.lower() in (".png", ".svg", ".pdf")
    if not picture:
        from diffuscope.datasets import check_writable

        check_writable(out)
    from diffuscope.progress import Reporter
    from diffuscope.run import load

    opened = load(run, device=device)
    wanted = {
        "sampler": sampler,
        "steps": steps,
        "spacing": spacing,
        "seed": seed,
        **read_settings(set_ or []),
        **_conditions(opened, given or [], guidance),
    }
    if picture:
        from diffuscope.plots import save_figure

        save_figure(opened.plot_samples(n, **wanted), out)
    else:
        opened.sample_to(out, n, reporter=Reporter(), **wanted)
    typer.echo(f"{n:,} {'points' if opened.model.rows is None else 'rows'} in {out}")


def _conditions(run: Run, given: list[str], guidance: float | None) -> dict[str, Any]:
    """Return what is known of the rows of a table."""
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
