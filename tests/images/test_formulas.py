"""Are classes with the names of formulas said, and made text, in the list beside a folder of images?"""

from __future__ import annotations

import csv

import numpy as np
import pytest

from diffuscope.data.images import ImageWriter


@pytest.mark.parametrize("safe", [False, True])
def test_names_of_classes_that_are_formulas_are_said_and_made_text(tmp_path, safe):
    images = np.zeros((3, 1, 8, 8), np.uint8)
    writer = ImageWriter(tmp_path / "x", 3, [0, 1, 1], ["plain", "=cmd"])
    writer.formulas.safe = safe
    with writer:
        writer.append(images)
    with (tmp_path / "x" / "metadata.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[2] for row in rows[1:]] == ["plain", *["'=cmd" if safe else "=cmd"] * 2]
    (note,) = writer.notes()
    assert note.startswith("2 cells of 'class' would be run as formulas")


def test_other_classes_are_written_without_a_word(tmp_path):
    with ImageWriter(tmp_path / "x", 2, [0, 1], ["cat", "dog"]) as writer:
        writer.append(np.zeros((2, 1, 8, 8), np.uint8))
    assert writer.notes() == []
