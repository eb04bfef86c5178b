"""Does data come to the model's units and back?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffuscope.data.points.codec import PointsCodec
from diffuscope.errors import InputError

X = np.random.default_rng(0).normal([3.0, -1e6, 0.0], [0.1, 50.0, 1e-9], size=(500, 3))


def test_standard_scaling_gives_every_column_mean_0_and_deviation_1():
    z = PointsCodec.fit(X).encode(X)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(3), rtol=1e-5, atol=0)


def test_divide_divides_and_none_does_nothing():
    np.testing.assert_allclose(PointsCodec.fit(X, "divide", 10.0).encode(X), X / 10, rtol=1e-6)
    np.testing.assert_allclose(PointsCodec.fit(X, "none", 10.0).encode(X), X, rtol=1e-6)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.sampled_from(["standard", "divide", "none"]))
def test_there_and_back_is_the_identity(shift, scale, kind):
    x = shift + scale * np.linspace(-1, 2, 50)[:, None]
    scaling = PointsCodec.fit(x, kind, 7.0)
    back = scaling.decode(scaling.encode(x))
    np.testing.assert_allclose(back, x, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("value", [0.0, 1.0, -1e9, 0.1])
def test_a_column_that_does_not_vary_is_refused_by_its_number(value):
    x = np.column_stack([np.arange(10.0), np.full(10, value)])
    with pytest.raises(InputError, match="Column 1 is constant"):
        PointsCodec.fit(x)


def test_columns_far_from_zero_keep_their_digits():
    x = 1.7e9 + np.random.default_rng(0).standard_normal((100, 2))
    scaling = PointsCodec.fit(x)
    back = scaling.decode(scaling.encode(x))
    assert back.dtype == np.float64
    assert np.abs(back - x).max() < 1e-5
    assert PointsCodec.fit(x - 1.7e9).decode(torch.zeros(1, 2)).dtype == np.float32
