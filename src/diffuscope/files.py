"""How do files appear: whole, or not at all.

A file is written under a temporary name in its own folder, flushed to the disk and renamed over its
final name. Whoever reads the final name sees the old bytes or the new ones, never a mixture, also
after ``kill -9``.

Folders may lie on a volume that several hosts share, where numbers of processes mean nothing. So locks and
temporary files name the host beside the process; a container, or whatever has process numbers of its own, is
another host.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from diffuscope.errors import InputError, RunError

__all__ = [
    "BEAT",
    "append_text",
    "atomic_folder",
    "atomic_write",
    "cache_folder",
    "check_writable_folder",
    "is_utf8",
    "read_text",
    "remove_abandoned",
    "sole_writer",
    "stay_inside",
    "temporary_prefix",
    "write_bytes",
    "write_json",
    "write_text",
]

_TEMPORARY = re.compile(r"^\.diffuscope-(?:h([0-9a-f]{8})-)?(\d+)-.+$")
_LONGEST_NAME = 200  # of 255 bytes
_DEEPEST = 4  # levels of folders in a run or a comparison
_LOCK = ".diffuscope.lock"
BEAT = "diffuscope-beat"  # the name of the thread that touches it, which holds nothing that others wait for
_BEAT, _STALE = 10.0, 60.0  # seconds between two signs of life of a lock, and after which none is expected
_OLD = 7 * 86_400.0  # seconds after which another host's temporary files are nobody's
MOST_TEXT = 2**28
"""Bytes of a text that is read whole, such as the log of a run."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``, of the same suffix; rename it if the block ends well.

    A full disk, or a folder that cannot be written to, is a RunError.
    """
    with _beside(Path(path)) as temporary:
        yield temporary
        _sync(temporary)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder beside ``path``, which may be empty already; rename it if the block ends well.

    Its files are left to the system to flush: a kill leaves all of them or none, a loss of power may leave
    fewer.
    """
    path = Path(path)
    with _beside(path) as temporary:
        temporary.mkdir()
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()  # Windows renames over nothing, not even over an empty folder


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    if path.exists() and not path.is_file() and not path.is_dir():  # a rename would replace the device
        raise RunError(f"Cannot write {path}: it is a pipe or a device.", "Give the name of a file.")
    short = _short(path.name)
    temporary = path.with_name(f"{temporary_prefix()}{short}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead(path.parent.glob(f".diffuscope-*-{glob.escape(short)}"))
        yield temporary
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _as_run_error(error, path) from error
    finally:
        _remove(temporary)


def check_writable_folder(folder: Path) -> None:
    """Raise a RunError unless a file can be written into a folder, now and by this process."""
    temporary = folder / f"{temporary_prefix()}check"
    try:
        temporary.write_bytes(b"1")
    except OSError as error:
        raise _as_run_error(error, folder) from error
    finally:
        _remove(temporary)


def _short(name: str) -> str:
    """Return a name that leaves room for what is put before it; its suffix stays."""
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    suffix = "".join(Path(name).suffixes[-2:])
    suffix = suffix if len(os.fsencode(suffix)) < 20 else Path(name).suffix[:20]
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32] + suffix


def is_utf8(path: str | os.PathLike[str]) -> bool:
    """Whether a path is valid UTF-8, which some libraries and all of JSON and TOML need."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """Return the text of a regular file of at most so many bytes; OSError or ValueError for any other."""
    if path.exists() and not path.is_file():  # a pipe may never begin, a device never end
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if path.stat().st_size > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return path.read_text("utf-8")


def stay_inside(folder: str | os.PathLike[str]) -> None:
    """Refuse to write to a folder of which an entry is a link to somewhere else; an InputError names it.

    Through such a link files of others would be overwritten, or removed as old ones. A link within the folder
    is fine, and the folder may be reached by one.
    """
    home = Path(folder).resolve()
    if not home.is_dir():
        return
    for entry in sorted(home.iterdir()):
        if entry.is_symlink() and not entry.resolve().is_relative_to(home):
            raise InputError(
                f"{Path(folder) / entry.name} is a link to {entry.resolve()}; nothing outside of {folder} is "
                "written or removed.",
                "Replace the link by a folder or file of its own, or choose another folder.",
            )


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented JSON to ``path``, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_text(path: str | os.PathLike[str], text: str) -> None:
    """Add ``text`` to the end of ``path``, for logs: a kill may cut the last line short, no other."""
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _as_run_error(error, Path(path)) from error


def remove_abandoned(folder: str | os.PathLike[str], below: bool = True) -> None:
    """Remove what a killed process left: its lock, and temporary files, by default also those below."""
    _remove_dead(_ours(Path(folder), _DEEPEST if below else 0))
    if Path(folder, _LOCK).exists():
        with contextlib.suppress(RunError), sole_writer(folder):  # whoever lets go of a lock removes it
            pass


def temporary_prefix() -> str:
    """Return how the name of a temporary file of this process begins, see :func:`remove_abandoned`."""
    return f".diffuscope-h{_host()}-{os.getpid()}-"


@cache
def _host() -> str:
    """Return what tells this host from others: its name, and whose process numbers are meant."""
    numbers = ""
    with contextlib.suppress(OSError):
        numbers = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:8]


def _ours(folder: Path, depth: int) -> Iterator[Path]:
    """Yield temporary files in a folder and so many levels below; links are not followed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.name.startswith(".diffuscope-"):
                yield Path(entry.path)
            elif depth and entry.is_dir(follow_symlinks=False):
                yield from _ours(Path(entry.path), depth - 1)


