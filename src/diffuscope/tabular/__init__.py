"""How do the columns of a real table become coordinates of points, and points rows again?"""

from diffuscope.tabular.codec import TableCodec
from diffuscope.tabular.columns import AnyColumn, fit_column
from diffuscope.tabular.frames import Frame, read_frame

__all__ = ["AnyColumn", "Frame", "TableCodec", "fit_column", "read_frame"]
