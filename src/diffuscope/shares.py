"""How is work shared among processes? In pieces, which each process makes in turn, and all of them get.

Every process runs the same program. Where that comes to many pieces, each makes some of them, by its rank,
and hands them to the others; what follows of them is the same in all. So results, their order and their bytes
are those of one process, however many there are. Pieces are handed on in rounds of one for each process,
so that memory does not grow with their number.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from diffuscope.errors import DiffuscopeError, RunError, foreseen
from diffuscope.threads import side_by_side

if TYPE_CHECKING:
    import torch

__all__ = ["Group", "among", "is_first", "shared"]

_T = TypeVar("_T")
_S = TypeVar("_S")
_MADE, _FAILED = b"\x00", b"\x01"


class Group(Protocol):
    """Processes that share work: the rank of this one, and how many they are."""

    @property
    def rank(self) -> int:
        """Which of them this one is."""

    @property
    def size(self) -> int:
        """How many they are."""

    def come(self, what: str) -> None:
        """Wait until all have come to the same work; an error where one came to other work, or does not."""

    def gather(self, data: bytes, place: int) -> list[bytes]:
        """Return what each of them gives at the same place of the work."""


# Not inherited by threads: a piece that is made in one is not shared once more.
_group: ContextVar[tuple[Group, int] | None] = ContextVar("group", default=None)


@contextlib.contextmanager
def among(group: Group | None) -> Iterator[None]:
    """Share pieces among the processes of a group, or of none, while the block runs, in this thread."""
    before = _group.set(None if group is None else (group, os.getpid()))
    try:
        yield
    finally:
        _group.reset(before)


def _current() -> Group | None:
    """Return the group of this thread; a process that was forked has none."""
    found = _group.get()
    return found[0] if found is not None and found[1] == os.getpid() else None


def is_first() -> bool:
    """Whether this process is the one that writes files and shows progress: the first, or the only one."""
    group = _current()
    return group is None or group.rank == 0


def shared(
    do: Callable[[_T], _S],
    pieces: Sequence[_T],
    device: torch.device | None = None,
    workers: int | None = None,
    *,
    what: str,
) -> Iterator[_S]:
    """Yield ``do(piece)`` for all pieces in order, as :func:`~diffuscope.threads.side_by_side` does.

    Among processes each makes some of them, and gets those of the others. Results are tensors, numbers, or
    tuples of them; tensors that were on an accelerator come to ``device``. ``what`` says what they are, which
    has to be the same in all processes. An error of a piece is raised in all of them.
    """
    group = _current()
    if group is None or len(pieces) < 2:
        return side_by_side(do, pieces, device, workers)
    return _among(group, do, pieces, device, workers, what)


def _among(
    group: Group,
    do: Callable[[_T], _S],
    pieces: Sequence[_T],
    device: torch.device | None,
    workers: int | None,
    what: str,
) -> Iterator[_S]:
    group.come(what)
    rank, size = group.rank, group.size
    mine = range(rank, len(pieces), size)
    made = side_by_side(do, [pieces[i] for i in mine], device, workers, ahead=True)
    with contextlib.closing(made):  # type: ignore[type-var]
        for start in range(0, len(pieces), size):
            place, count = zlib.crc32(f"{what} {start}".encode()), min(size, len(pieces) - start)
            own: Any = None
            try:
                data = b""
                if rank < count:
                    own = next(made)
                    data = _MADE + _packed(own)
            except Exception as error:
                group.gather(_FAILED + _said(error), place)
                raise
            parts = group.gather(data, place)
            for other, part in enumerate(parts):
                if part[:1] == _FAILED:
                    raise _as_error(part[1:], other, size)
            for other, part in enumerate(parts[:count]):
                yield own if other == rank else _unpacked(part[1:], device)


def _said(error: Exception) -> bytes:
    """Return what the others are told of an error."""
    known = foreseen(error) or error
    what = known.what if isinstance(known, DiffuscopeError) else f"{type(error).__name__}: {error}"
    return json.dumps([what, getattr(known, "hint", None)]).encode()


def _as_error(said: bytes, rank: int, size: int) -> RunError:
    what, hint = json.loads(said)
    return RunError(f"Process {rank} of {size} failed: {what}", hint)


def _packed(value: Any) -> bytes:
    """Return tensors, numbers, or tuples of them as bytes."""
    import torch
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}

    def shape(part: Any) -> Any:
        if isinstance(part, torch.Tensor):
            tensors[str(len(tensors))] = part.detach().cpu().contiguous()
            return {"tensor": str(len(tensors) - 1), "moved": part.device.type != "cpu"}
        return list(map(shape, part)) if isinstance(part, tuple) else part

    text = json.dumps(shape(value)).encode()  # as text a float keeps all of its digits
    return len(text).to_bytes(8, "little") + text + save(tensors)


def _unpacked(data: bytes, device: torch.device | None) -> Any:
    """Return what :func:`_packed` got."""
    from safetensors.torch import load

    stop = 8 + int.from_bytes(data[:8], "little")
    tensors = load(data[stop:])

    def value(part: Any) -> Any:
        if isinstance(part, dict):
            return tensors[part["tensor"]].to((part["moved"] and device) or "cpu")
        return tuple(map(value, part)) if isinstance(part, list) else part

    return value(json.loads(data[8:stop]))
