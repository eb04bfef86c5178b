"""Does a seed with a place give one stream, of its own and for good?"""

from __future__ import annotations

import itertools

import pytest
import torch

from diffuscope.errors import InputError
from diffuscope.seeds import stream, stream_seed


def test_the_same_seed_and_place_give_the_same_numbers():
    one, two = (torch.randn(5, generator=stream(3, "noise", 7)) for _ in range(2))
    assert torch.equal(one, two)


def test_streams_do_not_change_between_versions():
    assert stream_seed(0, "weights") == 3699729803252847382
    assert stream_seed(7, "chunk", 79) == 2834757915743983082


def test_every_seed_and_place_has_a_stream_of_its_own():
    places = itertools.product(range(20), ("a", "b", "weights"), range(20))
    seeds = [stream_seed(seed, name, i) for seed, name, i in places]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_stream_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    torch.randn(3, generator=stream(0, "x"))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="must not be negative"):
        stream(-1, "x")
