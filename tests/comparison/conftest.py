"""What do the tests of comparisons share? Points of one's own, and settings that train in a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

SMALL: dict[str, Any] = {
    "network.width": 8,
    "network.depth": 1,
    "training.steps": 20,
    "training.batch_size": 32,
}


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Axes of one value each, to be added to those that are compared."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def small_words() -> list[str]:
    """The same for the command line."""
    return [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(scope="session")
def points() -> np.ndarray:
    """Two clusters, 400 points of shape (400, 2)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 2)) + np.repeat([[-3.0, 0.0], [3.0, 1.0]], 200, axis=0)
