"""``diffuscope view RUN``: one page in which a model is watched, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from diffuscope.cli.common_options import Force, RunDir, free
from diffuscope.cli.outcome import written


def view(
    run: RunDir,
    out: Annotated[Path, Option("--out", "-o", help="The page to write, FILE.html.")] = Path("run.html"),
    data: Annotated[
        Path | None, Option(help="The training data, where the run has not got it.", show_default=False)
    ] = None,
    language: Annotated[
        str, Option(help="The language that the page opens in: en or zh. [default: that of --lang]")
    ] = "",
    force: Force = False,
) -> None:
    """Write an interactive page of a run: one file that works offline."""
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    free(out, force)
    opened = load(run, device="cpu", data=data)
    with Reporter().stage("building the page"):
        path = opened.view(language=language or None).save(out)  # type: ignore[arg-type]
    written(path)
