"""Diffusion models as scikit-learn estimators."""

from diffuscope.estimator.imputer import DiffusionImputer
from diffuscope.estimator.model import DiffusionModel

__all__ = ["DiffusionImputer", "DiffusionModel"]
