"""How is data packed? By what it is: a table, points or images, in a file or as it comes."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from diffuscope.data.base import holds_images
from diffuscope.data.columnar import FileOptions, suffix_of
from diffuscope.data.columnar.reading import array_of
from diffuscope.data.columnar.text import SEPARATORS
from diffuscope.data.images import load_images
from diffuscope.data.images.loading import checked_channels, checked_size
from diffuscope.data.images.ranges import checked_range
from diffuscope.data.packs import MAIN, is_pack, read_pack
from diffuscope.data.stored import Stored
from diffuscope.data.torch_sets import is_torch_set
from diffuscope.errors import InputError
from diffuscope.files import atomic_folder
from diffuscope.packing.images import (
    Named,
    as_named,
    classes_in,
    counted,
    images_in_tar,
    labels_or_none,
    shape_of,
    write_images,
)
from diffuscope.packing.tables import frames_of, rows_of, tables_in, write_table
from diffuscope.packing.writing import Growing, write_labels, write_pack
from diffuscope.progress import Reporter

__all__ = ["pack"]

_TABLES = (*SEPARATORS, ".parquet", ".arrow", ".feather")
_TAR = re.compile(r"\.(tar|tar\.(gz|bz2|xz)|tgz)$", re.IGNORECASE)
_TOGETHER = 4096  # points that are written together


def pack(
    source: Any,
    out: str | Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    value_range: Any = None,
    split: str | None = None,
    options: FileOptions | None = None,
    progress: bool | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> Path:
    """Write data of any size into a folder of files that are read where they lie.

    Whatever reads data from a path takes the folder: :func:`diffuscope.train`, ``evaluate``, ``diagnose``.

    Parameters
    ----------
    source : str, path or iterable
        A .csv or .tsv (also .gz), .parquet, .arrow, .npy or .npz file; a .tar (also compressed) or a folder
        of images, in which folders are classes; a data set of Hugging Face's ``datasets``; or any iterable of
        rows (mappings of names to values), pieces of a table (pandas, polars, Arrow), points (numbers of
        shape (d,)), images (Pillow's, or arrays of uint8), or pairs of a point or an image and a label. It is
        gone through once, so a generator will do.
    out : str or path
        The folder, which must not exist yet, or be empty.
    image_size, channels : int, optional
        Size of images, by default the usual one of an archive, or that of the first image that comes; 1 for
        grey, 3 for colour.
    value_range : (float, float), optional
        The values of images of more than 8 bits that are black and white.
    split : str, optional
        Of images in folders: the subfolder to pack. By default ``train``, where there are such parts.
    options : FileOptions, optional
        How a text file is read.
    progress : bool, optional
        Whether to show progress; by default where standard error is a terminal.
    announce : callable, optional
        Called with lines of text about what was done.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError, FormatError
        When there is nothing to pack, or it is not what it seems. Then nothing is left behind.
    RunError
        When there is no space, or no permission.

    Examples
    --------
    >>> import diffuscope, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> folder = diffuscope.pack((rng.normal(size=2) for _ in range(500)), "packed")
    >>> diffuscope.load_dataset(folder).x.shape
    (500, 2)
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} already exists.", "Choose another --out.")
    shape = checked_size(image_size), checked_channels(channels), checked_range(value_range)
    notes: list[str] = []
    with atomic_folder(folder) as new, Reporter(progress).stage("packing"):
        if isinstance(source, str | os.PathLike):
            _pack_path(Path(source), new, shape, split, options or FileOptions(), notes)
        elif hasattr(source, "features") and hasattr(source, "with_format"):
            _pack_hugging_face(source, new, shape, notes)
        else:
            _pack_items(source, new, shape, notes)
    about = read_pack(folder)
    unit = {"table": "rows", "points": "points", "images": "images"}[about.kind]
    if announce is not None:
        announce([f"{folder}: {about.n:,} {unit}", *notes])
    return folder


Shape = tuple[tuple[int, int] | None, int | None, Any]


