"""Are the intervals those of statistics, and does the table tell apart only what the seeds tell apart?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from diffuscope.comparison.grid import lay_out
from diffuscope.comparison.table import Comparison, Outcome, mean_interval
from diffuscope.errors import RunError
from diffuscope.metrics import relate
from diffuscope.modalities.reference import Reference


@pytest.fixture
def comparison(tmp_path, points):
    """Make a comparison of 3 numbers of steps over 4 seeds, with the given mean ratio of each cell."""

    def make(ratios):
        grid = lay_out(points, "fast", {"sampling.steps": [5, 10, 20]}, range(4))
        clouds, floors = [np.zeros((200, 2))], [0.09, 0.11, 0.1, 0.1]
        truth = Reference(clouds, np.zeros(2), np.ones(2), None, 0, kept_floors=floors)
        outcomes = []
        for cell in grid.cells:
            ratio = ratios[cell.point][cell.seed]
            result = None
            if ratio is not None:
                result = {
                    "evaluations": float(cell.recipe.sampling.steps),
                    "points": 800,
                    "seconds": 0.5,
                    "train_seconds": 2.0,
                    "distances": [0.1 * ratio - 0.001, 0.1 * ratio + 0.001],
                }
            outcomes.append(
                Outcome(cell, truth, result, None if result else "the process was killed by SIGKILL")
            )
        return Comparison(tmp_path, grid, outcomes)

    return make


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(0).normal(3, 1, 7)
    low, high = stats.t.interval(0.95, 6, values.mean(), stats.sem(values))
    assert mean_interval(values.tolist()) == pytest.approx((values.mean(), low, high))


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        interval = relate(rng.normal(2, 0.1, 6).tolist(), rng.normal(1, 0.1, 64).tolist())
        hits += interval.low <= 2 <= interval.high
    assert 0.935 < hits / 2000 < 0.98


def test_the_best_is_told_apart_by_differences_of_the_same_seeds(comparison):
    # Seeds move both by far more than they differ: the differences are all alike.
    of_seed = np.array([1.0, 2.0, 3.0, 4.0])
    made = comparison(
        [of_seed + np.array([0.21, 0.2, 0.2, 0.21]), of_seed, of_seed + np.array([0.3, -0.3, 0.4, -0.2])]
    )
    assert made.best() == (1, [2])


def test_a_line_has_the_mean_and_the_interval_over_the_seeds(comparison):
    ratios = [[3.0, 3.2, 2.8, 3.1], [2, 2, 2, 2.1], [1.0, None, 1.2, 1.1]]
    made = comparison(ratios)
    lines = made.lines()
    assert lines[0]["ratio"] == pytest.approx(np.mean(ratios[0]))
    low, high = stats.t.interval(0.95, 3, np.mean(ratios[0]), stats.sem(ratios[0]))
    assert (lines[0]["low"], lines[0]["high"]) == pytest.approx((low, high))
    assert (lines[2]["seeds"], lines[2]["ratio"]) == (3, pytest.approx(1.1))
    assert lines[2]["failed"] == [{"seed": 1, "error": "the process was killed by SIGKILL"}]
    assert made.best() == (2, [])
    assert made.summary()["failed"].tolist() == [0, 0, 1]


def test_one_seed_has_the_interval_of_its_measurement(comparison):
    made = comparison([[2.0, None, None, None], [1.0, None, None, None], [1.02, None, None, None]])
    line = made.lines()[0]
    assert line["low"] < 2 < line["high"]
    assert made.best() == (1, [2])


def test_the_table_is_one_line_for_each_cell_with_all_settings(comparison):
    frame = comparison([[3, 3, 3, 3], [2, 2, 2, 2], [1, 1, 1, None]]).frame()
    assert len(frame) == 12
    assert frame["sampling.steps"].tolist() == [5] * 4 + [10] * 4 + [20] * 4
    assert frame["seed"].tolist() == [0, 1, 2, 3] * 3
    assert frame["ratio"].tolist()[:8] == pytest.approx([3] * 4 + [2] * 4)
    assert frame["ratio"].isna().sum() == frame["error"].notna().sum() == 1
    assert frame.columns[-1] == "error"
    assert {"training.learning_rate", "schedule.name", "data.source", "floor", "evaluations"} <= set(frame)


def test_the_picture_shows_quality_over_evaluations_and_the_floor(comparison):
    figure = comparison([[3, 3.1, 3, 3], [2, 2.2, 2, 2], [1.5, 1, 1, 1]]).plot()
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    curve = next(line for line in ax.lines if list(line.get_xdata()) == [5, 10, 20])
    assert list(curve.get_ydata()) == pytest.approx([3.025, 2.05, 1.125])
    assert any(set(line.get_ydata()) == {1} for line in ax.lines)
    assert "floor" in " ".join(text.get_text() for text in ax.texts)


def test_where_everything_failed_there_is_a_table_but_no_picture(comparison, tmp_path):
    made = comparison([[None] * 4] * 3)
    made.outcomes[0] = dataclasses.replace(made.outcomes[0], error="=HYPERLINK(1)")
    (tmp_path / "comparison.png").write_bytes(b"older")
    made.save()
    assert made.best() is None
    assert not (tmp_path / "comparison.png").exists()
    assert (tmp_path / "comparison.csv").read_text().count("SIGKILL") == 11
    assert "'=HYPERLINK(1)" in (tmp_path / "comparison.csv").read_text()  # text, not a formula
    with pytest.raises(RunError, match="every cell failed"):
        made.plot()
