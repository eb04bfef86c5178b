"""Which of several choices is better, by how much, for how much work? Grids of recipes, with intervals."""

from __future__ import annotations

from diffuscope.comparison.search import Range, Sweep, sweep
from diffuscope.comparison.study import compare
from diffuscope.comparison.table import Comparison

__all__ = ["Comparison", "Range", "Sweep", "compare", "sweep"]
