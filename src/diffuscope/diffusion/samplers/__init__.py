r"""How is noise turned into data?

A trajectory visits the levels of a grid, from the noisiest to clean data. One loop, :func:`trajectory`, does
the sampling; a sampler is one step of it. A sampler uses the denoiser and pairs of levels only, so that
every sampler works with every schedule, prediction type, network and oracle.

The exact deterministic trajectory solves the probability-flow ODE, in these coordinates

.. math::  dx = \hat x_0(x, t)\, d\alpha + \hat\epsilon(x, t)\, d\sigma,

whose Euler step is DDIM. With :math:`\lambda = \log(\alpha/\sigma)` and :math:`h = \lambda_s - \lambda_t`
the multistep samplers integrate the data estimate over λ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from diffuscope.diffusion.samplers.base import Sampler, SamplingContext, SamplingState, prior, trajectory
from diffuscope.diffusion.samplers.multistep import DPMSolver, UniPC
from diffuscope.diffusion.samplers.single_step import DDIM, DDPM, Euler, Heun, PredictorCorrector
from diffuscope.errors import InputError, unknown_name

__all__ = [
    "DDIM",
    "DDPM",
    "SAMPLERS",
    "DPMSolver",
    "Euler",
    "Heun",
    "PredictorCorrector",
    "Sampler",
    "SamplingContext",
    "SamplingState",
    "UniPC",
    "make_sampler",
    "prior",
    "sampler_name",
    "trajectory",
]

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
    own = str(getattr(sampler, "__name__", type(sampler).__name__))
    return next((name for name, make in SAMPLERS.items() if make is type(sampler)), own)


def make_sampler(name: str, **settings: float | str) -> Sampler:
    """Make the sampler called ``name``; an unknown name or setting is an InputError."""
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    try:
        return SAMPLERS[name](**settings)
    except TypeError as error:
        what = f"The settings {settings} are not valid for the sampler {name!r}: {error}."
        raise InputError(what) from error
