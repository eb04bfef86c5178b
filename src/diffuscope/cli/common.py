"""What do all commands share? The application, common options, and the reading of settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from diffuscope._version import __version__
from diffuscope.errors import InputError

__all__ = [
    "Debug",
    "Device",
    "Force",
    "Guidance",
    "Interval",
    "Label",
    "RunDir",
    "SamplerName",
    "Seed",
    "Steps",
    "app",
    "conditions",
    "free",
    "is_main",
    "read_settings",
    "say",
]


class _Commands(TyperGroup):
    """The commands. On Ctrl-C they say how to resume, which typer leaves out."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            say(str(stop) or "Interrupted.")
            raise typer.Exit(130) from stop


def say(text: str) -> None:
    """Write to standard error; of several processes under torchrun, only the main one does."""
    if is_main:
        typer.echo(text, err=True)


is_main = os.environ.get("RANK", "0") == "0"

app = typer.Typer(
    name="diffuscope",
    cls=_Commands,
    help="Train, watch and diagnose diffusion models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", hidden=True)]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.", show_default=False)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
SamplerName = Annotated[
    str | None, typer.Option("--sampler", help="Sampler, see diffuscope list samplers. [default: the run's]")
]
Steps = Annotated[int | None, typer.Option(help="Number of sampling steps. [default: the run's]")]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        "--y",
        metavar="CLASS",
        help="Class or target value to condition on; for images, 'each' takes all classes in turn.",
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(help="Scale of classifier-free guidance; 1 is no guidance. [default: the recipe's]"),
]
Interval = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Apply guidance only at noise-to-signal ratios in this interval. [default: the recipe's]",
    ),
]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"diffuscope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train, watch and diagnose diffusion models."""


def read_settings(pairs: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs; values are TOML, bare words are text."""
    import tomllib

    changes: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise InputError(
                f"{pair!r} is not of the form SECTION.KEY=VALUE.", "Write --set SECTION.KEY=VALUE."
            )
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        changes[key.strip()] = value
    return changes


def free(path: Path, force: bool) -> None:
    """Refuse to overwrite an existing file without --force."""
    if path.exists() and not force:
        raise InputError(f"{path} already exists.", "Choose another name, or overwrite it with --force.")


def conditions(label: str | None, guidance: float | None, interval: str | None) -> dict[str, Any]:
    """Turn the options of a condition into arguments; omitted options are left out."""
    options: dict[str, Any] = {"y": label, "guidance": guidance}
    if interval is not None:
        try:
            low, high = map(float, interval.split(","))
        except ValueError as error:
            raise InputError(
                f"{interval!r} is not a valid interval.", "Write --interval LOW,HIGH, such as 0.2,5."
            ) from error
        options["interval"] = (low, high)
    return {name: value for name, value in options.items() if value is not None}