def _pack_path(
    path: Path, new: Path, shape: Shape, split: str | None, options: FileOptions, notes: list[str]
) -> None:
    suffix, name = suffix_of(path), path.name
    if not path.exists():
        raise InputError(f"There is no file {path}.", "Check the path.")
    if path.is_dir() and is_pack(path):
        raise InputError(f"{path} is packed already.", "Give it to train as it is.")
    if suffix in _TABLES:
        _table(new, tables_in(path, options), str(path), name)
    elif _TAR.search(name):
        folders = Counter[PurePosixPath]()
        whole = shape_of(counted(images_in_tar(path, notes), folders), *shape[:2], notes)
        classes = classes_in(path, folders, split, notes)
        some = (
            Named(one.image, classes[one.label]) for one in images_in_tar(path, []) if one.label in classes
        )
        _images(new, some, whole, shape[2], name)
    elif path.is_dir() or holds_images(path):
        _loaded_images(path, new, shape, split, notes)
    elif suffix == ".npy":
        _array(array_of(path, "r"), new, name)
    elif suffix == ".npz":
        from diffuscope.data.images import are_images
        from diffuscope.data.points import load_dataset

        if are_images(path):
            _loaded_images(path, new, shape, split, notes)
            return
        data = load_dataset(path)
        labels = None if data.labels is None else data.labels
        with Growing(new / MAIN["points"]) as file:
            file.append(data.x)
        _finish_points(new, file.n, name, labels, data.classes, data.numbers, data.columns)
    else:
        known = ", ".join((*_TABLES, ".npy", ".npz", ".tar"))
        raise InputError(f"{path} cannot be packed.", f"Give a folder of images, or a file: {known}.")


def _table(new: Path, tables: Iterable[Any], where: str, name: str) -> None:
    n, columns = write_table(new / MAIN["table"], tables, where)
    write_pack(new, "table", n, name, [MAIN["table"]], columns=columns)


def _images(new: Path, images: Iterable[Named], shape: tuple[int, int, int], limits: Any, name: str) -> None:
    n, labels = write_images(new / MAIN["images"], images, shape, limits)
    known = labels_or_none(labels)
    files, classes = [MAIN["images"]], tuple[str, ...]()
    if known is not None:
        files, classes = [*files, "labels.npy"], write_labels(new, known)
    write_pack(new, "images", n, name, files, classes=classes)


def _loaded_images(path: Path, new: Path, shape: Shape, split: str | None, notes: list[str]) -> None:
    """Pack images that are read as training reads them, with their classes."""
    data = load_images(path, size=shape[0], channels=shape[1], value_range=shape[2], split=split)
    notes += data.notes
    if data.held_out is not None:
        notes.append(f"Held-out images are not packed: {len(data.held_out.x):,}.")
    with Growing(new / MAIN["images"]) as file:
        for start in range(0, len(data.x), _TOGETHER):
            file.append(data.x[start : start + _TOGETHER])
    files = [MAIN["images"]]
    about: dict[str, Any] = {}
    if data.labels is not None:
        np.save(new / "labels.npy", data.labels, allow_pickle=False)
        files.append("labels.npy")
        about = {"classes": data.classes}
        if data.numbers is not None:
            about = {"numbers": data.numbers.names}
    write_pack(new, "images", file.n, path.name, files, **about)


def _array(values: Any, new: Path, name: str) -> None:
    """Pack an array of points (n, d), block by block."""
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf" or not values.size:
        raise InputError(
            f"{name} has shape {values.shape} and type {values.dtype}.", "Give numbers of shape (n, d)."
        )
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    rows = values[:, None] if values.ndim == 1 else values
    with Growing(new / MAIN["points"]) as file:
        for _, block in Stored(rows, len(rows), "", np.empty(0, dtype=np.int64)).blocks():
            file.append(block)
    _finish_points(new, file.n, name)


def _finish_points(
    new: Path,
    n: int,
    name: str,
    labels: Any = None,
    classes: tuple[str, ...] = (),
    numbers: Any = None,
    columns: tuple[str, ...] | None = None,
) -> None:
    files = [MAIN["points"]]
    about: dict[str, Any] = {}
    if labels is not None:
        np.save(new / "labels.npy", labels, allow_pickle=False)
        files.append("labels.npy")
        about = {"classes": classes} if classes else {"numbers": numbers.names}
    write_pack(new, "points", n, name, files, columns=columns, **about)


