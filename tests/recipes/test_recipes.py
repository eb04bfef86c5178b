"""Is a recipe complete, faithful as text, and clear about what is wrong with it?"""

from __future__ import annotations

import datetime
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffuscope.diffusion.samplers import DDPM, make_sampler
from diffuscope.errors import FormatError, InputError
from diffuscope.recipes import RECIPES, Recipe, load_recipe, read_recipe
from diffuscope.recipes.schema import parse_recipe

FAST, ARTICLE = load_recipe("fast"), load_recipe("article")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_that_ships_is_valid_bears_its_name_and_makes_its_parts(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description.endswith(".")
    shape = (1, 28, 28) if recipe.data.kind == "images" else (2,)
    denoiser = recipe.make_denoiser(shape)
    x = torch.randn(5, *shape)
    grid = denoiser.schedule.grid(recipe.sampling.steps, recipe.sampling.spacing, recipe.sampling.rho)
    assert denoiser(x, grid.levels.at(0)).shape == x.shape
    recipe.loss.make()
    recipe.times.make().draw(denoiser.schedule, 1, 8, torch.Generator())


def test_the_article_has_the_articles_numbers():
    schedule = ARTICLE.schedule.make()
    torch.testing.assert_close(schedule.beta, torch.linspace(1e-5, 0.5e-2, 100, dtype=torch.float64))
    assert ARTICLE.data.size == 10_000
    assert (ARTICLE.data.scaling, ARTICLE.data.divisor) == ("divide", 10.0)
    assert (ARTICLE.network.name, ARTICLE.network.settings) == ("article_mlp", {"width": 128})
    assert ARTICLE.denoiser.prediction == "noise"
    assert (ARTICLE.loss.distance, ARTICLE.loss.weighting) == ("l2", "none")
    assert ARTICLE.times.kind == "antithetic"
    training = ARTICLE.training
    assert (training.epochs, training.steps, training.batch_size) == (5000, None, 128)
    assert (training.batches, training.learning_rate, training.clip_norm) == ("shuffled", 5e-4, 1.0)
    assert training.betas == (0.9, 0.999)
    assert (training.warmup, training.decay, training.ema_decay) == (0.0, "none", 0.0)
    assert make_sampler(ARTICLE.sampling.name, **ARTICLE.sampling.settings) == DDPM(variance="beta")
    assert (ARTICLE.sampling.steps, ARTICLE.sampling.spacing) == (100, "uniform")


def test_the_articles_network_has_its_shapes():
    shapes = {k: tuple(v.shape) for k, v in ARTICLE.make_denoiser(2).network.state_dict().items()}
    assert shapes["linears.0.weight"] == (128, 2)
    assert shapes["linears.6.weight"] == (2, 128)
    assert all(shapes[f"step_embeddings.{i}.weight"] == (100, 128) for i in range(3))
    assert len(shapes) == 11


CHANGES = {
    "seed": st.integers(0, 2**32 - 1),
    "description": st.text(st.characters(blacklist_categories=["Cs"]), max_size=40),
    "data.scaling": st.sampled_from(["standard", "divide", "none"]),
    "data.divisor": st.floats(1e-6, 1e6),
    "data.source": st.none() | st.text("abcäö 字/\\\"'.\n", max_size=20),
    "data.noise": st.none() | st.floats(0, 10),
    "schedule.name": st.sampled_from(["edm", "vp", "flow", "continuous_cosine", "linear", "cosine"]),
    "network.width": st.integers(1, 4096),
    "training.epochs": st.integers(1, 10**6),
    "training.learning_rate": st.floats(1e-9, 1.0),
    "training.betas": st.tuples(st.floats(0, 0.99), st.floats(0, 0.9999)),
    "training.clip_norm": st.none() | st.floats(1e-3, 10),
    "training.ema_decay": st.floats(0, 0.9999),
    "sampling.name": st.sampled_from(["ddpm", "ddim", "heun", "unipc", "dpmpp_2m_sde"]),
    "sampling.steps": st.integers(1, 1000),
    "sampling.guidance_interval": st.sampled_from([[0.0, math.inf], [0.3, 3.0], [0.2, math.inf]]),
    "pictures.row_every": st.none() | st.integers(1, 100),
}


@given(st.fixed_dictionaries({}, optional=CHANGES))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_recipe_written_and_read_is_the_same(changes):
    recipe = FAST.changed(changes)
    again = parse_recipe(recipe.to_toml(), "text")
    assert again == recipe
    assert again.to_toml() == recipe.to_toml()
    for key in changes.keys() & {"seed", "description"}:
        assert getattr(again, key) == changes[key]


def test_a_recipe_as_text_is_complete():
    text = FAST.to_toml()
    for key in (
        "sigma_min",
        "width",
        "betas",
        "checkpoint_every",
        "stochastic",
        "rho",
        "stratified",
        "forward_ms",
    ):
        assert f"\n{key} = " in text


def test_changing_nothing_changes_nothing():
    for recipe in (FAST, ARTICLE):
        assert recipe.changed({}) == recipe


def test_a_changed_recipe_leaves_the_old_one_as_it_was():
    before = FAST.to_toml()
    FAST.changed({"network.width": 7, "seed": 3, "schedule.name": "vp"})
    assert FAST.to_toml() == before


def test_epochs_and_steps_unset_each_other():
    by_epochs = FAST.changed({"training.epochs": 3})
    assert (by_epochs.training.epochs, by_epochs.training.steps) == (3, None)
    by_steps = by_epochs.changed({"training.steps": 5})
    assert (by_steps.training.epochs, by_steps.training.steps) == (None, 5)


@pytest.mark.parametrize(
    ("section", "name", "settings"),
    [
        ("schedule", "vp", {"beta_min": 0.1, "beta_max": 20.0, "t_min": 1e-3, "t_max": 1.0}),
        ("network", "article_mlp", {"width": 128}),
        ("sampling", "ddim", {"eta": 0.0}),
    ],
)
def test_another_part_comes_with_its_own_defaults(section, name, settings):
    base = FAST.changed({"schedule.name": "linear"}) if section == "network" else FAST
    changed = getattr(base.changed({f"{section}.name": name}), section)
    assert changed.settings == settings
    if section == "sampling":
        assert changed.steps == FAST.sampling.steps


def test_the_same_name_keeps_the_settings():
    changed = FAST.changed({"network.width": 7}).changed({"network.name": "resmlp"})
    assert changed.network.settings["width"] == 7


def test_a_part_and_its_setting_can_be_changed_together():
    for changes in (("sampling.name", "sampling.eta"), ("sampling.eta", "sampling.name")):  # in any order
        values = {"sampling.name": "ddim", "sampling.eta": 0.5}
        changed = FAST.changed({key: values[key] for key in changes})
        assert changed.sampling.settings == {"eta": 0.5}


def test_a_part_handed_over_takes_no_settings():
    with pytest.raises(InputError, match="width cannot be set: the network is a custom"):
        FAST.changed({"network.name": "custom", "network.width": 8})


WRONG = [
    ({"training.lerning_rate": 1}, "training.lerning_rate", "learning_rate"),
    ({"training.learning_rate": "fast"}, "training.learning_rate", None),
    ({"training.learning_rate": 0}, "training.learning_rate", None),
    ({"training.learning_rate": float("inf")}, "training.learning_rate", None),
    ({"training.batch_size": 0}, "training.batch_size", None),
    ({"training.batch_size": 10**12}, "training.batch_size", None),
    ({"training.batches": "suffled"}, "training.batches", None),
    ({"training.epochs": 0}, "training.epochs", None),
    ({"training.epochs": 1.5}, "training.epochs", None),
    ({"training.steps": -4}, "training.steps", None),
    ({"training.steps": None}, "exactly one of", None),
    ({"training.betas": [0.9, 1.0]}, "training.betas.1", None),
    ({"training.betas": [0.9]}, "training.betas", None),
    ({"training.ema_decay": 1.0}, "training.ema_decay", None),
    ({"training.epochs.x": 1}, "training.epochs.x", None),
    ({"training": 5}, "training", None),
    ({"trainin.steps": 5}, "trainin", "training"),
    ({"trainin.name": "x"}, "trainin", "training"),
    ({"name.x": 1}, "name.x", None),
    ({"sead": 1}, "sead", "seed"),
    ({"seed": -1}, "seed", None),
    ({"schedule.name": "lineer"}, "schedule named 'lineer'", "linear"),
    ({"schedule.sigma_maks": 3}, "sigma_maks", "sigma_max"),
    ({"schedule.sigma_max": "big"}, "sigma_max = 'big'", "80"),
    ({"schedule.sigma_max": [1, 2]}, "sigma_max = [1, 2]", None),
    ({"schedule.sigma_max": float("nan")}, "sigma_max", None),
    ({"schedule.sigma_max": 1e-9}, "sigma_m", None),
    ({"schedule.name": "linear", "schedule.T": 0}, "T = 0", None),
    ({"schedule.name": "linear", "schedule.T": 10**10}, "T = 10,000,000,000", "100,000"),
    ({"schedule.name": "linear", "schedule.T": 1.5}, "T = 1.5", None),
    ({"schedule.name": "linear", "schedule.end": 1.5}, "beta", None),
    ({"schedule.name": "linear", "schedule.start": -0.1}, "beta", None),
    ({"schedule.name": "quadratic", "schedule.end": -0.1}, "end = -0.1", None),
    ({"schedule.name": "cosine", "schedule.end": 1.0}, "end", None),
    ({"schedule.name": "vp", "schedule.beta_min": -1.0}, "beta_min", None),
    ({"network.name": "resnet"}, "network named 'resnet'", "resmlp"),
    ({"network.name": "article_mlp"}, "needs a discrete schedule", "resmlp"),
    ({"network.widht": 3}, "widht", "width"),
    ({"network.width": 0}, "width = 0", None),
    ({"network.width": 10**9}, "width = 1,000,000,000", None),
    ({"network.depth": 10**9}, "depth = 1,000,000,000", None),
    ({"network.width": "wide"}, "width = 'wide'", None),
    ({"network.width": datetime.date(2020, 1, 1)}, "width", None),
    ({"network.dimension": 3}, "dimension", None),
    ({"denoiser.prediction": "nois"}, "denoiser.prediction", None),
    ({"loss.distance": "l3"}, "loss.distance", None),
    ({"times.mean": float("nan")}, "times.mean", None),
    ({"sampling.name": "hein"}, "sampler named 'hein'", "heun"),
    ({"sampling.steps": 0}, "sampling.steps", None),
    ({"sampling.steps": 10**12}, "sampling.steps", None),
    ({"sampling.guidance_interval": [5.0, 0.2]}, "[5, 0.2] is not valid", "the smaller first"),
    ({"sampling.guidance_interval": [-1.0, 2.0]}, "sampling.guidance_interval", None),
    ({"sampling.guidance_interval": 3.0}, "sampling.guidance_interval", None),
    ({"sampling.spacing": "karas"}, "sampling.spacing", None),
    ({"sampling.name": "ddim", "sampling.eta": "high"}, "eta = 'high'", "0.0"),
    ({"sampling.name": "ddim", "sampling.ets": 1}, "ets", "eta"),
    ({"sampling.name": "ddpm", "sampling.variance": "bta"}, "variance", None),
    ({"sampling.name": "unipc", "sampling.order": 9}, "order", None),
    ({"schedule.name": "linear", "schedule.T": 10}, "40 steps", "10"),
    ({"pictures.forward": "half"}, "pictures.forward", None),
]


@pytest.mark.parametrize(("changes", "place", "hint"), WRONG, ids=[str(changes) for changes, *_ in WRONG])
def test_a_wrong_setting_is_named_with_its_place_and_the_nearest(changes, place, hint):
    with pytest.raises(InputError) as error:
        FAST.changed({"sampling.steps": 40, **changes})
    assert place in error.value.what
    assert error.value.exit_code == 2
    if hint:
        assert hint in (error.value.hint or "")


def test_a_missing_section_is_named():
    with pytest.raises(InputError, match="schedule is missing") as error:
        parse_recipe('name = "x"', "some.toml")
    assert error.value.what.startswith("some.toml")
    assert "recipe.toml" in error.value.hint


def test_text_that_is_not_toml_is_said_with_its_line(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("name = \n")
    with pytest.raises(FormatError, match=r"mine\.toml is not valid TOML.*line 1"):
        read_recipe(path)


def test_a_recipe_file_that_is_not_there_or_not_text_is_said(tmp_path):
    with pytest.raises(InputError, match="no recipe file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not a text file"):
        load_recipe(tmp_path / "binary.toml")
    with pytest.raises(InputError, match="Cannot read the recipe file"):
        load_recipe(tmp_path)


def test_an_unknown_recipe_gets_the_nearest_name():
    with pytest.raises(InputError, match="Did you mean 'article'"):
        load_recipe("artikel")


def test_a_recipe_itself_passes_through():
    assert load_recipe(FAST) is FAST
    assert isinstance(FAST, Recipe)


@pytest.mark.parametrize("part", ["network", "schedule"])
def test_a_part_handed_over_is_asked_for_again(part):
    recipe = FAST.changed({f"{part}.name": "custom"})
    with pytest.raises(InputError, match=f"The {part} of this recipe is a custom Python object") as error:
        recipe.make_denoiser(2)
    assert f"{part}=..." in error.value.hint


def test_a_loss_handed_over_is_asked_for_again():
    with pytest.raises(InputError, match="loss of this recipe"):
        FAST.changed({"loss.distance": "custom"}).loss.make()


def test_an_unknown_key_within_a_setting_is_said(tmp_path):
    text = load_recipe("table").to_toml().replace("columns = []\n", "")
    text += '\n[[data.columns]]\nname = "a"\nkind = "number"\nnonsense = 1\n'
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(InputError, match=r"no setting data\.columns\.0\.nonsense"):
        read_recipe(tmp_path / "r.toml")
