"""How are an image of any mode and a mask read from a file?

Files are not trusted: the size is checked before anything is decoded, and an image that cannot be decoded
completely is an error.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.images.ranges import Range, to_bytes, usual_range
from diffuscope.errors import DiffuscopeError, FormatError, InputError

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

__all__ = [
    "FORMATS",
    "MOST_PIXELS",
    "ImageBytes",
    "ImageFacts",
    "image_facts",
    "range_of",
    "read_image",
    "read_mask",
    "value_range",
]

MOST_PIXELS = 2**26  # of an image in a file; less than 10,000 x 10,000
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA")  # none that starts another program
_MIDDLE = 127
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by the number of channels
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


class ImageBytes(io.BytesIO):
    """The bytes of an image file; messages call it by its name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self._called = name

    def __str__(self) -> str:
        return self._called


ImageFileLike = str | os.PathLike[str] | ImageBytes


def read_image(
    path: ImageFileLike,
    shape: tuple[int, int, int],
    *,
    resize: bool = False,
    limits: Range | None = None,
) -> NDArray[np.uint8]:
    """Read an image of any mode, the first of several frames; transparency over white, unless it is kept.

    Parameters
    ----------
    path : str, path or ImageBytes
    shape : (int, int, int)
        Target channels (1: grey, 3: red, green, blue, 2 and 4: the same with alpha), height and width.
    resize : bool
        Whether an image of another size is resized, after a centre crop to the target's aspect ratio.
    limits : (float, float), optional
        The values of an image of more than 8 bits that are black and white; by default those that suit it.

    Returns
    -------
    ndarray of shape (channels, height, width), uint8

    Raises
    ------
    InputError
        When the file does not exist, or the image has another size and ``resize`` is false.
    FormatError
        When it is not an image, is broken, or has more than :data:`MOST_PIXELS` pixels.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    image = _decoded(path, "white" if channels in (1, 3) else None, limits)
    if image.size != (width, height):
        if not resize:
            raise InputError(
                f"{path} has {image.height} × {image.width} pixels; expected {height} × {width}.",
                "Give an image of that size, or resize it with --resize.",
            )
        image = ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS)
    values = np.asarray(image.convert(_MODES[channels]))
    return np.ascontiguousarray(values[None] if channels == 1 else values.transpose(2, 0, 1))


def read_mask(path: str | os.PathLike[str], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a mask of the pixels to generate: those with a grey level above 127; transparent ones are not.

    Parameters
    ----------
    path : str or path
        An image of any mode.
    size : (int, int)
        Required height and width.

    Returns
    -------
    ndarray of shape (height, width), bool

    Raises
    ------
    InputError
        When the file does not exist, or has another size.
    FormatError
        As in :func:`read_image`.
    """
    image = _decoded(path, "black")
    if image.size != (size[1], size[0]):
        raise InputError(
            f"The mask {path} has {image.height} × {image.width} pixels, "
            f"but the image has {size[0]} × {size[1]}.",
            "Give a mask of the size of the image: white where pixels are to be generated.",
        )
    return np.asarray(image.convert("L")) > _MIDDLE


class ImageFacts(NamedTuple):
    """What the header of an image file says."""

    size: tuple[int, int]  # height and width, upright
    grey: bool
    frames: int
    deep: bool  # more than 8 bits, as grey values that need a range
    cut: bool  # more than 8 bits of a colour, of which 8 are read
    alpha: bool


def image_facts(path: ImageFileLike) -> ImageFacts:
    """Return what the header of an image says."""
    from PIL import ExifTags

    with _opened(path) as file:
        turned = file.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        size = (file.width, file.height) if turned else (file.height, file.width)
        cut = any(";16" in str(tile[3]) for tile in file.tile) and not is_deep(file.mode)
        frames = int(getattr(file, "n_frames", 1))
        alpha = "A" in file.getbands() or "transparency" in file.info
        return ImageFacts(size, file.mode in _GREY, frames, is_deep(file.mode), cut, alpha)


