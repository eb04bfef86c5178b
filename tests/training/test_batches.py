"""Does every batch hold what it should, wherever a run starts?"""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from diffuscope.diffusion.losses import Times
from diffuscope.diffusion.schedules import make_schedule
from diffuscope.training import Batches, Resident

ARTICLE = make_schedule("linear", T=100, start=1e-5, end=0.5e-2)


def make(n=1000, d=2, size=128, order="shuffled", seed=0, kind="antithetic"):
    x = torch.arange(n * d, dtype=torch.float32).view(n, d)
    return Batches(Resident(x), ARTICLE, Times(kind), size, order, seed)


def batches(b: Batches, start: int, stop: int):
    """Each batch as (step, x_0, eps, t)."""
    found = []
    for chunk in b.chunks(start, stop):
        for i, (low, high) in enumerate(itertools.pairwise(chunk.bounds)):
            rows = slice(low, high)
            found.append((chunk.first_step + i, chunk.x_0[rows], chunk.eps[rows], chunk.level.t[rows]))
    return found


def points(found):
    return torch.cat([x for _, x, _, _ in found])[:, 0]


def test_the_article_has_79_batches_an_epoch_the_last_of_16():
    b = make(n=10_000)
    sizes = [len(x) for _, x, _, _ in batches(b, 0, 79)]
    assert b.steps_per_epoch == 79
    assert sizes == [128] * 78 + [16]


@pytest.mark.parametrize(("n", "size"), [(1000, 128), (256, 64), (5, 128), (1, 1)])
def test_shuffled_batches_hold_every_point_once_an_epoch(n, size):
    b = make(n=n, size=size)
    per_epoch = b.steps_per_epoch
    found = batches(b, 0, 3 * per_epoch)
    epochs = [points(found[i * per_epoch : (i + 1) * per_epoch]) for i in range(3)]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, b.source.x[:, 0])
    if n > 100:
        assert not torch.equal(epochs[0], epochs[1])


@pytest.mark.parametrize(("n", "size"), [(1000, 128), (300, 128), (5, 128), (64, 64)])
def test_streamed_batches_are_full_and_hold_every_point_once_an_epoch(n, size):
    found = batches(make(n=n, size=size, order="stream"), 0, 50)
    assert [len(x) for _, x, _, _ in found] == [size] * 50
    for epoch in points(found).split(n)[:-1]:
        assert len(epoch) == n
        assert torch.equal(epoch.sort().values, torch.arange(n) * 2.0)


@pytest.mark.parametrize("size", [128, 7])
def test_times_are_antithetic_inside_each_batch(size):
    for _, x, _, t in batches(make(n=1000, size=size), 0, 200):
        half = (len(x) + 1) // 2
        assert torch.equal(t[half:], 99 - t[: len(x) - half])


def test_times_and_noise_have_their_laws():
    found = batches(make(n=1000, kind="uniform"), 0, 400)
    t = torch.cat([t for *_, t in found]).double()
    eps = torch.cat([eps for _, _, eps, _ in found])
    assert t.min() == 0
    assert t.max() == 99
    assert abs(t.mean() - 49.5) < 4 * math.sqrt((100**2 - 1) / 12 / len(t))
    assert abs(eps.mean()) < 4 / math.sqrt(eps.numel())
    assert abs(eps.square().mean() - 1) < 4 * math.sqrt(2 / eps.numel())
    assert len(torch.unique(eps[:, 0])) > 0.99 * len(eps)  # no noise comes twice


@pytest.mark.parametrize("order", ["shuffled", "stream"])
def test_a_run_can_start_at_any_chunk(order):
    b = make(n=3000, d=40, size=64, order=order)
    stop = 200
    starts = [chunk.first_step for chunk in b.chunks(0, stop)]
    assert len(starts) > 3
    whole = batches(b, 0, stop)
    assert [step for step, *_ in whole] == list(range(stop))
    for start in starts:
        for one, other in zip(whole[start:], batches(b, start, stop), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one[1:], other[1:], strict=True))


@pytest.mark.parametrize("order", ["shuffled", "stream"])
def test_the_seed_alone_decides_the_batches(order):
    def first(seed):
        torch.rand(3)  # the global generator has no say
        return batches(make(order=order, seed=seed), 0, 3)

    for one, same, other in zip(first(4), first(4), first(5), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[1:], same[1:], strict=True))
        assert not torch.equal(one[1], other[1])
        assert not torch.equal(one[2], other[2])


def test_drawing_batches_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    batches(make(), 0, 10)
    assert torch.equal(torch.get_rng_state(), before)
