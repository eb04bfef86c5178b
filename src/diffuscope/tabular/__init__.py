"""How do the columns of a real table become coordinates of points, and points rows again?"""

from diffuscope.tabular.codec import TableCodec
from diffuscope.tabular.columns import AnyColumn, fit_column
from diffuscope.tabular.dataset import TableData, load_table
from diffuscope.tabular.frames import Frame, read_frame
from diffuscope.tabular.rows import RowCodec

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
