"""How do images of any number become one array of bytes? One after the other, in one shape.

Archives are read, never unpacked: their entries are looked at in memory, those that are no plain files are
left out, and none may be larger than an image can be.
"""

from __future__ import annotations

import io
import lzma
import os
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.bounds import check_regular, check_unpacked
from diffuscope.data.images.folders import SUFFIXES, usual_size
from diffuscope.data.images.ranges import Range
from diffuscope.data.images.reading import ImageBytes, image_facts, read_image
from diffuscope.data.images.splits import class_of, parts_of
from diffuscope.errors import FormatError, InputError
from diffuscope.packing.writing import Growing

__all__ = [
    "Named",
    "as_named",
    "classes_in",
    "counted",
    "images_in_tar",
    "labels_or_none",
    "shape_of",
    "write_images",
]

_LARGEST = 2**28  # bytes of an image file
_MOST = 100_000_000  # entries of an archive
_PIECE = 2**20  # bytes of an archive


@dataclass(frozen=True)
class Named:
    """An image: the bytes of a file, or an array (height, width[, channels]) of uint8; and its label."""

    image: ImageBytes | NDArray[np.uint8]
    label: Any = None


def images_in_tar(path: Path, notes: list[str]) -> Iterator[Named]:
    """Yield the images of a .tar file, also a compressed one, each with its folder as the label.

    Raises a FormatError where the archive is damaged, or far larger than its bytes are believed to be.
    """
    check_regular(path)
    packed, unpacked, links, others = path.stat().st_size, 0, 0, 0
    try:
        # read in order, from its beginning
        with tarfile.open(path, "r|*", tarinfo=_Entry) as archive:
            for count, entry in enumerate(archive):
                unpacked += entry.size
                check_unpacked(path, packed, unpacked)
                if count >= _MOST:
                    raise InputError(f"{path} has more than {_MOST:,} entries.", "Pack a part of them.")
                name = PurePosixPath(entry.name)
                hidden = any(part.startswith(".") and part not in (".", "..") for part in name.parts)
                if entry.isdir() or hidden:
                    continue
                if not entry.isreg():
                    links += 1
                elif name.suffix.lower() not in SUFFIXES:
                    others += 1
                elif entry.size > _LARGEST:
                    raise FormatError(
                        f"{path}: {entry.name} has {entry.size:,} bytes, more than an image may.",
                        "Pack the images without it.",
                    )
                else:
                    file = archive.extractfile(entry)
                    assert file is not None
                    folder = [part for part in name.parent.parts if part not in ("/", "..")]
                    yield Named(ImageBytes(file.read(), f"{path}: {entry.name}"), PurePosixPath(*folder))
                archive.members = []  # type: ignore[attr-defined]  # what was read is not kept
            _check_end(archive.fileobj, path)
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise FormatError(f"{path} is not a whole .tar file: {error}.", "Write it again.") from error
    if links:
        notes.append(f"Entries that are links or devices, and not used: {links:,}.")
    if others:
        notes.append(f"Entries that are no images, and not used: {others:,}.")


