r"""How do answers with arrays travel? A head of JSON, and after it the bytes of its arrays.

    4 bytes: length of the head | head | array 0 | array 1 | ...

In the head an array is ``{"$": offset, "type": "f4" | "i2" | "u2", "count": n, "scale": s}``, with the
offset from the end of the head; all begin at multiples of 4. Positions that are only looked at are 16-bit
integers, in units of scale / 32767: an error of a hundredth of a pixel. Arrays of uint16 travel as they are.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.viewer.positions import STEPS, quantised

__all__ = ["Positions", "decode", "encode"]


@dataclass(frozen=True)
class Positions:
    """Points that are looked at, any shape."""

    x: NDArray[Any]


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as bytes: arrays are float32, or uint16 as they are, positions 16-bit integers."""
    parts: list[bytes] = []
    at = 0

    def place(value: Any) -> Any:
        nonlocal at
        if isinstance(value, Positions):
            raw, scale = quantised(value.x)
            entry = {"$": at, "type": "i2", "count": value.x.size, "scale": scale}
        elif isinstance(value, np.ndarray) and value.dtype == np.uint16:
            raw = value.astype("<u2").tobytes()
            entry = {"$": at, "type": "u2", "count": value.size, "scale": 1.0}
        elif isinstance(value, np.ndarray):
            raw = np.ascontiguousarray(value, dtype="<f4").tobytes()
            entry = {"$": at, "type": "f4", "count": value.size, "scale": 1.0}
        elif isinstance(value, dict):
            return {key: place(part) for key, part in value.items()}
        elif isinstance(value, list | tuple):
            return [place(part) for part in value]
        else:
            return value
        raw += b"\0" * (-len(raw) % 4)
        parts.append(raw)
        at += len(raw)
        return entry

    head = json.dumps(place(message), separators=(",", ":"), allow_nan=False).encode()
    head += b" " * (-len(head) % 4)
    return struct.pack("<I", len(head)) + head + b"".join(parts)


def decode(message: bytes) -> dict[str, Any]:
    """Return what :func:`encode` was given, positions as float32 arrays."""
    (length,) = struct.unpack_from("<I", message)
    body = message[4 + length :]

    def read(value: Any) -> Any:
        if isinstance(value, dict) and "$" in value:
            raw = np.frombuffer(body, "<" + value["type"], value["count"], value["$"])
            if value["type"] == "u2":
                return raw
            return raw.astype(np.float32) * (value["scale"] / STEPS if value["type"] == "i2" else 1.0)
        if isinstance(value, dict):
            return {key: read(part) for key, part in value.items()}
        return [read(part) for part in value] if isinstance(value, list) else value

    read_message: dict[str, Any] = read(json.loads(message[4 : 4 + length]))
    return read_message
