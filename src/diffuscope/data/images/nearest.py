r"""Which images of the data are nearest to an image, by their pixels?

The distance is the root mean square difference of pixels, in grey levels (0 to 255),

.. math:: d(a, b)^2 = \tfrac1p \sum_i (a_i - b_i)^2 = \tfrac1p (|a|^2 + |b|^2 - 2 a \cdot b).

A sample at distance 0 is a copy of a training image. Candidates are found by matrix products of blocks, so
that memory does not grow with the data. Their distances are then computed exactly, in integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["nearest"]

_BLOCK_NUMBERS = 2**22  # pixels of a block, at most
_BLOCK_IMAGES = 2**10
_SPARE = 4  # candidates beyond k


def nearest(
    images: NDArray[np.uint8], data: NDArray[np.uint8], k: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the k images of the data that are nearest to each image.

    Parameters
    ----------
    images : ndarray of shape (n, ...), uint8
    data : ndarray of shape (m, ...), uint8
        In memory or mapped from a file.
    k : int
        1 to m.

    Returns
    -------
    indices : ndarray of shape (n, k), int64
        Of the data, the nearest first; ties in the order of the data.
    distances : ndarray of shape (n, k), float64
        Root mean square differences of pixels, 0 to 255.

    Raises
    ------
    InputError
        When the images are of different shapes, or k is not 1 to m.
    """
    n, m = len(images), len(data)
    if images.shape[1:] != data.shape[1:] or images.dtype != np.uint8 or data.dtype != np.uint8:
        raise InputError(
            f"Images of shape {images.shape[1:]} and type {images.dtype} cannot be compared with data of "
            f"shape {data.shape[1:]} and type {data.dtype}.",
            "Give arrays of uint8 with equal shapes.",
        )
    if not 1 <= k <= m:
        raise InputError(f"k = {k} is not valid for {m} images.", f"Choose 1 to {m}.")
    pixels = int(np.prod(images.shape[1:]))
    size = max(1, min(_BLOCK_NUMBERS // pixels, _BLOCK_IMAGES))
    found = [_of_block(images[start : start + size], data, k, size) for start in range(0, n, size)]
    if not found:
        return np.empty((0, k), np.int64), np.empty((0, k))
    indices, squares = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return indices, np.sqrt(squares / pixels)


def _of_block(
    images: NDArray[np.uint8], data: NDArray[np.uint8], k: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which images are nearest to some, and the sums of squared differences, (n, k) each."""
    import torch

    from diffuscope.data.stored import let_go

    rows = _centred(images)
    count = min(k + _SPARE, len(data))
    best = torch.empty(len(rows), 0)
    index = torch.empty(len(rows), 0, dtype=torch.int64)
    for start in range(0, len(data), size):
        block = _centred(data[start : start + size])
        # |a|² is the same for all of the data, so it does not change the order.
        score = torch.addmm(block.square().sum(1), rows, block.T, alpha=-2.0)
        value, at = score.topk(min(count, score.shape[1]), dim=1, largest=False)
        best, index = torch.cat([best, value], dim=1), torch.cat([index, at + start], dim=1)
        best, order = best.topk(min(count, best.shape[1]), dim=1, largest=False)
        index = index.gather(1, order)
        let_go(data)
    candidates = np.sort(index.numpy(), axis=1)
    return _exactly(images, data, candidates, k)


def _exactly(
    images: NDArray[np.uint8], data: NDArray[np.uint8], candidates: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the k nearest of the candidates (n, k or more), by integer arithmetic."""
    squares = np.empty(candidates.shape, np.int64)
    for i, image in enumerate(images):
        difference = data[candidates[i]].astype(np.int64) - image.astype(np.int64)
        squares[i] = (difference**2).reshape(len(difference), -1).sum(axis=1)
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(squares, order, axis=1)


def _centred(pixels: NDArray[np.uint8]) -> Tensor:
    """Return images as float32 of shape (n, pixels) around the middle, where products lose least."""
    import torch

    flat = np.asarray(pixels).reshape(len(pixels), -1).astype(np.float32)
    flat -= 128
    return torch.from_numpy(flat)
