"""Which relations between columns are exact, and how do samples keep them?"""

from diffuscope.data.tables.relations.finding import find_relations
from diffuscope.data.tables.relations.together import Relations

__all__ = ["Relations", "find_relations"]
