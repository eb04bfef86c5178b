"""How does whatever a user calls images become one kind of object?"""

from __future__ import annotations

import math
import operator
import os
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.base import describe_file, holds_images
from diffuscope.data.bounds import check_entries, check_unpacked, check_zip, npy_header
from diffuscope.data.conditions import Kind, Labels, labels_of
from diffuscope.data.conditions.classes import as_array
from diffuscope.data.images.builtin import IMAGE_SETS
from diffuscope.data.images.dataset import ImageData
from diffuscope.data.images.folders import load_folder
from diffuscope.data.images.ranges import Range, checked_range, range_note, to_bytes, usual_range
from diffuscope.data.images.reading import range_of
from diffuscope.data.packs import MAIN, check_no_target, is_pack, pack_kind, read_pack
from diffuscope.errors import FormatError, InputError, unknown_name
from diffuscope.progress import Reporter

__all__ = ["are_images", "check_distinct", "checked_channels", "checked_size", "load_images"]

Pixels = NDArray[np.uint8]

_MOST_BYTES = 2**36
_LOOKED_AT = 100  # images that are compared before all are
_FEW_CHANNELS = (1, 2, 3, 4)
_LARGEST_SIDE = 4096
_PART = 2**22  # values of images that are brought to bytes at a time


def are_images(source: Any) -> bool:
    """Return whether ``source`` is what :func:`load_images` reads, at a glance: nothing is decoded."""
    if hasattr(source, "ndim") and hasattr(source, "dtype"):
        return source.ndim in (3, 4)
    if isinstance(source, list | tuple) and source:  # of arrays, or of images of Pillow
        first = source[0]
        return getattr(first, "ndim", 0) in (2, 3) or hasattr(first, "getbands")
    if not isinstance(source, str | os.PathLike):
        return isinstance(source, ImageData)
    if str(source) in IMAGE_SETS:
        return True
    path = Path(source)
    if path.is_dir():
        return pack_kind(path) in (None, "images") and not (path / "recipe.toml").exists()
    if path.suffix.lower() == ".npy":
        return holds_images(path)
    if path.suffix.lower() == ".npz" and path.is_file():
        try:
            return _find_images(path) is not None
        except (OSError, FormatError):
            return False
    return False


def load_images(
    source: Any,
    *,
    size: int | tuple[int, ...] | None = None,
    channels: int | None = None,
    labels: Any = None,
    condition: Kind | None = None,
    skip_broken: bool = False,
    limit: int | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
    value_range: Any = None,
    split: str | None = None,
    target: str | Sequence[str] | None = None,
) -> ImageData:
    """Turn ``source`` into :class:`ImageData`.

    Parameters
    ----------
    source : str, path, ndarray or ImageData, which is returned as it is
        A name in :data:`IMAGE_SETS`; a folder of image files; a .npy or .npz file, an array or a tensor of
        shape (n, height, width), (n, height, width, channels) or (n, channels, height, width).
    size : int or (int, int), optional
        Height and width that the images of a folder are brought to, 1 to 4,096: their middles, where sides
        are in another proportion. By default the size that all have; where they differ, or are larger than
        1,024, the shortest side rounded down to a multiple of 8, at least 8 and at most 64.
    channels : {1, 2, 3, 4}, optional
        Grey or in colour, 2 and 4 with alpha; grey if all are by default, without alpha, over white.
    labels : array_like of shape (n,) or (n, k), optional
        Labels of the images of an array: classes, whole numbers from 0 or text, or numbers that were
        measured, one or k for each image.
    condition : {"classes", "numbers"}, optional
        What labels are; by default numbers if some are not whole, or there are several for an image.
    skip_broken : bool
        Whether files of a folder that are no images are left out.
    limit : int, optional
        Take a random part of so many; it is held in memory.
    seed : int
        Of that part, from 0 to 2³² - 1.
    reporter : Reporter, optional
    value_range : (float, float), optional
        The values that are black and white where they have more than 8 bits; by default found of all images.
    split : str, optional
        The subfolder of a folder to learn from; by default ``train`` where the subfolders are such parts.
    target : str or sequence of str, optional
        The column of ``metadata.csv`` in a folder with the labels, or several with numbers, also as one text
        with commas; or the array of a .npz file. By default the names of subfolders, and ``labels`` or ``y``.

    Raises
    ------
    InputError, FormatError
        When there are no images, or they cannot be read.
    """
    reporter = reporter or Reporter(False)
    sides, channels, limits = checked_size(size), checked_channels(channels), checked_range(value_range)
    if labels is not None and isinstance(source, str | os.PathLike | ImageData):
        raise InputError(
            "labels can be given for an array of images only.",
            "The subfolders of a folder are its classes; a .npz file has an array labels.",
        )
    if target is not None:
        _check_target(source, labels)
    if isinstance(source, ImageData):
        _check_shape(source, sides, channels)
        return source
    if isinstance(source, str | os.PathLike):
        data = _load_path(source, sides, channels, skip_broken, reporter, limits, split, condition, target)
    else:
        x, note, taken = _as_images(_as_array(source), "The array", limits)
        labelled = Labels() if labels is None else _labels_of(labels, len(x), "The labels", condition)
        described = {"kind": "array", "shape": list(x.shape), **_range_of_source(taken)}
        data = ImageData("array", x, None, None, described, notes=(note,), **labelled._asdict())
    _check_shape(data, sides, channels)
    return data if limit is None else _part(data, limit, seed)