def _remove_dead(paths: Iterable[Path]) -> None:
    """Remove those of the temporary files and folders whose process has ended; of other hosts old ones."""
    for path in paths:
        match = _TEMPORARY.match(path.name)
        if not match or (path.is_symlink() and not path.is_file()):
            continue
        if match[1] in (None, _host()):
            dead = not _alive(int(match[2]))
        else:
            try:
                dead = time.time() - path.stat().st_mtime > _OLD
            except OSError:
                continue
        if dead:
            _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError, RecursionError):  # a stranger's folders may be very deep
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Return the system's folder for caches, ``~/.cache`` or ``$XDG_CACHE_HOME``; it need not exist yet.

    Raises ``RuntimeError`` where there is no home folder.
    """
    from platformdirs import user_cache_path

    return user_cache_path("diffuscope", appauthor=False)


@contextlib.contextmanager
def sole_writer(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from writing to ``folder`` while the block runs.

    The kernel locks the file ``.diffuscope.lock``, which names this process and its host; the lock ends with
    the process. Where the locks of a shared volume do not reach other hosts, or there are none, the file
    itself keeps them off: it is touched every ten seconds, and counts for a minute. A folder that is still
    empty when the block fails is removed.

    A folder that another process holds, or that cannot be written to, is a RunError.
    """
    from filelock import FileLock, Timeout

    path = Path(folder, _LOCK)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise _in_use(folder, _holder(path)) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise _as_run_error(error, path) from error
    own = _Holder(os.getpid(), _host(), platform.node())
    before = _holder(path)
    if before is not None and before != own and _holds(path, before, lock.is_locked):
        lock.release()
        raise _in_use(folder, before)
    failed, ended = True, threading.Event()
    try:
        if before != own:
            with contextlib.suppress(OSError):
                path.write_text(f"{own.pid} {own.host} {own.name}\n")
        threading.Thread(target=_beat, args=(path, ended), name=BEAT, daemon=True).start()
        yield
        failed = False
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            if lock.is_locked or _holder(path) == own:
                path.unlink()  # while it is held: whoever opened it sees that it is gone
        lock.release()
        with contextlib.suppress(OSError):
            if failed:
                path.parent.rmdir()


class _Holder(NamedTuple):
    """Who holds a lock: a process, what tells its host from others, and the name of that."""

    pid: int
    host: str = ""
    name: str = ""


def _holder(path: Path) -> _Holder | None:
    """Return whom a lock's file names."""
    try:
        pid, *rest = read_text(path, 1000).split(maxsplit=2)
        return _Holder(int(pid), *(word.strip() for word in rest))
    except (OSError, ValueError, IndexError):
        return None


def _holds(path: Path, holder: _Holder, locked: bool) -> bool:
    """Whether a lock that the kernel did not deny is held all the same, by whom its file names.

    By the kernel's lock, where this process has it, no other process of this host holds it.
    """
    if holder.host in ("", _host()):
        return not locked and _alive(holder.pid)
    now = path.with_name(f"{temporary_prefix()}now")
    try:
        now.write_bytes(b"")  # by the clock of the volume
        age = now.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return False
    finally:
        _remove(now)
    return age < _STALE


def _in_use(folder: str | os.PathLike[str], holder: _Holder | None) -> RunError:
    if holder is None:
        whom = "it"
    elif holder.host in ("", _host()):
        whom = f"process {holder.pid}"
    else:
        whom = f"process {holder.pid} on {holder.name or 'another host'} (a minute, if it is gone)"
    return RunError(
        f"{folder} is in use by another process; nothing was changed.",
        f"Wait for {whom}, or choose another folder.",
    )


def _beat(path: Path, ended: threading.Event) -> None:
    """Show that a lock is held, until it is not."""
    while not ended.wait(_BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_run_error(error: OSError, path: Path) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return RunError(
            f"No space left for {path}.", "Free some space or choose another place; nothing was overwritten."
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return RunError(f"No permission to write {path}.", "Choose a folder that you may write to.")
    return RunError(f"Could not write {path}: {error.strerror or error}.", "Nothing was overwritten.")
