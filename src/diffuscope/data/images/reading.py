"""How does one image come out of a file, whatever kind of image it is, and how a mask?

A file may lie about itself: its size is checked before anything is unpacked, and what cannot be decoded to
the last row is named, not guessed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import DiffuscopeError, FormatError, InputError

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

__all__ = ["FORMATS", "MOST_PIXELS", "image_facts", "open_image", "read_image", "read_mask"]

MOST_PIXELS = 2**26  # of an image in a file; 10,000 x 10,000 would be more
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA")  # none that runs another program
_MIDDLE = 127
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def read_image(
    path: str | os.PathLike[str], shape: tuple[int, int, int], *, resize: bool = False
) -> NDArray[np.uint8]:
    """Read an image of any mode: over white where it is transparent, the first of several frames.

    Parameters
    ----------
    path : str or path
    shape : (int, int, int)
        Channels (1: grey, 3: red, green, blue), height and width that are wanted.
    resize : bool
        Whether an image of another size is brought to this one, its middle where the sides are in another
        proportion.

    Returns
    -------
    ndarray of shape (channels, height, width), uint8

    Raises
    ------
    InputError
        When there is no such file, or its image is of another size and must not be resized.
    FormatError
        When it is no image, a broken one, or one of more than :data:`MOST_PIXELS` pixels.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    image = _flat(open_image(path), "white", path)
    if image.size != (width, height):
        if not resize:
            raise InputError(
                f"{path} has {image.height} × {image.width} pixels, and {height} × {width} are wanted.",
                "Give an image of that size, or have it resized (--resize).",
            )
        image = ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS)
    values = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return np.ascontiguousarray(values[None] if channels == 1 else values.transpose(2, 0, 1))


def read_mask(path: str | os.PathLike[str], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Read which pixels are to be drawn: the light ones, grey levels above 127; what is transparent is not.

    Parameters
    ----------
    path : str or path
        An image of any mode.
    size : (int, int)
        Height and width that it must have.

    Returns
    -------
    ndarray of shape (height, width), bool

    Raises
    ------
    InputError
        When there is no such file, or its image is of another size.
    FormatError
        As in :func:`read_image`.
    """
    image = _flat(open_image(path), "black", path)
    if image.size != (size[1], size[0]):
        raise InputError(
            f"The mask {path} has {image.height} × {image.width} pixels, "
            f"and the image {size[0]} × {size[1]}.",
            "Give a mask of the size of the model's images: white where something is to be drawn.",
        )
    return np.asarray(image.convert("L")) > _MIDDLE


def image_facts(path: str | os.PathLike[str]) -> tuple[tuple[int, int], bool, int]:
    """Return height and width of an image, upright, whether it is grey, and how many frames its file has.

    Nothing is decoded.

    Raises
    ------
    InputError, FormatError
        As in :func:`read_image`, for what shows without decoding.
    """
    from PIL import ExifTags

    with _opened(Path(path)) as file:
        turned = file.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        size = (file.width, file.height) if turned else (file.height, file.width)
        return size, file.mode in _GREY, int(getattr(file, "n_frames", 1))


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """Decode the first image of a file, upright, in the mode that it is in.

    Raises
    ------
    InputError, FormatError
        As in :func:`read_image`.
    """
    from PIL import ImageOps

    with _opened(Path(path)) as file:
        file.load()
        try:
            return ImageOps.exif_transpose(file)
        except Exception:  # metadata that are broken say nothing of the image
            return file.copy()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    """Open an image of a size that is read; whatever goes wrong with it in the block names the file."""
    from PIL import Image

    if not path.is_file():  # to open a pipe would be to wait for ever
        what = "it is a folder" if path.is_dir() else "there is no such file"
        what = "it is no file of bytes" if path.exists() and not path.is_dir() else what
        raise InputError(f"Cannot read {path}: {what}.", "Give one image, such as a .png.")
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
        raise InputError(f"Cannot read {path}: no permission.", "Choose a file that you may read.") from error
    except Exception as error:  # decoders fail in many ways
        known = ", ".join(FORMATS)
        reason = "it is no image that is known" if type(error).__name__ == "UnidentifiedImageError" else error
        raise FormatError(
            f"Cannot read {path}: {reason}.", f"The file is broken or of another format; known are {known}."
        ) from error


class _Quiet:
    """Ignores warnings, of large images and odd metadata, as long as any thread reads.

    ``warnings.catch_warnings`` puts back what it found: where threads overlap, what another of them had set,
    and no warning of the whole program would be seen again.
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


def _too_large(path: Path, what: str) -> FormatError:
    return FormatError(
        f"{path} {what}; at most {MOST_PIXELS:,} pixels are read.", "Make the image smaller first."
    )


def _flat(image: Image.Image, ground: str, path: str | os.PathLike[str]) -> Image.Image:
    """Return the image as grey or red, green and blue, 8 bits each, over a ground where it is transparent."""
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        most = 65535.0 if image.mode != "F" else 1.0 if np.nanmax(values) <= 1 else 255.0
        return Image.fromarray(np.round(np.nan_to_num(values / most).clip(0, 1) * 255).astype(np.uint8))
    try:
        if image.mode in _WITH_ALPHA or "transparency" in image.info:
            above = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, ground), above)
        return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (ValueError, OSError) as error:
        raise FormatError(
            f"Cannot read {path}: {error}.", "Save it as an ordinary PNG, grey or in colour."
        ) from error
