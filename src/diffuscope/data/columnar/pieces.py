"""How is a table read of which not all can be held? In pieces, from a file that is mapped into memory.

Parquet files are read by their row groups, Arrow files by their record batches, NumPy files by rows. CSV, and
whatever else has to be read from its beginning, becomes an Arrow file first: ``diffuscope pack``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.bounds import check_npy, check_regular
from diffuscope.data.columnar.arrays import native
from diffuscope.data.columnar.foreign import foreign, validated
from diffuscope.data.columnar.reading import check_columns, check_parquet, to_pandas
from diffuscope.data.stored import is_large, let_go
from diffuscope.errors import DiffuscopeError
from diffuscope.files import is_utf8

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Pieces", "arrow_batches", "open_pieces"]

_ROWS = 2**16  # of a piece


@dataclass(frozen=True)
class Pieces(ABC):
    """A large table of n rows."""

    n: int
    names: tuple[str, ...] | None

    @abstractmethod
    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield all rows, one piece after the other."""

    @abstractmethod
    def rows(self, index: NDArray[np.int64]) -> pd.DataFrame:
        """Return the rows at ``index``, ascending."""


@dataclass(frozen=True)
class _ArrowPieces(Pieces):
    path: Path
    batches: Callable[[], Iterator[Any]]  # of Arrow

    def frames(self) -> Iterator[pd.DataFrame]:
        for batch in self._checked():
            yield self._frame([batch])

    def rows(self, index: NDArray[np.int64]) -> pd.DataFrame:
        import pyarrow as pa

        found, start = [], 0
        for batch in self._checked():
            first, last = np.searchsorted(index, (start, start + len(batch)))
            if last > first:
                found.append(batch.take(pa.array(index[first:last] - start)))
            start += len(batch)
        return self._frame(found)

    def _frame(self, batches: list[Any]) -> pd.DataFrame:
        import pyarrow as pa

        frame: pd.DataFrame = to_pandas(pa.Table.from_batches(batches)).reset_index(drop=True)
        return frame

    def _checked(self) -> Iterator[Any]:
        """Yield batches; damaged bytes are a FormatError."""
        try:
            yield from self.batches()
        except (DiffuscopeError, MemoryError):
            raise
        except Exception as error:  # damaged bytes make the parser raise nearly anything
            raise foreign(self.path, "a readable table", "Write the file again.", error) from error


@dataclass(frozen=True)
class _ArrayPieces(Pieces):
    values: NDArray[Any]

    def frames(self) -> Iterator[pd.DataFrame]:
        import pandas as pd

        for start in range(0, self.n, _ROWS):
            yield pd.DataFrame(native(np.array(self.values[start : start + _ROWS])))
            let_go(self.values)

    def rows(self, index: NDArray[np.int64]) -> pd.DataFrame:
        import pandas as pd

        parts = []
        for i in range(0, len(index), 256):  # megabytes may be mapped around each
            parts.append(np.take(self.values, index[i : i + 256], axis=0))
            let_go(self.values)
        return pd.DataFrame(native(np.concatenate(parts)))


def open_pieces(path: Path) -> Pieces | None:
    """Return a large table in a file; None where it is small, or cannot be read in pieces."""
    kind = {".parquet": _parquet, ".arrow": _arrow, ".feather": _arrow, ".npy": _npy}.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return None
    return kind(path)


def arrow_batches(path: Path) -> Iterator[Any]:
    """Yield the record batches of a Parquet or Arrow file of any size; a FormatError where it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_regular(path)
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path, memory_map=True) as file:
                check_parquet(path, file.metadata)
                check_columns(path, file.schema_arrow.names)
                yield from file.iter_batches(batch_size=_ROWS)
        else:
            with pa.memory_map(str(path)) as source:
                opened = pa.ipc.open_file(source)
                check_columns(path, opened.schema.names)
                yield from (validated(path, opened.get_batch(i)) for i in range(opened.num_record_batches))
    except (DiffuscopeError, MemoryError, GeneratorExit):
        raise
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise foreign(path, "a readable table", "Write the file again.", error) from error


def _parquet(path: Path) -> Pieces | None:
    import pyarrow.parquet as pq

    if not is_utf8(path):
        return None
    try:
        with pq.ParquetFile(path) as file:
            about, names = file.metadata, file.schema_arrow.names
            if not is_large(about.num_rows, about.num_columns):
                return None
            check_parquet(path, about)
    except DiffuscopeError:
        raise
    except Exception:  # whoever reads it says what is wrong
        return None
    check_columns(path, names)

    def batches() -> Iterator[Any]:
        with pq.ParquetFile(path, memory_map=True) as file:
            yield from file.iter_batches(batch_size=_ROWS)

    return _ArrowPieces(about.num_rows, tuple(names), path, batches)


def _arrow(path: Path) -> Pieces | None:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            file = pa.ipc.open_file(source)
            names, count = file.schema.names, file.num_record_batches
            n = sum(file.get_batch(i).num_rows for i in range(count))
    except (pa.ArrowException, OSError, ValueError):
        return None
    if not is_large(n, len(names)):
        return None
    check_columns(path, names)

    def batches() -> Iterator[Any]:
        with pa.memory_map(str(path)) as source:
            file = pa.ipc.open_file(source)
            for i in range(count):
                batch = validated(path, file.get_batch(i))
                yield from (batch.slice(start, _ROWS) for start in range(0, len(batch), _ROWS))

    return _ArrowPieces(n, tuple(names), path, batches)


def _npy(path: Path) -> Pieces | None:
    try:
        with path.open("rb") as file:
            check_npy(file, path.stat().st_size, str(path))
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (DiffuscopeError, OSError, ValueError):
        return None
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
        return None
    values = values[:, None] if values.ndim == 1 else values
    return _ArrayPieces(len(values), None, values) if is_large(*values.shape) else None
