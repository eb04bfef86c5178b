"""What do all searches for relations ask for, before they call it one?"""

from __future__ import annotations

__all__ = ["FEWEST", "NEARLY", "SUPPORT", "WIDE"]

FEWEST = 50  # rows
WIDE = 150  # columns; of wider tables pairs are not compared
SUPPORT = 5  # rows for each value of what determines, on average
NEARLY = 0.995  # share of rows that keep a sum
