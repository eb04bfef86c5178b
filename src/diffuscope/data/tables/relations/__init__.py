"""Which relations between columns are exact, and how do samples keep them?"""

from diffuscope.data.tables.relations.finding import find_relations
from diffuscope.data.tables.relations.kinds import (
    AtMost,
    Derived,
    Determined,
    Different,
    Never,
    Part,
    Relation,
    Sum,
)
from diffuscope.data.tables.relations.together import Relations

__all__ = [
    "AtMost",
    "Derived",
    "Determined",
    "Different",
    "Never",
    "Part",
    "Relation",
    "Relations",
    "Sum",
    "find_relations",
]
