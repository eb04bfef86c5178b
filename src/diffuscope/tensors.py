"""How do tensors come into a file and out of it? As safetensors: numbers and text, never code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from diffuscope.errors import FormatError, InputError
from diffuscope.files import write_bytes

__all__ = ["load_tensors", "save_tensors"]


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], kind: str, metadata: Mapping[str, str]
) -> None:
    """Write named tensors and text to ``path``, whole or not at all.

    Parameters
    ----------
    kind : str
        Name and version of the format; :func:`load_tensors` asks for it.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(on_cpu, {"format": kind, **metadata}))


def load_tensors(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what :func:`save_tensors` wrote: the tensors (on the CPU) and the text.

    Raises
    ------
    InputError
        When there is no such file.
    FormatError
        When the file is damaged, foreign, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            found = metadata.pop("format", None)
            if found != kind:
                raise FormatError(
                    f"{path} is a safetensors file, but not of the kind {kind!r} (it says {found!r}).",
                    "Give a file that this version of Diffuscope wrote.",
                )
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path} is damaged, cut short or not a model file: {error}.",
            "Make it again, or take another copy; nothing was changed.",
        ) from error
