"""In which numbers does a network multiply? In 16 bits where a device does that in hardware, if it may."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch

__all__ = ["Precision", "autocast", "half_type"]

Precision = Literal["float32", "bfloat16", "float16", "auto"]


def half_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return the 16-bit type to multiply in; None: 32 bits.

    Parameters
    ----------
    precision : {"float32", "bfloat16", "float16", "auto"}
        ``auto`` takes bfloat16 on devices that have it in hardware: with AVX-512 BF16 or AMX on a CPU, from
        Ampere on of NVIDIA's. Elsewhere it would be imitated, which is slower than 32 bits.
    device : torch.device
    """
    if precision == "float32":
        return None
    if precision != "auto":
        return getattr(torch, precision)  # type: ignore[no-any-return]
    if device.type == "cpu":
        has_it = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    elif device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_it = False
    return torch.bfloat16 if has_it else None


def autocast(half: torch.dtype | None, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which networks multiply so; what they add up in stays in 32 bits."""
    if half is None:
        return contextlib.nullcontext()
    # Copies of weights in 16 bits are for one call: each weight is used once in it, and threads do not share.
    return torch.autocast(device.type, half, cache_enabled=False)
