"""Do files appear whole or not at all, whatever goes wrong while they are written?"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from diffuscope import files
from diffuscope.errors import RunError
from diffuscope.files import (
    append_text,
    atomic_write,
    remove_abandoned,
    sole_writer,
    temporary_prefix,
    write_bytes,
    write_json,
    write_text,
)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def assert_untouched(path):
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_replaced_by_the_new_one(old):
    write_text(old, "neu, groß")
    assert old.read_bytes() == "neu, groß".encode()
    assert list(old.parent.iterdir()) == [old]


def test_folders_on_the_way_are_made(tmp_path):
    write_bytes(tmp_path / "a" / "b" / "c.bin", b"x")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"x"


def test_until_the_end_the_old_file_is_there(old):
    with atomic_write(old) as temporary:
        temporary.write_text("new")
        assert temporary.parent == old.parent
        assert temporary.suffix == old.suffix
        assert old.read_text() == "old"
    assert old.read_text() == "new"


def test_an_exception_leaves_the_old_file_and_nothing_else(old):
    with pytest.raises(ZeroDivisionError), atomic_write(old) as temporary:
        temporary.write_text("half" + str(1 / 0))
    assert_untouched(old)


def fail_half_way(path: Path, number: int) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left for"),
        (errno.EDQUOT, "No space left for"),
        (errno.EFBIG, "No space left for"),
        (errno.EACCES, "No permission to write"),
        (errno.EROFS, "No permission to write"),
        (errno.EIO, "Could not write"),
    ],
)
def test_a_failing_disk_is_said_and_leaves_the_old_file(old, number, words):
    with pytest.raises(RunError, match=words) as failure:
        fail_half_way(old, number)
    assert str(old) in failure.value.what
    assert failure.value.hint
    assert failure.value.exit_code == 1
    assert_untouched(old)


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failure_in_the_last_moment_leaves_the_old_file(old, monkeypatch, name):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, name, fail)
    with pytest.raises(RunError, match="No space left"):
        write_text(old, "new")
    assert_untouched(old)


def test_a_real_limit_on_the_size_of_files_leaves_the_old_file(old):
    program = (
        "import sys; from diffuscope.files import *; from diffuscope.errors import RunError\n"
        "try: write_bytes(sys.argv[1], b'x' * 100_000)\n"
        "except RunError as error: print(error.what)"
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    done = subprocess.run(
        [sys.executable, "-c", program, str(old)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"No space left for {old}.\n", done.stderr
    assert_untouched(old)


def test_a_full_device_is_said():
    with pytest.raises(RunError, match=r"No space left for .*full"):
        append_text("/dev/full", "line\n")


def test_a_file_where_a_folder_should_be_is_said(old):
    with pytest.raises(RunError, match="Could not write"):
        write_text(old / "below.txt", "x")
    assert_untouched(old)


def test_json_has_no_numbers_that_json_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_only_the_temporary_files_of_dead_processes_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "deep").mkdir()
    abandoned = [tmp_path / f".diffuscope-{dead.pid}-x", tmp_path / "deep" / f".diffuscope-{dead.pid}-y"]
    kept = [
        tmp_path / f".diffuscope-{os.getpid()}-x",
        tmp_path / f".diffuscope-{os.getppid()}-x",
        tmp_path / ".diffuscope-notes",
        tmp_path / f"diffuscope-{dead.pid}-x",
    ]
    for path in abandoned + kept:
        path.touch()
    remove_abandoned(tmp_path, below=False)
    assert [path.exists() for path in abandoned] == [False, True]
    remove_abandoned(tmp_path)
    assert not any(path.exists() for path in abandoned)
    assert all(path.exists() for path in kept)


# --- one writer a folder -----------------------------------------------------------------------------------


def held_by(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that holds a folder until it is killed or hears a line."""
    program = (
        "import sys; from diffuscope.files import sole_writer\n"
        "with sole_writer(sys.argv[1]): print('held', flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = subprocess.Popen([sys.executable, "-c", program, str(folder)], **pipes)
    assert other.stdout.readline() == b"held\n"
    return other


def test_whoever_comes_second_is_told_which_process_holds_the_folder(tmp_path):
    with held_by(tmp_path) as other:
        with pytest.raises(RunError, match="in use by another process") as failure, sole_writer(tmp_path):
            pass
        assert f"process {other.pid}, " in failure.value.hint
        remove_abandoned(tmp_path)  # a lock that is held is not abandoned
        with pytest.raises(RunError), sole_writer(tmp_path):
            pass
        other.communicate(b"\n")
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_keeps_nobody_off_and_is_cleared_away(tmp_path):
    with held_by(tmp_path) as other:
        other.kill()
        other.wait()
    assert (tmp_path / ".diffuscope.lock").is_file()
    remove_abandoned(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".diffuscope.lock").write_text(
        f"{os.getppid()}\n"
    )  # a number that another process has by now
    with sole_writer(tmp_path):
        assert (tmp_path / ".diffuscope.lock").read_text().split()[0] == str(os.getpid())
    assert not list(tmp_path.iterdir())


def test_a_lock_of_another_program_is_let_be(tmp_path):
    (tmp_path / ".lock").write_text("1")
    with sole_writer(tmp_path):
        pass
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_threads_keep_each_other_off(tmp_path):
    def enter() -> str:
        try:
            with sole_writer(tmp_path):
                return "in"
        except RunError:
            return "kept off"

    with ThreadPoolExecutor(1) as pool:
        with sole_writer(tmp_path):
            assert pool.submit(enter).result() == "kept off"
        assert pool.submit(enter).result() == "in"


FORKING = """
import os, sys
from diffuscope.errors import RunError
from diffuscope.files import sole_writer

def enter():
    try:
        with sole_writer(sys.argv[1]):
            print("in")
    except RunError:
        print("kept off")

here, there = os.pipe(), os.pipe()
with sole_writer(sys.argv[1]):
    child = os.fork()
    if not child:
        os.write(here[1], b"x")
        os.close(there[1])
        os.read(there[0], 1)
        os._exit(0)
    os.read(here[0], 1)
    enter()
enter()
os.close(there[1])
os.waitpid(child, 0)
"""


def test_a_child_neither_lets_go_of_the_lock_nor_takes_it_along(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FORKING, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "kept off\nin\n", done.stderr


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_to_is_said(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(RunError, match="No permission to write"), sole_writer(tmp_path):
        pass


def test_where_there_are_no_locks_the_file_keeps_others_off(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    lock = tmp_path / ".diffuscope.lock"
    with sole_writer(tmp_path):
        pid, *host = lock.read_text().split(maxsplit=1)
        assert pid == str(os.getpid())
    assert not list(tmp_path.iterdir())
    lock.write_text(f"{os.getppid()} {host[0]}")  # a process of this host, which runs
    with pytest.raises(RunError, match="in use"), sole_writer(tmp_path):
        pass
    lock.write_text(f"999999999 {host[0]}")
    with sole_writer(tmp_path):
        pass


def test_a_lock_of_another_host_counts_while_it_shows_life(tmp_path):
    lock = tmp_path / ".diffuscope.lock"
    lock.write_text("7 12345678 node-b\n")  # where the locks of a volume do not reach other hosts
    with pytest.raises(RunError) as refused, sole_writer(tmp_path):
        pass
    assert "process 7 on node-b" in refused.value.hint
    assert [path.name for path in tmp_path.iterdir()] == [lock.name]
    os.utime(lock, (0, lock.stat().st_mtime - 100))
    with sole_writer(tmp_path):
        assert lock.read_text().split()[0] == str(os.getpid())
    assert not list(tmp_path.iterdir())


def test_a_lock_is_touched_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_BEAT", 0.01)
    lock = tmp_path / ".diffuscope.lock"
    with sole_writer(tmp_path):
        os.utime(lock, (0, 0))
        while lock.stat().st_mtime == 0:
            time.sleep(0.01)


def test_temporary_files_of_another_host_are_let_be_for_a_week(tmp_path):
    theirs = tmp_path / ".diffuscope-h12345678-999999999-x"
    theirs.write_text("half")
    remove_abandoned(tmp_path)
    assert theirs.is_file()
    os.utime(theirs, (0, theirs.stat().st_mtime - 8 * 86_400))
    remove_abandoned(tmp_path)
    assert not theirs.exists()


UNSHARED = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*UNSHARED, "true"], capture_output=True).returncode != 0,
    reason="no namespaces of its own",
)
def test_what_has_process_numbers_of_its_own_is_another_host(tmp_path):
    with held_by(tmp_path) as other:
        (tmp_path / f"{temporary_prefix()}x").write_text("half")  # of this process, which runs
        program = (
            "import sys; from diffuscope.files import remove_abandoned, sole_writer\n"
            "remove_abandoned(sys.argv[1])\n"
            "with sole_writer(sys.argv[1]): print('in')"
        )
        done = subprocess.run(
            [*UNSHARED, sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
        )
        assert done.stdout == ""
        assert f"process {other.pid} on " in done.stderr
        assert len(list(tmp_path.iterdir())) == 2
        other.communicate(b"\n")


def test_a_block_that_fails_at_once_leaves_no_empty_folder(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(ZeroDivisionError), sole_writer(tmp_path / "run"):
        print(1 / 0)
    assert not list(tmp_path.iterdir())
