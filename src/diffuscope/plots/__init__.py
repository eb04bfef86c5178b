"""What does one look at? Pictures from plain arrays, each a :class:`matplotlib.figure.Figure`."""

from __future__ import annotations

from diffuscope.plots.clouds import plot_dataset, plot_forward_grid, plot_samples, plot_walk_rows
from diffuscope.plots.curves import plot_loss
from diffuscope.plots.diagnosis import plot_diagnosis
from diffuscope.plots.evidence import plot_differences, plot_steps, plot_values
from diffuscope.plots.field import FieldPanel, plot_field
from diffuscope.plots.levels import plot_levels
from diffuscope.plots.loss_floor import plot_loss_floor
from diffuscope.plots.monitor import plot_monitor
from diffuscope.plots.pairs import plot_pairs
from diffuscope.plots.quality import plot_quality
from diffuscope.plots.sheets import plot_sheet
from diffuscope.plots.style import DATA, FAINT, GENERATED, INK, MUTED, NOISE, save_figure
from diffuscope.plots.view import State

__all__ = [
    "DATA",
    "FAINT",
    "GENERATED",
    "INK",
    "MUTED",
    "NOISE",
    "FieldPanel",
    "State",
    "plot_dataset",
    "plot_diagnosis",
    "plot_differences",
    "plot_field",
    "plot_forward_grid",
    "plot_levels",
    "plot_loss",
    "plot_loss_floor",
    "plot_monitor",
    "plot_pairs",
    "plot_quality",
    "plot_samples",
    "plot_sheet",
    "plot_steps",
    "plot_values",
    "plot_walk_rows",
    "save_figure",
]
