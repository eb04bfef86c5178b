"""How good are a run's samples, by every metric, and would something simpler have done as well?"""

from __future__ import annotations

from diffuscope.evaluation.baselines import Baseline, fit_baselines
from diffuscope.evaluation.entry import evaluate
from diffuscope.evaluation.result import Evaluation

__all__ = ["Baseline", "Evaluation", "evaluate", "fit_baselines"]
