"""How do the columns of a real table become coordinates of points, and points rows again?

What is asked for is imported on first use: pictures of points need one column's type, not all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffuscope.data.tables.codec import TableCodec
    from diffuscope.data.tables.columns.fitting import AnyColumn, fit_column
    from diffuscope.data.tables.dataset import TableData, load_table
    from diffuscope.data.tables.frames import Frame, read_frame
    from diffuscope.data.tables.rows import RowCodec

__all__ = [
    "AnyColumn",
    "Frame",
    "RowCodec",
    "TableCodec",
    "TableData",
    "fit_column",
    "load_table",
    "read_frame",
]

_MODULES = {
    "codec": ("TableCodec",),
    "columns.fitting": ("AnyColumn", "fit_column"),
    "dataset": ("TableData", "load_table"),
    "frames": ("Frame", "read_frame"),
    "rows": ("RowCodec",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
