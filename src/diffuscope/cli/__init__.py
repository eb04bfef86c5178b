"""The command line. It turns arguments into calls; heavy modules are imported inside a command."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from typer.main import get_command

from diffuscope.cli.animate import animate
from diffuscope.cli.common_options import app, example, say
from diffuscope.cli.compare import compare
from diffuscope.cli.diagnose import diagnose
from diffuscope.cli.evaluate import evaluate
from diffuscope.cli.exchange import export, import_
from diffuscope.cli.help import Command
from diffuscope.cli.images import inpaint, interpolate, vary
from diffuscope.cli.impute import impute
from diffuscope.cli.listing import list_
from diffuscope.cli.pack import pack
from diffuscope.cli.sample import sample
from diffuscope.cli.students import distill, reflow
from diffuscope.cli.studio import studio
from diffuscope.cli.sweep import sweep
from diffuscope.cli.train import train
from diffuscope.cli.view import view
from diffuscope.errors import LostError, foreseen
from diffuscope.languages import language_of
from diffuscope.progress import lines_without_terminal
from diffuscope.signals import exit_code, stop_by_signals
from diffuscope.terminal import any_encoding, echo, one_line
from diffuscope.translations import choose, chosen, translate

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: dict[str, tuple[Callable[..., None], str]] = {  # in the order of --help, each with an example
    "train": (train, "diffuscope train s_curve\ndiffuscope train patients.csv --target diagnosis"),
    "distill": (distill, "diffuscope distill runs/moons --steps 4 -o runs/student"),
    "reflow": (reflow, "diffuscope reflow runs/flow -o runs/reflow"),
    "sample": (sample, "diffuscope sample runs/s_curve -n 1000 -o samples.csv"),
    "impute": (impute, "diffuscope impute runs/patients patients.csv -o filled.csv"),
    "inpaint": (inpaint, "diffuscope inpaint runs/digits three.png --mask mask.png -n 8 -o completed.png"),
    "vary": (vary, "diffuscope vary runs/digits three.png --strength 0.5 -n 8 -o variants.png"),
    "interpolate": (interpolate, "diffuscope interpolate runs/digits --label 8 -n 9 -o way.gif"),
    "animate": (animate, "diffuscope animate runs/s_curve --forward --reverse -o walk.html"),
    "view": (view, "diffuscope view runs/s_curve -o run.html"),
    "studio": (studio, "diffuscope studio"),
    "evaluate": (evaluate, "diffuscope evaluate runs/patients --html"),
    "diagnose": (diagnose, "diffuscope diagnose runs/s_curve --html"),
    "compare": (compare, "diffuscope compare moons --sampler heun,ddim --sampling-steps 5,20 --seeds 3"),
    "sweep": (
        sweep,
        "diffuscope sweep moons --set training.learning_rate=1e-3..1e-1:log --trials 12",
    ),
    "pack": (pack, "diffuscope pack patients.csv -o packed"),
    "export": (export, "diffuscope export runs/s_curve -o model.onnx"),
    "import": (import_, "diffuscope import folder -o runs/theirs --data digits"),
    "list": (list_, "diffuscope list settings"),
}
for _name, (_command, _example) in COMMANDS.items():
    app.command(_name, cls=Command, epilog=example(_example))(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    The code is 0 when all is done, 1 when it failed, 2 for bad usage or input, 130 after Ctrl-C, 143 after
    SIGTERM, 129 after SIGHUP, 138 after SIGUSR1.
    """
    # Threads that wait for one another should sleep, not spin: on a busy machine spinning takes many
    # times as long. The policy is read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a connection that breaks is said in words
    arguments = sys.argv[1:] if arguments is None else arguments
    usual, warnings.formatwarning = warnings.formatwarning, _as_a_line
    spoken = chosen()
    try:
        with any_encoding(), stop_by_signals(), lines_without_terminal():
            words = [word for word in arguments if word != "--debug"]
            code = _run(words or ["--help"], "--debug" in arguments)
    except KeyboardInterrupt as stop:  # before or after the command
        code = exit_code(stop)
    finally:
        warnings.formatwarning = usual
        choose(spoken)
    sys.exit(code)


def _run(words: list[str], debug: bool) -> int:
    """Run a command; return its exit code, with all that went wrong said in words."""
    try:
        choose(chosen() or language_of(os.environ))
        code = _commands()(args=words, prog_name="diffuscope", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Exception as error:
        if debug:
            echo(traceback.format_exc(), err=True, as_is=True)
            return 1
        known = foreseen(error)
        if known is not None:
            _give_up_output(error)
            text = "Error: " + "\n".join(map(one_line, filter(None, (known.what, known.hint))))
            say(text, everywhere=isinstance(known, LostError))
            return known.exit_code
        if (usage := _misused(error)) is not None:
            say(usage)
            return 2
        say(
            f"Error: {type(error).__name__}: {one_line(error)}\n"
            "This is a bug. Run the command again with --debug for a traceback, and report it."
        )
        return 1


@cache
def _commands() -> Any:
    """Return the commands, which typer would read anew from the signatures for each call."""
    return get_command(app)


def _misused(error: Exception) -> str | None:
    """Return what is said of arguments that make no command; None for other errors."""
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    lines, context = [f"Error: {one_line(message())}"], getattr(error, "ctx", None)
    if context is not None:
        path = context.command_path
        lines = [context.get_usage(), f"Try '{path} --help' for help.", "", *lines]
    return "\n".join(lines)


def _give_up_output(error: Exception) -> None:
    """Print to nowhere from here on if standard output is full: what it still holds would fail again."""
    if not isinstance(error.__cause__ or error, OSError):
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_a_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning without the place in the code that gives it."""
    return translate(f"Warning: {one_line(message)}") + "\n"
