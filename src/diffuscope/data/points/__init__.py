"""Points: built-in sets, arrays, files of numbers, functions that draw."""

from __future__ import annotations

from diffuscope.data.points.loading import load_dataset
from diffuscope.data.points.toy import POINT_SETS, PointSet

__all__ = ["POINT_SETS", "PointSet", "load_dataset"]
