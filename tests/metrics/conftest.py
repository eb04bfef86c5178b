"""What the tests of the metrics share: Gaussian clouds."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def gauss():
    """Return a function that draws standard Gaussian clouds, fresh ones at each call."""
    rng = np.random.default_rng(11)
    return lambda n, d=2: rng.normal(size=(n, d))
