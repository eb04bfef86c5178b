"""``diffuscope inpaint``, ``vary``, ``interpolate``: further commands for models of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from diffuscope.cli.common import (
    Debug,
    Device,
    Force,
    Guidance,
    Interval,
    Label,
    RunDir,
    SamplerName,
    Seed,
    Steps,
    conditions,
    free,
)
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from diffuscope.modalities.images.generator import ImageGenerator

__all__ = ["inpaint", "interpolate", "vary"]

_ACROSS = 12  # images of a row, at most
_FRAME_MS = 120
_ImageFile = Annotated[
    Path, typer.Argument(metavar="IMAGE", help="An image file, such as a .png.", show_default=False)
]
_Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="FILE.png (several: one sheet), .npy, .npz or FOLDER.", show_default=False
    ),
]
_Count = Annotated[int, typer.Option("-n", min=1, metavar="<int>", help="Number of images.")]
_Resize = Annotated[bool, typer.Option("--resize", help="Resize images to the size of the model.")]


def inpaint(
    run: RunDir,
    image: _ImageFile,
    out: _Out,
    mask: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Mask image of the model's size; white pixels are generated.",
            show_default=False,
        ),
    ],
    n: _Count = 1,
    resample: Annotated[
        int,
        typer.Option(
            help="Repetitions of each step (RePaint); 5 to 10 blend edges better, at 5 to 10 times the cost."
        ),
    ] = 1,
    label: Label = None,
    guidance: Guidance = None,
    interval: Interval = None,
    sampler: SamplerName = None,
    steps: Steps = None,
    seed: Seed = 0,
    resize: _Resize = False,
    force: Force = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Generate the masked pixels of an image, given the others."""
    model = _open(run, out, n, force, device)
    from diffuscope.data.images import read_mask

    pixels = _read(model, [image], resize)
    holes = read_mask(mask, (pixels.shape[2], pixels.shape[3]))
    options = {"sampler": sampler, "steps": steps, "seed": seed, **conditions(label, guidance, interval)}
    with _drawing():
        made = model.inpaint(pixels, holes, n=n, resample=resample, **options)
    _write(made, out)


def vary(
    run: RunDir,
    image: _ImageFile,
    out: _Out,
    strength: Annotated[
        float, typer.Option(help="Strength, above 0 to 1: 0.2 changes details, 0.8 all but the rough shape.")
    ] = 0.5,
    n: _Count = 1,
    label: Label = None,
    guidance: Guidance = None,
    interval: Interval = None,
    sampler: SamplerName = None,
    steps: Steps = None,
    seed: Seed = 0,
    resize: _Resize = False,
    force: Force = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Generate variants of an image (SDEdit)."""
    model = _open(run, out, n, force, device)
    pixels = _read(model, [image], resize)
    options = {"sampler": sampler, "steps": steps, "seed": seed, **conditions(label, guidance, interval)}
    with _drawing():
        made = model.vary(pixels, strength, n=n, **options)
    _write(made, out)


def interpolate(
    run: RunDir,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="FILE.png (side by side), .npy, .npz or FOLDER; or .gif, .mp4 or .html.",
            show_default=False,
        ),
    ],
    n: Annotated[
        int, typer.Option("-n", min=2, metavar="<int>", help="Number of images, including both ends.")
    ] = 9,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The first image. [default: a sample]"),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The last image. [default: a sample]")
    ] = None,
    label: Label = None,
    guidance: Guidance = None,
    interval: Interval = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="A deterministic sampler: heun, ddim, euler, dpmpp_2m or unipc. [default: heun]"),
    ] = None,
    steps: Steps = None,
    seed: Seed = 0,
    resize: _Resize = False,
    force: Force = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Interpolate between two images, or between two samples."""
    if (from_ is None) != (to is None):
        raise InputError(
            "Only one end of the interpolation was given.", "Give both --from and --to, or neither."
        )
    is_moving = out.suffix.lower() in (".gif", ".mp4", ".html")
    if is_moving:
        from diffuscope.plots.animation import check_animation

        check_animation(out)
    model = _open(run, out, n, force, device, is_moving)
    ends = None if from_ is None or to is None else _read(model, [from_, to], resize)
    options = {"steps": steps, "seed": seed, **conditions(label, guidance, interval)}
    if sampler is not None:
        options["sampler"] = sampler
    with _drawing():
        made = model.interpolate(n, images=ends, **options)
    if is_moving:
        _animate(made, out)
        typer.echo(f"{n:,} images in {out}")
    else:
        _write(made, out, min(n, _ACROSS))


def _open(run: Path, out: Path, n: int, force: bool, device: str, is_moving: bool = False) -> ImageGenerator:
    """Load a model of images, after checking that its output can be written."""
    if not out.is_dir():
        free(out, force)
    from diffuscope.data.images import check_image_target
    from diffuscope.runs.run import load

    if not is_moving:
        check_image_target(out)
    model: ImageGenerator = load(run, device=device).require("images")
    if not is_moving:
        check_image_target(out, (n, *model.model.shape))
    return model


def _read(model: ImageGenerator, paths: list[Path], resize: bool) -> NDArray[np.uint8]:
    import numpy as np

    from diffuscope.data.images import read_image

    shape = cast("tuple[int, int, int]", model.model.shape)
    return np.stack([read_image(path, shape, resize=resize) for path in paths])


def _drawing() -> Any:
    from diffuscope.progress import Reporter

    return Reporter().stage("drawing")


def _write(images: NDArray[np.uint8], out: Path, columns: int | None = None) -> None:
    from diffuscope.data.images import save_grid, save_images

    if out.suffix.lower() == ".png":
        save_grid(images, out, columns)
    else:
        save_images([images], out, len(images))
    typer.echo(f"{len(images):,} {'image' if len(images) == 1 else 'images'} in {out}")


def _animate(images: NDArray[np.uint8], out: Path) -> None:
    """Write an animation that runs forward and back."""
    from diffuscope.plots.animation import State, save_animation

    moments = images[:, None].astype("float32")  # a sheet of one each
    there = [State(x, "", i / (len(images) - 1)) for i, x in enumerate(moments)]
    save_animation(there + there[-2:0:-1], out, frame_ms=_FRAME_MS, hold_ms=_FRAME_MS)
