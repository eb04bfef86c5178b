"""Are the numbers that the page's engine is tested with those of the package?"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("vectors.py")


def program() -> Any:
    spec = importlib.util.spec_from_file_location("vectors", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare(kept: Any, fresh: Any, place: str) -> None:
    """Numbers agree to 1e-5 of 1, or of the largest of their list; all else is equal."""
    if isinstance(fresh, dict):
        assert set(kept) == set(fresh), place
        for name, value in fresh.items():
            compare(kept[name], value, f"{place}.{name}")
    elif isinstance(fresh, list) and fresh and all(isinstance(v, int | float | None) for v in fresh):
        scale = max(1.0, *(abs(v) for v in fresh if v is not None)) if any(fresh) else 1.0
        assert [v is None for v in kept] == [v is None for v in fresh], place
        pairs = [(a, b) for a, b in zip(kept, fresh, strict=True) if b is not None]
        assert max((abs(a - b) for a, b in pairs), default=0.0) <= 1e-5 * scale, place
    elif isinstance(fresh, list):
        assert len(kept) == len(fresh), place
        for i, (a, b) in enumerate(zip(kept, fresh, strict=True)):
            compare(a, b, f"{place}[{i}]")
    elif isinstance(fresh, float):
        assert kept == pytest.approx(fresh, rel=1e-5), place
    else:
        assert kept == fresh, place


def test_the_vectors_of_the_page_are_what_the_package_computes():
    made = program()
    kept = json.loads(made.FILE.read_text("utf-8"))
    compare(kept, json.loads(json.dumps(made.vectors())), "vectors")
