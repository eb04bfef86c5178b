"""How are images written: as one sheet, as an array, or as a file for each?

:class:`ImageWriter` writes images batch by batch, so that memory does not grow with their number; only a
sheet is held in memory. Files are written completely or not at all. They contain no time and no version:
equal images give equal bytes.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.data.images.sheets import as_sheet, check_sheet
from diffuscope.errors import InputError
from diffuscope.files import atomic_folder, atomic_write, write_bytes

__all__ = ["ImageWriter", "check_image_target", "save_grid", "save_images"]

Pixels = NDArray[np.uint8]
_FILES = (".png", ".npy", ".npz")
_UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|]+')  # on some system or other
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows


def check_image_target(path: str | os.PathLike[str], shape: Sequence[int] | None = None) -> None:
    """Raise an InputError unless images can be written to ``path``; call it before any work is done.

    ``.png`` is one sheet, ``.npy`` and ``.npz`` are arrays of bytes, and a name without suffix is a folder of
    PNG files, which must not hold anything yet.

    Parameters
    ----------
    path : str or path
    shape : (n, channels, height, width), optional
        Of the images, to see whether so many go on a sheet.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    known = "FILE.png (one sheet), FILE.npy, FILE.npz, or FOLDER (a file for each)"
    if suffix in _FILES:
        if path.is_dir():
            raise InputError(f"Cannot write {path}: it is a folder.", f"Use {known}.")
        if suffix == ".png" and shape is not None:
            check_sheet(shape[0], *shape[2:])
        return
    if suffix and not path.is_dir():
        raise InputError(f"Cannot write images to {path}: {suffix!r} is not supported.", f"Use {known}.")
    if path.is_dir():
        if path.name in ("", "..") or any(path.iterdir()):
            raise InputError(
                f"The folder {path} is not empty, or is the current folder; nothing was changed.",
                "Choose the name of a new folder: existing files are never overwritten.",
            )
    elif path.exists():
        raise InputError(f"Cannot create the folder {path}: it is a file.", f"Use {known}.")


