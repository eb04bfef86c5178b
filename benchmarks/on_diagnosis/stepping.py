"""Faults of the sampling loop: its coefficients, its noise, its start, its length, clipping, guidance."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .case import MOST, SMALL, Case, Question, around, plain
from .owners import asked
from .pipelines import Call, Steps, eps_of, pipeline_of

__all__ = ["LOOPS", "guided", "loops"]


LOOPS = {
    "squared": Steps(noise="squared"),
    "alpha_bar": Steps(mean="alpha_bar"),
    "no_root": Steps(mean="no root"),
    "beta_root": Steps(mean="beta root"),
    "strided_2": Steps(every=2, betas_of_all=True),
    "strided_5": Steps(every=5, betas_of_all=True),
    "extra": Steps(noise="extra"),
    "extra_5": Steps(noise="extra", every=5),
    "last": Steps(noise="last"),
    "last_5": Steps(noise="last", every=5),
    "none": Steps(noise="none"),
    "eps": Steps(noise="eps"),
    "once": Steps(noise="once"),
    "double": Steps(noise="double"),
    "half": Steps(noise="half"),
    "uniform": Steps(start="uniform"),
    "zeros": Steps(start="zeros"),
    "std_half": Steps(start_std=0.5),
    "std_2": Steps(start_std=2.0),
    "std_3": Steps(start_std=3.0, ddim=True),
    "ddim_half": Steps(start_std=0.5, ddim=True),
    "ddim_uniform": Steps(start="uniform", ddim=True),
    "clip": Steps(clip=1.0),
    "clip_ddim": Steps(clip=1.0, ddim=True),
    "left_5": Steps(left_out=5),
    "left_20": Steps(left_out=20),
    "offset": Steps(offset=1),
    "offset_3": Steps(offset=-3),
    "ddim_8": Steps(every=12, ddim=True),
    "ddim_4": Steps(every=25, ddim=True),
    "ddpm_10": Steps(every=10),
    "plus_one": Steps(times="plus one"),
    "reversed": Steps(times="reversed"),
    "constant": Steps(times="constant"),
    "share": Steps(times="share"),
}


def _loop(variant: str, data: str, seed: int, way: str) -> Question:
    return asked(pipeline_of(plain(data, seed), steps=LOOPS[variant]), way, seed)


def loops() -> Iterator[Case]:
    both, own = ("sampler", "samples"), ("samples",)
    for name, variants, accept, ways in [
        (
            "variance for deviation",
            "squared",
            "noise_missing noise_scale step_coefficients",
            both,
        ),
        ("ᾱ for α", "alpha_bar", "step_coefficients", both),
        ("β / (1 − ᾱ)", "no_root", "step_coefficients", both),
        ("√β for β", "beta_root", "step_coefficients", both),
        (
            "betas of all steps",
            "strided_2 strided_5",
            "step_coefficients skipped_betas",
            both,
        ),
        ("wrong η", "extra extra_5", "step_coefficients noise_scale", both),
        ("noise in the last step", "last last_5", "noise_last_step", both),
        ("no noise", "none", "noise_missing", both),
        (
            "predicted noise reused",
            "eps",
            "noise_missing noise_reused step_coefficients",
            both,
        ),
        (
            "noise drawn once",
            "once",
            "noise_missing noise_reused step_coefficients",
            both,
        ),
        (
            "noise doubled or halved",
            "double half",
            "noise_missing noise_scale step_coefficients",
            both,
        ),
        (
            "start from other noise",
            "uniform zeros std_half std_2 std_3 ddim_half ddim_uniform",
            "start terminal_snr sampling_code",
            own,
        ),
        ("clipped by the loop", "clip clip_ddim", "clipping", both),
        (
            "last steps left out",
            "left_5 left_20",
            "step_coefficients sampling_code steps_left_out",
            own,
        ),
        ("ᾱ of a neighbour", "offset offset_3", "step_coefficients schedule_mismatch", both),
        ("too few steps", "ddim_8 ddim_4 ddpm_10", "few_steps", both),
        (
            "other times in the loop",
            "plus_one reversed constant share",
            "schedule_mismatch sampling_code",
            own,
        ),
    ]:
        data = (
            MOST
            if name in ("no noise", "noise in the last step", "too few steps", "clipped by the loop")
            else SMALL
        )
        yield Case(
            name,
            "steps",
            _loop,
            tuple(accept.split()),
            tuple(variants.split()),
            data,
            ways,
        )
    yield Case(
        "clipped by the denoiser",
        "steps",
        _clipped,
        ("clipping",),
        data=MOST,
        ways=("module", "denoiser", "samples"),
    )
    yield Case(
        "a start that is said wrongly",
        "steps",
        _said_start,
        ("start", "terminal_snr"),
        ("0.5", "2"),
        ways=("module",),
    )
    yield Case(
        "few steps by name",
        "steps",
        _by_name,
        ("few_steps",),
        ("ddim 4", "ddim 6", "euler 5", "ddpm 8", "heun 3"),
        (*MOST, "shapes"),
    )
    yield Case(
        "guidance",
        "guidance",
        guided,
        ("guidance", "sampling_code"),
        ("3", "5", "10", "20"),
        ("digits",),
        own,
    )


def _clipped(variant: str, data: str, seed: int, way: str) -> Question:
    base = plain(data, seed)
    bound = 1.0 if data != "digits" else 0.5

    def change(eps: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return eps_of(((x - sigma * eps) / alpha).clamp(-bound, bound), x, alpha, sigma, "data")

    return asked(pipeline_of(base, module=around(base, change), wraps="clip"), way, seed)


def _said_start(variant: str, data: str, seed: int, way: str) -> Question:
    more = {"start_std": float(variant), "sampler": "ddim"}
    return asked(pipeline_of(plain(data, seed), more=more), way, seed)


def _by_name(variant: str, data: str, seed: int, way: str) -> Question:
    name, steps = variant.split()
    more = {"sampler": name, "steps": int(steps)}
    return asked(pipeline_of(plain(data, seed), more=more), way, seed)


def guided(variant: str, data: str, seed: int, way: str) -> Question:
    """Samples of all classes alike, with classifier-free guidance, of a network that knows classes."""
    base = plain(data, seed, classes=10)

    def of_weight(weight: float) -> Call:
        def looped(x: Tensor, t: Tensor) -> Tensor:
            y = torch.arange(len(x)) % 10
            free = base.network(x, t)
            made: Tensor = free + weight * (base.network(x, t, y) - free)
            return made

        return looped

    steps = Steps(noise="posterior")
    return asked(
        pipeline_of(base, looped=of_weight(float(variant)), guided=of_weight, steps=steps), way, seed
    )