def _pack_hugging_face(source: Any, new: Path, shape: Shape, notes: list[str]) -> None:
    """Pack a data set of Hugging Face: images with their label where it has some, else a table."""
    if isinstance(source, Mapping):
        raise InputError(
            f"This is a set of {len(source)} data sets: {', '.join(map(str, source))}.", "Give one of them."
        )
    features = source.features or {}
    kinds = {name: type(one).__name__ for name, one in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    if not images:
        plain = source.with_format("arrow")
        tables = plain.iter(batch_size=10_000) if hasattr(plain, "iter") else plain
        _table(new, frames_of(tables), "The data set", "datasets")
        return
    name, labels = images[0], [one for one, kind in kinds.items() if kind == "ClassLabel"]
    others = [one for one in features if one not in (name, *labels[:1])]
    if others:
        notes.append(f"Columns that are not used: {', '.join(others)}.")
    label = labels[0] if labels else None

    def items() -> Iterator[Named]:
        for row in source:
            one = as_named(row[name])
            yield Named(one.image, None if label is None else features[label].int2str(row[label]))

    again = not hasattr(source, "__len__")  # a stream, which is gone through once
    _pack_images(items(), new, shape, notes, "datasets", None if again else items)


def _pack_images(
    images: Iterator[Named],
    new: Path,
    shape: Shape,
    notes: list[str],
    name: str,
    again: Callable[[], Iterator[Named]] | None = None,
) -> None:
    """Pack images in the shape that suits all, where they can be gone through again, else the first."""
    if again is not None:
        whole = shape_of(again(), *shape[:2], notes)
    else:
        first = next(images, None)
        whole = shape_of([] if first is None else [first], *shape[:2], notes)
        images = itertools.chain([] if first is None else [first], images)
    _images(new, images, whole, shape[2], name)


def _pack_items(source: Any, new: Path, shape: Shape, notes: list[str]) -> None:
    """Pack whatever comes out of an iterable, by what comes first."""
    if hasattr(source, "columns") or hasattr(source, "__arrow_c_stream__"):
        source = [source]
    if is_torch_set(source) and hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        own = getattr(source, "dataset", source)
        source = (own[i] for i in range(len(own)))
    if isinstance(source, np.ndarray) and source.ndim in (1, 2):
        _array(source, new, "array")
        return
    try:
        items = _own_failures(iter(source))
    except TypeError as error:
        raise InputError(
            f"{type(source).__name__} cannot be packed.", "Give a path, or an iterable of rows or images."
        ) from error
    first = next(items, None)
    if first is None:
        raise InputError("The iterable is empty.", "Give at least two rows.")
    items = itertools.chain([first], items)
    if hasattr(first, "columns") or hasattr(first, "__arrow_c_stream__") or hasattr(first, "schema"):
        _table(new, frames_of(items), "The iterable", "iterable")
    elif isinstance(first, Mapping):
        _table(new, rows_of(items), "The iterable", "iterable")
    else:
        paired = isinstance(first, tuple) and len(first) == 2 and not np.isscalar(first[0])
        example = first[0] if paired else first
        if hasattr(example, "getbands") or isinstance(example, bytes) or np.ndim(example) in (2, 3):
            _pack_images(map(_labelled_image if paired else as_named, items), new, shape, notes, "iterable")
        else:
            _pack_points(items, new, paired)


def _own_failures(items: Iterator[Any]) -> Iterator[Any]:
    """Yield items; that they cannot be read is another failure than that the pack cannot be written."""
    try:
        yield from items
    except OSError as error:
        raise InputError(f"The iterable failed: {error}.", "Nothing was packed.") from error


def _labelled_image(pair: tuple[Any, Any]) -> Named:
    return Named(as_named(pair[0]).image, _plain(pair[1]))


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label


def _pack_points(items: Iterator[Any], new: Path, paired: bool) -> None:
    """Pack points as float64, or as float32 where the first are; labels are classes, or numbers."""
    from diffuscope.data.conditions import labels_of

    labels: list[Any] = []
    with Growing(new / MAIN["points"]) as file:
        while some := list(itertools.islice(items, _TOGETHER)):
            try:
                points = [np.asarray(one[0] if paired else one) for one in some]
                labels += [_plain(one[1]) for one in some] if paired else []
            except (TypeError, ValueError, RuntimeError, IndexError) as error:  # tensors with gradients
                said = str(error).splitlines()[0].rstrip(".")
                raise InputError(f"A point is not a row of numbers: {said}.", "Give arrays.") from error
            if any(one.dtype.kind not in "biuf" or one.ndim > 1 for one in points):
                raise InputError(
                    "A point is not a row of numbers.",
                    "Give numbers of shape (d,), or for a table mappings of names to values.",
                )
            try:
                rows = np.stack(points)
            except ValueError as error:
                raise InputError(
                    "The points have different numbers of values.", "Give rows alike."
                ) from error
            rows = rows[:, None] if rows.ndim == 1 else rows
            file.append(rows if rows.dtype == np.float32 else rows.astype(np.float64))
    if not paired:
        _finish_points(new, file.n, "iterable")
        return
    found = labels_of(np.asarray(labels), file.n, "The labels")
    _finish_points(new, file.n, "iterable", found.labels, found.classes, found.numbers)
