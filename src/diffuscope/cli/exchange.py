"""``diffuscope export RUN`` and ``diffuscope import FOLDER``: models to and from other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, RunDir, free

__all__ = ["export", "import_"]


def export(
    run: RunDir,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="FILE.onnx, or a new FOLDER for diffusers.", show_default=False),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    debug: Debug = False,
) -> None:
    """Write a model as an ONNX file, which runs without torch, or as a folder of Hugging Face diffusers."""
    to_folder = not out.suffix
    free(out, force and not to_folder)
    from diffuscope.exchange import export_diffusers, export_onnx
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    model = load(run, device="cpu").model
    with Reporter().stage(f"writing the {'folder' if to_folder else 'graph'}, and comparing its answers"):
        (export_diffusers if to_folder else export_onnx)(model, out)
    typer.echo(f"{out}")


def import_(
    folder: Annotated[Path, typer.Argument(help="What save_pretrained wrote.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new run directory.", show_default=False)],
    data: Annotated[
        str | None, typer.Option(help="What it was trained on, for diagnose: a folder, .npz or set.")
    ] = None,
    null_class: Annotated[
        bool, typer.Option("--null-class", help="The last of its classes means any class.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Read a folder of Hugging Face diffusers (UNet2DModel with a DDPM or DDIM scheduler) as a run."""
    free(out, force=False)
    from diffuscope.exchange import import_run
    from diffuscope.progress import Reporter

    with Reporter().stage("reading the weights"):
        import_run(folder, out, data=data, null_class=null_class)
    typer.echo(f"{out}\nnext        diffuscope sample {out} -o samples.png")
