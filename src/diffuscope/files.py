"""How do files appear: whole, or not at all.

A file is written under a temporary name in its own folder, flushed to the disk and renamed over its
final name. Whoever reads the final name sees the old bytes or the new ones, never a mixture, also
after ``kill -9``.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from diffuscope.errors import RunError

__all__ = [
    "append_text",
    "atomic_folder",
    "atomic_write",
    "cache_folder",
    "remove_abandoned",
    "sole_writer",
    "write_bytes",
    "write_json",
    "write_text",
]

_TEMPORARY = re.compile(r"^\.diffuscope-(\d+)-.+$")
_LOCK = ".diffuscope.lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` if the block ends well.

    The temporary name keeps the suffix of ``path``, so that writers that look at it work.

    Raises
    ------
    RunError
        When the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".diffuscope-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead(path.parent.glob(f".diffuscope-*-{glob.escape(path.name)}"))
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _as_run_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; rename it to ``path`` if the block ends well.

    What is there already has to be an empty folder. Files in it are left to the system to flush: a kill
    leaves all of them or none, a loss of power may leave fewer.

    Raises
    ------
    RunError
        When the disk is full, the folder cannot be written to, or ``path`` is not an empty folder.
    """
    path = Path(path)
    temporary = path.with_name(f".diffuscope-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead(path.parent.glob(f".diffuscope-*-{glob.escape(path.name)}"))
        temporary.mkdir()
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()  # Windows renames over nothing, not even over an empty folder
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _as_run_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    _remove_dead(Path(folder).glob("**/.diffuscope-*" if below else ".diffuscope-*"))
    if Path(folder, _LOCK).exists():
        with contextlib.suppress(RunError), sole_writer(folder):  # whoever lets go of a lock removes it
            pass


def _remove_dead(paths: Iterable[Path]) -> None:
    """Remove those of the temporary files and folders whose process is no more."""
    for path in paths:
        match = _TEMPORARY.match(path.name)
        if match and path.is_file() and not _alive(int(match[1])):
            with contextlib.suppress(OSError):
                path.unlink()
        elif match and path.is_dir() and not path.is_symlink() and not _alive(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def cache_folder() -> Path:
    """Return the folder for what was fetched, decoded or trained before; it need not be there yet.

    It lies where the system keeps caches, such as ``~/.cache``, or in ``$XDG_CACHE_HOME``.

    Raises
    ------
    RuntimeError
        When there is no home folder, and no other is named.
    """
    from platformdirs import user_cache_path

    return user_cache_path("diffuscope", appauthor=False)


@contextlib.contextmanager
def sole_writer(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from writing to ``folder`` while the block runs.

    The kernel locks the file ``.diffuscope.lock`` in it, which names this process. What a killed process
    leaves of it keeps nobody off. Where the file system knows no locks nothing is kept off. A folder that is
    still empty when the block fails is removed.

    Raises
    ------
    RunError
        When another process holds it, or the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    path = Path(folder, _LOCK)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        pid = _holder(path)
        raise RunError(
            f"{folder} is in use by another process; nothing was changed.",
            f"Wait for {'it' if pid is None else f'process {pid}'}, or choose another folder.",
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise _as_run_error(error, path) from error
    failed = True
    try:
        if lock.is_locked and _holder(path) != os.getpid():
            with contextlib.suppress(OSError):  # the name is a courtesy
                path.write_text(f"{os.getpid()}\n")
        yield
        failed = False
    finally:
        with contextlib.suppress(OSError):
            if lock.is_locked:
                path.unlink()  # while it is held: whoever opened it sees that it is gone
        lock.release()
        with contextlib.suppress(OSError):
            if failed:
                path.parent.rmdir()


def _holder(path: Path) -> int | None:
    """Return the process that a lock's file names."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
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
