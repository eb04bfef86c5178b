"""What can be asked of a model besides samples? Parts of rows and of images, densities, what noise hides."""

from diffuscope.asking.images import ImageModel
from diffuscope.asking.rows import RowModel

__all__ = ["ImageModel", "RowModel"]