def save_grid(
    images: Pixels,
    path: str | os.PathLike[str],
    columns: int | None = None,
    class_names: Sequence[str] = (),
    *,
    labels: ArrayLike | None = None,
    scale: int | None = None,
) -> None:
    """Write images as one PNG sheet, small ones enlarged; a single one is written as it is.

    Parameters
    ----------
    images : ndarray of shape (n, 1 or 3, height, width), uint8
    path : str or path
        Ends in .png.
    columns : int, optional
        By default one for each class, where images are of all classes in turn; else about as many as rows.
    class_names : sequence of str
        Names of the classes; without labels, of images that are of all classes in turn.
    labels : array_like of shape (n,), int, optional
        The class of each image, from 0. Names are then written: above columns or beside rows whose images are
        of one class each, else below each image; the number of a class whose name has letters that the font
        lacks (DejaVu Sans: no Chinese, Japanese or Korean).
    scale : int, optional
        How many times larger each image is shown; by default so that it is about 96 pixels large.

    Raises
    ------
    InputError
        When there are no images or too many for a sheet, labels do not fit, or ``path`` is none of a sheet.
    RunError
        When the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(
            f"{path.name!r} is not a valid name for a sheet.", "Choose a name that ends in .png."
        )
    check_image_target(path)
    images = _as_bytes(images)
    own = None
    if labels is not None:
        own, class_names = _checked_labels(labels, len(images), class_names)
    write_bytes(path, _sheet(images, columns, class_names, own, scale))


def save_images(
    batches: Iterable[Pixels],
    path: str | os.PathLike[str],
    n: int,
    labels: ArrayLike | None = None,
    class_names: Sequence[str] = (),
) -> None:
    """Write ``n`` images that come in batches of shape (m, channels, height, width), uint8.

    Parameters, formats and errors are those of :class:`ImageWriter`.
    """
    with ImageWriter(path, n, labels, class_names) as writer:
        for images in batches:
            writer.append(images)


class ImageWriter:
    """Write a known number of images batch by batch, in flat memory.

    ``with ImageWriter("samples", n=100_000) as writer: writer.append(images)``

    Parameters
    ----------
    path : str or path
        ``.png``: one sheet, with names of classes where there are several. ``.npy``: an array
        (n, channels, height, width). ``.npz``: the array ``images``, and, where there are any, ``labels`` and
        the names ``classes``. No suffix: a folder with a PNG for each, 00000.png and so on; labelled ones in
        a folder for each class, and in ``labels.csv``
        the file, the number and the name of the class of each.
    n : int
        Images that the batches have together, at least 1.
    labels : array_like of shape (n,), int, optional
        The class of each image, from 0.
    class_names : sequence of str
        Their names; by default their numbers.

    Raises
    ------
    InputError
        For a path that images cannot be written to (:func:`check_image_target`), labels that do not fit, a
        batch of another shape or type, or, at the end of the block, batches that do not add up to ``n``.
    RunError
        When the disk is full or the folder cannot be written to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        n: int,
        labels: ArrayLike | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        self.path, self.n = Path(path), n
        check_image_target(path)
        if n < 1:
            raise InputError(f"The number of images must be at least 1, not {n}.")
        self.labels, names = None, tuple(class_names)
        if labels is not None:
            self.labels, names = _checked_labels(labels, n, class_names)
        self.class_names = names
        self._shape: tuple[int, ...] | None = None
        self._written = 0
        self._sink: _Sink | None = None

    def __enter__(self) -> ImageWriter:
        self._block = self._open()
        self._block.__enter__()
        return self

    def append(self, images: Pixels) -> None:
        """Write the next images, (m, channels, height, width), uint8."""
        if self._sink is None:
            raise InputError(
                f"The writer of {self.path} is not open.", "Use `with ImageWriter(...) as writer:`."
            )
        images = _as_bytes(images)
        if self._shape is None:
            self._shape = images.shape[1:]
        if images.shape[1:] != self._shape:
            raise InputError(
                f"Images of shape {images.shape[1:]} cannot follow images of shape {self._shape} "
                f"in {self.path}.",
                "Resize all images to one shape.",
            )
        if self._written + len(images) > self.n:
            raise InputError(
                f"More images than n = {self.n} were given for {self.path}.", "Set n to the total number."
            )
        self._sink.append(images)
        self._written += len(images)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        make = _SINKS.get(self.path.suffix.lower(), _FolderSink)
        place = atomic_folder if make is _FolderSink else atomic_write
        with place(self.path) as temporary:
            self._sink = make(temporary, self.n, self.labels, self.class_names)
            try:
                yield
                if self._written != self.n:
                    raise InputError(
                        f"{self._written} images were given for {self.path}, but n = {self.n}; "
                        "nothing was written.",
                        "Set n to the total number.",
                    )
            except BaseException:
                with contextlib.suppress(Exception):  # the first error is the one to report
                    self._sink.close(whole=False)
                raise
            finally:
                sink, self._sink = self._sink, None
            sink.close(whole=True)


class _Sink(Protocol):
    """A target of images."""

    def __init__(
        self, path: Path, n: int, labels: NDArray[Any] | None, class_names: tuple[str, ...]
    ) -> None: ...

    def append(self, images: Pixels) -> None:
        """Write images (m, channels, height, width)."""

    def close(self, whole: bool) -> None:
        """Close the files; if ``whole``, write what follows the last image."""


class _SheetSink:
    """Collects all images for a sheet, with the names of classes if there are several."""

    def __init__(self, path: Path, n: int, labels: NDArray[Any] | None, class_names: tuple[str, ...]) -> None:
        self._path, self._n, self._names = path, n, class_names
        self._labels = labels if labels is not None and len(np.unique(labels)) > 1 else None
        self._images: list[Pixels] = []

    def append(self, images: Pixels) -> None:
        check_sheet(self._n, *images.shape[2:])
        self._images.append(images)

    def close(self, whole: bool) -> None:
        if whole:
            names = () if self._labels is None else self._names
            self._path.write_bytes(_sheet(np.concatenate(self._images), None, names, self._labels))


class _NpySink:
    """The header of the whole array, then the images as they come."""

    def __init__(self, path: Path, n: int, labels: NDArray[Any] | None, class_names: tuple[str, ...]) -> None:
        self._file = path.open("wb")
        self._stream = _Stream(self._file, n)

    def append(self, images: Pixels) -> None:
        self._stream.append(images)

    def close(self, whole: bool) -> None:
        self._file.close()


