"""The command line. It turns arguments into calls; heavy modules are imported inside a command."""

from __future__ import annotations

import os
import sys
import warnings

from diffuscope.cli.animate import animate
from diffuscope.cli.common_options import app, say
from diffuscope.cli.compare import compare
from diffuscope.cli.diagnose import diagnose
from diffuscope.cli.evaluate import evaluate
from diffuscope.cli.exchange import export, import_
from diffuscope.cli.images import inpaint, interpolate, vary
from diffuscope.cli.impute import impute
from diffuscope.cli.listing import list_
from diffuscope.cli.sample import sample
from diffuscope.cli.studio import studio
from diffuscope.cli.train import train
from diffuscope.cli.view import view
from diffuscope.errors import DiffuscopeError

__all__ = ["app", "main"]

for _command in (  # in the order of --help
    *(train, sample, impute, inpaint, vary, interpolate),
    *(animate, view, studio, evaluate, diagnose, compare, export),
):
    app.command()(_command)
app.command("import")(import_)
app.command("list")(list_)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad usage, 130 interrupted."""
    # Threads that wait for one another should sleep, not spin: on a busy machine spinning takes many
    # times as long. The policy is read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    usual, warnings.formatwarning = warnings.formatwarning, _as_a_line
    try:
        app(args=[word for word in arguments if word != "--debug"], prog_name="diffuscope")
    except DiffuscopeError as error:
        if debug:
            raise
        say(f"Error: {error.what}" + (f"\n{error.hint}" if error.hint else ""))
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        say(
            f"Error: {type(error).__name__}: {error}\n"
            "This is a bug. Run the command again with --debug for a traceback, and report it."
        )
        sys.exit(1)
    finally:
        warnings.formatwarning = usual


def _as_a_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning without the place in the code that gives it."""
    return f"Warning: {message}\n"
