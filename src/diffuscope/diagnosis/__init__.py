"""Why are samples bad? Learned and chosen parts are replaced by exact ones, one at a time."""

from __future__ import annotations

from diffuscope.diagnosis.budget import Budget, Row
from diffuscope.diagnosis.distances import Share
from diffuscope.diagnosis.examine import diagnose
from diffuscope.diagnosis.findings import CODES, Finding
from diffuscope.diagnosis.levels import Band, LevelErrors
from diffuscope.diagnosis.report import Diagnosis

__all__ = [
    "CODES",
    "Band",
    "Budget",
    "Diagnosis",
    "Finding",
    "LevelErrors",
    "Row",
    "Share",
    "diagnose",
]
