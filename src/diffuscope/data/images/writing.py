"""How are images written: as one sheet, as an array, or as a file for each?

:class:`ImageWriter` writes images batch by batch, so that memory does not grow with their number; only a
sheet is held in memory. Files are written completely or not at all. They contain no time and no version:
equal images give equal bytes.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.data.columnar.formulas import Formulas
from diffuscope.data.images.sheets import as_sheet, check_sheet
from diffuscope.errors import InputError
from diffuscope.files import atomic_folder, atomic_write, write_bytes

__all__ = ["ImageWriter", "check_image_target", "save_grid", "save_images"]

Pixels = NDArray[np.uint8]
Labels = NDArray[Any]
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
    if suffix in _SINKS:
        if path.is_dir():
            raise InputError(f"Cannot write {path}: it is a folder.", f"Use {known}.")
        if suffix == ".png" and shape is not None:
            check_sheet(shape[0], *shape[2:])
    elif path.is_dir():
        if path.name in ("", "..") or any(path.iterdir()):
            raise InputError(
                f"The folder {path} is not empty, or is the current folder; nothing was changed.",
                "Choose the name of a new folder: existing files are never overwritten.",
            )
    elif suffix:
        raise InputError(f"Cannot write images to {path}: {suffix!r} is not supported.", f"Use {known}.")
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
    images : ndarray of shape (n, channels, height, width), uint8
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
    own, class_names = _checked_labels(labels, len(images), class_names)
    write_bytes(path, _sheet(images, columns, class_names, own, scale))


def save_images(
    batches: Iterable[Pixels],
    path: str | os.PathLike[str],
    n: int,
    labels: ArrayLike | None = None,
    class_names: Sequence[str] = (),
    numbers: Mapping[str, NDArray[np.float64]] | None = None,
) -> None:
    """Write ``n`` images that come in batches of shape (m, channels, height, width), uint8.

    Parameters, formats and errors are those of :class:`ImageWriter`.
    """
    with ImageWriter(path, n, labels, class_names, numbers) as writer:
        for images in batches:
            writer.append(images)


class ImageWriter:
    """Write a known number of images batch by batch, in flat memory.

    ``with ImageWriter("samples", n=100_000) as writer: writer.append(images)``

    Parameters
    ----------
    path : str or path
        ``.png``: one sheet, with names of classes where there are several, or with numbers. ``.npy``: an
        array (n, channels, height, width). ``.npz``: the array ``images``, and, where there are any,
        ``labels`` and the names ``classes``, or the numbers ``y`` and their names ``numbers``. No suffix: a
        folder with a PNG for each, 00000.png and so on; labelled ones in a folder for each class, with file,
        number and name of the class of each, or its numbers, in ``metadata.csv``.
    n : int
        Images that the batches have together, at least 1.
    labels : array_like of shape (n,), int, optional
        The class of each image, from 0.
    class_names : sequence of str
        Their names; by default their numbers.
    numbers : mapping of str to ndarray of shape (n,), optional
        Numbers of the images by their names, in place of classes.

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
        numbers: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        self.path, self.n = Path(path), n
        self.formulas = Formulas()
        check_image_target(path)
        if n < 1:
            raise InputError(f"The number of images must be at least 1, not {n}.")
        self.about = _Labelled(*_checked_labels(labels, n, class_names), dict(numbers or {}))
        self._shape: tuple[int, ...] | None = None
        self._written = 0
        self._sink: _Append | None = None

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
        self._shape = self._shape or images.shape[1:]
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
        self._sink(images, self._written)
        self._written += len(images)

    def notes(self) -> list[str]:
        """Return what is to be said of what was written."""
        return [note for note in [self.formulas.note()] if note is not None]

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        sink: Callable[..., Any] = _SINKS.get(
            self.path.suffix.lower(), partial(_to_folder, formulas=self.formulas)
        )
        place = atomic_write if self.path.suffix.lower() in _SINKS else atomic_folder
        with place(self.path) as temporary:
            target = sink(temporary, self.n, self.about)
            self._sink = target.__enter__()
            try:
                yield
                if self._written != self.n:
                    raise InputError(
                        f"{self._written} images were given for {self.path}, but n = {self.n}; "
                        "nothing was written.",
                        "Set n to the total number.",
                    )
            except BaseException as error:
                with contextlib.suppress(Exception):  # the first error is the one to report
                    target.__exit__(type(error), error, error.__traceback__)
                raise
            finally:
                self._sink = None
            target.__exit__(None, None, None)


class _Labelled(NamedTuple):
    """What is known of images: classes (n,) and their names, or numbers (n,) by name."""

    labels: Labels | None
    names: tuple[str, ...]
    numbers: dict[str, NDArray[np.float64]]


_Append = Callable[
    [Pixels, int], None
]  # writes images (m, channels, height, width), the first of which is i-th


@contextlib.contextmanager
def _to_sheet(path: Path, n: int, about: _Labelled) -> Iterator[_Append]:
    """Collect all images for a sheet, with the names of classes, or with numbers, if there are several."""
    parts: list[Pixels] = []

    def append(images: Pixels, start: int) -> None:
        check_sheet(n, *images.shape[2:])
        parts.append(images)

    yield append
    (labels, class_names, numbers), columns = about, None
    if numbers:
        columns = math.ceil(math.sqrt(n))
        rows = zip(*numbers.values(), strict=True)
        texts, labels = np.unique([", ".join(f"{v:.3g}" for v in row) for row in rows], return_inverse=True)
        class_names = tuple(texts.tolist())
    if labels is None or len(np.unique(labels)) == 1:
        labels, class_names = None, ()
    path.write_bytes(_sheet(np.concatenate(parts), columns, class_names, labels))


