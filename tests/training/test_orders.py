"""Is an order that is computed one, and does a batch of it cost what the batch is?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from diffuscope.diffusion.losses import Times
from diffuscope.diffusion.schedules.continuous import EDM
from diffuscope.seeds import permuted, stream_seed
from diffuscope.training import Batches, Resident, batches


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 64, 100, 1001, 4097, 65_537])
@pytest.mark.parametrize("key", [0, 12_345])
def test_it_is_a_bijection_of_any_size(n, key):
    order = permuted(np.arange(n), n, key)
    assert np.array_equal(np.sort(order), np.arange(n))
    part = np.arange(n // 3, n // 2)
    assert np.array_equal(permuted(part, n, key), order[part])


def test_neighbours_and_halves_are_independent():
    n = 50_000_000
    order = permuted(np.arange(100_000), n, stream_seed(0, "epoch", 0)) / n
    other = permuted(np.arange(100_000), n, stream_seed(0, "epoch", 1)) / n
    for a, b in ((order[1:], order[:-1]), (order, other), (order, np.arange(100_000))):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.015  # 4.7 standard errors
    counts = np.histogram(order, bins=100, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-squared of 99 degrees: p < 1e-4
    assert (np.unique(order, return_counts=True)[1] == 1).all()


@pytest.mark.parametrize("order", ["shuffled", "stream"])
def test_each_point_is_seen_once_an_epoch_wherever_a_run_resumes(monkeypatch, order):
    monkeypatch.setattr(batches, "_DRAWN", 100)
    monkeypatch.setattr(batches, "_PIECE", 16)
    n, size = 230, 23 if order == "stream" else 40
    points = Resident(torch.arange(n, dtype=torch.float32)[:, None])
    made = Batches(points, EDM(), Times("log_normal"), size, order, 0)
    steps = 3 * made.steps_per_epoch
    seen = torch.cat([chunk.x_0[:, 0] for chunk in made.chunks(0, steps)])
    epochs = seen.reshape(3, n)
    assert (epochs.sort(dim=1).values == torch.arange(n)).all()
    assert not torch.equal(epochs[0], epochs[1])
    later = Batches(points, EDM(), Times("log_normal"), size, order, 0)
    second = next(itertools.islice(made.chunks(0, 10**4), 1, None))
    assert torch.equal(next(later.chunks(made.chunk_steps, 10**4)).x_0, second.x_0)
