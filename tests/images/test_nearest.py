"""Are the nearest images the nearest, and are training images recognised?"""

from __future__ import annotations

import importlib
import tracemalloc

import numpy as np
import pytest

from diffuscope.data.images import nearest
from diffuscope.errors import InputError


def images(n: int, seed: int = 0, shape: tuple[int, ...] = (1, 6, 5)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize("k", [1, 3, 40])
def test_the_nearest_are_those_of_all_differences(monkeypatch, k):
    module = importlib.import_module("diffuscope.data.images.nearest")  # the package's name is the function
    monkeypatch.setattr(module, "_BLOCK_IMAGES", 17)
    x, data = images(50), images(40, seed=1)
    indices, distances = nearest(x, data, k)
    every = np.sqrt(((x[:, None].astype(float) - data[None]) ** 2).mean(axis=(2, 3, 4)))
    np.testing.assert_array_equal(indices, np.argsort(every, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :k], rtol=1e-12)


def test_a_training_image_is_at_distance_zero_and_one_grey_level_is_seen():
    data = images(300, shape=(3, 64, 64)) // 8 + 224  # bright: sums of squares beyond what float32 counts
    x = data[[7, 200]].copy()
    x[1, 0, 0, 0] -= 1
    indices, distances = nearest(x, data, 2)
    assert indices[:, 0].tolist() == [7, 200]
    assert distances[0, 0] == 0
    np.testing.assert_allclose(distances[1, 0], np.sqrt(1 / (3 * 64 * 64)), rtol=1e-12)


def test_the_order_is_that_of_whole_numbers_where_float32_sees_no_difference():
    x = np.full((1, 3, 160, 160), 255, np.uint8)
    data = x.repeat(4, axis=0)
    for i in range(4):
        data[i, 0, 0, : 4 - i] -= 1
    indices, distances = nearest(x, data)
    assert indices.tolist() == [[3]]
    np.testing.assert_allclose(distances, np.sqrt(1 / x.size), rtol=1e-12)


def test_equally_near_ones_come_in_the_order_of_the_data():
    data = np.concatenate([images(3)] * 2)
    indices, _ = nearest(images(3), data, 2)
    assert indices.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_mapped_file_is_read_in_blocks(tmp_path):
    data = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (6000, 1, 28, 28))
    data[:] = images(6000, shape=(1, 28, 28))
    data.flush()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    x = np.array(mapped[[5, 4999]])
    nearest(x, mapped[:10])
    tracemalloc.start()
    indices, _ = nearest(x, mapped)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert indices[:, 0].tolist() == [5, 4999]
    assert peak < 10 * 2**20  # of float32 all of it would be 19 MB


@pytest.mark.parametrize("k", [0, 4])
def test_more_than_there_are_cannot_be_had(k):
    with pytest.raises(InputError, match="1 to 3"):
        nearest(images(2), images(3), k)


@pytest.mark.parametrize("data", [images(3, shape=(1, 5, 6)), images(3).astype(np.float32)])
def test_images_of_another_kind_are_refused(data):
    with pytest.raises(InputError, match="cannot be compared"):
        nearest(images(2), data)
