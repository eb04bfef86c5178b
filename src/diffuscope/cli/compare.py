"""``diffuscope compare DATA``: a grid over any settings, with confidence intervals over seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer import Argument, Option

from diffuscope.cli.common_options import Device, reads_files, say, split_setting
from diffuscope.cli.outcome import line as say_line
from diffuscope.errors import InputError
from diffuscope.recipes.toml import read_value
from diffuscope.terminal import echo, one_line
from diffuscope.translations import term, translate

if TYPE_CHECKING:
    from diffuscope.comparison import Comparison

_DATA = (  # compare and sweep share their options
    "A built-in set (diffuscope list datasets), a .csv, .tsv (also .gz), .xlsx, .parquet, .arrow, .npy or "
    ".npz file, a folder of images, or one that was packed."
)
_SET = "Any setting of the recipe, such as training.steps=300 or sampling.eta=0,1."
_OUT = "Output directory; an existing comparison is resumed. [default: comparisons/NAME]"


Data = Annotated[str, Argument(metavar="DATA", help=_DATA, show_default=False)]
Jobs = Annotated[int | None, Option(help="Number of parallel processes. [default: one for each core]")]
_LAUNCH = "What starts each process, such as 'srun -n1' or 'ssh node{worker}'. [default: this host]"
Launch = Annotated[str | None, Option(metavar="COMMAND", help=_LAUNCH)]
Engine = Annotated[str, Option(metavar="local|ray", help="Where processes run; ray: on a Ray cluster.")]
SkipInvalid = Annotated[bool, Option("--skip-invalid", help="Skip combinations that are not valid.")]
Json = Annotated[bool, Option("--json", help="Print only the result, as JSON.")]


def _axis(text: str) -> Any:
    return Option(metavar="V1,V2,...", help=text)


@reads_files
def compare(
    data: Data,
    recipe: Annotated[str | None, _axis("Recipes: names or TOML files. [default: that of the data]")] = None,
    schedule: Annotated[str | None, _axis("Schedules.")] = None,
    network: Annotated[str | None, _axis("Networks.")] = None,
    prediction: Annotated[str | None, _axis("Predictions: noise, data, velocity, flow, edm.")] = None,
    sampler: Annotated[str | None, _axis("Samplers.")] = None,
    sampling_steps: Annotated[str | None, _axis("Numbers of sampling steps.")] = None,
    set_: Annotated[list[str] | None, Option("--set", metavar="KEY=V1,V2,...", help=_SET)] = None,
    read: Any = None,
    seeds: Annotated[int, Option(help="Number of seeds (0, 1, ...).")] = 5,
    out: Annotated[Path | None, Option("--out", "-o", help=_OUT)] = None,
    jobs: Jobs = None,
    launch: Launch = None,
    engine: Engine = "local",
    skip_invalid: SkipInvalid = False,
    json_: Json = False,
    device: Device = "cpu",
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
        *map(setting, set_ or []),
        ("sampling.name", "--sampler", sampler),
        ("sampling.steps", "--sampling-steps", sampling_steps),
    )
    axes: dict[str, list[Any]] = {key: [value] for key, value in read.items()}
    for key, flag, text in named:
        if text is None:
            continue
        if key in axes:
            raise InputError(f"{key} was given twice.", f"Give all values in one option: {flag} V1,V2,...")
        axes[key] = values_of(flag, text)
    from diffuscope.comparison import compare as run

    comparison = run(
        data,
        axes,
        seeds=seeds,
        out=out,
        jobs=jobs,
        launch=launch,
        engine=cast("Any", engine),
        skip_invalid=skip_invalid,
        device=device,
        announce=say,
    )
    finish(comparison, _print, json_)


def finish(made: Any, show: Callable[[Any], None], as_json: bool) -> None:
    """Print a comparison or a sweep; exit with 1 where some of it failed."""
    if as_json:
        echo(json.dumps(made.to_json(), indent=2, allow_nan=False), as_is=True)
    else:
        show(made)
    if made.failed:
        raise typer.Exit(1)


def setting(pair: str) -> tuple[str, str, str]:
    """Return key, option and values of KEY=V1,V2."""
    key, text = split_setting(pair, "V1,V2,...")
    return key, f"--set {key}", text


def values_of(flag: str, text: str) -> list[Any]:
    """Split a list of values at its commas; values are TOML, bare words are text."""
    values = read_value(f"[{text}]")  # numbers, true, "quoted", [lists]
    if not isinstance(values, list):
        values = [read_value(part.strip()) for part in text.split(",")]
    if not values or "" in values:
        raise InputError(f"{flag} {text!r} has an empty value.", f"Write {flag} V1,V2,...")
    return values


def _print(comparison: Comparison) -> None:
    """Print the table, the best row, the failures, and the paths of the results."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = comparison.lines()
    axes = comparison.grid.varied or list(comparison.grid.axes)
    best, near = comparison.best() or (None, [])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in axes:
        table.add_column(Text(one_line(key)))
    for name in ("evaluations", "× floor", "95% interval", "seeds", "training", "sampling"):
        table.add_column(term(name), justify="right", no_wrap=True)
    for i, line in enumerate(lines):
        style = "bold green" if i == best else "green" if i in near else ""
        table.add_row(
            *(Text(one_line(line[key])) for key in axes), *map(translate, _measured(line)), style=style
        )
    Console(width=None if Console().is_terminal else 200).print(table)

    def where(row: dict[str, Any]) -> list[str]:
        return [f"{key} = {row[key]}" for key in axes]

    path, messages = comparison.path, []
    if best is not None:
        others = "; all others are significantly worse" if len(lines) > 1 else ""
        if others and near:
            others = f"; {len(near)} of the {len(lines) - 1} others cannot be told from it"
        name = ", ".join(where(lines[best])) or "the recipe"
        messages.append(("best", f"{name}: {lines[best]['ratio']:.2f} × floor{others}"))
    causes: dict[str, list[str]] = {}
    for outcome in comparison.failed:
        cell = where(comparison.grid.points[outcome.cell.point])
        causes.setdefault(str(outcome.error), []).append(", ".join([*cell, f"seed {outcome.cell.seed}"]))
    for cause, cells in causes.items():
        more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        messages.append(("failed", f"{cells[0]}{more}: {cause}"))
    messages += [("skipped", text) for text in comparison.grid.left_out]
    messages.append(("table", f"{path / 'comparison.csv'}"))
    if best is not None:
        messages.append(("picture", f"{path / 'comparison.png'}"))
    messages.append(("models", f"{path / 'runs'}/"))
    echo("")
    for name, text in messages:
        say_line(name, text)


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