@contextlib.contextmanager
def _to_npy(path: Path, n: int, about: _Labelled) -> Iterator[_Append]:
    with path.open("wb") as file:
        yield partial(_append_array, file, n)


@contextlib.contextmanager
def _to_npz(path: Path, n: int, about: _Labelled) -> Iterator[_Append]:
    """Write what is known of the images, then these as a stream, into an uncompressed zip archive."""
    arrays: dict[str, NDArray[Any]] = {}
    if about.labels is not None:
        arrays = {"labels": about.labels.astype(np.int64), "classes": np.array(about.names, dtype=np.str_)}
    elif about.numbers:
        arrays = {"y": np.stack([*about.numbers.values()], 1), "numbers": np.array([*about.numbers])}
    # An entry opened by name has the archive's epoch as its date, so equal images are equal bytes.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
        with archive.open("images.npy", "w", force_zip64=True) as entry:
            yield partial(_append_array, entry, n)


def _append_array(handle: IO[bytes], n: int, images: Pixels, start: int) -> None:
    if not start:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n, *images.shape[1:])}
        np.lib.format.write_array_header_1_0(handle, header)
    handle.write(np.ascontiguousarray(images).data)


@contextlib.contextmanager
def _to_folder(path: Path, n: int, about: _Labelled, formulas: Formulas) -> Iterator[_Append]:
    """Write a PNG for each image, into a subfolder for each class, and a list of what is known of all."""
    labels, class_names, numbers = about
    digits = max(5, len(str(n - 1)))
    folders = () if labels is None else folder_names(class_names)
    for number in () if labels is None else np.unique(labels):
        (path / folders[number]).mkdir()

    def name(i: int) -> str:
        return f"{i:0{digits}d}.png" if labels is None else f"{folders[labels[i]]}/{i:0{digits}d}.png"

    def append(images: Pixels, start: int) -> None:
        for i, image in enumerate(images, start):
            (path / name(i)).write_bytes(_png(image.transpose(1, 2, 0)))

    yield append
    titles: list[str] = ["label", "class"]
    known: Iterable[Sequence[Any]] = ()
    if labels is not None:
        known = ([int(k), formulas.cell(class_names[k], "class")] for k in labels)
    elif numbers:
        titles = [formulas.cell(one, one) for one in numbers]
        known = zip(*(values.tolist() for values in numbers.values()), strict=True)
    else:
        return
    import csv

    with (path / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file_name", *titles])
        rows.writerows([name(i), *own] for i, own in enumerate(known))


_SINKS = {".png": _to_sheet, ".npy": _to_npy, ".npz": _to_npz}


def folder_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return a folder name for each class: its own name, if all operating systems allow it."""
    names: dict[str, str] = {}  # without case, which some systems ignore
    for number, own in enumerate(class_names):
        name = _UNSAFE.sub("-", own).strip(". ")[:80].strip(". ") or "class"
        name = f"class-{name}" if _RESERVED.fullmatch(name) else name
        while name.casefold() in names:
            name = f"{name}-{number}"
        names[name.casefold()] = name
    return tuple(names.values())


def _checked_labels(
    labels: ArrayLike | None, n: int, class_names: Sequence[str]
) -> tuple[Labels | None, tuple[str, ...]]:
    """Return labels as an array, and the names of classes, by default their numbers."""
    if labels is None:
        return None, tuple(class_names)
    found = np.asarray(labels)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise InputError(
            f"Labels of shape {found.shape} and type {found.dtype} are not valid for {n} images.",
            f"Give an integer array of shape ({n},).",
        )
    top = int(found.max())
    names = tuple(class_names) or tuple(map(str, range(top + 1)))
    if found.min() < 0 or top >= len(names):
        raise InputError(
            f"Labels from {found.min()} to {top} are not valid for {len(names)} classes.",
            f"Labels must be 0 to {len(names) - 1}.",
        )
    return found, names


def _as_bytes(images: Pixels) -> Pixels:
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 2, 3, 4) or not images.size:
        raise InputError(
            f"Images of shape {images.shape} and type {images.dtype} cannot be written.",
            "Give an array of uint8 of shape (n, channels, height, width), of 1 to 4 channels.",
        )
    return images


def _sheet(
    images: Pixels,
    columns: int | None,
    class_names: Sequence[str],
    labels: Labels | None,
    scale: int | None = None,
) -> bytes:
    if len(images) == 1 and labels is None and scale is None:
        return _png(images[0].transpose(1, 2, 0))  # as it is, alpha included
    sheet = as_sheet(images, columns, class_names, labels=labels, scale=scale)
    return _png(sheet[:, :, :1] if images.shape[1] <= 2 else sheet)


def _png(image: NDArray[np.uint8]) -> bytes:
    """Return an image (height, width, channels) as a PNG file; of 2 and 4 channels the last is alpha."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image)).save(data, "png")
    return data.getvalue()
