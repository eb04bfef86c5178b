"""Where does randomness come from? From one seed, through named streams.

A stream is a separate generator for one purpose and one point in time, such as ``("noise", 7)``. A run can be
repeated, or resumed in its middle, without the state of a generator: equal seeds and names give equal bytes.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch

from diffuscope.errors import InputError

__all__ = ["seed_all", "stream", "stream_seed"]


def stream_seed(seed: int, *place: str | int) -> int:
    """Return the 64-bit seed of the stream at ``place``; a negative ``seed`` is an InputError."""
    if seed < 0:
        raise InputError(f"A seed must not be negative, got {seed}.", "Choose 0, for example.")
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in place]
    state = np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch takes signed seeds


def stream(seed: int, *place: str | int) -> torch.Generator:
    """Return a fresh generator (on the CPU) for the stream at ``place``."""
    return torch.Generator().manual_seed(stream_seed(seed, *place))


def seed_all(seed: int, device: torch.device) -> None:
    """Seed torch's own generators, of the CPU and of ``device``, as torch.manual_seed does.

    On the CPU that is many times faster, as it looks for no other devices; it is done in every step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
