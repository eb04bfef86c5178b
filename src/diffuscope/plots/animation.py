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

__all__ = ["State", "check_animation", "find_ffmpeg", "save_animation"]

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
    frame_ms : float, default 200
        Milliseconds for which a frame is shown. A GIF counts in steps of 10 ms; what rounding takes
        from one frame it gives to the next, so that the total duration is right.
    color : str, default NOISE
        The hue of the points; where they crowd they get darker.
    title : str, optional
        Shown on top of every frame; mathtext is typeset.
    size_px : int, default 480
        Width and height in pixels; an odd number is made even, which MP4 asks for.
    hold_ms : float, default 1500
        Milliseconds for which the last frame is shown, where that is longer than ``frame_ms``.
    loop : int, default 0
        How often it plays, 0 for ever. The player of an MP4 decides for itself.
    reference : array_like of shape (m, d), optional
        The data: they set the axes, with :func:`diffuscope.plots.axis_limits`, and have to be
        recognisable. By default the sharpest state.

    Raises
    ------
    InputError
        No states, an unknown suffix, or a time or size that cannot be.
    RunError
        No ffmpeg for an MP4, or a file that cannot be written.
    """
    suffix = check_animation(path)
    if len(states) == 0:
        raise InputError("Nothing to animate: no states were given.", "Give at least one state.")
    if not 0 < frame_ms < float("inf") or not 0 <= hold_ms < float("inf"):
        raise InputError(f"frame_ms = {frame_ms} and hold_ms = {hold_ms} are not valid.")
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
    ffmpeg = find_ffmpeg() if suffix == ".mp4" else ""  # say what is missing before the work
    stage: Stage | SheetStage
    if states[0].x.ndim == 4:
        stage = SheetStage(states, color=color, size_px=size_px)
    else:
        stage = Stage(states, color=color, title=title, size_px=size_px + size_px % 2, reference=reference)
    frames = (stage.frame(state) for state in states)
    times = np.full(len(states), float(frame_ms))
    times[-1] = max(frame_ms, hold_ms)
    with atomic_write(path) as temporary:
        if suffix == ".gif":
            _write_gif(frames, stage.palette, temporary, times, loop)
        elif suffix == ".html":
            _write_html(frames, stage, temporary, times, loop, title or Path(path).stem)
        else:
            _write_mp4(frames, stage.palette, temporary, times, ffmpeg)


def check_animation(path: str | os.PathLike[str]) -> str:
    """Return the suffix of ``path`` if an animation can be written there; say at once if it cannot.

    Raises
    ------
    InputError
        For an unknown suffix.
    RunError
        For an MP4 where there is no ffmpeg.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(
            f"Cannot write an animation as {Path(path).name!r}.", f"Known: {', '.join(_SUFFIXES)}."
        )
    if suffix == ".mp4":
        find_ffmpeg()
    return suffix


def find_ffmpeg() -> str:
    """Path of an ffmpeg: the one on PATH, else the one that the package imageio-ffmpeg brings.

    Raises
    ------
    RunError
        Where there is neither.
    """
    found = shutil.which("ffmpeg")
    if found:
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


def _write_gif(
    frames: Iterator[Frame], palette: Frame, path: Path, times: NDArray[np.float64], loop: int
) -> None:
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


def _write_mp4(
    frames: Iterator[Frame], palette: Frame, path: Path, times: NDArray[np.float64], ffmpeg: str
) -> None:
    """Pipe raw frames to ffmpeg, all of the same length: the last one as often as its time asks."""
    frame_ms = float(times.min())
    first = next(frames)
    height, width = first.shape
    command = [ffmpeg, "-y", "-loglevel", "error", "-nostdin"]
    command += ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"]
    command += ["-framerate", f"{1000 / frame_ms:.6f}", "-i", "pipe:0", "-an"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"]
    command += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"]
    command += [str(path.absolute())]
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
    frames: Iterator[Frame],
    stage: Stage | SheetStage,
    path: Path,
    times: NDArray[np.float64],
    loop: int,
    title: str,
) -> None:
    pictures = []
    height = width = 0
    for frame in frames:
        buffer = io.BytesIO()
        _image(frame, stage.palette).save(buffer, format="PNG", compress_level=4)
        pictures.append(base64.b64encode(buffer.getvalue()).decode("ascii"))
        height, width = frame.shape
    page = _PAGE
    for mark, text in {
        "TITLE": html.escape(title.replace("$", "")),
        "WIDTH": str(width),
        "HEIGHT": str(height),
        "LAST": str(len(pictures) - 1),
        "COLOR": "#" + stage.palette[stage.solid].tobytes().hex(),
        "LOOP": str(loop),
        "TIMES": ",".join(f"{time:g}" for time in times),
        "FRAMES": ",\n".join(f'"{picture}"' for picture in pictures),
    }.items():
        page = page.replace(f"@{mark}@", text)
    path.write_text(page, encoding="utf-8")


