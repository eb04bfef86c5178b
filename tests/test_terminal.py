"""Does a name, a value or a path ever tell a terminal what to do?"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffuscope
from diffuscope.cli import _as_a_line
from diffuscope.terminal import echo, one_line, plain

# What rich draws a progress bar with; anything else that a terminal obeys is foreign.
OWN = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
EVIL = "\x1b]0;owned\x07a\x1b[2J\u202e\x9b31m\x7f"
SHOWN = "\\x1b]0;owned\\x07a\\x1b[2J\\u202e\\x9b31m\\x7f"


def harmless(text):
    """Whether a text has nothing that moves a cursor or turns a line."""
    return not any(
        (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t")
        or unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for c in text
    )


@given(st.text(st.characters()))
def test_no_text_has_a_control_character_once_it_is_plain(text):
    assert harmless(plain(text))
    assert harmless(one_line(text))
    assert "\n" not in one_line(text)
    assert "\t" not in one_line(text)


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S"], include_characters=" \n\t\u00a0\u200d")))
def test_text_of_any_language_stays_as_it_is(text):
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("\x07", "\\x07"),
        ("a\rb", "a\\rb"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("a\u2028b", "a\\u2028b"),
        ("\U000e0041", "\\U000e0041"),
        ("b\udcff\udcfe", "b\\xff\\xfe"),
        ("\ud800", "\\ud800"),
        ("\x00", "\\x00"),
        ("é 中文 👩\u200d🔬", "é 中文 👩\u200d🔬"),
    ],
)
def test_what_is_not_to_be_printed_is_shown_by_its_number(text, shown):
    assert plain(text) == shown
    assert one_line(f"{text}\n{text}") == f"{shown}\\n{shown}"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "gbk"])
def test_a_terminal_of_any_encoding_is_written_to(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    echo("1.07 × floor 中 \udcff")
    said = raw.getvalue().decode(encoding)
    assert said.startswith("1.07 ")
    assert said.rstrip("\n").endswith("\\xff")


@pytest.mark.slow
def test_a_log_in_ascii_gets_every_character(tmp_path, tiny_words):
    words = ["compare", "moons", "--seeds", "2", "--jobs", "1", "--set", "training.steps=5"]
    done = subprocess.run(
        [sys.executable, "-m", "diffuscope", *words, "--set", "data.size=100", "--set", "sampling.steps=2"],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert b"\\xd7 floor" in done.stdout


def at_a_terminal(words, cwd, **more):
    """Run the command line with both outputs on a pseudo-terminal; return its code and the bytes."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "diffuscope", *words],
        stdin=subprocess.DEVNULL,
        stdout=side,
        stderr=side,
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200", **more},
    )
    os.close(side)
    written = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not part:
            break
        written += part
    os.close(main)
    return process.wait(timeout=60), written


def assert_obeys_nothing(written):
    rest = OWN.sub(b"", written).decode("utf-8").replace("\r\n", "\n").replace("\r", "")
    assert harmless(rest), rest


HOSTILE_WORDS = [
    ["train", f"{EVIL}.csv"],
    ["train", EVIL],
    ["train", "s_curve", "--recipe", f"{EVIL}.toml"],
    ["train", "s_curve", "--recipe", EVIL],
    ["train", "s_curve", "--set", f"{EVIL}=1"],
    ["train", "s_curve", "--set", f"width={EVIL}"],
    ["train", "s_curve", "--steps", EVIL],
    ["train", "s_curve", "--schedule", EVIL],
    ["train", "s_curve", f"--{EVIL}"],
    ["sample", EVIL, "-o", "x.csv"],
    ["evaluate", EVIL],
    ["list", EVIL],
    [EVIL],
    ["train", b"\xff\xfe.csv"],
]


