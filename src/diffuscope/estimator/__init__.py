"""What does a diffusion model look like to those who know scikit-learn?"""

from diffuscope.estimator.imputer import DiffusionImputer
from diffuscope.estimator.model import DiffusionModel

__all__ = ["DiffusionImputer", "DiffusionModel"]