class _Entry(tarfile.TarInfo):
    """An entry of an archive: one that is damaged or cut off is an error, where ``tarfile`` ends quietly."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _check_end(file: Any, path: Path) -> None:
    """Raise a FormatError where more than zeros follow the end of an archive."""
    while rest := file.read(_PIECE):
        if rest.strip(b"\0"):
            raise FormatError(
                f"{path} continues after the end of its archive.",
                "Archives are joined with tar --concatenate, not with cat: pack them so, or unpacked.",
            )


def counted(images: Iterable[Named], folders: Counter[PurePosixPath]) -> Iterator[Named]:
    """Yield images, and count how many there are in each folder."""
    for one in images:
        folders[one.label] += 1
        yield one


def classes_in(
    path: Path, folders: Counter[PurePosixPath], split: str | None, notes: list[str]
) -> dict[PurePosixPath, str]:
    """Return the folders of an archive whose images are packed, each with its class.

    They are those of a folder of images (:mod:`diffuscope.data.images.splits`), the one that has all others.
    """
    top = os.path.commonpath([f"/{one}" for one in folders]) if folders else "/"
    files = {one: path / PurePosixPath(f"/{one}").relative_to(top) / "image" for one in folders}
    parts = parts_of(path, [files[one] for one, n in folders.items() for _ in range(n)], split)
    notes += parts.notes
    if parts.held:
        notes.append(f"Held-out images are not packed: {len(parts.held):,}.")
    chosen = set(parts.chosen)
    return {one: class_of(path, file, parts.names) for one, file in files.items() if file in chosen}


def as_named(item: Any) -> Named:
    """Return an image of Pillow, an array, the bytes of a file, or what Hugging Face's data sets have."""
    if isinstance(item, dict) and set(item) <= {"bytes", "path"}:
        if item.get("bytes") is None:
            raise InputError("An image has a path in place of bytes.", "Give the images themselves.")
        item = item["bytes"]
    if isinstance(item, bytes):
        return Named(ImageBytes(item, "an image"))
    values = np.asarray(item.convert("RGB") if getattr(item, "mode", "") in ("P", "CMYK") else item)
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if values.dtype != np.uint8 or values.ndim not in (2, 3) or not values.size:
        raise InputError(
            f"An image of type {values.dtype} and shape {values.shape} cannot be packed.",
            "Give Pillow's images, or arrays of uint8 of shape (height, width[, channels]).",
        )
    return Named(values)


def shape_of(
    images: Iterable[Named], size: tuple[int, int] | None, channels: int | None, notes: list[str]
) -> tuple[int, int, int]:
    """Return channels, height and width that suit images; those that are given come first."""
    sizes, grey = Counter[tuple[int, int]](), True
    for one in images:
        if isinstance(one.image, np.ndarray):
            own, plain = one.image.shape[:2], one.image.ndim == 2 or one.image.shape[2] == 1
        else:
            facts = image_facts(one.image)
            own, plain = facts.size, facts.grey
        sizes[own[0], own[1]] += 1
        grey = grey and plain
    if not sizes:
        raise InputError("There are no images.", f"Give files such as {', '.join(SUFFIXES[:3])}.")
    return (channels or (1 if grey else 3), *(size or usual_size(list(sizes.elements()), notes)))


def write_images(
    path: Path, images: Iterable[Named], shape: tuple[int, int, int], limits: Range | None
) -> tuple[int, list[Any]]:
    """Write images as an array (n, channels, height, width); return n and the labels."""
    labels: list[Any] = []
    with Growing(path) as file:
        for one in images:
            file.append(_fitted(one.image, shape, limits)[None])
            labels.append(one.label)
    return file.n, labels


def _fitted(
    image: ImageBytes | NDArray[np.uint8], shape: tuple[int, int, int], limits: Range | None
) -> NDArray[np.uint8]:
    if isinstance(image, ImageBytes):
        if image_facts(image).deep and limits is None:
            raise InputError(
                f"{image} has more than 8 bits.", "Say which values are black and white: --range LOW,HIGH."
            )
        return read_image(image, shape, resize=True, limits=limits)
    values = image[:, :, None] if image.ndim == 2 else image
    if values.shape == (*shape[1:], shape[0]):
        return values.transpose(2, 0, 1)
    from PIL import Image

    if values.shape[2] > 4:
        raise InputError(f"An image has shape {values.shape}.", "Give 1 to 4 channels, the last axis.")
    plain, content = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values), io.BytesIO()
    plain.save(content, "PNG", compress_level=0)  # resized as a file would be
    return read_image(ImageBytes(content.getvalue(), "an image"), shape, resize=True)


def labels_or_none(labels: Sequence[Any]) -> Sequence[Any] | None:
    """Return labels, if all examples have one and there are several; None otherwise."""
    some = set(labels)
    return None if len(some) < 2 or None in some or "" in some else labels
