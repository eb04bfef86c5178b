"""Faults of what goes into a network and comes out of it: its quantity, its times, its scales and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .case import MOST, PLANE, SMALL, Case, Make, Question, around, plain
from .networks import SCHEDULES
from .owners import asked
from .pipelines import Wrapped, as_output, pipeline_of

__all__ = ["readings", "scalings", "time_maps"]


def _reading(trained_as: str, said: str, kind: str = "") -> Make:
    """A network that puts out one quantity and is said to put out another."""

    def make(variant: str, data: str, seed: int, way: str) -> Question:
        if kind:
            base = plain(data, seed)
            module = around(base, lambda eps, x, a, s: as_output(eps, x, a, s, kind))
        else:
            base = plain(data, seed, target=trained_as, schedule=variant or "linear 100")
            module = base.network
        return asked(pipeline_of(base, module=module, said=said), way, seed)

    return make


def readings() -> Iterator[Case]:
    ways = ("module", "denoiser", "samples")
    for truth, said in [
        ("data", "noise"),
        ("velocity", "noise"),
        ("flow", "noise"),
        ("noise", "data"),
        ("noise", "velocity"),
        ("noise", "flow"),
        ("data", "velocity"),
        ("velocity", "data"),
    ]:
        variants = ("linear 100", "cosine 100") if said == "noise" else ("linear 100",)
        yield Case(
            f"{truth} read as {said}",
            "reading",
            _reading(truth, said),
            ("prediction_type",),
            variants,
            PLANE if truth == "flow" else SMALL,
            ways,
        )
    for kind in ("score", "edm", "minus noise", "minus score"):
        yield Case(
            f"{kind} read as noise",
            "reading",
            _reading("noise", "noise", kind),
            ("prediction_type",),
            data=MOST,
            ways=ways,
        )
    yield Case(
        "noise in other units",
        "reading",
        _scaled_output,
        ("prediction_type", "factor"),
        ("0.5", "2"),
        ways=ways,
    )


def _scaled_output(variant: str, data: str, seed: int, way: str) -> Question:
    base = plain(data, seed)
    module = around(base, lambda eps, x, a, s: float(variant) * eps)
    return asked(pipeline_of(base, module=module), way, seed)


def _times(variant: str, data: str, seed: int, way: str) -> Question:
    schedule = "linear 200" if variant.endswith("of 200") else "linear 100"
    base = plain(data, seed, schedule=schedule)
    n = len(base.betas)
    ratios = torch.log((1 - torch.cumprod(1 - base.betas, 0)).sqrt()).float()
    maps: dict[str, Callable[[Tensor], Tensor]] = {
        "t + 1": lambda t: (t + 1).clamp(max=n - 1),
        "t + 5": lambda t: (t + 5).clamp(max=n - 1),
        "t - 3": lambda t: (t - 3).clamp(min=0),
        "T - 1 - t": lambda t: n - 1 - t,
        "t / T": lambda t: t / n,
        "1000 t / T": lambda t: 1000 * t / n,
        "log sigma": lambda t: ratios[t.long()],
        "constant": lambda t: torch.full_like(t, n // 2),
        "zero": torch.zeros_like,
        "t / 2": lambda t: t // 2,
    }
    change = maps[variant.removesuffix(" of 200")]
    module = Wrapped(base.network, lambda inner, x, t: inner(x, change(t)))
    return asked(pipeline_of(base, module=module, wraps="times"), way, seed)


def time_maps() -> Iterator[Case]:
    for name, variants in {
        "times shifted": ("t + 1", "t + 5", "t - 3"),
        "times reversed": ("T - 1 - t",),
        "times as a share": ("t / T", "t / T of 200"),
        "times of a thousand": ("1000 t / T", "1000 t / T of 200"),
        "log sigma for the time": ("log sigma",),
        "time is constant": ("constant", "zero"),
        "times halved": ("t / 2",),
    }.items():
        data = MOST if name in ("times as a share", "times reversed") else SMALL
        yield Case(
            name,
            "times",
            _times,
            ("schedule_mismatch",),
            variants,
            data,
            ("module", "denoiser", "samples"),
        )
    yield Case(
        "times of another schedule",
        "times",
        _other_times,
        ("schedule_mismatch",),
        ways=("module", "denoiser"),
    )


def _other_times(variant: str, data: str, seed: int, way: str) -> Question:
    """The betas are right; the network is handed the times at which another schedule has this level."""
    base = plain(data, seed)
    own, other = (torch.cumprod(1 - SCHEDULES[name](), 0) for name in ("linear 100", "cosine 100"))
    nearest = (own[:, None] - other[None]).abs().argmin(1)
    module = Wrapped(base.network, lambda inner, x, t: inner(x, nearest[t.long()]))
    return asked(pipeline_of(base, module=module, wraps="times"), way, seed)


def _scales(variant: str, data: str, seed: int, way: str) -> Question:
    kind, _, value = variant.partition(" ")
    if kind in ("none", "one", "unit", "tenth"):
        base = plain(data, seed, scaling=kind, change=f"factor {value}" if value else "")
        return asked(pipeline_of(base), way, seed)
    if kind == "swapped":
        return asked(pipeline_of(plain(data, seed, scaling="swapped")), way, seed)
    base = plain(data, seed)
    shift, scale = base.shift, base.scale
    if kind == "times":
        return asked(pipeline_of(base, scale=scale * float(value)), way, seed)
    if kind == "unshifted":
        return asked(pipeline_of(base, shift=np.zeros_like(shift)), way, seed)
    backs: dict[str, Callable[[Any], Any]] = {
        "raw": lambda z: z,
        "squared": lambda z: z * scale**2 + shift,
        "turned": lambda z: (z * scale + shift)[:, ::-1],
        "noshift": lambda z: z * scale,
    }
    return asked(pipeline_of(base, back=backs[kind]), way, seed)


def scalings() -> Iterator[Case]:
    both = ("module", "samples")
    units = ("data_scale", "scaling", "units")
    columns = ("order of", "swapped", "permut", "column order", "column_order")
    yield Case(
        "columns swapped in training",
        "scales",
        _scales,
        columns,
        ("swapped",),
        ("blobs", "table5"),
        ("module", "denoiser", "samples"),
    )
    yield Case(
        "columns swapped in samples",
        "scales",
        _scales,
        columns,
        ("turned",),
        ("blobs", "table5"),
        ("samples",),
    )
    yield Case(
        "another scale in sampling",
        "scales",
        _scales,
        units,
        ("times 2", "times 0.6"),
        ways=both,
    )
    yield Case(
        "the shift forgotten",
        "scales",
        _scales,
        (*units, "shift"),
        ("unshifted",),
        ("blobs", "table5"),
        both,
    )
    yield Case(
        "samples in the model's units",
        "scales",
        _scales,
        (*units, "sampling_code"),
        ("raw", "squared", "noshift"),
        ("blobs", "table5"),
        ("samples",),
    )
    yield Case(
        "one deviation for unlike columns",
        "scales",
        _scales,
        ("data_scale",),
        ("one",),
        ("table5", "table12"),
        both,
    )
    yield Case(
        "data not scaled",
        "scales",
        _scales,
        ("data_scale",),
        ("none 100", "none 0.02", "none 8"),
        PLANE,
        both,
    )
    yield Case(
        "a table not scaled",
        "scales",
        _scales,
        ("data_scale",),
        ("none",),
        ("table5", "table12"),
        ("module", "denoiser"),
    )
    yield Case(
        "data divided by ten",
        "scales",
        _scales,
        ("data_scale",),
        ("tenth",),
        PLANE,
        both,
    )
