"""How does a cloud move from data to noise, or from noise to data?

:func:`save_animation` writes the states of a trajectory as a GIF, an MP4 or a self-contained HTML page with
controls. Axes are fixed over all frames: whatever moves in the picture moves in the data.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from diffuscope.errors import InputError, RunError
from diffuscope.files import atomic_write
from diffuscope.plots import NOISE
from diffuscope.plots.animation_frames import Frame, SheetStage, Stage
from diffuscope.plots.view import State

Times = NDArray[np.float64]

_PLAYER = Path(__file__).with_name("player.html")
_SUFFIXES = (".gif", ".html", ".mp4")
_SHORTEST_GIF_FRAME = 20  # viewers show a shorter one for 100 ms instead


def save_animation(
    states: Sequence[State],
    path: str | os.PathLike[str],
    *,
    frame_ms: float = 200,
    color: str = NOISE,
    title: str | None = None,
    size_px: int = 480,
    hold_ms: float = 1500,
    loop: int = 0,
    reference: ArrayLike | None = None,
) -> None:
    """Write the states of a trajectory as an animation, in the format of the suffix.

    Parameters
    ----------
    states : sequence of State
        One frame each: points (n, d) with the same d; n may differ. With d > 2 the points are seen on
        the first two principal axes, with d = 1 as a histogram. Images (n, channels, height, width),
        values 0 to 255, are shown on a sheet.
    path : path-like
        Ends in .gif, .mp4 or .html; the file appears whole or not at all.
    frame_ms, hold_ms : float
        Milliseconds for which a frame, and at least the last one, is shown. A GIF counts in steps of 10 ms;
        what rounding takes from one frame it gives to the next, so that the total duration is right.
    color : str
        The hue of the points; where they crowd they get darker.
    title : str, optional
        Shown on top of every frame; mathtext is typeset.
    size_px : int
        Width and height in pixels; an odd number is made even, which MP4 needs.
    loop : int
        How often it plays, 0 for ever. The player of an MP4 decides for itself.
    reference : array_like of shape (m, d), optional
        The data, which set the axes and have to be recognisable. By default the sharpest state.
    """
    suffix = check_animation(path)
    if len(states) == 0:
        raise InputError("There is nothing to animate.", "Show the forward walk, the reverse walk, or both.")
    if not 0 < frame_ms < float("inf") or not 0 <= hold_ms < float("inf"):
        raise InputError(
            f"frame_ms = {frame_ms} and hold_ms = {hold_ms} are not valid.",
            "Give milliseconds above 0, such as frame_ms=50.",
        )
    if suffix == ".gif" and frame_ms < _SHORTEST_GIF_FRAME:
        raise InputError(
            f"A frame of a GIF cannot last {frame_ms} ms: viewers slow down whatever is shorter than "
            f"{_SHORTEST_GIF_FRAME} ms.",
            "Give frame_ms=20 or more, or write an .mp4 or .html.",
        )
    if not 160 <= size_px <= 4096:
        raise InputError(f"size_px = {size_px} is out of range.", "Give size_px between 160 and 4096.")
    if loop < 0:
        raise InputError(f"loop = {loop} is not valid.", "Use loop=0 for an endless loop.")
    stage: Stage | SheetStage
    if states[0].x.ndim == 4:
        stage = SheetStage(states, color=color, size_px=size_px)
    else:
        stage = Stage(states, color=color, title=title, size_px=size_px + size_px % 2, reference=reference)
    frames = map(stage.frame, states)
    times = np.full(len(states), float(frame_ms))
    times[-1] = max(frame_ms, hold_ms)
    with atomic_write(path) as temporary:
        if suffix == ".gif":
            _write_gif(frames, stage.palette, temporary, times, loop)
        elif suffix == ".html":
            _write_html(
                frames,
                stage,
                temporary,
                times,
                loop,
                Path(path).stem if title is None or "\\" in title else title,
            )
        else:
            _write_mp4(frames, stage.palette, temporary, times)


def check_animation(path: str | os.PathLike[str]) -> str:
    """Return the suffix of ``path`` if an animation can be written there; say at once if it cannot."""
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(
            f"Cannot write an animation as {Path(path).name!r}.", f"Known: {', '.join(_SUFFIXES)}."
        )
    if suffix == ".mp4":
        find_ffmpeg()
    return suffix


def find_ffmpeg() -> str:
    """Path of an ffmpeg: the one on PATH, else the one that the package imageio-ffmpeg brings."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise RunError(
            "An MP4 needs ffmpeg, which is not on PATH.",
            "Install it with `pip install imageio-ffmpeg` or your system's package manager, "
            "or write a .gif or .html instead.",
        ) from error


