"""What is a pack? A folder that ``diffuscope pack`` wrote: data of any size that is read where it lies.

pack.json                       what it is, how much, and a digest of each file
rows.arrow                      of a table: record batches, not compressed
x.npy        labels.npy         of points (n, d), and their labels, if they have some
images.npy   labels.npy         of images (n, channels, height, width), uint8, and their labels
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from diffuscope.errors import FormatError, InputError
from diffuscope.files import read_text

__all__ = ["MAIN", "PACK", "Pack", "check_no_target", "content_of", "is_pack", "pack_kind", "read_pack"]

PACK = "pack.json"
MAIN = {"table": "rows.arrow", "points": "x.npy", "images": "images.npy"}
"""The file of each kind of data."""
_MOST_TEXT = 2**24  # bytes of pack.json

Kind = Literal["table", "points", "images"]


class Pack(BaseModel):
    """What ``pack.json`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["diffuscope-pack-1"] = "diffuscope-pack-1"
    kind: Kind
    n: Annotated[int, Field(ge=1)]
    source: str = ""
    columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    sha256: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}

    @model_validator(mode="after")
    def _check(self) -> Pack:
        if MAIN[self.kind] not in self.sha256 or not set(self.sha256) <= {MAIN[self.kind], "labels.npy"}:
            raise ValueError("its files are not those of its kind")
        if (bool(self.classes) or bool(self.numbers)) != ("labels.npy" in self.sha256):
            raise ValueError("labels are classes or numbers")
        return self

    @property
    def digest(self) -> str:
        """Of all files, hexadecimal."""
        return hashlib.sha256(json.dumps(self.sha256, sort_keys=True).encode()).hexdigest()

    def labels(self, folder: Path) -> NDArray[Any] | None:
        """Return the labels (n,) or (n, k), if there are some; FormatError where they are damaged."""
        if "labels.npy" not in self.sha256:
            return None
        file = folder / "labels.npy"
        try:
            found: NDArray[Any] = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise FormatError(f"{file} cannot be read: {error}.", "Pack the data again.") from error
        if len(found) != self.n or found.dtype.kind not in "if":
            raise FormatError(f"{file} has no labels for {self.n:,} examples.", "Pack the data again.")
        if self.classes:
            whole = found.ndim == 1 and found.dtype.kind == "i"
            if not whole or found.min() < 0 or found.max() >= len(self.classes):
                raise FormatError(f"{file} has no numbers of {len(self.classes)} classes.", "Pack it again.")
        return found


def is_pack(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is a pack."""
    return (Path(path) / PACK).is_file()


def read_pack(path: str | os.PathLike[str]) -> Pack:
    """Return what a pack says of itself; a FormatError where it is damaged."""
    file = Path(path) / PACK
    try:
        return Pack.model_validate_json(read_text(file, _MOST_TEXT))
    except (OSError, ValueError, ValidationError) as error:
        said = str(error).splitlines()[0]
        raise FormatError(f"{file} cannot be read: {said}.", "Pack the data again.") from error


def check_no_target(path: Path, pack: Pack, target: Any) -> None:
    """Raise an InputError where a target is named of points or images, which are packed with their labels."""
    if target is not None:
        there = "with labels" if pack.classes or pack.numbers else "without labels"
        raise InputError(
            f"{path} was packed {there}, and has no others.",
            "Omit the target, or pack the data again with other labels.",
        )


def pack_kind(path: str | os.PathLike[str]) -> Kind | None:
    """Return the kind of data of a pack; None for whatever is no pack."""
    return read_pack(path).kind if is_pack(path) else None


def content_of(path: Path) -> Path:
    """Return the file of a pack with its points or rows; of anything else the path itself."""
    return path / MAIN[read_pack(path).kind] if is_pack(path) else path
