"""How like a real table is a synthetic one? Columns, their dependence, use, privacy; a report."""

from diffuscope.fidelity.associations import Associations
from diffuscope.fidelity.measure import measure_table
from diffuscope.fidelity.privacy import Privacy
from diffuscope.fidelity.report import write_report
from diffuscope.fidelity.result import TABLE_METRICS, ColumnQuality, TableMetric, TableQuality

__all__ = [
    "TABLE_METRICS",
    "Associations",
    "ColumnQuality",
    "Privacy",
    "TableMetric",
    "TableQuality",
    "measure_table",
    "write_report",
]