class _NpzSink:
    """Labels and names of classes, then the images as a stream, inside an uncompressed zip archive."""

    def __init__(self, path: Path, n: int, labels: NDArray[Any] | None, class_names: tuple[str, ...]) -> None:
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        if labels is not None:
            self._whole("labels", labels.astype(np.int64))
            self._whole("classes", np.array(class_names, dtype=np.str_))
        # An entry opened by name has the archive's epoch as its date, so equal images are equal bytes.
        self._entry: Any = self._archive.open("images.npy", "w", force_zip64=True)
        self._stream = _Stream(self._entry, n)

    def _whole(self, name: str, array: NDArray[Any]) -> None:
        data = io.BytesIO()
        np.lib.format.write_array(data, array, allow_pickle=False)
        with self._archive.open(f"{name}.npy", "w") as entry:
            entry.write(data.getvalue())

    def append(self, images: Pixels) -> None:
        self._stream.append(images)

    def close(self, whole: bool) -> None:
        self._entry.close()
        self._archive.close()


class _Stream:
    """An array in NumPy's format, batch by batch."""

    def __init__(self, handle: IO[bytes], n: int) -> None:
        self._handle, self._n, self._begun = handle, n, False

    def append(self, images: Pixels) -> None:
        if not self._begun:
            self._begun = True
            header = {"descr": "|u1", "fortran_order": False, "shape": (self._n, *images.shape[1:])}
            np.lib.format.write_array_header_1_0(self._handle, header)
        self._handle.write(np.ascontiguousarray(images).data)


class _FolderSink:
    """A PNG for each image; with labels a subfolder for each class, and a list of all."""

    def __init__(self, path: Path, n: int, labels: NDArray[Any] | None, class_names: tuple[str, ...]) -> None:
        self._path, self._labels, self._names = path, labels, class_names
        self._digits = max(5, len(str(n - 1)))
        self._done = 0
        self._folders = folder_names(class_names) if labels is not None else ()
        for number in [] if labels is None else np.unique(labels):
            (path / self._folders[number]).mkdir()

    def _name(self, i: int) -> str:
        name = f"{i:0{self._digits}d}.png"
        return name if self._labels is None else f"{self._folders[self._labels[i]]}/{name}"

    def append(self, images: Pixels) -> None:
        for image in images:
            data = _png(image.transpose(1, 2, 0))
            (self._path / self._name(self._done)).write_bytes(data)
            self._done += 1

    def close(self, whole: bool) -> None:
        if not whole or self._labels is None:
            return
        import csv

        with (self._path / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["file", "label", "class"])
            rows.writerows([self._name(i), int(k), self._names[k]] for i, k in enumerate(self._labels))


_SINKS: dict[str, type[_Sink]] = {".png": _SheetSink, ".npy": _NpySink, ".npz": _NpzSink}


def folder_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return a folder name for each class: its own name, if all operating systems allow it."""
    names: list[str] = []
    taken: set[str] = set()
    for number, own in enumerate(class_names):
        name = _UNSAFE.sub("-", own).strip(". ")[:80].strip(". ") or "class"
        name = f"class-{name}" if _RESERVED.fullmatch(name) else name
        while name.casefold() in taken:  # some systems ignore case
            name = f"{name}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return tuple(names)


def _checked_labels(
    labels: ArrayLike, n: int, class_names: Sequence[str]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels as an array, and the names of classes, by default their numbers."""
    found = np.asarray(labels)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise InputError(
            f"Labels of shape {found.shape} and type {found.dtype} are not valid for {n} images.",
            f"Give an integer array of shape ({n},).",
        )
    top = int(found.max())
    names = tuple(class_names) or tuple(str(i) for i in range(top + 1))
    if found.min() < 0 or top >= len(names):
        raise InputError(
            f"Labels from {found.min()} to {top} are not valid for {len(names)} classes.",
            f"Labels must be 0 to {len(names) - 1}.",
        )
    return found, names


def _as_bytes(images: Pixels) -> Pixels:
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise InputError(
            f"Images of shape {images.shape} and type {images.dtype} cannot be written.",
            "Give an array of uint8 of shape (n, 1 or 3, height, width).",
        )
    return images


def _sheet(
    images: Pixels,
    columns: int | None,
    class_names: Sequence[str],
    labels: NDArray[Any] | None = None,
    scale: int | None = None,
) -> bytes:
    sheet = as_sheet(images, columns, class_names, labels=labels, scale=scale)
    return _png(sheet[:, :, :1] if images.shape[1] == 1 else sheet)


def _png(image: NDArray[np.uint8]) -> bytes:
    """Return an image (height, width, 1 or 3) as a PNG file."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image)).save(data, "png")
    return data.getvalue()
