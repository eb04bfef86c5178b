"""How likely is a point under a model? By the probability-flow ODE, or by the variational bound."""

from diffuscope.likelihood.bound import Bins, VariationalBound, variational_bound
from diffuscope.likelihood.flow import LogDensity, log_density

__all__ = ["Bins", "LogDensity", "VariationalBound", "log_density", "variational_bound"]
