"""How similar is a synthetic table to a real one? Marginals, associations, utility, privacy."""

from diffuscope.metrics.tabular.associations import Associations
from diffuscope.metrics.tabular.measure import measure_table
from diffuscope.metrics.tabular.privacy import Privacy
from diffuscope.metrics.tabular.result import TABLE_METRICS, ColumnQuality, TableMetric, TableQuality

__all__ = [
    "TABLE_METRICS",
    "Associations",
    "ColumnQuality",
    "Privacy",
    "TableMetric",
    "TableQuality",
    "measure_table",
]
