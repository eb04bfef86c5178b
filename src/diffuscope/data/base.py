"""What do all kinds of data share? Points x of one shape, a source, and a codec to the model's units."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from diffuscope.data.affine import Scaling
from diffuscope.data.bounds import npy_header
from diffuscope.data.conditions import LabelType, Numbers, label_type_of
from diffuscope.data.stored import Stored

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Codec", "Dataset", "columns_of", "describe_file", "holds_images"]


class Codec(Protocol):
    """Between the units of the data and those of the model."""

    kind: ClassVar[str]
    """A name in :data:`diffuscope.data.kinds.KINDS`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one point in the units of the model."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the data's columns, where it has some."""

    @property
    def affine(self) -> Scaling | None:
        """The affine map (d,) that it is of flattened points; None where it is another."""

    def encode(self, data: Any, /) -> Any:
        """Return data in the model's units, shape (n, *shape); NaN where a value is missing."""

    def decode(self, x: Tensor, /) -> Any:
        """Return points (n, *shape) of the model as data: an array, a table, images."""

    def log_abs_det_jacobian(self, data: Any, /) -> npt.NDArray[np.float64]:
        """Return log |d model units / d data units| of data, shape (n,)."""

    def to_json(self) -> dict[str, Any]:
        """Return the codec as plain data; the class's ``from_json`` reads it."""


def columns_of(codec: Codec) -> tuple[int, ...] | None:
    """Return the column that each coordinate belongs to, where several belong to one; None otherwise."""
    return getattr(codec, "groups", None)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set as the rest of the package sees it; here of points, subclasses are of other kinds.

    Attributes
    ----------
    name : str
        Name of the built-in set, stem of the file, "array", or name of the generator.
    x : ndarray of shape (n, d), float64, C-contiguous
        All finite, in the units of the source. Of large data those rows that are held, see ``stored``.
    columns : tuple of d str or None
        Names of the columns, where the source has them.
    draw : callable or None
        ``draw(n, seed) -> (n, d)``: fresh real points in the same units, independent of ``x`` also for
        an equal seed. None for finite data of one's own.
    source : dict
        Where the data came from, as plain JSON: its ``kind`` is "builtin" (with name, size, noise,
        seed), "file" (path as given, sha256), "array" (shape) or "callable" (name, size, seed). A random
        subset of a file or an array adds its size and seed.
    labels : ndarray of shape (n,), int64, or (n, k), float64, or None
        Classes, 0 to the number of classes - 1, or numbers that were measured of each point.
    classes : tuple of str
        Names of the classes; empty where there are none.
    numbers : Numbers or None
        Names and units of the numbers, where labels are numbers.
    notes : tuple of str
        What was done to the data that one would want to know, and what was found and not used.
    stored : Stored or None
        All rows of large data, of which ``x`` and ``labels`` are some, drawn by the seed. None where ``x``
        is all there is.

    Examples
    --------
    >>> import diffuscope
    >>> data = diffuscope.load_dataset("moons", size=300)
    >>> data.x.shape, data.classes
    ((300, 2), ())
    """

    kind: ClassVar[str] = "points"

    name: str
    x: npt.NDArray[Any]
    columns: tuple[str, ...] | None
    draw: Callable[[int, int], npt.NDArray[np.float64]] | None
    source: dict[str, Any]
    labels: npt.NDArray[Any] | None = field(default=None, kw_only=True)
    classes: tuple[str, ...] = field(default=(), kw_only=True)
    numbers: Numbers | None = field(default=None, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    stored: Stored | None = field(default=None, kw_only=True)

    @property
    def n(self) -> int:
        """Number of all rows."""
        return len(self.x) if self.stored is None else len(self.stored)

    @property
    def label_type(self) -> LabelType | None:
        """What the labels are, if there are any."""
        return label_type_of(self.classes, self.numbers)

    def labels_like(self, n: int, random: np.random.Generator) -> npt.NDArray[Any] | None:
        """Return labels of n points, as mixed as those of the data; None where there are none."""
        return None if self.labels is None else self.labels[random.integers(len(self.labels), size=n)]

    def __repr__(self) -> str:
        names = "" if self.columns is None else f", columns {', '.join(self.columns[:8])}"
        more = ", …" if self.columns is not None and len(self.columns) > 8 else ""
        return f"{type(self).__name__}({self.name!r}, x {self.x.shape} {self.x.dtype}{names}{more})"

    def digest(self) -> str:
        """Of the points and their labels, hexadecimal."""
        if self.stored is not None:
            return self.stored.digest
        digest = hashlib.sha256(np.ascontiguousarray(self.x).data)
        if self.labels is not None:
            digest.update(self.labels.tobytes())
        return digest.hexdigest()


def holds_images(path: str | Path) -> bool:
    """Whether a .npy file has three or four axes, as images have; its header alone is read."""
    try:
        with Path(path).open("rb") as file:
            shape, dtype = npy_header(file)
    except (OSError, ValueError, EOFError):
        return False
    return len(shape) in (3, 4) and dtype.kind in "biuf"


def describe_file(path: Path) -> dict[str, Any]:
    """Return the ``source`` of a :class:`Dataset` that was read from a file."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"kind": "file", "path": str(path), "sha256": digest}