def _as_array(source: Any) -> NDArray[Any]:
    """Return an array, a tensor or a list of images as an array."""
    if isinstance(source, list | tuple):
        images = [as_array(one) for one in source]
        shapes = {one.shape for one in images}
        if len(shapes) > 1:
            some = ", ".join(map(str, sorted(shapes, key=str)[:3]))
            raise InputError(
                f"The images have different shapes: {some}.", "Give images of one size and kind."
            )
        return np.stack(images)
    return as_array(source)


def _check_target(source: Any, labels: Any) -> None:
    """Refuse a target of images that have no columns, or have labels beside them."""
    if labels is not None:
        raise InputError("Labels and a target were both given.", "Give one of them.")
    path = Path(source) if isinstance(source, str | os.PathLike) and str(source) not in IMAGE_SETS else None
    if path is None or (path.is_file() and path.suffix.lower() != ".npz"):
        raise InputError(
            "target names a column of metadata.csv in a folder of images, or an array of a .npz file.",
            "Omit it: these images have no columns.",
        )


def checked_size(size: Any) -> tuple[int, int] | None:
    """Return height and width; an InputError where they are none."""
    if size is None:
        return None
    try:
        height, width = size if isinstance(size, tuple | list) else (size, size)
        sides = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        sides = (0, 0)
    if isinstance(size, bool) or not all(1 <= side <= _LARGEST_SIDE for side in sides):
        raise InputError(
            f"{size!r} is not a valid image size.", f"Give one or two whole numbers, 1 to {_LARGEST_SIDE}."
        )
    return sides


def checked_channels(channels: Any) -> int | None:
    """Return a number of channels; an InputError where it is none."""
    if channels is None or (isinstance(channels, int | np.integer) and channels in _FEW_CHANNELS):
        return None if channels is None else int(channels)
    raise InputError(
        f"{channels!r} is not a valid number of channels.", "Give 1 (grey), 3 (colour), or 2 or 4 with alpha."
    )


def _load_path(
    source: str | os.PathLike[str],
    size: tuple[int, int] | None,
    channels: int | None,
    skip_broken: bool,
    reporter: Reporter,
    limits: Range | None,
    split: str | None,
    condition: Kind | None,
    target: str | Sequence[str] | None,
) -> ImageData:
    if split is not None and (is_pack(source) or not Path(source).is_dir()):
        raise InputError("split names a subfolder, and this is no folder of images.", "Omit it.")
    if str(source) in IMAGE_SETS:
        return IMAGE_SETS[str(source)].load(reporter)
    path = Path(source)
    if is_pack(path):
        return _load_pack(path, target)
    if path.is_dir():
        return load_folder(path, size, channels, skip_broken, reporter, limits, split, target, condition)
    if not path.is_file():
        raise InputError(
            f"There are no images {str(source)!r}.",
            f"Give a folder, a .npz file, or one of {', '.join(IMAGE_SETS)}.",
        )
    if path.suffix.lower() == ".npy":
        return _load_npy(path, limits)
    if path.suffix.lower() != ".npz":
        raise InputError(
            f"{path} is not a set of images.", "Give a folder of image files, or a .npy or .npz file."
        )
    return _load_npz(path, limits, condition, target)


