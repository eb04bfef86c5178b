"""In which precision does a network compute? In 16 bits if allowed and supported by the hardware."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Precision", "arranged", "autocast", "half_type"]

Precision = Literal["float32", "bfloat16", "float16", "auto"]


def half_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return the 16-bit type for matrix products; None: 32 bits.

    ``auto`` is bfloat16 where the hardware supports it: CPUs with AVX-512 BF16 or AMX, NVIDIA GPUs since
    Ampere. Elsewhere it would be emulated, which is slower than 32 bits.
    """
    if precision == "float32":
        return None
    if precision != "auto":
        return getattr(torch, precision)  # type: ignore[no-any-return]
    supported = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if supported else None


def arranged(x: Tensor, half: torch.dtype | None) -> Tensor:
    """Return images (n, c, h, w) in the order of memory in which a network takes them; all else as it is.

    In 16 bits the convolutions of NVIDIA's tensor cores want the channels of a pixel side by side.
    """
    if half is None or x.ndim != 4 or x.device.type != "cuda":
        return x
    return x.contiguous(memory_format=torch.channels_last)


def autocast(half: torch.dtype | None, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which networks use ``half`` for matrix products; sums stay in 32 bits."""
    if half is None:
        return contextlib.nullcontext()
    # No cache of 16-bit weights: each weight is used once per call, and threads do not share the cache.
    return torch.autocast(device.type, half, cache_enabled=False)
