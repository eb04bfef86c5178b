"""What do all commands share? The application, common options, and the reading of settings."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer import Argument, Option
from typer.core import TyperGroup

from diffuscope._version import __version__
from diffuscope.cli.help import help_of
from diffuscope.errors import InputError, RunError
from diffuscope.files import check_writable_folder
from diffuscope.languages import set_language
from diffuscope.recipes.toml import read_value
from diffuscope.shares import is_first
from diffuscope.signals import exit_code
from diffuscope.terminal import echo, one_line
from diffuscope.translations import LANGUAGES, term


class _Commands(TyperGroup):
    """The commands. When they are stopped they say how to resume, which typer leaves out."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            say(one_line(stop) or term("Interrupted."))
            raise typer.Exit(exit_code(stop)) from stop

    def get_help(self, ctx: Any) -> str:
        return help_of(self, ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each command does, in a whole sentence however narrow the terminal is."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(one.help or "")) for name, one in commands if one])


def _first_line(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def example(commands: str) -> str:
    """Return what --help shows behind the options of a command; its lines are not wrapped."""
    lines = commands.splitlines()
    return "\n".join(["\b", f"Example{'s' if len(lines) > 1 else ''}:", *(f"  {line}" for line in lines)])


def say(text: str, everywhere: bool = False) -> None:
    """Write to standard error; of several processes only the main one does, unless ``everywhere``."""
    if is_main or everywhere:
        echo(text, err=True)


T = TypeVar("T")
is_main = os.environ.get("RANK", "0") == "0"

app = typer.Typer(
    name="diffuscope",
    cls=_Commands,
    help="Train, watch and diagnose diffusion models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunDir = Annotated[Path, Argument(metavar="RUN", help="A run directory.", show_default=False)]
Device = Annotated[str, Option(help="auto, cpu, cuda or mps.")]
SamplerName = Annotated[
    str | None, Option("--sampler", help="Sampler, see diffuscope list samplers. [default: the run's]")
]
Steps = Annotated[int | None, Option(help="Number of sampling steps. [default: the run's]")]
Seed = Annotated[int, Option(help="Random seed.")]
SeedOfRun = Annotated[int | None, Option(help="Random seed. [default: the run's]")]
RunOut = Annotated[Path | None, Option("--out", "-o", help="Run directory. [default: runs/NAME]")]
Pictures = Annotated[bool, Option(help="Draw figures and animations.")]
Force = Annotated[bool, Option("--force", help="Overwrite an existing file.")]
_HELD_OUT = "Held-out data: real data that was not used for training (a file, or a folder of images)."
HeldOut = Annotated[Path | None, Option(help=_HELD_OUT, show_default=False)]
_LABEL = (
    "Class, number (0.3, or 0.1,0.9) or target value to condition on; of points and images 'each' takes all "
    "classes in turn, or a number from end to end."
)
Label = Annotated[str | None, Option("--label", "--y", metavar="VALUE", help=_LABEL)]
Guidance = Annotated[
    float | None, Option(help="Scale of classifier-free guidance; 1 is no guidance. [default: the recipe's]")
]
_INTERVAL = "Apply guidance only at noise-to-signal ratios in this interval. [default: the recipe's]"
Interval = Annotated[str | None, Option(metavar="LOW,HIGH", help=_INTERVAL)]


_SAFE = "In text files, put an apostrophe before cells that a spreadsheet would run as formulas."
SafeCsv = Annotated[bool, Option("--safe-csv", help=_SAFE)]


def _version(show: bool) -> None:
    if show:
        echo(f"diffuscope {__version__}")
        raise typer.Exit


_Version = Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Show the version.")]


def _choose(name: str | None) -> None:
    if name is not None:
        set_language(name)


_LANG = "Language of messages, figures and pages: en or zh. [default: that of the locale]"
_Lang = Annotated[
    str | None, Option("--lang", metavar="|".join(LANGUAGES), callback=_choose, is_eager=True, help=_LANG)
]


@app.callback()
def _root(version: _Version = False, lang: _Lang = None) -> None:
    """Train, watch and diagnose diffusion models."""


def split_setting(pair: str, values: str = "VALUE.") -> tuple[str, str]:
    """Split a setting into key and text; ``values`` ends the sentence that says how it is written."""
    key, sign, text = pair.partition("=")
    if not sign or not key.strip():
        form = f"SECTION.KEY={values}"
        raise InputError(f"{pair!r} is not of the form {form}", f"Write --set {form}")
    return key.strip(), text


def read_settings(pairs: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE pairs."""
    return {key: read_value(text) for key, text in map(split_setting, pairs or [])}


# How the file of a table is read, where that is not left to recognition; a run keeps it for later files.
_KINDS = "number, integer, boolean, category, date, id, ignored"
_FILE_OPTIONS: dict[str, Any] = {
    "types": Annotated[
        list[str] | None,
        Option(
            "--types",
            metavar="COLUMN=KIND,...",
            help="For tables: what columns are, such as zip=category,note=ignored "
            f"({_KINDS}). [default: recognised]",
        ),
    ],
    "missing": Annotated[
        str | None,
        Option(
            "--missing",
            metavar="WORD,...",
            help="For tables: words for a missing value, besides an empty cell; '' for none. "
            "[default: NA, N/A, NaN, null, None, ?, - and others]",
        ),
    ],
    "decimal": Annotated[
        str | None,
        Option(
            "--decimal",
            metavar="SIGN",
            help="For tables: the decimal sign, a point or a comma. [default: recognised in each column]",
        ),
    ],
    "thousands": Annotated[
        str | None,
        Option(
            "--thousands",
            metavar="SIGN",
            help="For tables: the separator of thousands, or none. [default: recognised in each column]",
        ),
    ],
    "date_format": Annotated[
        list[str] | None,
        Option(
            "--date-format",
            metavar="[COLUMN=]FORMAT",
            help="For tables: format of dates, such as %d/%m/%Y, or of one column's, born=%d/%m/%Y. "
            "[default: recognised]",
        ),
    ],
    "sep": Annotated[
        str | None,
        Option(
            "--sep",
            metavar="SIGN",
            help="For tables: what separates the values of a .csv file. [default: a comma]",
        ),
    ],
    "encoding": Annotated[
        str | None,
        Option("--encoding", help="For tables: encoding of a text file. [default: UTF-8]"),
    ],
}


def reads_files(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how a file is read; it gets them as its argument ``read``, settings."""
    own = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = []
    for parameter in own.parameters.values():
        if parameter.name != "read":
            parameters.append(parameter)
            continue
        parameters += [
            inspect.Parameter(name, keyword, default=None, annotation=kind)
            for name, kind in _FILE_OPTIONS.items()
        ]

    def call(**options: Any) -> None:
        given = {name: options.pop(name) for name in _FILE_OPTIONS}
        command(**options, read=_file_settings(**given))

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _file_settings(
    types: list[str] | None,
    missing: str | None,
    decimal: str | None,
    thousands: str | None,
    date_format: list[str] | None,
    sep: str | None,
    encoding: str | None,
) -> dict[str, Any]:
    """Return the options that were given, as settings of how the file of a table is read."""
    found: dict[str, Any] = {"decimal": decimal, "thousands": thousands, "encoding": encoding}
    found["sep"] = "\t" if sep in ("\\t", "tab") else sep
    if types:
        from diffuscope.data.columnar.schema import read_types

        found["types"] = read_types(types)
    if missing is not None:
        found["missing"] = tuple(word.strip() for word in missing.split(",") if word.strip())
    if date_format:
        formats = dict(text.rsplit("=", 1) for text in date_format if "=" in text)
        for_all = [text for text in date_format if "=" not in text]
        if len(for_all) + bool(formats) > 1:
            raise InputError(
                "--date-format was given for all columns and again.",
                "Give one format, or one for each column: --date-format COLUMN=FORMAT.",
            )
        found["date_format"] = for_all[0] if for_all else formats
    return {f"data.{key}": value for key, value in found.items() if value is not None}


def print_and_save(
    folder: Path, measure: Callable[[], T], show: Callable[[T], object], save: Callable[[T], list[Path]]
) -> list[Path]:
    """Measure, print, then write into a folder; return what was written.

    Whether it can be written to is looked at first, and said. What was measured is printed in any case; then
    the error is raised. Of several processes the first prints and writes.
    """
    problem: RunError | None = None
    if not is_first():
        measure()
        return []
    try:
        for place in (folder, folder / "figures"):
            if place.is_dir():
                check_writable_folder(place)
    except RunError as error:
        problem = error
        say(f"Warning: {one_line(error.what)} Results are printed, and not kept.")
    found = measure()
    show(found)
    if problem is not None:
        raise problem
    return save(found)


def among_processes(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command share its work among the processes of torchrun; the first alone prints and writes."""

    @functools.wraps(command)
    def call(**options: Any) -> None:
        if os.environ.get("WORLD_SIZE", "1") == "1":
            return command(**options)
        from diffuscope.runs.sharing import sharing

        with contextlib.ExitStack() as held:
            if not is_main:
                nowhere = held.enter_context(Path(os.devnull).open("w"))
                held.enter_context(contextlib.redirect_stdout(nowhere))
                held.enter_context(contextlib.redirect_stderr(nowhere))
            held.enter_context(sharing(options["device"]))
            return command(**options)

    return call


def free(path: Path, force: bool) -> None:
    """Refuse to overwrite an existing file without --force."""
    if is_first() and path.exists() and not force:
        raise InputError(f"{path} already exists.", "Choose another name, or overwrite it with --force.")


def read_interval(text: str, option: str, such: str = "0,4095") -> tuple[float, float]:
    """Read two numbers with a comma between them; an InputError says how the option is written."""
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        what = option.removeprefix("--")
        raise InputError(
            f"{text!r} is not a valid {what}.", f"Write {option} LOW,HIGH, such as {such}."
        ) from error
    return low, high


def present(interval: str | None, **options: Any) -> dict[str, Any]:
    """Return the options that were given, with the interval read as two numbers."""
    if interval is not None:
        options["interval"] = read_interval(interval, "--interval", "0.2,5")
    return {name: value for name, value in options.items() if value is not None}
