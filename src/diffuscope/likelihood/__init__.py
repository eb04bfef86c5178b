"""How likely is a point under a model? By its flow, or by the variational bound."""

from diffuscope.likelihood.flow import LogDensity, log_density

__all__ = ["LogDensity", "log_density"]
