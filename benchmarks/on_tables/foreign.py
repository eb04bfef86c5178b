"""What does SDMetrics say? Its QualityReport, run in its own environment (``requirements/sdmetrics.txt``).

``python -m on_tables.foreign REAL SYNTHETIC`` prints one line of JSON: the score, and its two parts.
"""

from __future__ import annotations

import json
import sys
import warnings

import pandas as pd

__all__ = ["report"]


def report(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, float]:
    from sdmetrics.reports.single_table import QualityReport

    columns = {}
    for name, column in real.items():
        if pd.api.types.is_datetime64_any_dtype(column):
            columns[name] = {"sdtype": "datetime"}
        else:
            columns[name] = {
                "sdtype": "numerical" if pd.api.types.is_numeric_dtype(column) else "categorical"
            }
    made = QualityReport()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.generate(real, synthetic, {"columns": columns}, verbose=False)
    parts = made.get_properties().set_index("Property")["Score"]
    return {
        "sdmetrics": float(made.get_score()),
        "sdmetrics_columns": float(parts["Column Shapes"]),
        "sdmetrics_pairs": float(parts["Column Pair Trends"]),
    }


if __name__ == "__main__":
    frames = [pd.read_parquet(path) for path in sys.argv[1:3]]
    for frame in frames:
        for name in frame.select_dtypes("category"):
            frame[name] = frame[name].astype(object)
    print(json.dumps(report(*frames)))
