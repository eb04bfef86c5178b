"""How are tensors written and read? As safetensors: numbers and text, never code.

Equal content gives equal bytes, and a digest of the content reveals damaged files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from diffuscope.errors import FormatError, InputError
from diffuscope.files import is_utf8, write_bytes

__all__ = ["load_tensors", "read_tensors", "save_tensors"]


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], kind: str, metadata: Mapping[str, str]
) -> None:
    """Write named tensors and text to ``path``; ``kind`` is name and version of the format."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = {"format": kind, **metadata}
    write_bytes(path, _in_order(save(on_cpu, {**text, "sha256": _digest(on_cpu, text)})))


def load_tensors(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors (on the CPU) and the text that :func:`save_tensors` wrote in the same format."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path.")
    try:
        tensors, text = read_tensors(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if text.get("format") != kind:
        raise FormatError(
            f"{path} is a safetensors file of the format {text.get('format')!r}; expected {kind!r}.",
            "Give a file that this version of Diffuscope wrote.",
        )
    digest = text.pop("sha256", None)
    if digest != _digest(tensors, text):
        raise _damaged(path, "its checksum does not match its content")
    del text["format"]
    return tensors, text


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors (on the CPU) and the text of any safetensors file; errors are those of safetensors."""
    if not is_utf8(path):  # safetensors opens no such name
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return load(data), {str(key): str(text) for key, text in header.get("__metadata__", {}).items()}
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, dict(file.metadata() or {})


def _damaged(path: Path, why: str) -> FormatError:
    return FormatError(
        f"{path} is damaged, cut short or not a model file: {why}.",
        "Write the file again, or restore a copy.",
    )


def _in_order(data: bytes) -> bytes:
    """Sort the text in the header, whose order safetensors does not fix."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    sorted_header = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    sorted_header += b" " * (-len(sorted_header) % 8)  # tensors begin at a multiple of 8
    return len(sorted_header).to_bytes(8, "little") + sorted_header + data[8 + length :]


def _digest(tensors: Mapping[str, Tensor], text: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(text, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, list(tensor.shape), str(tensor.dtype)]).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
