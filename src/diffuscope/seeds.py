"""Where does randomness come from? From one seed, through named streams.

A stream is a generator of its own for one purpose and one place in time, such as ``("noise", 7)``.
Nothing has to be carried along for a run to be repeated, or gone on with in its middle: the seed and
the place give the same bytes.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch

from diffuscope.errors import InputError

__all__ = ["stream", "stream_seed"]


def stream_seed(seed: int, *place: str | int) -> int:
    """Return the 64-bit seed of the stream at ``place``, different for each seed and place.

    Raises
    ------
    InputError
        When ``seed`` is negative.
    """
    if seed < 0:
        raise InputError(f"A seed cannot be negative, and {seed} is.", "Take 0, for one.")
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in place]
    state = np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch takes signed seeds


def stream(seed: int, *place: str | int) -> torch.Generator:
    """Return a fresh generator (on the CPU) for the stream at ``place``."""
    return torch.Generator().manual_seed(stream_seed(seed, *place))
