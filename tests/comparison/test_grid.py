"""Is every combination laid out, each training once, and what cannot be refused beforehand?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffuscope.comparison.grid import cell_digest, lay_out, settings_of
from diffuscope.errors import InputError
from diffuscope.recipes import load_recipe


def test_the_grid_is_the_product_of_axes_and_seeds(points):
    axes = {
        "schedule.name": ["linear", "cosine"],
        "sampling.name": ["ddim", "heun"],
        "sampling.steps": [5, 10],
    }
    grid = lay_out(points, "fast", axes, [0, 1, 2])
    assert [tuple(point.values()) for point in grid.points] == [
        (schedule, sampler, steps)
        for schedule in ("linear", "cosine")
        for sampler in ("ddim", "heun")
        for steps in (5, 10)
    ]
    assert len(grid.cells) == 8 * 3
    assert len(grid.trainings) == 2 * 3
    for cell in grid.cells:
        recipe, point = settings_of(cell.recipe), grid.points[cell.point]
        assert {key: recipe[key] for key in axes} == point
        trained = settings_of(cell.training.recipe)
        assert trained["schedule.name"] == point["schedule.name"]
        assert trained["seed"] == recipe["seed"] == cell.seed


def test_only_what_a_result_depends_on_tells_trainings_apart(points):
    def training(changes=None, data=points, base="fast"):
        return lay_out(data, base, changes or {}, [0]).trainings[0].digest

    assert training() == training({"sampling.steps": 3}) == training(data=points.copy())
    described = load_recipe("fast").model_copy(update={"description": "another one", "name": "mine"})
    assert training() == training(base=described)
    for change in ({"training.learning_rate": 0.02}, {"network.width": 7}, {"times.stratified": False}):
        assert training(change) != training()
    assert training(data=points + 1) != training()
    assert training(data="moons") != training(data="circles")


def test_only_what_a_result_depends_on_tells_cells_apart(points):
    cells = lay_out(points, "fast", {"sampling.steps": [3, 4]}, [0]).cells
    assert cell_digest(cells[0], "a") != cell_digest(cells[1], "a")
    assert cell_digest(cells[0], "a") != cell_digest(cells[0], "b")
    assert cell_digest(cells[0], "a") == cell_digest(
        lay_out(points, "fast", {"sampling.steps": 3}, [0]).cells[0], "a"
    )


def test_recipes_are_an_axis_by_name_and_by_file(tmp_path, points):
    path = tmp_path / "own.toml"
    path.write_text(load_recipe("fast").changed({"network.width": 9}).to_toml())
    grid = lay_out(points, "fast", {"recipe": ["article", str(path)]}, [0])
    assert [cell.recipe.network.name for cell in grid.cells] == ["article_mlp", "resmlp"]
    assert [point["recipe"] for point in grid.points] == ["article", str(path)]


def test_built_in_sets_are_drawn_anew_for_each_seed_and_own_points_stay(points):
    drawn = lay_out("moons", "fast", {"data.size": 50}, [0, 1]).trainings
    assert not np.array_equal(drawn[0].data.x, drawn[1].data.x)
    own = lay_out(points, "fast", {}, [0, 1]).trainings
    assert own[0].data is own[1].data


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"sampling.name": ["ddim", "nope"]}, ["nope", "ddim"]),
        ({"sampling.steps": []}, ['{"sampling.steps": [V1, V2]}', "--sampling-steps V1,V2"]),
        ({"sampling.steps": [5, 5]}, ["5 twice"]),
        ({"sampling.steps": [0]}, ["greater than or equal to 1"]),
        ({"schedule.name": [" "]}, ["empty value", "--schedule V1"]),
        ({"nothing.here": [1]}, ["nothing", "--set nothing.here"]),
        ({"seed": [0, 1]}, ["--seeds"]),
        ({"data.source": ["a", "b"]}, ["one data set"]),
        ({"description": ["a", "b"]}, ["has no effect"]),
        ({"network.name": ["custom"]}, ["registry"]),
        ({"recipe": ["nope"]}, ["nope"]),
    ],
)
def test_what_cannot_be_compared_is_refused_beforehand(points, axes, words):
    with pytest.raises(InputError) as error:
        lay_out(points, "fast", axes, [0])
    for word in words:
        assert word in f"{error.value}\n{error.value.hint}"


def test_combinations_that_cannot_be_are_named_or_left_out(points):
    axes = {"schedule.name": ["edm", "linear"], "schedule.sigma_max": [10.0, 20.0]}
    with pytest.raises(
        InputError, match=r"(?s)schedule\.name = linear, schedule\.sigma_max = 10\.0.*skip_invalid=True"
    ):
        lay_out(points, "fast", axes, [0])
    grid = lay_out(points, "fast", axes, [0], skip_invalid=True)
    assert [point["schedule.name"] for point in grid.points] == ["edm", "edm"]
    assert len(grid.left_out) == 2
    with pytest.raises(InputError, match="No combination of the axes is valid"):
        lay_out(
            points, "fast", {"schedule.name": ["linear"], "schedule.sigma_max": [1.0]}, [0], skip_invalid=True
        )


def test_every_own_file_is_read_before_anything_is_trained():
    with pytest.raises(InputError):
        lay_out(str(Path("no") / "such.csv"), "fast", {}, [0])