def _load_pack(path: Path, target: str | Sequence[str] | None) -> ImageData:
    pack, file = read_pack(path), path / MAIN["images"]
    check_no_target(path, pack, target)
    if pack.kind != "images":
        raise InputError(f"{path} is packed data, but not of images.", "Use another recipe.")
    try:
        x = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged file fails in many ways
        raise FormatError(f"{file} cannot be read: {error}.", "Pack the data again.") from error
    if x.dtype != np.uint8 or x.ndim != 4 or len(x) != pack.n or not x.size:
        raise FormatError(f"{file} is no array of {pack.n:,} images.", "Pack the data again.")
    labels = pack.labels(path)
    labelled = Labels()
    if labels is not None:
        kind: Kind = "classes" if pack.classes else "numbers"
        labelled = _labels_of(labels, pack.n, f"The labels of {path}", kind, pack.classes, pack.numbers)
    source = {"kind": "file", "path": str(path), "sha256": pack.digest}
    return ImageData(path.resolve().name, x, None, None, source, **labelled._asdict())


def _load_npy(path: Path, limits: Range | None) -> ImageData:
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged file fails in many ways
        raise FormatError(f"{path} cannot be read: {error}.", "Write it again.") from error
    x, note, taken = _as_images(images, str(path), limits)
    source = {**describe_file(path), **_range_of_source(taken)}
    return ImageData(path.stem, np.ascontiguousarray(x), None, None, source, notes=(note,))


def _range_of_source(taken: Range | None) -> dict[str, Any]:
    return {} if taken is None else {"range": list(taken)}


def _load_npz(
    path: Path, limits: Range | None, condition: Kind | None, target: str | Sequence[str] | None
) -> ImageData:
    found = _find_images(path)
    if found is None:
        raise FormatError(
            f"{path} contains no images.", "Give an array of uint8 of shape (n, height, width[, channels])."
        )
    name, names = found
    if target is not None and not isinstance(target, str):
        raise InputError("The labels of an archive are one array.", "Name one, of shape (n, k).")
    if target is not None and target not in names:
        raise unknown_name("array", target, names)
    try:
        check_zip(path)
        check_entries(path, names)
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays[name]
            key = target or next((one for one in ("labels", "y") if one in names), None)
            labels = None if key is None else arrays[key]
            about = [] if target is not None else names  # what the archive says is of its own labels
            known = [str(one) for one in np.atleast_1d(arrays["classes"])] if "classes" in about else []
            called = [str(one) for one in np.atleast_1d(arrays["numbers"])] if "numbers" in about else None
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise FormatError(f"{path} cannot be read: {error}.", "Write it again.") from error
    x, note, taken = _as_images(images, str(path), limits)
    labelled, where = Labels(), f"The labels in {path}"
    if labels is not None:
        labelled = _labels_of(labels, len(x), where, "numbers" if called else condition, known, called)
    described = {**describe_file(path), **_range_of_source(taken)}
    return ImageData(path.stem, x, None, None, described, notes=(note,), **labelled._asdict())


