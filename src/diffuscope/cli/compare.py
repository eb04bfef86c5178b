"""``diffuscope compare DATA``: a grid over any settings, with confidence intervals over seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli.common import Debug, Device, read_settings, say
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from diffuscope.comparison import Comparison


def compare(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A built-in set (diffuscope list datasets), a .csv, .tsv, .parquet, .npy or .npz file, "
            "or a folder of images.",
            show_default=False,
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="V1,V2,...",
            help="Recipes: names or TOML files. [default: that of the data]",
        ),
    ] = None,
    schedule: Annotated[str | None, typer.Option(metavar="V1,V2,...", help="Schedules.")] = None,
    network: Annotated[str | None, typer.Option(metavar="V1,V2,...", help="Networks.")] = None,
    prediction: Annotated[
        str | None, typer.Option(metavar="V1,V2,...", help="Predictions: noise, data, velocity, flow, edm.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(metavar="V1,V2,...", help="Samplers.")] = None,
    sampling_steps: Annotated[
        str | None, typer.Option(metavar="V1,V2,...", help="Numbers of sampling steps.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=V1,V2,...",
            help="Any setting of the recipe, such as training.steps=300 or sampling.eta=0,1.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds (0, 1, ...).")] = 5,
    out: Annotated[
        Path | None,
        typer.Option(help="Output directory; an existing comparison is resumed. [default: comparisons/NAME]"),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Number of parallel processes. [default: one for each core]")
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Skip combinations that are not valid.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print only the result, as JSON.")] = False,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Compare all combinations of settings, over several seeds.

    Each model is trained once and sampled with all samplers; confidence intervals are over the seeds. Run the
    same command again to resume a comparison, or to add values to it.
    """
    named = (
        ("recipe", "--recipe", recipe),
        ("schedule.name", "--schedule", schedule),
        ("network.name", "--network", network),
        ("denoiser.prediction", "--prediction", prediction),
        *map(_setting, set_ or []),
        ("sampling.name", "--sampler", sampler),
        ("sampling.steps", "--sampling-steps", sampling_steps),
    )
    axes: dict[str, list[Any]] = {}
    for key, flag, text in named:
        if text is not None and key in axes:
            raise InputError(f"{key} was given twice.", f"Give all values in one option: {flag} V1,V2,...")
        if text is not None:
            axes[key] = _values(flag, text)
    from diffuscope.comparison import compare as run_comparison

    comparison = run_comparison(
        data,
        axes,
        seeds=seeds,
        out=out,
        jobs=jobs,
        skip_invalid=skip_invalid,
        device=device,
        announce=say,
    )
    if json_:
        typer.echo(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print(comparison)
    if comparison.failed:
        raise typer.Exit(1)


def _setting(pair: str) -> tuple[str, str, str]:
    key, sign, text = pair.partition("=")
    if not sign or not key.strip():
        raise InputError(
            f"{pair!r} is not of the form SECTION.KEY=V1,V2,...", "Write --set SECTION.KEY=V1,V2,..."
        )
    return key.strip(), f"--set {key.strip()}", text


def _values(flag: str, text: str) -> list[Any]:
    """Split a list of values at its commas; values are TOML, bare words are text."""
    import tomllib

    try:  # numbers, true, "quoted", [lists]
        values: list[Any] = tomllib.loads(f"value = [{text}]")["value"]
    except tomllib.TOMLDecodeError:
        values = [read_settings([f"value={part.strip()}"])["value"] for part in text.split(",")]
    if not values or "" in values:
        raise InputError(f"{flag} {text!r} has an empty value.", f"Write {flag} V1,V2,...")
    return values


def _print(comparison: Comparison) -> None:
    """Print the table, the best row, the failures, and the paths of the results."""
    from rich.console import Console
    from rich.table import Table

    lines = comparison.lines()
    axes = comparison.grid.varied or list(comparison.grid.axes)
    found = comparison.best()
    best, near = found or (None, [])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in axes:
        table.add_column(key)
    for name in ("evaluations", "× floor", "95% interval", "seeds", "training", "sampling"):
        table.add_column(name, justify="right", no_wrap=True)
    for i, line in enumerate(lines):
        style = "bold green" if i == best else "green" if i in near else ""
        table.add_row(*(str(line[key]) for key in axes), *_measured(line), style=style)
    console = Console()
    Console(width=None if console.is_terminal else 200).print(table)
    messages = []
    if best is not None:
        line = lines[best]
        where = ", ".join(f"{key} = {line[key]}" for key in axes) or "the recipe"
        messages.append(("best", f"{where}: {line['ratio']:.2f} × floor{_near(len(near), len(lines) - 1)}"))
    causes: dict[str, list[str]] = {}
    for outcome in comparison.failed:
        point = comparison.grid.points[outcome.cell.point]
        where = ", ".join([*(f"{key} = {point[key]}" for key in axes), f"seed {outcome.cell.seed}"])
        causes.setdefault(str(outcome.error), []).append(where)
    for cause, cells in causes.items():
        more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        messages.append(("failed", f"{cells[0]}{more}: {cause}"))
    messages += [("skipped", text) for text in comparison.grid.left_out]
    messages.append(("table", str(comparison.path / "comparison.csv")))
    if best is not None:
        messages.append(("picture", str(comparison.path / "comparison.png")))
    messages.append(("models", f"{comparison.path / 'runs'}/"))
    typer.echo("")
    for name, text in messages:
        typer.echo(f"{name:<11} {text}")


def _near(near: int, others: int) -> str:
    """Say how many others the seeds do not tell from the best."""
    if not others:
        return ""
    return "; the seeds tell all others from it" + (f" but {near}" if near else "")


def _measured(line: dict[str, Any]) -> list[str]:
    failed = len(line["failed"])
    seeds = str(line["seeds"]) + (f", {failed} failed" if failed else "")
    if not line["seeds"]:
        return ["", "", "", seeds, "", ""]
    return [
        f"{line['evaluations']:g}",
        f"{line['ratio']:.2f}",
        f"{line['low']:.2f} to {line['high']:.2f}",
        seeds,
        f"{line['train_seconds']:.1f} s",
        f"{line['seconds']:.1f} s",
    ]
