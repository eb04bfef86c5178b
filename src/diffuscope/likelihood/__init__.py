"""How likely is a point under a model? By the probability-flow ODE, or by the variational bound."""

from diffuscope.likelihood.bound import Bins, BitsPerDimension, bits_per_dimension, variational_bound
from diffuscope.likelihood.probability_flow import LogDensity, log_density

__all__ = ["Bins", "BitsPerDimension", "LogDensity", "bits_per_dimension", "log_density", "variational_bound"]
