"""Does all that the pages on trainings and on diagnoses show run, and do they name what there is?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diffuscope.diagnosis.dictionary import QUANTITIES
from diffuscope.monitoring import alarms, floor_bounds, looks, monitor, reported

ROOT = Path(__file__).parents[1]
OWN = ROOT / "docs" / "en" / "own"
PAGE, DIAGNOSIS = ((OWN / f"{name}.md").read_text("utf-8") for name in ("monitor", "diagnosis"))
IN_CHINESE = (ROOT / "docs" / "zh" / "own" / "monitor.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(looks, "_CLOUD", 100)
    monkeypatch.setattr(floor_bounds, "_WORK", 1e9)
    names: dict[str, object] = {}
    for language, text in BLOCK.findall(PAGE):
        assert language in ("python", "text")
        if language == "python":
            exec(compile(text, "monitor.md", "exec"), names)
    told = capsys.readouterr().out
    assert "A perfect network reports a loss of 0.185" in told
    assert "bounds" in told
    assert "above the floor" in told


@pytest.mark.parametrize("module", [alarms, monitor, reported], ids=lambda module: module.__name__)
def test_every_warning_has_its_line(module):
    codes = re.findall(r'Alarm\(\s*"(\w+)"', Path(module.__file__).read_text("utf-8"))
    assert codes
    for page in (PAGE, IN_CHINESE):
        rows = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
        assert all(f"`{code}`" in rows for code in codes)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_page_on_diagnoses_runs(capsys):
    names: dict[str, object] = {}
    for language, text in BLOCK.findall(DIAGNOSIS):
        if language == "python":
            exec(compile(text, "diagnosis.md", "exec"), names)
    assert names["diagnosis"].findings[0].title in capsys.readouterr().out


def test_the_page_on_diagnoses_names_every_quantity():
    row = next(line for line in DIAGNOSIS.splitlines() if line.startswith("| how the network is read"))
    for quantity in QUANTITIES:
        assert {"edm": "EDM"}.get(quantity, quantity) in row