def _find_images(path: Path) -> tuple[str, list[str]] | None:
    """Return the name of the array of images in a .npz file, and all names; headers alone are read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            for name in sorted(names, key=lambda one: one not in ("images", "x")):
                info = archive.getinfo(f"{name}.npy")
                with archive.open(info) as file:
                    shape, dtype = npy_header(file)
                count = math.prod(shape)
                if dtype.kind in "biuf" and len(shape) in (3, 4):
                    count *= dtype.itemsize
                    if count > info.file_size or count > _MOST_BYTES:
                        raise FormatError(
                            f"{path} is damaged: its header declares more data than the file contains.",
                            "Write it again.",
                        )
                    check_unpacked(path, info.compress_size, count)
                    return name, names
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"{path} cannot be read: {error}.", "Write it again.") from error
    return None


def _as_images(x: NDArray[Any], where: str, limits: Range | None) -> tuple[Pixels, str, Range | None]:
    """Return images (n, channels, height, width), what they were taken for, and a range if not of 8 bits."""
    if x.dtype.kind not in "biuf" or x.ndim not in (3, 4) or not len(x) or 0 in x.shape:
        raise InputError(
            f"{where} of shape {x.shape} and type {x.dtype} is not a set of images.",
            "Give numbers of shape (n, height, width[, channels]).",
        )
    if x.dtype == np.uint8:
        pixels, note = _in_order(x, where)
        return pixels, note + " All have 8 bits: the range has no effect." * (limits is not None), None
    parts = [range_of(part) for part in _in_parts(x)]
    low, high = min(one[0] for one in parts), max(one[1] for one in parts)
    taken = limits or usual_range(low, high, all(one[2] for one in parts))
    pixels, note = _in_order(np.concatenate([to_bytes(part, taken) for part in _in_parts(x)]), where)
    about = range_note(taken, low, high, sum(one[3] for one in parts), limits is not None)
    return pixels, f"{note} {about}", taken


def _in_parts(x: NDArray[Any]) -> list[NDArray[Any]]:
    """Return parts of images that are small beside all of them."""
    size = max(1, _PART // max(1, x[0].size))
    return [x[start : start + size] for start in range(0, len(x), size)]


def _in_order(x: Pixels, where: str) -> tuple[Pixels, str]:
    """Return images as (n, channels, height, width), and what they were taken for."""
    if x.ndim == 3:
        n, h, w = x.shape
        return x[:, None], f"{where} was read as {n:,} grey images of {h} × {w} pixels."
    if x.shape[1] in _FEW_CHANNELS and (x.shape[3] not in _FEW_CHANNELS or x.shape[1] < x.shape[2]):
        kind = "channels first"
    elif x.shape[3] in _FEW_CHANNELS:
        x, kind = x.transpose(0, 3, 1, 2), "channels last"
    else:
        raise InputError(
            f"{where} of shape {x.shape} has no axis of 1 to 4 channels.", "Give grey or colour images."
        )
    n, c, h, w = x.shape
    return np.ascontiguousarray(x), f"{where} was read as {n:,} images of {c} × {h} × {w}, {kind}."


def _labels_of(
    labels: Any,
    n: int,
    where: str,
    condition: Kind | None,
    known: Sequence[str] = (),
    called: Sequence[str] | None = None,
) -> Labels:
    """Return labels of images: numbers, by the names ``called``, or classes, whose names may be ``known``.

    Whole numbers that count classes from 0, without gaps or with names, are their numbers.
    """
    found = np.asarray(labels)
    if condition == "numbers" or found.dtype.kind not in "iu" or found.ndim == 2:
        return labels_of(labels, n, where, condition, called)
    distinct = np.unique(found)
    if not known and found.shape == (n,) and (distinct[0], distinct[-1]) != (0, len(distinct) - 1):
        return labels_of(labels, n, where, condition, called)
    if found.shape != (n,):
        raise InputError(
            f"{where} have shape {found.shape} and type {found.dtype}; there are {n} images.",
            "Give a whole number for each, from 0.",
        )
    if found.min() < 0 or found.max() >= n:
        raise InputError(
            f"{where} are {found.min()} to {found.max()}, out of range.",
            "Count classes from 0, without gaps; for measured quantities set data.condition = 'numbers'.",
        )
    count = int(found.max()) + 1
    names = tuple(known) if len(known) >= count else tuple(map(str, range(count)))
    return Labels(found.astype(np.int64), names)


def check_distinct(x: Pixels) -> None:
    """Refuse several images that are all the same: nothing can be learned from them, or measured."""
    if len(x) > 1 and all((one == x[0]).all() for one in x[1:_LOOKED_AT]) and (x == x[0]).all():
        raise InputError(f"All {len(x):,} images are the same.", "Give one of them, or different ones.")


def _check_shape(data: ImageData, size: tuple[int, int] | None, channels: int | None) -> None:
    c, h, w = data.x.shape[1:]
    if (size is not None and size != (h, w)) or (channels is not None and channels != c):
        raise InputError(
            f"{data.name} has images of {c} × {h} × {w}; size and channels are fixed for this source.",
            "Omit them, or give a folder.",
        )


def _part(data: ImageData, limit: int, seed: int) -> ImageData:
    if not isinstance(limit, int | np.integer) or not 2 <= limit <= len(data.x):
        raise InputError(
            f"limit = {limit!r} is not valid for {len(data.x):,} images.", f"Choose 2 to {len(data.x):,}."
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(
            f"seed must be a whole number from 0 to 2**32 - 1, not {seed!r}.", "Use 0, for example."
        )
    chosen = np.sort(np.random.default_rng(seed).choice(len(data.x), limit, replace=False))
    labels = None if data.labels is None else data.labels[chosen]
    return replace(
        data, x=data.x[chosen], labels=labels, source={**data.source, "size": int(limit), "seed": int(seed)}
    )
