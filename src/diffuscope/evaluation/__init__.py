"""How good are a run's samples, by every metric, and would something simpler have done as well?"""

from __future__ import annotations

from diffuscope.evaluation.baselines import Baseline, fit_baselines
from diffuscope.evaluation.entry import evaluate
from diffuscope.evaluation.images import ImageEvaluation
from diffuscope.evaluation.result import Evaluation
from diffuscope.evaluation.rows import TableEvaluation

__all__ = ["Baseline", "Evaluation", "ImageEvaluation", "TableEvaluation", "evaluate", "fit_baselines"]
