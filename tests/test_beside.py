"""Work beside other work: in a forked process, and in a thread where none can be forked."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import diffuscope.beside
from diffuscope.beside import Beside
from diffuscope.errors import InputError, RunError


@pytest.fixture(params=["process", "thread"])
def carrier(request, monkeypatch):
    monkeypatch.setattr(diffuscope.beside, "can_fork", lambda: request.param == "process")
    return request.param


def test_what_is_sent_arrives_in_order(carrier, tmp_path):
    def write(receive):
        (tmp_path / "sum").write_text(f"{receive() - receive()} {os.getpid()}")

    with Beside(write) as beside:
        beside.send(7)
        beside.send(2.5)
    value, pid = (tmp_path / "sum").read_text().split()
    assert value == "4.5"
    assert (int(pid) == os.getpid()) is (carrier == "thread")


def test_its_error_is_raised_at_the_end_of_the_block(carrier):
    def fail(receive):
        raise InputError("No such colour.", "Give another.")

    with pytest.raises(InputError, match="No such colour") as caught, Beside(fail) as beside:
        beside.send(1)  # which nobody takes
    assert caught.value.hint == "Give another."


def test_after_an_error_of_the_block_what_was_begun_is_ended_and_no_value_is_waited_for(carrier, tmp_path):
    def write(receive):
        (tmp_path / "begun").touch()
        (tmp_path / "more").write_text(receive())

    with pytest.raises(ValueError, match="mine"), Beside(write):
        raise ValueError("mine")
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_a_process_that_is_killed_is_said(monkeypatch):
    monkeypatch.setattr(diffuscope.beside, "can_fork", lambda: True)
    with (
        pytest.raises(RunError, match="exit code -9"),
        Beside(lambda _: os.kill(os.getpid(), signal.SIGKILL)),
    ):
        pass


def test_nothing_is_forked_beside_other_threads():
    code = """
    import threading, torch
    from diffuscope.beside import can_fork
    first, stop = can_fork(), threading.Event()
    threading.Thread(target=stop.wait).start()
    print(first, can_fork())
    stop.set()
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    several = sys.platform == "linux" and (os.cpu_count() or 1) > 1
    assert out.stdout.split() == [str(several), "False"]


@pytest.mark.skipif(sys.platform != "linux", reason="a process is forked on Linux only")
def test_it_ends_with_a_parent_that_is_killed(tmp_path):
    code = f"""
    import os, signal, threading
    from diffuscope.beside import Beside
    def draw(receive):
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        receive()
    with Beside(draw):
        while not os.path.exists({str(tmp_path / "pid")!r}):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    pid = int((tmp_path / "pid").read_text())
    ended = threading.Event()
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        ended.wait(0.05)
    else:
        raise AssertionError("It lives on.")


def test_a_process_is_forked_while_a_folder_is_locked(tmp_path):
    code = f"""
    from diffuscope.beside import can_fork
    from diffuscope.files import sole_writer
    with sole_writer({str(tmp_path)!r}):
        print(can_fork())
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == [str(sys.platform == "linux" and (os.cpu_count() or 1) > 1)]
