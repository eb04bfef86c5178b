"""Train, watch and diagnose diffusion models.

The public names are imported when they are first used, so that ``import diffuscope`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffuscope.comparison import Comparison, compare
    from diffuscope.datasets import Dataset, load_dataset
    from diffuscope.diagnosis import Diagnosis, diagnose
    from diffuscope.errors import DiffuscopeError
    from diffuscope.estimator import DiffusionImputer, DiffusionModel
    from diffuscope.evaluation import Evaluation, evaluate
    from diffuscope.experiment import train
    from diffuscope.recipes import Recipe, load_recipe
    from diffuscope.run import Run, load

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Dataset",
    "Diagnosis",
    "DiffuscopeError",
    "DiffusionImputer",
    "DiffusionModel",
    "Evaluation",
    "Recipe",
    "Run",
    "compare",
    "diagnose",
    "evaluate",
    "load",
    "load_dataset",
    "load_recipe",
    "train",
]

_HOMES = {
    "Comparison": "diffuscope.comparison",
    "Dataset": "diffuscope.datasets",
    "Diagnosis": "diffuscope.diagnosis",
    "DiffuscopeError": "diffuscope.errors",
    "DiffusionImputer": "diffuscope.estimator",
    "DiffusionModel": "diffuscope.estimator",
    "Evaluation": "diffuscope.evaluation",
    "Recipe": "diffuscope.recipes",
    "Run": "diffuscope.run",
    "compare": "diffuscope.comparison",
    "diagnose": "diffuscope.diagnosis",
    "evaluate": "diffuscope.evaluation",
    "load": "diffuscope.run",
    "load_dataset": "diffuscope.datasets",
    "load_recipe": "diffuscope.recipes",
    "train": "diffuscope.experiment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
