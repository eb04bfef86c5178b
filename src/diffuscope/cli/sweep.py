"""``diffuscope sweep DATA --set KEY=V1,V2 --set KEY=LOW..HIGH``: a search over any settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from typer import Option

from diffuscope.cli.common_options import Device, reads_files, say
from diffuscope.cli.compare import Data, Engine, Jobs, Json, Launch, SkipInvalid, finish, setting, values_of
from diffuscope.cli.outcome import line as say_line
from diffuscope.errors import InputError
from diffuscope.recipes.toml import read_value
from diffuscope.terminal import echo, one_line
from diffuscope.translations import term, translate

if TYPE_CHECKING:
    from diffuscope.comparison import Sweep

_SET = (
    "A setting and its values, such as network.depth=2,3,4; or a range, such as training.learning_rate="
    "1e-4..1e-1:log, or network.width=64..256; one value holds for all."
)
_TRIALS = "Random draws of the settings. [default: all combinations]"
_OUT = "Output directory; an existing sweep is resumed. [default: sweeps/NAME]"
_RANGE = re.compile(r"^\s*([^,\s]+?)\s*\.\.\s*([^,\s]+?)\s*(:log)?\s*$")
_BEGUN = re.compile(r"^\s*[-+]?\d[\d.e+-]*?\s*\.\.(?!/)")


@reads_files
def sweep(
    data: Data,
    set_: Annotated[list[str], Option("--set", metavar="KEY=VALUES", help=_SET, show_default=False)],
    recipe: Annotated[str | None, Option(help="A name or a TOML file. [default: that of the data]")] = None,
    trials: Annotated[int | None, Option(help=_TRIALS)] = None,
    seed: Annotated[int, Option(help="Of the draws.")] = 0,
    seeds: Annotated[int, Option(help="Number of seeds (0, 1, ...) that each is trained with.")] = 3,
    all_: Annotated[bool, Option("--all", help="Train all in full, also what is clearly worse.")] = False,
    read: Any = None,
    out: Annotated[Path | None, Option("--out", "-o", help=_OUT)] = None,
    jobs: Jobs = None,
    launch: Launch = None,
    engine: Engine = "local",
    skip_invalid: SkipInvalid = False,
    json_: Json = False,
    device: Device = "cpu",
) -> None:
    """Search settings; what is clearly worse is stopped early.

    All are trained for a tenth of their steps, those that are left for three tenths, and then in full. Run
    the same command again to resume a sweep.
    """
    space: dict[str, Any] = {}
    fixed: dict[str, Any] = dict(read)
    for pair in set_:
        key, flag, text = setting(pair)
        if key in space or key in fixed:
            raise InputError(f"{key} was given twice.", f"Give all values in one option: {flag} V1,V2,...")
        found = _searched(flag, text)
        if isinstance(found, list) and len(found) == 1:
            fixed[key] = found[0]
        else:
            space[key] = found
    from diffuscope.comparison import sweep as run

    made = run(
        data,
        space,
        recipe=recipe,
        settings=fixed,
        trials=trials,
        seed=seed,
        seeds=seeds,
        stop_early=not all_,
        out=out,
        jobs=jobs,
        launch=launch,
        engine=cast("Any", engine),
        skip_invalid=skip_invalid,
        device=device,
        announce=say,
    )
    finish(made, _print, json_)


def _searched(flag: str, text: str) -> Any:
    """Return the values of a setting: a list, or a range."""
    match = _RANGE.match(text)
    ends = () if match is None else (read_value(match[1]), read_value(match[2]))
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if match is None or len(numbers) < 2:
        if _BEGUN.match(text):
            raise InputError(f"{text!r} is no range.", "Write LOW..HIGH, or LOW..HIGH:log.")
        return values_of(flag, text)  # a path, perhaps
    low, high = numbers
    from diffuscope.comparison import Range

    return Range(low, high, log=match[3] is not None)


def _print(made: Sweep) -> None:
    """Print the trials, the best first, and the paths of the results."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    best = made.best()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in made.keys:
        table.add_column(Text(one_line(key)))
    for name in ("steps", "× floor", "95% interval"):
        table.add_column(term(name), justify="right", no_wrap=True)
    table.add_column("")
    for one in made.ranked():
        measured = ["", ""]
        if one["ratio"] is not None:
            measured = [f"{one['ratio']:.2f}", f"{one['low']:.2f} to {one['high']:.2f}"]
        cells = [Text(one_line(one[key])) for key in made.keys]
        words = [f"{one['steps']:,}", *map(translate, measured), term(one["state"])]
        table.add_row(*cells, *words, style="bold green" if one is best else "")
    Console(width=None if Console().is_terminal else 200).print(table)
    echo("")
    if best is not None:
        chosen = ", ".join(f"{key} = {best[key]}" for key in made.keys)
        say_line("best", f"{chosen}: {best['ratio']:.2f} × floor")
    for one in made.failed[:10]:
        chosen = ", ".join(f"{key} = {one[key]}" for key in made.keys)
        say_line("failed", f"{chosen}: {one['error']}")
    for text in made.grid.left_out:
        say_line("skipped", text)
    say_line("table", f"{made.path / 'sweep.csv'}")
    if best is not None:
        say_line("picture", f"{made.path / 'sweep.png'}")
    say_line("models", f"{made.path / 'runs'}/")
