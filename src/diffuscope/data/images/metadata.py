"""What does a table beside images, ``metadata.csv``, say of each: numbers or classes to condition on.

The convention is that of Hugging Face: a column ``file_name`` has the path of an image from the folder of the
table, with / between folders, other columns say what is known of it. A table speaks of the images in its
folder and below it, down to the next table: in ``photos/``, or in ``photos/train/`` and ``photos/val/``.

Tables are not trusted: a path in one is compared with those of the images that were found, and never opened.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.data.conditions import Kind, Labels, labels_of, named_columns
from diffuscope.data.images.dataset import ImageData
from diffuscope.errors import DiffuscopeError, InputError, listed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METADATA", "Metadata", "offer", "read_metadata"]

METADATA = ("metadata.csv", "metadata.parquet")
"""What a table beside images is called."""
_PATHS = "file_name"


@dataclass(frozen=True)
class Metadata:
    """What tables say of images: the columns that were asked for, a row for each image by its path."""

    name: str
    """Of the table, for messages."""
    rows: pd.DataFrame
    condition: Kind | None
    notes: tuple[str, ...]

    def labels(self, files: Iterable[Path]) -> Labels:
        """Return the labels of n images, as :func:`~diffuscope.data.conditions.labels_of` takes them."""
        rows = self.rows.loc[list(map(str, files))]
        columns = [*map(str, rows.columns)]
        values = rows.iloc[:, 0] if len(columns) == 1 else rows
        return labels_of(values, len(rows), f"The labels in {self.name}", self.condition, columns)

    def described(self, data: ImageData) -> ImageData:
        """Return images that have these labels with the notes, and with their digest in the source."""
        assert data.labels is not None
        digest = hashlib.sha256(np.ascontiguousarray(data.labels).data)
        digest.update(json.dumps(data.classes).encode())
        source = {**data.source, "labels": digest.hexdigest()}
        return replace(data, source=source, notes=(*self.notes, *data.notes))


def _tables_of(files: Iterable[Path], tables: Sequence[Path]) -> dict[Path, list[Path]]:
    """Return the tables that speak of files, each with its files; InputError where a folder has two."""
    by_folder: dict[Path, Path] = {}
    for table in tables:
        other = by_folder.setdefault(table.parent, table)
        if other != table:
            raise InputError(
                f"{table.parent} has two tables: {other.name} and {table.name}.", "Remove one of them."
            )
    found: dict[Path, list[Path]] = {}
    nearest: dict[Path, Path | None] = {}
    for file in files:
        folder = file.parent
        if folder not in nearest:
            above = (by_folder[one] for one in (folder, *folder.parents) if one in by_folder)
            nearest[folder] = next(above, None)
        if (table_of := nearest[folder]) is not None:
            found.setdefault(table_of, []).append(file)
    return found


def offer(files: Iterable[Path], tables: Sequence[Path]) -> str | None:
    """Say which columns images could be conditioned on, as a sentence; None where there are none.

    A table that cannot be read is no error here: nobody has asked for it.
    """
    columns: dict[str, None] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for table in (of := _tables_of(files, tables)):
                columns |= dict.fromkeys(map(str, _columns(_read(table), table)))
    except DiffuscopeError:
        return None
    if not columns:
        return None
    return f"{next(iter(of)).name} has columns to condition on, by --target: {listed(map(repr, columns))}."


def read_metadata(
    path: Path,
    tables: Sequence[Path],
    images: Iterable[Path],
    files: Sequence[Path],
    target: str | Sequence[str],
    condition: Kind | None = None,
) -> Metadata:
    """Return what the tables of a folder say of some of its images.

    Parameters
    ----------
    path : path
        The folder.
    tables, images : sequence of path
        All that were found in it.
    files : sequence of path
        The images that are asked for, at least one.
    target : str or sequence of str
        The columns, also as one text with commas.
    condition : {"classes", "numbers"}, optional
        What they are; by default numbers if some are not whole, or there are several.

    Raises
    ------
    InputError, FormatError
        When there is no table, or it cannot be read; has no column of that name, or none with the paths; a
        path leaves its folder, or is there twice; an image has no row; a value is missing or not finite, or
        one of several columns has no numbers.
    """
    import pandas as pd

    of = _tables_of(files, tables)
    if not of:
        raise InputError(
            f"There is no {METADATA[0]} in {path}, so no column can be the target.",
            f"Write one with a column {_PATHS!r} and a row for each image, or omit --target.",
        )
    there, parts, notes = {str(image) for image in images}, [], []
    for table, own in of.items():
        frame = _read(table)
        rows = _chosen(frame, table, target)
        names = _paths(frame, table)
        stray = [name for one, name in names.items() if one not in there]
        if stray:
            notes.append(
                f"Not used, as there are no such images: {len(stray):,} rows of {table}, the first is that "
                f"of {stray[0]!r}."
            )
        rows.index = pd.Index(list(names), dtype=object)
        _check_rows([one for one in own if str(one) not in names], len(own), str(table))
        rows = rows.loc[list(map(str, own))]
        for name in rows.columns:
            _check_values(rows[name], name, table, len(rows.columns) > 1)
        parts.append(rows)
    told = {one for own in of.values() for one in own}
    _check_rows([one for one in files if one not in told], len(files), METADATA[0])
    return Metadata(str(next(iter(of))), pd.concat(parts), condition, tuple(notes))


def _read(table: Path) -> pd.DataFrame:
    from diffuscope.data.columnar import open_rows

    return open_rows(table).frame


def _columns(frame: pd.DataFrame, table: Path) -> list[Any]:
    """Return the names of all columns but that of the paths; InputError where there is none."""
    if _PATHS not in frame.columns:
        names = listed(repr(str(name)) for name in frame.columns)
        raise InputError(
            f"{table} has no column {_PATHS!r}.",
            f"Name the column with the paths of the images so. Columns: {names}.",
        )
    return [name for name in frame.columns if name != _PATHS]


def _chosen(frame: pd.DataFrame, table: Path, target: str | Sequence[str]) -> pd.DataFrame:
    """Return the columns that are asked for; InputError where there are none such."""
    known = {str(name): name for name in _columns(frame, table)}
    names = list(dict.fromkeys(named_columns(target, known)))
    return frame[[known[name] for name in names]].set_axis(names, axis=1)


def _paths(frame: pd.DataFrame, table: Path) -> dict[str, str]:
    """Return the paths of images that a table has, each once and below its folder, and how it has them."""
    column = frame[_PATHS]
    if (empty := column.isna().to_numpy()).any():
        raise InputError(
            f"{_PATHS!r} is missing in {int(empty.sum()):,} of {len(empty):,} rows of {table}, the first of "
            f"them row {int(empty.argmax())} (counted from 0).",
            "Fill it in, or remove these rows.",
        )
    found: dict[str, str] = {}
    for name in map(str, column):
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name):
            raise InputError(
                f"{name!r} in {table} leads out of its folder.",
                f"Write paths from the folder of the table into {_PATHS!r}, such as 'cat/1.png'.",
            )
        one = str(table.parent / posixpath.normpath(name))
        if one in found:
            raise InputError(f"{table} has several rows for {name!r}.", "Leave one row for each image.")
        found[one] = name
    return found


def _check_rows(without: Sequence[Path], n: int, where: str) -> None:
    """Refuse images without a row, of n."""
    if without:
        raise InputError(
            f"{len(without):,} of {n:,} images have no row in {where}, the first is {without[0]}.",
            f"Add rows for them, with their paths from its folder in {_PATHS!r}, or remove these images.",
        )


def _check_values(values: pd.Series[Any], name: str, table: Path, one_of_several: bool) -> None:
    """Refuse a column, by the paths of images, in which values are missing or not finite, or no numbers."""
    if one_of_several and values.dtype.kind not in "iuf":
        raise InputError(
            f"{name!r} in {table} has no numbers, and several columns are conditioned on as numbers.",
            "Leave it out, or name it alone: then it gives classes.",
        )
    lacking = bool((bad := values.isna().to_numpy()).any())
    if not lacking and values.dtype.kind == "f":
        bad = ~np.isfinite(values.to_numpy(dtype=np.float64))
    if bad.any():
        raise InputError(
            f"{name!r} in {table} is {'missing' if lacking else 'not finite'} for {int(bad.sum()):,} of "
            f"{len(bad):,} images, the first is {values.index[int(bad.argmax())]}.",
            "Give its value, or remove these images.",
        )