def _write_gif(frames: Iterator[Frame], palette: Frame, path: Path, times: Times, loop: int) -> None:
    ends = np.round(np.cumsum(times) / 10).astype(int)
    durations = (10 * np.diff(ends, prepend=0)).tolist()
    images = (_image(frame, palette) for frame in frames)
    # A GIF counts repetitions after the first play, and plays once where it says nothing.
    repeat = {} if loop == 1 else {"loop": max(loop - 1, 0)}
    with path.open("wb") as file:
        next(images).save(
            file,
            format="GIF",
            save_all=True,
            append_images=images,
            duration=durations if len(durations) > 1 else durations[0],
            optimize=False,  # the palette is as small as it gets
            **repeat,
        )


def _write_mp4(frames: Iterator[Frame], palette: Frame, path: Path, times: Times) -> None:
    """Pipe raw frames to ffmpeg, all of the same length: the last one as often as its time asks."""
    frame_ms = float(times.min())
    first = next(frames)
    height, width = first.shape
    ffmpeg = find_ffmpeg()
    command = [
        *(ffmpeg, "-y", "-loglevel", "error", "-nostdin"),
        *("-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"),
        *("-framerate", f"{1000 / frame_ms:.6f}", "-i", "pipe:0", "-an"),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"),
        *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"),
        str(path.absolute()),
    ]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints
        )
        assert process.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died, and says why below
                for frame in itertools.chain([first], frames):
                    pixels = palette[frame].tobytes()
                    process.stdin.write(pixels)
                for _ in range(round(times[-1] / frame_ms) - 1):
                    process.stdin.write(pixels)
        except BaseException:
            process.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        if process.returncode != 0:
            complaints.seek(0)
            lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
            raise RunError(
                f"ffmpeg could not write the MP4: {lines[-1] if lines else f'exit {process.returncode}'}.",
                f"It ran {ffmpeg}; write a .gif or .html instead, or install an ffmpeg with libx264.",
            )


def _write_html(
    frames: Iterator[Frame], stage: Stage | SheetStage, path: Path, times: Times, loop: int, title: str
) -> None:
    pictures = []
    for frame in frames:
        buffer = io.BytesIO()
        _image(frame, stage.palette).save(buffer, format="PNG", compress_level=4)
        pictures.append(f'"{base64.b64encode(buffer.getvalue()).decode("ascii")}"')
    page = _PLAYER.read_text("utf-8")
    for mark, text in {
        "TITLE": html.escape(title.replace("$", "")),
        "WIDTH": str(frame.shape[1]),
        "HEIGHT": str(frame.shape[0]),
        "LAST": str(len(pictures) - 1),
        "COLOR": "#" + stage.palette[stage.solid].tobytes().hex(),
        "LOOP": str(loop),
        "TIMES": ",".join(f"{time:g}" for time in times),
        "FRAMES": ",\n".join(pictures),
    }.items():
        page = page.replace(f"@{mark}@", text)
    path.write_text(page, encoding="utf-8")


def _image(frame: Frame, palette: Frame) -> Image.Image:
    image = Image.fromarray(frame)
    image.putpalette(palette.tobytes())
    return image
