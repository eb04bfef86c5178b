"""Which samplers are available, by name?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from diffuscope.diffusion.samplers.base import Sampler
from diffuscope.diffusion.samplers.multistep import DPMSolver, UniPC
from diffuscope.diffusion.samplers.single_step import DDIM, DDPM, Euler, Heun, PredictorCorrector
from diffuscope.errors import InputError, unknown_name

__all__ = ["SAMPLERS", "make_sampler", "sampler_name"]

SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "ddpm": DDPM,
    "ddim": DDIM,
    "euler": Euler,
    "heun": Heun,
    "dpmpp_2m": DPMSolver,
    "dpmpp_2m_sde": partial(DPMSolver, stochastic=True),
    "unipc": UniPC,
    "predictor_corrector": PredictorCorrector,
}


def sampler_name(sampler: Sampler) -> str:
    """Return the registered name of a sampler; for a custom one, the name of its class or function."""
    if isinstance(sampler, DPMSolver):
        return "dpmpp_2m_sde" if sampler.stochastic else "dpmpp_2m"
    for name, make in SAMPLERS.items():
        if make is type(sampler):
            return name
    return str(getattr(sampler, "__name__", type(sampler).__name__))


def make_sampler(name: str, **settings: float | str) -> Sampler:
    """Make the sampler called ``name``.

    Raises
    ------
    InputError
        When the name is unknown, or a setting is not valid.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    try:
        return SAMPLERS[name](**settings)
    except TypeError as error:
        raise InputError(
            f"The settings {settings} are not valid for the sampler {name!r}: {error}."
        ) from error
