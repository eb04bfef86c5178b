"""What does a perfect model predict? Exact denoisers and densities of known distributions.

Under x_t = α x_0 + σ ε a distribution of x_0 has one optimal denoiser, E[x_0 | x_t], and one density at every
level. An oracle computes both for a Gaussian mixture, uniform boxes, a curve with Gaussian noise or a finite
training set, and so for every built-in point set. It can replace a learned denoiser in every sampler, plot
and metric: ``oracle(x_t, level)``.
"""

from __future__ import annotations

from diffuscope.oracle.base import Oracle
from diffuscope.oracle.boxes import UniformBoxes
from diffuscope.oracle.builtin import oracle_for, oracle_of
from diffuscope.oracle.curve import CurveOracle
from diffuscope.oracle.mixture import EmpiricalOracle, GaussianMixture

__all__ = [
    "CurveOracle",
    "EmpiricalOracle",
    "GaussianMixture",
    "Oracle",
    "UniformBoxes",
    "oracle_for",
    "oracle_of",
]
