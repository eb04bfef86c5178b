"""How does an array grow in a file, example by example? Its header is written last, over one as long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.packs import PACK, Kind, Pack
from diffuscope.errors import InputError
from diffuscope.files import write_text

__all__ = ["Growing", "write_labels", "write_pack"]


class Growing:
    """A .npy file of examples of one shape, written as a context manager."""

    def __init__(self, path: Path) -> None:
        self.n, self._path, self._shape = 0, path, ()
        self._dtype: np.dtype[Any] | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def append(self, examples: NDArray[Any]) -> None:
        """Write examples (k, ...) of the type and the shape of the first; an InputError for others."""
        assert self._file is not None
        if self._dtype is None:
            self._dtype, self._shape = examples.dtype, examples.shape[1:]
            self._header()
        if examples.shape[1:] != self._shape:
            raise InputError(
                f"Example {self.n:,} (counted from 0) has shape {examples.shape[1:]}, the others have "
                f"{self._shape}.",
                "Give examples of one shape.",
            )
        self._file.write(np.ascontiguousarray(examples, dtype=self._dtype).data)
        self.n += len(examples)

    def _header(self) -> None:
        assert self._file is not None
        assert self._dtype is not None
        about = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.n, *self._shape)}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, about)  # leaves room for the number to grow

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        if kind is None and self._dtype is not None:
            self._header()
        self._file.close()


def write_labels(folder: Path, labels: Iterable[Any]) -> tuple[str, ...]:
    """Write one label for each example, whole numbers or text, as classes; return their names."""
    found = np.asarray(list(labels))
    names, numbers = np.unique(found, return_inverse=True)
    np.save(folder / "labels.npy", numbers.astype(np.int64), allow_pickle=False)
    return tuple(map(str, names.tolist()))


def write_pack(folder: Path, kind: Kind, n: int, source: str, files: Iterable[str], **about: Any) -> None:
    """Write ``pack.json``, with the digests of the files."""
    sha256 = {}
    for name in files:
        with (folder / name).open("rb") as file:
            sha256[name] = hashlib.file_digest(file, "sha256").hexdigest()
    said = Pack(kind=kind, n=n, source=source, sha256=sha256, **about)
    write_text(folder / PACK, said.model_dump_json(indent=2) + "\n")
