"""Is it said how far a command is, wherever it runs?"""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

import diffuscope
from diffuscope import progress
from diffuscope.progress import Bar, Reporter, lines_without_terminal


@pytest.fixture
def often(monkeypatch):
    """Have lines printed every 20 ms."""
    monkeypatch.setattr(progress, "_FIRST", 0.02)
    monkeypatch.setattr(progress, "_EVERY", 0.02)


@pytest.mark.usefixtures("often")
def test_a_log_file_gets_a_line_every_so_often(capsys):
    with lines_without_terminal(), Reporter().bar("training", 1000, "steps") as bar:
        for done in range(0, 1000, 100):
            bar.update(done, f"loss 0.{done}")
            time.sleep(0.02)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    for line in lines:
        assert re.fullmatch(
            r"training: [\d,]+ of 1,000 steps(, loss 0\.\d+)?(, [\d,]+ steps/s, \d+ s left)?", line
        ), line


@pytest.mark.usefixtures("often")
def test_a_stage_that_takes_long_says_so(capsys):
    with lines_without_terminal(), Reporter().stage("measuring\x1b[2J"):
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert set(lines) == {"measuring\\x1b[2J, 0 s so far"}


@pytest.mark.usefixtures("often")
def test_from_python_nothing_is_printed_without_a_terminal(capsys):
    for reporter in (Reporter(), Reporter(False)):
        with reporter.bar("training", 10, "steps") as bar, reporter.stage("drawing"):
            bar.update(5)
            time.sleep(0.05)
    with lines_without_terminal(), Reporter(False).stage("drawing"):
        time.sleep(0.05)
    assert capsys.readouterr() == ("", "")


def test_what_is_short_is_done_in_silence(capsys):
    with lines_without_terminal(), Reporter().bar("training", 10, "steps") as bar:
        bar.update(10)
    assert capsys.readouterr() == ("", "")


def test_no_line_is_printed_after_the_end_or_after_an_error(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_FIRST", 0.05)
    with pytest.raises(ValueError, match="no"), lines_without_terminal(), Reporter().stage("drawing"):
        raise ValueError("no")
    time.sleep(0.1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "said"), [(3, "3 s"), (89, "89 s"), (600, "10 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_a_duration_is_said_in_its_unit(seconds, said):
    assert progress._left(seconds) == f"{said} left"
    assert progress._so_far(seconds) == f"{said} so far"


def test_a_line_of_progress_is_chinese():
    bar = Bar(None, "training", 500, "steps", 0)
    bar._begun -= 39.2
    bar.update(78, "loss 0.57")
    diffuscope.set_language("zh")
    try:
        assert bar.line() == "训练：78 / 500 步，损失 0.57，2 步/秒，还需 4 分钟"
    finally:
        diffuscope.set_language(None)


def test_what_is_left_follows_from_what_was_done_here(monkeypatch):
    clock = iter([0.0, 60.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    bar = Bar(None, "training", 2500, "steps", 500)  # resumed
    bar.update(1500)
    assert bar.line() == "training: 1,500 of 2,500 steps, 17 steps/s, 60 s left"


@pytest.mark.parametrize("what", ["[/red]", "[bold]", "\x1b[2J", "a\nb"])
def test_what_looks_like_markup_is_shown_as_it_is(what, capsys):
    reporter = Reporter(True)
    with reporter.bar(what, 3, "rows") as bar:
        bar.update(1, what)
    with reporter.stage(what):
        pass
    reporter.say(f"read {what}")
    err = capsys.readouterr().err
    assert "\x1b[2J" not in err
    assert "read" in err


@pytest.mark.slow
def test_the_command_line_tells_a_log_file_how_far_a_training_is(tmp_path, tiny_words):
    program = (
        "import sys\nfrom diffuscope import progress\nprogress._FIRST = progress._EVERY = 0.2\n"
        "from diffuscope.cli import main\nmain(sys.argv[1:])\n"
    )
    (tmp_path / "run.py").write_text(program)

    words = ["train", "s_curve", *tiny_words, "--steps", "4000", "--out", "run"]
    done = subprocess.run(
        [sys.executable, "run.py", *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^training: [\d,]+ of 4,000 steps", done.stderr, re.MULTILINE), done.stderr
