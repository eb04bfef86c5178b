"""``diffuscope export RUN`` and ``diffuscope import FOLDER``: exchange models with other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from diffuscope.cli.common_options import Force, RunDir, free
from diffuscope.cli.outcome import line, written
from diffuscope.terminal import one_line

_FOLDER = "A folder written by save_pretrained of diffusers."
_TARGET = "FILE.onnx, or a new FOLDER for diffusers."


def export(
    run: RunDir,
    out: Annotated[Path, Option("--out", "-o", help=_TARGET, show_default=False)],
    force: Force = False,
) -> None:
    """Export a model to ONNX, or to a folder of diffusers.

    An ONNX file runs without torch.
    """
    to_folder = not out.suffix
    free(out, force and not to_folder)
    from diffuscope.exchange import export_diffusers, export_onnx
    from diffuscope.progress import Reporter
    from diffuscope.runs.run import load

    model = load(run, device="cpu").model
    with Reporter().stage(f"writing and checking the {'folder' if to_folder else 'graph'}"):
        (export_diffusers if to_folder else export_onnx)(model, out)
    written(out)


def import_(
    folder: Annotated[Path, Argument(metavar="FOLDER", help=_FOLDER, show_default=False)],
    out: Annotated[Path, Option("--out", "-o", help="A new run directory.", show_default=False)],
    data: Annotated[
        str | None, Option(help="Its training data, for diagnose: a folder, a .npz file or a built-in set.")
    ] = None,
    null_class: Annotated[
        bool, Option("--null-class", help="The last class embedding is the null class (unconditional).")
    ] = False,
) -> None:
    """Import a model from a folder of Hugging Face diffusers.

    Supported is UNet2DModel with a DDPM or DDIM scheduler.
    """
    free(out, force=False)
    from diffuscope.exchange import import_run
    from diffuscope.progress import Reporter

    with Reporter().stage("reading the weights"):
        import_run(folder, out, data=data, null_class=null_class)
    written(out)
    line("next", f"diffuscope sample {one_line(out)} -o samples.png")
