"""How do the columns of a real table become coordinates of points, and points rows again?"""

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
