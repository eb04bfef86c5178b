"""What does one moment of a trajectory look like, in indices of one small palette?

The background (frame, ticks, title) is drawn once. A frame then costs the ink of its points, one line of
text and a progress bar, all written into the same array of indices. The palette is known beforehand,

    [ white ... hue ... dark hue | white ... black for lines and text ],

so nothing is ever quantised, and a frame goes to a GIF or a PNG as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from diffuscope.data.images.sheets import tiled
from diffuscope.plots import FAINT, INK, MUTED
from diffuscope.plots.ink import histogram, ink_level, ramp
from diffuscope.plots.view import BINS, State, view_of

Frame = NDArray[np.uint8]

INKS = 48  # levels of ink; twice as many look the same and make files a third larger
GREYS = 16
SOLID = round(0.55 * (INKS - 1))  # the level of filled shapes: the hue itself, nearly

# A label such as "$t = 0.12$". Typesetting takes longer than the rest of a frame: what stays is typeset once.
_COUNTING = re.compile(r"(\$[^$]*=) *([0-9.]+)\$")


class Stage:
    """The fixed background of an animation, and the frames before it.

    All states together set the axes, which no frame can change; with a ``reference`` (n, d), the data, it
    has to be recognisable. Frames have ``size_px`` pixels, an even number, each way. They are indices of the
    ``palette`` (INKS + GREYS, 3), whose index ``solid`` is the hue itself.
    """

    solid = SOLID

    def __init__(
        self,
        states: Sequence[State],
        *,
        color: str,
        title: str | None,
        size_px: int,
        reference: ArrayLike | None = None,
    ) -> None:
        self.view = view_of(states, reference)
        ink = np.array(to_rgb(INK))
        dark = np.linspace(1.0, 0.0, GREYS)[:, None] * (1.0 - ink) + ink
        self.palette = np.round(255 * np.vstack([ramp(color, INKS), dark])).astype(np.uint8)
        self._darkness = np.clip(np.round((255 - np.arange(256)) * (GREYS - 1) / (255 - 38)), 0, GREYS - 1)
        self._size = size_px
        self._lay_out()
        self._figure, self._label, self._number = self._draw_background(title)
        self._typeset: dict[str, tuple[float, float, float]] = {}
        canvas: Any = FigureCanvasAgg(self._figure)
        canvas.draw()
        self._canvas = canvas
        self._empty = canvas.copy_from_bbox(self._figure.bbox)
        self._background = self._greys(slice(size_px))

    def frame(self, state: State) -> Frame:
        """Draw ``state``: indices of the palette, (size_px, size_px), row 0 on top."""
        frame = self._background.copy()
        top, bottom, left, right = self._panel
        shape = (bottom - top, right - left)
        points = self.view.projection.transform(state.x)
        if points.shape[1] == 1:
            ink = self._bars(points, shape)
        else:
            ink = np.round(ink_level(points, self.view.limits, shape) * (INKS - 1)).astype(np.uint8)
        ink = ink[1:-1, 1:-1]  # the frame around the panel stays whole
        np.copyto(frame[top + 1 : bottom - 1, left + 1 : right - 1], ink, where=ink > 0)
        lost = len(points) - int(np.isfinite(points).all(axis=1).sum())
        self._write(frame, state.label + (f"   ({lost:,} not finite)" if lost else ""))
        thick = max(2, round(4 * self._unit))
        done = round(self._size * min(max(state.progress, 0.0), 1.0))
        frame[-thick:, :done] = SOLID
        frame[-thick:, done:] = INKS + 1  # a track, one grey from white
        return frame

    def _lay_out(self) -> None:
        """Place the parts on whole pixels, so that nothing is blurred or bleeds into another part."""
        size = self._size
        unit = size / 480
        ticks = round(34 * unit)
        side = size - 2 * ticks - round(8 * unit)
        left = (size - side) // 2 + round(8 * unit)
        bottom = size - round(8 * unit) - ticks
        if not self.view.projection.is_identity:
            bottom -= round(12 * unit)  # room for the names of the axes
            side -= round(12 * unit)
            left += round(6 * unit)
        self._unit = unit
        self._panel = (bottom - side, bottom, left, left + side)
        self._header = (0, bottom - side - 2)

    def _draw_background(self, title: str | None) -> tuple[Figure, Text, Text]:
        size, unit = self._size, self._unit
        figure = Figure(figsize=(size / 100, size / 100), dpi=100)
        top, bottom, left, right = self._panel
        ax = figure.add_axes((left / size, 1 - bottom / size, (right - left) / size, (bottom - top) / size))
        ax.set_xlim(*self.view.limits[0])
        ax.set_ylim(*(self.view.limits[1] if len(self.view.limits) == 2 else (0, self.view.top)))
        ax.spines[:].set(color=FAINT, linewidth=0.8 * unit)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(5, prune="both"))
        ax.tick_params(colors=MUTED, color=FAINT, labelsize=7.5 * unit, length=3 * unit, width=0.8 * unit)
        if not self.view.projection.is_identity:
            across, up = self.view.projection.names()
            ax.set_xlabel(across, color=MUTED, fontsize=7.5 * unit, labelpad=2 * unit)
            ax.set_ylabel(up, color=MUTED, fontsize=7.5 * unit, labelpad=0)
        middle = 1 - (self._header[1] / 2 + 2 * unit) / size
        if title:
            head = figure.text(left / size, middle, title, color=INK, fontsize=11 * unit, va="center")
            canvas: Any = FigureCanvasAgg(figure)  # matplotlib does not type its canvas
            wide, room = head.get_window_extent(canvas.get_renderer()).width, 0.65 * (right - left)
            head.set_fontsize(11 * unit * min(1.0, room / wide))  # the label needs the rest of the line
        where, align = (right / size, "right") if title else ((left + right) / 2 / size, "center")
        self._place, self._align, self._middle = where, align, middle
        label, number = (
            figure.text(0, 0, "", color=INK, fontsize=12 * unit, animated=True) for _ in range(2)
        )
        return figure, label, number

    def _bars(self, points: NDArray[np.floating], shape: tuple[int, int]) -> Frame:
        """Draw a histogram whose bars end on fractions of a pixel, so that they rise smoothly."""
        rows, columns = shape
        density = histogram(points, self.view.limits, BINS)
        height = density[np.arange(columns) * BINS // columns] * (rows / self.view.top)
        covered = np.clip(height[None, :] - np.arange(rows - 1, -1, -1)[:, None], 0.0, 1.0)
        return np.round(covered * SOLID).astype(np.uint8)

    def _write(self, frame: Frame, label: str) -> None:
        self._canvas.restore_region(self._empty)
        counting = _COUNTING.fullmatch(label)
        if counting:
            self._set_counting(*counting.groups())
        else:
            self._number.set_text("")
            self._label.set(x=self._place, y=self._middle, ha=self._align, va="center", text=label)
        for text in (self._label, self._number):
            self._figure.draw_artist(text)
        frame[: self._header[1]] = self._greys(slice(self._header[1]))

    def _set_counting(self, head: str, number: str) -> None:
        """Put a number beside what stands before it, where they would be if typeset together."""
        if head not in self._typeset:
            self._typeset[head] = self._measured(head, number)
        baseline, wide, gap = self._typeset[head]
        self._number.set_text(number)
        total = wide + gap + self._number.get_window_extent().width / self._size
        left = self._place - total * {"center": 0.5, "right": 1.0}[self._align]
        self._label.set(x=left, y=baseline, ha="left", va="baseline", text=f"{head}$")
        self._number.set(x=left + wide + gap, y=baseline)

    def _measured(self, head: str, number: str) -> tuple[float, float, float]:
        """Baseline, width of ``head`` and the gap behind it if typeset together, in widths of a frame."""
        label = self._label
        label.set(x=0, y=self._middle, ha="left", va="center", text=f"{head} {number}$")
        together = label.get_window_extent()
        label.set(va="baseline")
        baseline = self._middle + (together.y0 - label.get_window_extent().y0) / self._size
        label.set_text(f"{head}$")
        self._number.set_text(number)
        wide, digits = (text.get_window_extent().width for text in (label, self._number))
        return baseline, wide / self._size, (together.width - wide - digits) / self._size

    def _greys(self, rows: slice) -> Frame:
        """Return rows of the canvas as greys of the palette."""
        brightness = np.asarray(self._canvas.buffer_rgba())[rows, :, 1]
        indices: Frame = (INKS + self._darkness[brightness]).astype(np.uint8)
        return indices


class SheetStage:
    """The frames of an animation of images: a sheet of them, with a progress bar below.

    States have x of shape (n, channels, height, width), values 0 to 255, all of the same shape. Grey images
    are drawn in 256 greys, coloured ones in the 256 colours that suit the last state best. Images are
    enlarged by whole factors to about ``size_px``; ``color`` is that of the bar.
    """

    solid = 256 - 3

    def __init__(self, states: Sequence[State], *, color: str, size_px: int) -> None:
        n, channels, _, width = states[0].x.shape
        least = math.ceil(math.sqrt(n))
        self._columns = next((c for c in range(least, 2 * least) if n % c == 0), least)
        self._gap = max(1, round(width / 14))
        self._factor = max(1, round(size_px / (self._columns * (width + self._gap))))
        own = [to_rgb(color), (0.9, 0.9, 0.9), (1, 1, 1)]  # of the bar, its track, and what is white
        own_colors = np.round(255 * np.array(own)).astype(np.uint8)
        free = 256 - len(own)
        self._quantised: Image.Image | None = None
        if channels == 1:
            greys = np.round(np.linspace(0, 255, free)).astype(np.uint8)
            self.palette = np.vstack([np.repeat(greys[:, None], 3, axis=1), own_colors])
        else:
            last = Image.fromarray(tiled(states[-1].x, self._columns, self._gap))
            self._quantised = last.quantize(free, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            found = np.array(self._quantised.getpalette(), np.uint8).reshape(-1, 3)[:free]
            self.palette = np.vstack([found, np.zeros((free - len(found), 3), np.uint8), own_colors])
        self._bar, self._track, self._white = (np.uint8(free + i) for i in range(3))

    def frame(self, state: State) -> Frame:
        """Draw ``state``: indices of the palette, row 0 on top, of even height and width."""
        sheet = tiled(state.x, self._columns, self._gap)
        if self._quantised is None:
            values = np.arange(256) * (256 - 4) / 255
            indices = np.round(values).astype(np.uint8)[sheet[:, :, 0]]
            indices[tiled(np.zeros_like(state.x), self._columns, self._gap)[:, :, 0] == 255] = self._white
        else:
            image = Image.fromarray(sheet).quantize(palette=self._quantised, dither=Image.Dither.NONE)
            indices = np.asarray(image).copy()
        indices = indices.repeat(self._factor, axis=0).repeat(self._factor, axis=1)
        height, width = indices.shape
        thick = max(4, width // 100)
        frame = np.full((height + 2 * thick + (height % 2), width + width % 2), self._white, np.uint8)
        frame[:height, :width] = indices
        done = round(width * min(max(state.progress, 0.0), 1.0))
        frame[height + thick : height + 2 * thick] = self._track
        frame[height + thick : height + 2 * thick, :done] = self._bar
        return frame
