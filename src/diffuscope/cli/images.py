"""``diffuscope inpaint``, ``vary``, ``interpolate``: further commands for models of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from typer import Argument, Option

import diffuscope.cli.common_options as common
from diffuscope.errors import InputError
from diffuscope.shares import is_first
from diffuscope.terminal import echo, one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from diffuscope.modalities.images.generator import ImageGenerator

_MOVING = (".gif", ".mp4", ".html")
_ACROSS = 12  # images of a row, at most
_FRAME_MS = 120
_HOLE = 128  # grey of the pixels that are generated
_RESAMPLE = "Repetitions of each step (RePaint); 5 to 10 blend edges better, at 5 to 10 times the cost."
_MASK = "Mask image of the model's size; white pixels are generated."
_SAMPLER = "A deterministic sampler: heun, ddim, euler, dpmpp_2m or unipc. [default: heun]"
_OUT = "FILE.png (several: one sheet), .npy, .npz or FOLDER."
_OUT_ROW = "FILE.png (side by side), .npy, .npz or FOLDER; or .gif, .mp4 or .html."
_ImageFile = Annotated[
    Path, Argument(metavar="IMAGE", help="An image file, such as a .png.", show_default=False)
]
_Out = Annotated[Path, Option("--out", "-o", help=_OUT, show_default=False)]
_Count = Annotated[int, Option("-n", min=1, metavar="<int>", help="Number of images.")]
_Resize = Annotated[bool, Option("--resize", help="Resize images to the size of the model.")]


@common.among_processes
def inpaint(
    run: common.RunDir,
    image: _ImageFile,
    out: _Out,
    mask: Annotated[Path, Option(metavar="FILE", help=_MASK, show_default=False)],
    n: _Count = 1,
    resample: Annotated[int, Option(help=_RESAMPLE)] = 1,
    label: common.Label = None,
    guidance: common.Guidance = None,
    interval: common.Interval = None,
    sampler: common.SamplerName = None,
    steps: common.Steps = None,
    seed: common.Seed = 0,
    resize: _Resize = False,
    force: common.Force = False,
    device: common.Device = "auto",
) -> None:
    """Generate the masked pixels of an image, given the others.

    A sheet of several shows the image and what of it was given first.
    """
    model = _open(run, out, n, force, device)
    import numpy as np

    from diffuscope.data.images import read_mask

    pixels = _read(model, [image], resize)
    holes = read_mask(mask, (pixels.shape[2], pixels.shape[3]))
    options = common.present(interval, y=label, guidance=guidance, sampler=sampler, steps=steps, seed=seed)
    beside = None if n == 1 else (pixels[0], np.where(holes, _HOLE, pixels[0]).astype(np.uint8))
    _write(lambda: model.inpaint(pixels, holes, n=n, resample=resample, **options), out, beside=beside)


@common.among_processes
def vary(
    run: common.RunDir,
    image: _ImageFile,
    out: _Out,
    strength: Annotated[
        float, Option(help="Strength, above 0 to 1: 0.2 changes details, 0.8 all but the rough shape.")
    ] = 0.5,
    n: _Count = 1,
    label: common.Label = None,
    guidance: common.Guidance = None,
    interval: common.Interval = None,
    sampler: common.SamplerName = None,
    steps: common.Steps = None,
    seed: common.Seed = 0,
    resize: _Resize = False,
    force: common.Force = False,
    device: common.Device = "auto",
) -> None:
    """Generate variants of an image (SDEdit)."""
    model = _open(run, out, n, force, device)
    pixels = _read(model, [image], resize)
    options = common.present(interval, y=label, guidance=guidance, sampler=sampler, steps=steps, seed=seed)
    _write(lambda: model.vary(pixels, strength, n=n, **options), out)


@common.among_processes
def interpolate(
    run: common.RunDir,
    out: Annotated[Path, Option("--out", "-o", help=_OUT_ROW, show_default=False)],
    n: Annotated[
        int, Option("-n", min=2, metavar="<int>", help="Number of images, including both ends.")
    ] = 9,
    from_: Annotated[
        Path | None, Option("--from", metavar="FILE", help="The first image. [default: a sample]")
    ] = None,
    to: Annotated[Path | None, Option(metavar="FILE", help="The last image. [default: a sample]")] = None,
    label: common.Label = None,
    guidance: common.Guidance = None,
    interval: common.Interval = None,
    sampler: Annotated[str | None, Option(help=_SAMPLER)] = None,
    steps: common.Steps = None,
    seed: common.Seed = 0,
    resize: _Resize = False,
    force: common.Force = False,
    device: common.Device = "auto",
) -> None:
    """Interpolate between two images, or between two samples."""
    if (from_ is None) != (to is None):
        raise InputError(
            "Only one end of the interpolation was given.", "Give both --from and --to, or neither."
        )
    model = _open(run, out, n, force, device, may_move=True)
    ends = None if from_ is None or to is None else _read(model, [from_, to], resize)
    options = common.present(interval, y=label, guidance=guidance, sampler=sampler, steps=steps, seed=seed)
    _write(lambda: model.interpolate(n, images=ends, **options), out, min(n, _ACROSS))


def _open(run: Path, out: Path, n: int, force: bool, device: str, may_move: bool = False) -> ImageGenerator:
    """Load a model of images, after checking that its output can be written."""
    moves = may_move and out.suffix.lower() in _MOVING
    if moves:
        from diffuscope.plots.animation import check_animation

        check_animation(out)
    if not out.is_dir():
        common.free(out, force)
    from diffuscope.data.images import check_image_target
    from diffuscope.runs.run import load

    if not moves:
        check_image_target(out)
    model: ImageGenerator = load(run, device=device).require("images")
    if not moves:
        check_image_target(out, (n, *model.model.shape))
    return model


def _read(model: ImageGenerator, paths: list[Path], resize: bool) -> NDArray[np.uint8]:
    import numpy as np

    from diffuscope.data.images import read_image

    shape = cast("tuple[int, int, int]", model.model.shape)
    limits = getattr(model.model.recipe.data, "range", None)  # black and white as in the training
    return np.stack([read_image(path, shape, resize=resize, limits=limits) for path in paths])


def _write(
    draw: Callable[[], NDArray[np.uint8]],
    out: Path,
    columns: int | None = None,
    beside: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
) -> None:
    """Draw images, and write a sheet, an animation that runs forward and back, an array, or a folder.

    ``beside`` are the image and what was given of it, which a sheet shows first.
    """
    import numpy as np

    from diffuscope.data.images import save_grid, save_images
    from diffuscope.progress import Reporter

    with Reporter().stage("drawing"):
        images = draw()
    if not is_first():
        return
    if out.suffix.lower() == ".png" and beside is not None:
        names = ("original", "given", *(str(i) for i in range(1, len(images) + 1)))
        save_grid(np.stack([*beside, *images]), out, columns, names, labels=np.arange(len(names)))
    elif out.suffix.lower() == ".png":
        save_grid(images, out, columns)
    elif out.suffix.lower() in _MOVING:
        from diffuscope.plots import State
        from diffuscope.plots.animation import save_animation

        moments = images[:, None].astype("float32")  # a sheet of one each
        there = [State(x, "", i / (len(images) - 1)) for i, x in enumerate(moments)]
        save_animation(there + there[-2:0:-1], out, frame_ms=_FRAME_MS, hold_ms=_FRAME_MS)
    else:
        save_images([images], out, len(images))
    echo(f"{len(images):,} {'image' if len(images) == 1 else 'images'} in {one_line(out)}")