@pytest.mark.parametrize("words", HOSTILE_WORDS, ids=lambda words: ascii(words)[:40])
def test_words_of_the_command_line_are_shown(cli, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(*map(os.fsdecode, words))
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert "This is a bug" not in err
    assert harmless(err)


@pytest.mark.slow
@pytest.mark.parametrize("words", HOSTILE_WORDS[5::6], ids=lambda words: ascii(words)[:40])
def test_words_of_the_command_line_are_not_obeyed_by_a_terminal(tmp_path, words):
    code, written = at_a_terminal(words, tmp_path)
    assert code == 2, written
    assert b"Error: " in written
    assert b"This is a bug" not in written
    assert_obeys_nothing(written)


@pytest.fixture(scope="module")
def hostile_table(tmp_path_factory):
    """A table with names and categories that would do harm, trained at a terminal."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            f"x{EVIL}": rng.normal(size=300),
            "[/red]": rng.normal(size=300),
            f"class{EVIL}": rng.choice([f"one{EVIL}", "[bold]two"], 300),
        }
    )
    frame.to_csv(folder / "t.csv", index=False)
    words = ["train", "t.csv", "--no-pictures", "--steps", "20", "--set", "network.width=8"]
    words += ["--set", "data.refine=false"]
    return folder, at_a_terminal([*words, "--set", "sampling.steps=3"], folder)


@pytest.mark.slow
def test_names_in_data_are_shown_and_not_obeyed_when_it_is_trained_on(hostile_table):
    _, (code, written) = hostile_table
    assert code == 0, written
    assert SHOWN.encode() in written
    assert_obeys_nothing(written)


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "runs/t"],
        pytest.param(["evaluate", "runs/t", "--json"], marks=pytest.mark.slow),
        pytest.param(["diagnose", "runs/t"], marks=pytest.mark.slow),
        pytest.param(["diagnose", "runs/t", "--json"], marks=pytest.mark.slow),
        ["sample", "runs/t", "-n", "5", "-o", "x.csv", "--given", f"{EVIL}=1"],
        ["sample", "runs/t", "-n", "5", "-o", "y.csv", "--given", f"class{EVIL}={EVIL}"],
        ["sample", "runs/t", "-n", "5", "-o", f"{EVIL.replace('/', '')}.csv"],
        ["impute", "runs/t", "t.csv", "-o", "z.csv", "--only", EVIL],
        ["train", "--resume", "--out", "runs/t"],
    ],
    ids=lambda words: ascii(words)[:40],
)
@pytest.mark.usefixtures("little")
def test_names_in_a_run_are_shown_and_not_obeyed(hostile_table, cli, monkeypatch, words):
    folder, _ = hostile_table
    monkeypatch.chdir(folder)
    code, out, err = cli(*words)
    assert code in (0, 2), err
    assert "This is a bug" not in err
    assert harmless(out)
    assert harmless(err)
    if "--json" in words:
        json.loads(out)


@pytest.mark.slow
def test_names_in_an_evaluation_are_not_obeyed_by_a_terminal(hostile_table):
    folder, _ = hostile_table
    code, written = at_a_terminal(["evaluate", "runs/t"], folder)
    assert code == 0, written
    assert SHOWN[:8].encode() in written
    assert_obeys_nothing(written)


def test_warnings_are_lines_that_are_not_obeyed(capsys):
    line = _as_a_line(f"a{EVIL}\nError: not one", UserWarning, "x.py", 1)
    assert line == f"Warning: a{SHOWN}\\nError: not one\n"
    assert warnings.formatwarning is not _as_a_line


@pytest.mark.slow
def test_a_traceback_of_debug_is_not_obeyed_either(tmp_path):
    code, written = at_a_terminal(["train", f"{EVIL}.csv", "--debug"], tmp_path)
    assert code == 1
    assert b"Traceback" in written
    assert_obeys_nothing(written)


def test_nothing_in_the_package_prints_but_what_makes_it_harmless():
    folder = Path(diffuscope.__file__).parent
    allowed = {
        "terminal.py": "the one place",
        "comparison/worker.py": "answers to the pool, as JSON",
        "translations/extract.py": "texts of the source, to those who translate them",
    }
    for path in folder.rglob("*.py"):
        text, name = path.read_text("utf-8"), str(path.relative_to(folder))
        found = re.findall(r"(?<![\w.])print\(|typer\.echo\(|sys\.std(?:out|err)\.write\(|stderr=True", text)
        if name == "progress.py":  # rich draws the bars, of texts that are plain
            continue
        assert name in allowed or not found, f"{name}: {found}"