def is_deep(mode: str) -> bool:
    """Whether an image of this mode has grey values of more than 8 bits."""
    return mode == "F" or mode.startswith("I")


def value_range(path: str | os.PathLike[str]) -> tuple[float, float, bool, int]:
    """Return what :func:`range_of` says of the values of an image of more than 8 bits."""
    with _opened(path) as file:
        file.load()
        values = np.asarray(file)
    return range_of(values)


def range_of(values: NDArray[Any]) -> tuple[float, float, bool, int]:
    """Return least and greatest of the finite values, whether all are whole, and how many are not finite."""
    if values.dtype.kind in "biu":
        return float(values.min()), float(values.max()), True, 0
    good = np.isfinite(values)
    found = values[good] if not good.all() else values
    if not found.size:
        return 0.0, 0.0, False, values.size
    whole = bool((found == np.round(found)).all())
    return float(found.min()), float(found.max()), whole, int(values.size - np.count_nonzero(good))


@contextlib.contextmanager
def _opened(path: ImageFileLike) -> Iterator[ImageFile]:
    """Open an image, and check its size; any error in the block names the file."""
    from PIL import Image

    if isinstance(path, ImageBytes):
        path.seek(0)
    elif not (path := Path(path)).is_file():  # opening a pipe could wait for ever
        what = "it is a folder" if path.is_dir() else "there is no such file"
        what = "it is not a regular file" if path.exists() and not path.is_dir() else what
        raise InputError(f"Cannot read {path}: {what}.", "Give an image file, such as a .png.")
    try:
        with _QUIET, Image.open(path, formats=FORMATS) as file:
            if file.width * file.height > MOST_PIXELS:
                raise _too_large(path, f"has {file.height:,} × {file.width:,} pixels")
            yield file
    except DiffuscopeError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "is far too large") from error
    except PermissionError as error:
        raise InputError(
            f"Cannot read {path}: permission denied.", "Check the permissions of the file."
        ) from error
    except Exception as error:  # decoders fail in many ways
        known = ", ".join(FORMATS)
        unidentified = type(error).__name__ == "UnidentifiedImageError"
        reason = "it is not an image of a supported format" if unidentified else error
        raise FormatError(
            f"Cannot read {path}: {reason}.", f"Supported formats: {known}. The file may be broken."
        ) from error


class _Quiet:
    """Ignores warnings of large images and odd metadata while any thread reads.

    ``warnings.catch_warnings`` restores the filters that it found. With overlapping threads these could be
    another thread's, and would silence the whole program.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._caught.__exit__(None, None, None)


_QUIET = _Quiet()


def _too_large(path: ImageFileLike, what: str) -> FormatError:
    return FormatError(
        f"{path} {what}; at most {MOST_PIXELS:,} pixels are supported.", "Reduce its size first."
    )


def _decoded(path: ImageFileLike, ground: str | None, limits: Range | None = None) -> Image.Image:
    """Decode the first image of a file, upright, as 8-bit grey or RGB over ``ground``; None: with alpha."""
    from PIL import Image, ImageOps

    with _opened(path) as file:
        file.load()
        try:
            image = ImageOps.exif_transpose(file)
        except Exception:  # the image may be good although its metadata are broken
            image = file.copy()
    if is_deep(image.mode):
        values = np.asarray(image)
        low, high, whole, _ = range_of(values)
        return Image.fromarray(to_bytes(values, limits or usual_range(low, high, whole)))
    try:
        if image.mode in _WITH_ALPHA or "transparency" in image.info:
            above = image.convert("RGBA")
            if ground is None:
                return above
            image = Image.alpha_composite(Image.new("RGBA", image.size, ground), above)
        return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (ValueError, OSError) as error:
        raise FormatError(f"Cannot read {path}: {error}.", "Save it as a plain grey or RGB PNG.") from error
