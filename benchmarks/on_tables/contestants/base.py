"""What is a method to the benchmark? It is fitted to a frame with holes, then samples and imputes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Contestant", "is_number"]


class Contestant:
    """One method; what it cannot do returns None."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        """Learn from rows, some values of which may be missing, in about so many seconds at most."""
        raise NotImplementedError

    def sample(self, n: int) -> pd.DataFrame | None:
        """Draw n rows, missing values among them where there are."""
        return None

    def impute(self, frame: pd.DataFrame) -> pd.DataFrame | None:
        """Fill missing values of other rows once, by what is nearest in the mean."""
        return None

    def log_density(self, frame: pd.DataFrame) -> NDArray[np.float64] | None:
        """Return nats (n,): per unit of floats, probabilities of integers and categories."""
        return None

    def note(self) -> str:
        """Say what was chosen."""
        return ""


def is_number(column: pd.Series) -> bool:
    """Return whether a column is one of numbers; times are not."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
