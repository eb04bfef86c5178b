"""On what is a model conditioned as a whole: classes of its points, or numbers that were measured of them?"""

from __future__ import annotations

from diffuscope.data.conditions.classes import EACH, Classes, classes_of
from diffuscope.data.conditions.labels import Kind, Labels, LabelType, label_type_of, labels_of, named_columns
from diffuscope.data.conditions.numbers import Numbers, numbers_of

__all__ = [
    "EACH",
    "Classes",
    "Kind",
    "LabelType",
    "Labels",
    "Numbers",
    "classes_of",
    "label_type_of",
    "labels_of",
    "named_columns",
    "numbers_of",
]
