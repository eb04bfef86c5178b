"""Does work in pieces come back whole, in order, on one thread each, and without running far ahead?"""

from __future__ import annotations

import threading
import time

import pytest
import torch

from diffuscope.threads import going_on, side_by_side


@pytest.fixture
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
def test_results_come_in_the_order_of_the_pieces():
    def slow_first(i: int) -> tuple[int, int]:
        time.sleep(0.05 if i == 0 else 0)
        return i, torch.get_num_threads()

    assert list(side_by_side(slow_first, range(9))) == [(i, 1) for i in range(9)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("_two_threads")
def test_two_pieces_are_worked_on_at_a_time():
    together = threading.Barrier(2, timeout=30)
    assert len(list(side_by_side(lambda _: together.wait(), range(4)))) == 4


def test_pieces_are_taken_as_they_are_needed():
    taken = []

    def pieces():
        for i in range(1_000_000):
            taken.append(i)
            yield i

    results = side_by_side(lambda i: i, pieces())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()
    assert len(taken) < 50


def test_an_error_comes_out_at_its_place_and_ends_the_work():
    done = []

    def do(i: int) -> int:
        if i == 1:
            raise ValueError("one")
        done.append(i)
        return i

    results = side_by_side(do, range(1000))
    assert next(results) == 0
    with pytest.raises(ValueError, match="one"):
        next(results)
    assert len(done) < 50


def test_on_an_accelerator_pieces_follow_one_another():
    here = threading.get_ident()
    assert set(side_by_side(lambda _: threading.get_ident(), range(4), torch.device("cuda"))) == {here}


@pytest.mark.usefixtures("_two_threads")
def test_long_pieces_end_once_nobody_waits_for_them():
    done = []

    def piece(i: int) -> int:
        if i == 0:
            raise ValueError("the first")
        for part in going_on(range(1000)):
            time.sleep(0.01)
            done.append(part)
        return i

    with pytest.raises(ValueError, match="the first"):
        list(side_by_side(piece, range(8)))
    assert len(done) < 500
    assert list(going_on(range(3))) == [0, 1, 2]  # outside of a pool
