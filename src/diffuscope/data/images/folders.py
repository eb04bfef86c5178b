"""How is a folder of image files read into one array that need not fit into memory?

All files are decoded once, in parallel, into a memory-mapped file, which is cached: as long as the
names, sizes and times of the image files do not change, the next run opens it at once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.conditions import Kind, Labels
from diffuscope.data.images.dataset import ImageData
from diffuscope.data.images.metadata import METADATA, offer, read_metadata
from diffuscope.data.images.ranges import Range, checked_range, range_note, usual_range
from diffuscope.data.images.reading import ImageFacts, image_facts, read_image, value_range
from diffuscope.data.images.splits import class_of, natural, parts_of
from diffuscope.errors import DiffuscopeError, FormatError, InputError, RunError
from diffuscope.files import cache_folder, remove_abandoned, temporary_prefix
from diffuscope.progress import Reporter
from diffuscope.threads import side_by_side

__all__ = ["SUFFIXES", "load_folder", "usual_size"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".tga")
_VERSION = 2
_MOST_FILES = 10_000_000
_MOST_DEPTH = 32
_SMALLEST, _LARGEST, _STEP = 8, 64, 8  # of the default size of images with different sizes

Size = tuple[int, int]
_Kept = tuple[NDArray[np.uint8], NDArray[np.int64], list[str], Range | None]
"""Images, indices of their files, notes, and the values that are black and white, if not of 8 bits."""
_Label = Callable[[list[Path]], Labels]
"""What the labels of files are."""
_T = TypeVar("_T")


def load_folder(
    path: Path,
    size: Size | None,
    channels: int | None,
    skip_broken: bool,
    reporter: Reporter,
    limits: Range | None = None,
    split: str | None = None,
    target: str | Sequence[str] | None = None,
    condition: Kind | None = None,
) -> ImageData:
    """Read the images of a folder; the names of its subfolders are classes.

    With a ``target`` its columns of a table beside the images are what these are conditioned on, classes or
    numbers as ``condition`` says (:mod:`~diffuscope.data.images.metadata`), and subfolders are no classes.
    Images that are held out are seen alone then, and need no table.

    Where the subfolders are parts such as ``train`` and ``val``, one is read (``split``, by default that for
    training) with the folders in it as classes, and another is held out. ``limits`` are the values that are
    black and white, where images have more than 8 bits.
    """
    found = _files(path)
    parts = parts_of(path, found.images, split, by_folder=target is None)
    told = None
    if target is not None:
        told = read_metadata(path, found.tables, found.images, parts.chosen, target, condition)
    by_folder = partial(_by_folder, path, parts.names)
    label = by_folder if told is None else told.labels
    data = _read(path, parts.chosen, label, size, channels, skip_broken, reporter, limits)
    if told is not None:
        data = told.described(data)
    held_out = None
    if len(parts.held) > 1:
        c, h, w = data.x.shape[1:]
        black_white = data.source.get("range")
        own = limits if black_white is None else (black_white[0], black_white[1])
        held_out = _read(path, parts.held, by_folder, (h, w), c, skip_broken, reporter, own)
    said = _unasked(found, parts.chosen) if told is None else _not_used(found.others)
    notes = (*said, *parts.notes, *data.notes)
    return replace(data, held_out=held_out, notes=notes)


def _read(
    path: Path,
    files: list[Path],
    label: _Label,
    size: Size | None,
    channels: int | None,
    skip_broken: bool,
    reporter: Reporter,
    limits: Range | None,
) -> ImageData:
    """Read image files of a folder, with the labels of those that could be read."""
    listing = [(str(file.relative_to(path)), *_version_of(file)) for file in files]
    settings: dict[str, Any] = {"size": size, "channels": channels, "skip_broken": skip_broken}
    settings |= {"range": limits, "version": _VERSION}
    text = json.dumps([listing, settings], separators=(",", ":"))
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    store = cache_folder() / "images" / f"{digest[:32]}.npy"
    decode = partial(_decode, files, size, channels, skip_broken, store, reporter, limits)
    x, good, notes, taken = _open_store(store, len(files)) or decode()
    labels = label([files[i] for i in good])
    source: dict[str, Any] = {"kind": "folder", "path": str(path), "files": len(files), "sha256": digest}
    if taken is not None:
        source["range"] = list(taken)
    name = path.resolve().name
    return ImageData(name, x, None, None, source, notes=tuple(notes), **labels._asdict())


def _by_folder(path: Path, names: list[str], files: list[Path]) -> Labels:
    """Return the class of each file by its folder, where folders are classes."""
    if not names:
        return Labels()
    numbers = {name: number for number, name in enumerate(names)}
    found = [numbers[class_of(path, file, names)] for file in files]
    return Labels(np.array(found, dtype=np.int64), tuple(names))


class _Found(NamedTuple):
    """The image files of a folder in natural order, the tables beside them, and the names of other files."""

    images: list[Path]
    tables: list[Path]
    others: list[str]


def _files(path: Path) -> _Found:
    """Find the image files of a folder."""
    found: list[Path] = []
    tables: list[Path] = []
    others: list[str] = []
    seen: set[tuple[int, int]] = set()
    for where, folders, files in os.walk(path, onerror=_refuse_folder, followlinks=True):
        if len(Path(where).relative_to(path).parts) > _MOST_DEPTH:
            raise InputError(
                f"{path} has folders that are nested more than {_MOST_DEPTH} deep.",
                "Give a folder of images, with a subfolder for each class.",
            )
        stat = Path(where).stat()
        if (stat.st_dev, stat.st_ino) in seen:  # a circular link
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        for name in sorted(files, key=natural):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                found.append(Path(where) / name)
            elif name in METADATA:
                tables.append(Path(where) / name)
            elif not name.startswith("."):
                others.append(name)
        if len(found) > _MOST_FILES:
            raise InputError(f"{path} contains more than {_MOST_FILES:,} images.", "Use a subset of them.")
    if not found:
        raise InputError(
            f"{path} contains no images ({', '.join(SUFFIXES)}).",
            "Give a folder with images; the names of its subfolders are used as classes.",
        )
    return _Found(found, tables, others)


def _unasked(found: _Found, files: list[Path]) -> tuple[str, ...]:
    """Say which files are no images, and what tables beside images offer."""
    offered = offer(files, found.tables)
    if offered is None:
        return _not_used([*found.others, *(table.name for table in found.tables)])
    return (*_not_used(found.others), offered)


def _not_used(others: list[str]) -> tuple[str, ...]:
    """Say which files are no images."""
    if not others:
        return ()
    some = ", ".join(others[:3]) + f" and {len(others) - 3:,} more" * (len(others) > 3)
    return (f"Files that are no images, and not used: {len(others):,} ({some}).",)


def _refuse_folder(error: OSError) -> None:
    raise InputError(
        f"The folder {error.filename} cannot be read: {error.strerror}.", "Check its permissions."
    ) from error


def _version_of(file: Path) -> tuple[int, int]:
    """Return size and time of a file; -1 for a broken link."""
    try:
        stat = file.stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def _decode(
    files: Sequence[Path],
    size: Size | None,
    channels: int | None,
    skip_broken: bool,
    store: Path,
    reporter: Reporter,
    limits: Range | None,
) -> _Kept:
    """Decode all files into ``store``."""
    broken: list[tuple[Path, DiffuscopeError]] = []

    def each(read: Callable[[Path], _T], files: Sequence[Path], keep: Callable[[int, _T], None]) -> None:
        """Read files in parallel; keep what was read with the number of the file, or note the error."""

        def attempt(file: Path) -> _T | DiffuscopeError:
            try:
                return read(file)
            except DiffuscopeError as error:
                return error

        for i, result in enumerate(side_by_side(attempt, files)):
            if isinstance(result, DiffuscopeError):
                broken.append((files[i], result))
            else:
                keep(i, result)
            bar.update(i + 1)

    def refuse() -> None:
        if broken and not skip_broken:
            raise FormatError(
                f"Files that cannot be read: {len(broken):,} of {len(files):,}. {broken[0][1].what}",
                "Repair or remove them, or skip them with data.skip_broken = true.",
            )
        good = len(files) - len(broken)
        if not good:
            raise InputError("None of the files could be read.", "Give at least one image.")

    facts: dict[int, ImageFacts] = {}
    with reporter.bar("checking images", len(files), "files") as bar:
        each(image_facts, files, facts.__setitem__)
    refuse()
    sizes, greys, frames, _, cuts, alphas = zip(*facts.values(), strict=True)
    notes: list[str] = []
    deep = [files[i] for i, fact in facts.items() if fact.deep]
    taken: Range | None = None
    if deep:
        reached: dict[int, tuple[float, float, bool, int]] = {}
        with reporter.bar("finding the range", len(deep), "images") as bar:
            each(value_range, deep, reached.__setitem__)
        refuse()
        low, high = min(one[0] for one in reached.values()), max(one[1] for one in reached.values())
        taken = limits or usual_range(low, high, all(one[2] for one in reached.values()))
        lost = sum(one[3] for one in reached.values())
        about = range_note(taken, low, high, lost, limits is not None)
        notes.append(f"Images of more than 8 bits: {len(deep):,}. {about}")
    elif limits is not None:
        notes.append("All images have 8 bits: the range has no effect.")
    if any(cuts):
        notes.append(f"Of {sum(cuts):,} colour images of 16 bits the upper 8 are read, whatever the range.")
    if any(alphas) and channels not in (2, 4):
        kept = 2 if all(greys) else 4
        notes.append(
            f"Images with an alpha channel: {sum(alphas):,}, laid over white; "
            f"data.channels = {kept} keeps it."
        )
    shape = (channels or (1 if all(greys) else 3), *(size or usual_size(sizes, notes)))
    if max(frames) > 1:
        notes.append("For files with several images, the first was used.")
    x, path = _new_store(store, (len(facts), *shape), notes)
    good: list[int] = []

    def keep(i: int, image: NDArray[np.uint8]) -> None:
        x[len(good)] = image
        good.append(i)

    try:
        with reporter.bar("decoding images", len(facts), "images") as bar:
            read = partial(read_image, shape=shape, resize=True, limits=taken)
            each(read, [files[i] for i in facts], keep)
        refuse()
        if broken:
            notes.append(f"{len(broken):,} unreadable files were skipped, the first is {broken[0][0]}.")
        indices = np.array(list(facts), dtype=np.int64)[good]
        return _finish(x, path, store, indices, notes, taken), indices, notes, taken
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def usual_size(sizes: Sequence[Size], notes: list[str]) -> Size:
    """Return the size that all images have, or one that suits them, which a note says."""
    (most, count), *others = Counter(sizes).most_common(2)
    if not others and max(most) <= 1024:
        return most
    shorter = min(min(one) for one in sizes) if count < len(sizes) or max(most) > 1024 else min(most)
    side = max(_SMALLEST, min(_LARGEST, shorter // _STEP * _STEP))
    notes.append(
        f"Images have different sizes, or are large: they were cropped to squares and resized to {side} × "
        f"{side} pixels; set data.image_size to change this."
    )
    return side, side


def _new_store(store: Path, shape: tuple[int, ...], notes: list[str]) -> tuple[NDArray[np.uint8], Path]:
    """Return a memory-mapped file for images: in the cache, or temporary if that is not writable."""
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(store.parent, below=False)
        return _new_mapped(store.parent, shape)
    except OSError as error:
        notes.append(
            f"The decoded images could not be cached ({error.strerror}); the next run will decode them again."
        )
    try:
        return _new_mapped(None, shape)
    except OSError as error:
        raise RunError(
            f"Not enough disk space for {math.prod(shape):,} bytes of decoded images: {error.strerror}.",
            "Free some space, or use smaller images (data.image_size).",
        ) from error


def _new_mapped(folder: Path | None, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], Path]:
    """Return a new memory-mapped file with all its disk space reserved."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=temporary_prefix(), suffix=".npy")
    os.close(handle)
    path = Path(name)
    try:
        x = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        _reserve(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return x, path


def _reserve(path: Path) -> None:
    """Reserve disk space for a file: writing to a mapped file on a full disk kills the process."""
    try:
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # file systems without reservation
            raise


def _finish(
    x: NDArray[np.uint8],
    path: Path,
    store: Path,
    good: NDArray[np.int64],
    notes: Sequence[str],
    taken: Range | None,
) -> NDArray[np.uint8]:
    """Move the file and its metadata into the cache; return the images, read-only."""
    x.flush()  # type: ignore[attr-defined]
    n = len(good)
    if path.parent == store.parent:
        facts = {"good": good.tolist(), "notes": list(notes), "shape": [n, *x.shape[1:]], "range": taken}
        beside = path.with_suffix(".json")
        beside.write_text(json.dumps(facts), "utf-8")
        os.replace(path, store)  # the images first: without metadata they are ignored
        os.replace(beside, store.with_suffix(".json"))
        return np.lib.format.open_memmap(store, "r")[:n]
    mapped = np.lib.format.open_memmap(path, "r")[:n]
    with contextlib.suppress(OSError):
        path.unlink()  # the data stay as long as they are mapped
    return mapped


def _open_store(store: Path, files: int) -> _Kept | None:
    """Return the cached images, if they are complete."""
    try:
        facts = json.loads(store.with_suffix(".json").read_text("utf-8"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = np.lib.format.open_memmap(store, "r")
        good = np.array(facts["good"], dtype=np.int64)
        n, *shape = facts["shape"]
        fits = x.dtype == np.uint8 and list(x.shape[1:]) == shape and len(x) >= n == len(good) >= 1
        if not fits or x.ndim != 4 or good.min() < 0 or good.max() >= files:
            return None
        return x[:n], good, [str(note) for note in facts["notes"]], checked_range(facts["range"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, InputError):
        return None
