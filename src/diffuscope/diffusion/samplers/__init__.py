r"""How is noise turned into data?

A trajectory visits the levels of a grid, from the noisiest to clean data. One loop, :func:`trajectory`, does
the sampling; a sampler is one step of it. A sampler uses the denoiser and pairs of levels only, so that
every sampler works with every schedule, prediction type, network and oracle.

The exact deterministic trajectory solves the probability-flow ODE, in these coordinates

.. math::  dx = \hat x_0(x, t)\, d\alpha + \hat\epsilon(x, t)\, d\sigma,

whose Euler step is DDIM. With :math:`\lambda = \log(\alpha/\sigma)` and :math:`h = \lambda_s - \lambda_t`
the multistep samplers integrate the data estimate over λ.
"""

from diffuscope.diffusion.samplers.base import Sampler, SamplingContext, SamplingState, prior, trajectory
from diffuscope.diffusion.samplers.multistep import DPMSolver, UniPC
from diffuscope.diffusion.samplers.registry import SAMPLERS, make_sampler, sampler_name
from diffuscope.diffusion.samplers.single_step import DDIM, DDPM, Euler, Heun, PredictorCorrector

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