def _image(frame: Frame, palette: Frame) -> Image.Image:
    image = Image.fromarray(frame)
    image.putpalette(palette.tobytes())
    return image


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>@TITLE@</title>
<style>
  body { margin: 0; min-height: 100vh; display: grid; place-content: center; background: #f4f4f5;
         color: #262626; font: 15px/1.4 system-ui, sans-serif; }
  main { width: min(@WIDTH@px, 94vw); background: #fff; border-radius: 12px; overflow: hidden;
         box-shadow: 0 2px 24px rgb(0 0 0 / .10); }
  canvas { display: block; width: 100%; cursor: pointer; }
  form { display: flex; gap: 12px; align-items: center; padding: 10px 16px 12px; }
  button { width: 40px; height: 40px; flex: none; border: 0; border-radius: 50%; color: #fff;
           background: @COLOR@; font-size: 15px; cursor: pointer; }
  button:focus-visible, input:focus-visible { outline: 3px solid #26262655; outline-offset: 2px; }
  input { flex: 1; min-width: 0; accent-color: @COLOR@; }
  output { min-width: 5.5em; text-align: right; font-variant-numeric: tabular-nums; color: #6a6a6a; }
</style>
</head>
<body>
<main>
  <canvas width="@WIDTH@" height="@HEIGHT@" role="img" aria-label="@TITLE@"></canvas>
  <form onsubmit="return false">
    <button type="button" title="play or pause (space)" aria-label="play or pause"></button>
    <input type="range" min="0" max="@LAST@" value="0" aria-label="frame">
    <output></output>
  </form>
  <noscript>This animation needs JavaScript; nothing is loaded from anywhere.</noscript>
</main>
<script>
"use strict";
const times = [@TIMES@], loop = @LOOP@, last = @LAST@;
const images = [
@FRAMES@
].map(data => { const image = new Image(); image.src = "data:image/png;base64," + data; return image; });
const [canvas, button, slider, output] =
  ["canvas", "button", "input", "output"].map(name => document.querySelector(name));
const pen = canvas.getContext("2d");
let at = 0, playing = false, played = 0, timer = 0;

function show(k) {
  at = Math.min(Math.max(k, 0), last);
  pen.drawImage(images[at], 0, 0);
  slider.value = at;
  output.value = `${at + 1} / ${last + 1}`;
  slider.setAttribute("aria-valuetext", `frame ${at + 1} of ${last + 1}`);
}
function next() {
  timer = setTimeout(() => {
    if (at < last) show(at + 1);
    else if (loop && ++played >= loop) return play(false);
    else show(0);
    next();
  }, times[at]);
}
function play(on) {
  clearTimeout(timer);
  playing = on;
  button.textContent = on ? "\u275a\u275a" : "\u25b6\ufe0e";
  if (on) { if (loop && played >= loop) { played = 0; show(0); } next(); }
}
function go(k) { play(false); show(k); }

const toggle = () => play(!playing);
button.onclick = canvas.onclick = toggle;
slider.oninput = () => go(+slider.value);
document.onkeydown = event => {
  const act = { " ": toggle, ArrowLeft: () => go(at - 1), ArrowRight: () => go(at + 1),
                Home: () => go(0), End: () => go(last) }[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
};
Promise.all(images.map(image => image.decode())).then(() => {
  show(0);
  play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
});
</script>
</body>
</html>
"""
