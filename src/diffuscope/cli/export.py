"""``diffuscope export RUN -o model.onnx``: a model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, RunDir, free


def export(
    run: RunDir,
    out: Annotated[Path, typer.Option("--out", "-o", help="FILE.onnx.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    debug: Debug = False,
) -> None:
    """Write a model as an ONNX file, which runs without torch; its walk and its units are in the metadata."""
    free(out, force)
    from diffuscope.exchange import export_onnx
    from diffuscope.progress import Reporter
    from diffuscope.run import load

    model = load(run, device="cpu").model
    with Reporter().stage("writing the graph, and comparing its answers"):
        export_onnx(model, out)
    typer.echo(f"{out}")
