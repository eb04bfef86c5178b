"""Which sets of images are there by name, and where are they found?

``digits`` comes with scikit-learn. ``fashion_mnist`` (Xiao et al. 2017) is looked for where people have it,
and fetched where there is a network. Its four files have a format of their own (IDX): a number that says what
is in them, sizes, then bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.images.dataset import ImageData
from diffuscope.errors import FormatError, InputError, RunError
from diffuscope.files import atomic_write, cache_folder
from diffuscope.progress import Reporter

__all__ = ["IMAGE_SETS", "USUAL_RECIPES", "ImageSet"]

Pixels = NDArray[np.uint8]

_TEST_DIGITS = 297
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_FILES = {  # with the SHA-256 of what is in them, and their size where they are fetched
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        26_421_880,
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        29_515,
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        4_422_102,
    ),
    "t10k-labels-idx1-ubyte.gz": ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 5_148),
}
_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_MOST_BYTES = 2**28  # of an unpacked file
_TIMEOUT = 10  # seconds without an answer


@dataclass(frozen=True)
class ImageSet:
    """A set of images that has a name."""

    description: str
    load: Callable[[Reporter], ImageData]


def _digits(reporter: Reporter) -> ImageData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    x, y = np.round(found.images * (255 / 16)).astype(np.uint8), found.target
    parts = train_test_split(np.arange(len(x)), test_size=_TEST_DIGITS, stratify=y, random_state=0)
    train, test = map(np.sort, parts)
    return _set("digits", x[train], y[train], x[test], y[test], tuple("0123456789"))


def _fashion_mnist(reporter: Reporter) -> ImageData:
    folder = _fashion_folder(reporter)
    x, labels, test, test_labels = (_read_idx(folder / name, 3 if "images" in name else 1) for name in _FILES)
    for images, own, name in ((x, labels, "train"), (test, test_labels, "t10k")):
        if len(images) != len(own) or own.max(initial=0) >= len(_CLASSES) or not len(images):
            raise FormatError(
                f"Images and labels of {folder / name}-* do not match.", "Download the files again."
            )
    return _set("fashion_mnist", x, labels, test, test_labels, _CLASSES)


def _set(
    name: str, x: Pixels, y: NDArray[Any], test: Pixels, test_y: NDArray[Any], classes: tuple[str, ...]
) -> ImageData:
    """Return a set of grey images (n, height, width) with labels (n,)."""
    source, y, test_y = {"kind": "builtin", "name": name}, y.astype(np.int64), test_y.astype(np.int64)
    held_out = ImageData(f"{name} (test)", test[:, None], None, None, source, labels=test_y, classes=classes)
    return ImageData(name, x[:, None], None, None, source, labels=y, classes=classes, held_out=held_out)


IMAGE_SETS: dict[str, ImageSet] = {
    "digits": ImageSet("images, 1,797 handwritten digits of 8 x 8 pixels, 10 classes", _digits),
    "fashion_mnist": ImageSet(
        "images, 70,000 pieces of clothing of 28 x 28 pixels, 10 classes (downloaded once)", _fashion_mnist
    ),
}
USUAL_RECIPES = {"digits": "digits", "fashion_mnist": "fashion_fast"}


def _fashion_folder(reporter: Reporter) -> Path:
    """Return a folder with the four files."""
    from http.client import HTTPException

    own = os.environ.get("DIFFUSCOPE_DATA")
    cache = cache_folder() / "fashion-mnist"
    places = [*([Path(own), Path(own) / "fashion-mnist"] if own else []), _DEBIAN, cache]
    for place in places:
        if all((place / name).is_file() for name in _FILES):
            return place
    try:
        for name in _FILES:
            if not (cache / name).is_file():
                _fetch(name, cache / name, reporter)
    except (OSError, EOFError, zlib.error, HTTPException, RunError) as error:
        reason = error.what if isinstance(error, RunError) else error
        raise InputError(
            f"Fashion-MNIST is not on this machine, and could not be downloaded from {_URL} ({reason}).",
            "Connect to the internet and try again; install Debian's package "
            f"dataset-fashion-mnist ({_DEBIAN}); or put its four files ({', '.join(_FILES)}) into a folder "
            f"and set DIFFUSCOPE_DATA to it. Looked in {', '.join(map(str, places))}.",
        ) from error
    return cache


def _fetch(name: str, path: Path, reporter: Reporter) -> None:
    """Fetch a file whose size and digest are known."""
    import urllib.request

    digest, size = _FILES[name]
    data = bytearray()
    with (
        urllib.request.urlopen(_URL + name, timeout=_TIMEOUT) as answer,
        reporter.bar(f"downloading {name}", size, "bytes") as bar,
    ):
        while len(data) <= size and (piece := answer.read(2**16)):
            data += piece
            bar.update(min(len(data), size))
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        content = file.read(_MOST_BYTES)
    if hashlib.sha256(content).hexdigest() != digest:
        raise RunError(f"the download of {_URL}{name} has a wrong checksum", "Try again later.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def _read_idx(path: Path, dimensions: int) -> Pixels:
    """Read an IDX file of bytes."""
    try:
        with gzip.open(path) as file:
            head = file.read(4 + 4 * dimensions)
            magic, *shape = struct.unpack(f">{1 + dimensions}I", head)
            if magic != 0x800 + dimensions:
                raise FormatError(f"{path} is not an IDX file of bytes.", "Download the files again.")
            count = int(np.prod(shape, dtype=object))
            if count > _MOST_BYTES or (dimensions == 3 and tuple(shape[1:]) != (28, 28)):
                raise FormatError(
                    f"{path} has the shape {' × '.join(map(str, shape))}, which is not that of the set.",
                    "Download the files again.",
                )
            data = file.read(count + 1)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise FormatError(f"{path} cannot be read: {error}.", "Download the files again.") from error
    if len(data) != count:
        raise FormatError(f"{path} is cut short, or too long.", "Download the files again.")
    return np.frombuffer(data, np.uint8).reshape(shape)
