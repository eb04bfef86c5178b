"""Is ``benchmarks/gpu.py`` ready for a GPU? It says where there is none, and all its parts run on a CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import gpu


def test_without_a_gpu_it_says_so_and_ends_with_2(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 2
    assert capsys.readouterr().err == "no CUDA device\n"


def test_the_gpu_works_where_any_of_its_kernels_runs():
    assert gpu.covered([(0, 2), (1, 3), (1, 2), (5, 6)]) == 4
    assert gpu.covered([]) == 0


def test_a_part_that_fails_does_not_stop_the_others(monkeypatch, capsys):
    def broken(on):
        yield gpu.Line("one", "1")
        raise RuntimeError("out of memory")

    def whole(on):
        yield gpu.Line("two", "2")

    monkeypatch.setattr(gpu, "PARTS", (broken, whole))
    kept = []
    lines, well = gpu.measured(gpu.Measured(torch.device("cpu"), True), lambda lines: kept.append(len(lines)))
    assert not well
    assert [line.what for line in lines if "in all" not in line.what] == ["one", "broken", "two"]
    assert kept == [3, 5]
    assert "out of memory" in capsys.readouterr().err


@pytest.mark.slow
def test_all_parts_run_on_a_cpu(monkeypatch, tmp_path, capsys):
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick", "--out", str(out)])
    assert gpu.main() == 0, capsys.readouterr().err
    found = json.loads(out.read_text())
    done = [line["what"] for line in found["lines"] if line["what"].endswith(", in all*")]
    assert done == [f"*{part.__name__}, in all*" for part in gpu.PARTS]
    assert not any("failed" in line["value"] for line in found["lines"])
