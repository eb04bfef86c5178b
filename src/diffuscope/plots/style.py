"""What do all pictures have in common? Colours, quiet axes, and files that are whole.

Every picture is a :class:`matplotlib.figure.Figure`; pyplot is left alone.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.files import atomic_write
from diffuscope.plots.speech import speak

DATA = "#2b6cb8"  # the three hues keep their meaning in every picture and animation
NOISE = "#d8442f"
GENERATED = "#8b3fa8"
INK = "#262626"
MUTED = "#8a8a8a"
FAINT = "#dcdcdc"

DPI = 110
SUFFIXES = (".png", ".svg", ".pdf")


def save_figure(fig: Figure, path: str | os.PathLike[str], *, dpi: float = 160) -> None:
    """Write a figure as .png, .svg or .pdf, whole or not at all."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"Cannot write a figure as {Path(path).name!r}.", f"Known: {', '.join(SUFFIXES)}.")
    with atomic_write(path) as temporary:
        # Without a date the same figure gives the same bytes.
        undated: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})
        fig.savefig(temporary, format=suffix[1:], dpi=dpi, metadata=undated, bbox_inches="tight")


def pixels(fig: Figure, dpi: float) -> NDArray[np.uint8]:
    """Draw a figure on white, once where savefig does twice; return its pixels (height, width, 3)."""
    fig.set_dpi(dpi)
    fig.set_facecolor("white")
    canvas: Any = FigureCanvasAgg(fig)  # matplotlib does not type its canvas
    canvas.draw()
    drawn: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return drawn


class _Picture(Figure):
    """A figure in the language that is spoken; a notebook shows it even where pyplot was never imported."""

    def draw(self, renderer: Any) -> None:
        """Draw it, with its texts translated."""
        speak(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure(width: float, height: float, **pads: Any) -> Figure:
    """Return an empty figure of so many inches, with a constrained layout."""
    figure = _Picture(figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(**pads))
    FigureCanvasAgg(figure)
    return figure


def square_panels(rows: int, columns: int, inches: float, around: float = 0.2) -> tuple[Figure, NDArray[Any]]:
    """Square empty panels of so many inches in a faint frame, with room above and below them all."""
    width, height = columns * inches + 0.35, rows * (inches + 0.25) + around
    figure = new_figure(width, height, w_pad=0.03, h_pad=0.03, wspace=0.03, hspace=0.03)
    panels = figure.subplots(rows, columns, squeeze=False)
    for ax in panels.ravel():
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(color=FAINT, linewidth=0.8)
    return figure, panels


def chart(width: float, height: float, panels: int = 1) -> tuple[Figure, Any]:
    """Axes for curves, light enough to leave the stage to them."""
    figure, axes = charts(1, panels, width, height)
    return figure, axes[0] if panels == 1 else axes


def charts(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """Such axes in rows; they come one row after the other."""
    figure = new_figure(width, height)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(MUTED)
        ax.tick_params(colors=MUTED, labelsize=9, which="both")
        ax.grid(color=FAINT, linewidth=0.6)
        ax.set_axisbelow(True)
    return figure, axes


def heading(figure: Figure, title: str | None) -> None:
    """Put a title over everything, where there is one."""
    if title:
        figure.suptitle(title, color=INK, fontsize=13)


def note(ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **style: Any) -> None:
    """Write a text so many points away from a place."""
    ax.annotate(text, at, xytext=offset, textcoords="offset points", **style)
