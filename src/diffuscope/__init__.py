"""Train, watch and diagnose diffusion models.

The public names are imported when they are first used, so that ``import diffuscope`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from diffuscope._version import __version__ as __version__

if TYPE_CHECKING:
    from diffuscope.comparison import Comparison as Comparison
    from diffuscope.comparison import Range as Range
    from diffuscope.comparison import Sweep as Sweep
    from diffuscope.comparison import compare as compare
    from diffuscope.comparison import sweep as sweep
    from diffuscope.data.base import Dataset as Dataset
    from diffuscope.data.points import load_dataset as load_dataset
    from diffuscope.diagnosis import Diagnosis as Diagnosis
    from diffuscope.diagnosis import diagnose as diagnose
    from diffuscope.errors import DiffuscopeError as DiffuscopeError
    from diffuscope.estimator import DiffusionImputer as DiffusionImputer
    from diffuscope.estimator import DiffusionModel as DiffusionModel
    from diffuscope.languages import set_language as set_language
    from diffuscope.modalities.points.evaluation import Evaluation as Evaluation
    from diffuscope.monitoring.asked import Labelled as Labelled
    from diffuscope.monitoring.loss_floor import LossFloor as LossFloor
    from diffuscope.monitoring.loss_floor import loss_floor as loss_floor
    from diffuscope.monitoring.monitor import Monitor as Monitor
    from diffuscope.packing import pack as pack
    from diffuscope.recipes import Recipe as Recipe
    from diffuscope.recipes import load_recipe as load_recipe
    from diffuscope.runs.evaluate import evaluate as evaluate
    from diffuscope.runs.run import Run as Run
    from diffuscope.runs.run import load as load
    from diffuscope.runs.sharing import sharing as sharing
    from diffuscope.runs.students import distill as distill
    from diffuscope.runs.students import reflow as reflow
    from diffuscope.runs.train import train as train

_HOMES = {
    "Comparison": "diffuscope.comparison",
    "Dataset": "diffuscope.data.base",
    "Diagnosis": "diffuscope.diagnosis",
    "DiffuscopeError": "diffuscope.errors",
    "DiffusionImputer": "diffuscope.estimator",
    "DiffusionModel": "diffuscope.estimator",
    "Evaluation": "diffuscope.modalities.points.evaluation",
    "Labelled": "diffuscope.monitoring.asked",
    "LossFloor": "diffuscope.monitoring.loss_floor",
    "Monitor": "diffuscope.monitoring.monitor",
    "Range": "diffuscope.comparison",
    "Recipe": "diffuscope.recipes",
    "Run": "diffuscope.runs.run",
    "Sweep": "diffuscope.comparison",
    "compare": "diffuscope.comparison",
    "diagnose": "diffuscope.diagnosis",
    "distill": "diffuscope.runs.students",
    "evaluate": "diffuscope.runs.evaluate",
    "load": "diffuscope.runs.run",
    "load_dataset": "diffuscope.data.points",
    "load_recipe": "diffuscope.recipes",
    "loss_floor": "diffuscope.monitoring.loss_floor",
    "pack": "diffuscope.packing",
    "reflow": "diffuscope.runs.students",
    "set_language": "diffuscope.languages",
    "sharing": "diffuscope.runs.sharing",
    "sweep": "diffuscope.comparison",
    "train": "diffuscope.runs.train",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
