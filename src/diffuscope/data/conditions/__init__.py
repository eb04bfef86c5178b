"""What is a network told beside a noisy point: of which class it is, or numbers that were measured of it?"""

from __future__ import annotations

from diffuscope.data.conditions.classes import EACH, Classes, classes_of
from diffuscope.data.conditions.labels import Condition, Kind, Labels, labels_of, told_of
from diffuscope.data.conditions.numbers import Numbers, numbers_of

__all__ = [
    "EACH",
    "Classes",
    "Condition",
    "Kind",
    "Labels",
    "Numbers",
    "classes_of",
    "labels_of",
    "numbers_of",
    "told_of",
]
