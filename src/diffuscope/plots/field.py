r"""Where does a model pull noisy points? The field of its scores :math:`\nabla \log q(x_t)` in the plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.plots.clouds import draw_points
from diffuscope.plots.style import FAINT, INK, square_panels
from diffuscope.plots.view import State, view_of

__all__ = ["FieldPanel", "plot_field"]

_ACROSS = 17  # arrows
_LENGTH = 0.95  # of the longest arrow, in distances between two
_SHORTEST = 0.33  # of the longest

Points = NDArray[np.float64]


class FieldPanel(NamedTuple):
    """One noise level: noisy points x (n, 2), what they are called, and the field at points (m, 2)."""

    x: Points
    label: str
    field: Callable[[Points], Points]


def plot_field(panels: Sequence[FieldPanel]) -> Figure:
    """Show the field of each level as arrows over the noisy points there; the darker the longer.

    An arrow is as long as the logarithm of the field, and at least a third of the longest, so that weak
    fields can be seen as well. InputError unless points have two coordinates.
    """
    if not panels or any(panel.x.shape[1] != 2 for panel in panels):
        raise InputError("A field can be drawn of points in the plane.", "Give points of two coordinates.")
    figure, axes = square_panels(1, len(panels), 2.9, around=0.05)
    for ax, panel in zip(axes[0], panels, strict=True):
        view = view_of([State(panel.x, panel.label, 0.0)])
        draw_points(ax, panel.x, color=FAINT, view=view)
        x, y = (np.linspace(*limits, _ACROSS + 2)[1:-1] for limits in view.limits)
        at = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        field = panel.field(at)
        strength = np.linalg.norm(field, axis=1)
        length = np.log1p(strength / max(float(np.median(strength)), 1e-300))
        length = _SHORTEST + (1 - _SHORTEST) * length / max(float(length.max()), 1e-300)
        step = np.array([x[1] - x[0], y[1] - y[0]])
        arrows = field / np.maximum(strength, 1e-300)[:, None] * (length * _LENGTH)[:, None] * step
        ax.quiver(
            *at.T,
            *arrows.T,
            length,
            cmap="magma_r",
            clim=(-0.4, 1.1),
            angles="xy",
            scale_units="xy",
            scale=1,
            pivot="tail",
            width=0.004,
            headwidth=3.6,
            headlength=3.6,
            headaxislength=3.2,
            minshaft=2.0,
            zorder=3,
        )
        ax.set_title(panel.label, color=INK, fontsize=11, pad=4)
    return figure
