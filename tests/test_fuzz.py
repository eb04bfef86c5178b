"""Does anything but a clean refusal come of files that are damaged, or meant to harm?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


@pytest.mark.parametrize("mutations", [60, pytest.param(5_000, marks=pytest.mark.slow)])
def test_changed_files_are_read_or_refused_and_nothing_else(mutations):
    # In a process of its own, whose memory is limited.
    found = subprocess.run(
        [sys.executable, str(FUZZ), "--mutations", str(mutations), "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    rows = [line.split() for line in found.stdout.splitlines()[1:11]]
    assert all(row[-1] == "0" for row in rows)
    assert all(int(row[-3]) >= mutations // 50 for row in rows)  # of every kind some are refused
    assert "written elsewhere: 0" in found.stdout
