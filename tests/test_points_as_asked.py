"""Is another answer than was asked for ever given for points: by scales, far values, labels, settings?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffuscope
from diffuscope.data.conditions import Classes, classes_of
from diffuscope.data.points import load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.data.spread import brought_in, centre_and_scale, far_out, limits
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.samplers import make_sampler
from diffuscope.errors import InputError
from diffuscope.modalities.points.modality import POINTS
from diffuscope.modalities.reference import draw_reference

FAST = {
    "network.width": 32,
    "network.depth": 2,
    "training.steps": 300,
    "training.batch_size": 128,
    "sampling.steps": 8,
}


@pytest.fixture
def train(tmp_path):
    """Train on points, and return the run and what was announced."""

    def do(data, name="run", **options):
        said: list[str] = []
        run = diffuscope.train(
            data,
            out=tmp_path / name,
            settings={**FAST, **options.pop("settings", {})},
            pictures=False,
            progress=False,
            announce=said.extend,
            **options,
        )
        return run, " ".join(said)

    return do


def normal(n=1000, d=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# --- robust units -----------------------------------------------------------------------------------------


@given(
    st.integers(0, 2**31), st.integers(20, 500), st.sampled_from(["normal", "uniform", "logistic", "laplace"])
)
@settings(max_examples=60, deadline=None)
def test_without_values_far_out_the_units_are_mean_and_deviation_to_the_last_bit(seed, n, law):
    x = getattr(np.random.default_rng(seed), law)(size=(n, 3)) * [1, 1000, 1e-6] + [0, 5, 0]
    middle, scale = centre_and_scale(x)
    assert np.array_equal(brought_in(x), x)
    assert np.array_equal(middle, x.mean(axis=0))
    assert np.array_equal(scale, x.std(axis=0))
    assert far_out(x) == ()


@given(st.integers(0, 2**31), st.integers(100, 500), st.floats(1e3, 1e140), st.booleans())
@settings(max_examples=60, deadline=None)
def test_one_value_far_out_leaves_the_scale_as_it_is(seed, n, value, negative):
    x = np.random.default_rng(seed).normal(size=(n, 2))
    spoilt = x.copy()
    spoilt[n // 2, 1] = -value if negative else value
    _, scale = centre_and_scale(spoilt)
    np.testing.assert_allclose(scale[0], x[:, 0].std(), rtol=1e-12)
    assert 0.8 < scale[1] / x[:, 1].std() < 4
    (said,) = far_out(spoilt, ("a", "b"))
    assert "'b'" in said
    assert f"row {n // 2}" in said


@pytest.mark.parametrize("power", [-250, -100, -30, 0, 30, 39, 100, 148])
def test_units_are_those_of_the_data_at_any_size(power):
    x, size = normal(), 10.0**power
    middle, scale = centre_and_scale(x * size)
    np.testing.assert_allclose(scale / size, x.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(middle / size, x.mean(axis=0), rtol=1e-9, atol=1e-12)
    codec = PointsCodec.fit(x * size)
    back = codec.decode(codec.encode(x * size))
    assert np.isfinite(back).all()
    np.testing.assert_allclose(back / size, x, rtol=1e-5, atol=1e-6)


def test_heavy_tails_and_rare_values_are_not_far_out():
    random = np.random.default_rng(0)
    rare = (random.random(2000) < 0.03).astype(float)
    zeros = np.where(random.random(2000) < 0.74, 0.0, random.lognormal(1, 1, 2000))
    x = np.column_stack([random.standard_t(3, 2000), rare, zeros, random.integers(0, 2, 2000)])
    assert far_out(x) == ()
    assert np.isinf(limits(np.zeros((50, 1)))[1]).all()


def test_a_column_far_too_large_does_not_hide_another_one(train):
    def points(n, rng):
        return rng.normal(size=(n, 2)) * [1000, 1]

    run, _ = train(points)
    reference = POINTS.reference(run.data, run.model.codec, None, 0)
    samples = np.asarray(run.sample(reference.samples), dtype=np.float64)
    good = float(reference.ratio(reference.clouds(samples)))
    samples[:, 1] = 0.0
    assert float(reference.ratio(reference.clouds(samples))) > max(2.5, 2 * good)


def test_built_in_sets_are_measured_in_their_own_units():
    data = load_dataset("s_curve", size=500)
    reference = POINTS.reference(data, PointsCodec.fit(data.x))
    assert (reference.unit == 1).all()


def test_a_row_far_out_is_named_left_out_and_spoils_nothing(train):
    x = normal()
    x[17, 0] = 999_999
    run, said = train(x)
    assert "column 0: 999999 in row 17" in said
    assert "1 row is left out" in said
    assert len(run.data.x) == 999
    samples = run.sample(2000)
    assert np.abs(samples).max() < 6
    assert 0.6 < samples.std() < 1.3
    assert run.quality.low > 0.4


def test_a_far_row_is_named_by_its_column_and_loses_its_label(train):
    frame = pd.DataFrame(normal(), columns=["height", "weight"])
    frame.iloc[5, 1] = -1e9
    frame["kind"] = np.where(frame["height"] > 0, "tall", "small")
    run, said = train(frame, recipe="fast", target="kind")
    assert "'weight': -1e+09 in row 5" in said
    assert len(run.data.labels) == len(run.data.x) == 999


def test_held_out_rows_far_out_are_said_and_spoil_nothing(train, little, tmp_path):
    run, _ = train(normal())
    unseen = normal(seed=9)
    told = {"only": ["sliced_wasserstein"], "baselines": False, "progress": False}
    good = diffuscope.evaluate(run, held_out=unseen, **told)
    spoilt = unseen.copy()
    spoilt[3, 1] = 1e12
    with pytest.warns(UserWarning, match="the first is row 3"):
        found = diffuscope.evaluate(run, held_out=spoilt, **told)
    own, other = (float(one.metrics["sliced_wasserstein"]) for one in (good, found))
    assert 0.5 < other / own < 2


@pytest.mark.slow
def test_held_out_files_may_have_classes_or_not(sides, little, tmp_path, train):
    x, y, _ = sides
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(side=y)
    run, _ = train(frame, recipe="fast", target="side", settings={"training.steps": 50})
    for name, table in (("with", frame), ("without", frame.drop(columns="side"))):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        found = diffuscope.evaluate(
            run,
            held_out=tmp_path / f"{name}.csv",
            baselines=False,
            progress=False,
            only=["sliced_wasserstein"],
        )
        assert np.isfinite(float(found.metrics["sliced_wasserstein"]))


def test_values_far_out_of_a_function_are_brought_in(train):
    def points(n, rng):
        x = rng.normal(size=(n, 1))
        x[0] = 1e6
        return x

    run, said = train(points, settings={"data.size": 500})
    assert "taken as these ends" in said
    assert np.abs(run.data.draw(100, 1)).max() < 40


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, pytest.param(10, marks=pytest.mark.slow), 39])
def test_too_few_points_to_measure_is_said(train, n):
    run, said = train(normal(n))
    assert f"too few points to measure the quality of samples: {n}," in said
    assert "too few points to measure" in str(run.quality)
    assert (
        "too few"
        in json.loads((run.path / "summary.json").read_text())["quality"]["sliced_wasserstein"]["note"]
    )
    assert np.isfinite(run.sample(5)).all()


def test_a_headline_below_the_floor_is_a_warning():
    reference = draw_reference(normal(400))
    copies = [real + 1e-6 for real in reference.real]
    assert "below the floor" in str(reference.ratio(copies))
    others = [reference.normalised(normal(200, seed=k + 1)) for k in range(reference.count)]
    assert "below" not in str(reference.ratio(others))


@pytest.mark.parametrize(
    "size", [1e-100, *(pytest.param(size, marks=pytest.mark.slow) for size in (1e-39, 1e39)), 1e120]
)
def test_very_small_and_very_large_data_are_sampled_in_their_size(train, tmp_path, size):
    run, _ = train(normal() * size)
    samples = run.sample(2000)
    assert np.isfinite(samples).all()
    np.testing.assert_allclose((samples / size).std(axis=0), 1, atol=0.25)
    run.sample_to(tmp_path / "x.csv", 50)
    written = pd.read_csv(tmp_path / "x.csv", header=None).to_numpy()
    assert np.isfinite(written).all()
    assert 0.3 < np.abs(written / size).max() < 10
    assert float(run.quality) < 5


@pytest.mark.parametrize("size", [1e151, 1e200])
def test_data_too_large_is_refused_before_training(tmp_path, size):
    with pytest.raises(InputError, match="too large"):
        diffuscope.train(normal() * size, out=tmp_path / "run", pictures=False)
    assert not (tmp_path / "run").exists()


# --- trajectories -----------------------------------------------------------------------------------------


def test_a_trajectory_is_one_array_in_the_units_of_the_data_with_its_levels(train):
    run, _ = train(normal() * [1000, 1] + [5000, 0])
    states, levels = run.trajectory(500, seed=4), run.levels()
    assert states.shape == (9, 500, 2)
    assert np.array_equal(states[-1], run.sample(500, seed=4))
    assert [tuple(one.shape) for one in (levels.t, levels.alpha, levels.sigma)] == [(9,)] * 3
    assert levels.sigma[-1] == 0
    assert (np.diff(levels.ratio) < 0).all()
    # Noise of the first level, in deviations of the data.
    first = levels.sigma[0].item() * 1000
    assert 0.85 < states[0, :, 0].std() / first < 1.15
    assert len(run.levels(steps=3).t) == 4


# --- classes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Points, left and right, and a run that is conditioned on the side."""
    x = normal(1500, seed=3)
    y = np.where(x[:, 0] > 0, "right", "left")
    out = tmp_path_factory.mktemp("sides") / "run"
    run = diffuscope.train(
        x, y=y, out=out, settings={**FAST, "training.steps": 900}, pictures=False, progress=False
    )
    return x, y, run


def test_samples_are_of_the_class_that_was_asked_for(sides):
    _, _, run = sides
    assert run.recipe.data.classes == ("left", "right")
    for y, sign in (("left", -1), (1, 1), ("right", 1), (0, -1), (["left"] * 2000, -1)):
        assert (sign * run.sample(2000, y=y)[:, 0] > 0).mean() > 0.85
    assert 0.35 < (run.sample(2000)[:, 0] > 0).mean() < 0.65
    mixed = run.sample(2000, y="each")[:, 0]
    assert (mixed[::2] < 0).mean() > 0.85
    assert (mixed[1::2] > 0).mean() > 0.85


def test_guidance_makes_samples_more_typical_of_their_class(sides):
    _, _, run = sides
    plain, guided = (run.sample(3000, y="right", guidance=w)[:, 0] for w in (1.0, 3.0))
    assert guided.mean() > plain.mean() + 0.2


@pytest.mark.parametrize("label", [True, 2, -1, "middle", 0.5, ["left", "middle"], [0, True]])
def test_a_label_that_is_none_is_refused_with_those_that_there_are(sides, label):
    with pytest.raises(InputError) as refused:
        sides[2].sample(2, y=label)
    assert "left" in str(refused.value)


def test_classes_that_are_numbers_are_asked_for_by_these_numbers(train):
    x = normal(600)
    run, _ = train(x, y=np.where(x[:, 0] > 0, 7, 3))
    assert run.recipe.data.classes == ("3", "7")
    assert (run.sample(500, y=7)[:, 0] > 0).mean() > 0.8
    assert (run.sample(500, y="3")[:, 0] < 0).mean() > 0.8
    with pytest.raises(InputError, match="Choose 3, 7"):
        run.sample(5, y=0)


def test_truth_values_are_classes_by_their_name(train):
    x = normal(600)
    run, _ = train(x, y=x[:, 0] > 0)
    assert run.recipe.data.classes == ("False", "True")
    assert (run.sample(500, y=True)[:, 0] > 0).mean() > 0.8


@pytest.mark.parametrize("form", ["npz", "csv", "parquet", "frame"])
def test_labels_of_files_are_learned(train, sides, tmp_path, form):
    x, y, _ = sides
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(side=y)
    options = {"recipe": "fast", "target": "side"}
    if form == "npz":
        source, options = tmp_path / "p.npz", {}
        np.savez(source, x=x, y=y, note=3)
    elif form == "frame":
        source = frame
    else:
        source = tmp_path / f"p.{form}"
        frame.to_csv(source, index=False) if form == "csv" else frame.to_parquet(source)
    run, said = train(source if form == "frame" else str(source), settings={"training.steps": 50}, **options)
    assert run.recipe.data.classes == ("left", "right")
    assert run.model.dimension == 2
    assert "2 classes: left" in said
    if form == "npz":
        assert "Not used of p.npz: 'note'" in said
    if form != "frame":
        again = diffuscope.load(run.path)
        assert again.data.classes == ("left", "right")
        assert (np.array(again.data.classes)[again.data.labels] == y).all()


def test_the_command_line_trains_samples_and_evaluates_classes(sides, tmp_path, cli):
    x, y, _ = sides
    np.savez(tmp_path / "p.npz", x=x, side=y)
    words = [word for key, value in FAST.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "run"
    code, printed, err = cli(
        "train", tmp_path / "p.npz", "--target", "side", "--out", out, "--no-pictures", *words
    )
    assert code == 0, err
    assert "2 classes: left" in printed
    file = tmp_path / "right.csv"
    assert cli("sample", out, "-n", 200, "-o", file, "--label", "right", "--guidance", 2)[0] == 0
    table = pd.read_csv(file)
    assert set(table["side"]) == {"right"}
    assert (table["x0"] > 0).mean() > 0.8
    assert cli("sample", out, "-n", 10, "-o", tmp_path / "all.npz", "--label", "each")[0] == 0
    with np.load(tmp_path / "all.npz") as made:
        assert made["y"].tolist() == ["left", "right"] * 5
        assert made["x"].shape == (10, 2)
    code, _, err = cli("sample", out, "-o", tmp_path / "x.csv", "--label", "middle")
    assert code != 0
    assert "left" in err
    code, _, err = cli("train", tmp_path / "p.npz", "--target", "sied", "--out", tmp_path / "o")
    assert code != 0
    assert "side" in err


def test_an_evaluation_measures_each_class(sides, little):
    found = diffuscope.evaluate(sides[2], baselines=False, progress=False, data=None)
    assert set(found.classes) == {"left", "right"}
    assert all(np.isfinite(float(one)) for one in found.classes.values())
    assert set(found.to_json()["classes"]) == {"left", "right"}
    assert "class (sliced Wasserstein)" in str(found)


def test_figures_are_coloured_by_class(sides):
    from diffuscope.plots.colours import CLASSES

    run = sides[2]
    figure = run.plot_samples(200, y="each")
    shown = {legend.get_text() for legend in figure.legends[0].get_texts()}
    assert shown == {"left", "right"}
    colors = np.concatenate([ax.collections[0].get_facecolors()[:, :3] for ax in figure.axes])
    assert len(np.unique(colors.round(4), axis=0)) == 2
    assert run.plot_data().legends
    assert len(set(CLASSES)) == len(CLASSES)


def test_a_model_with_classes_is_saved_loaded_and_resumed(sides, tmp_path, train):
    x, y, run = sides
    again = diffuscope.load(run.path, data=load_dataset(x, labels=y))
    assert np.array_equal(again.sample(50, y="left"), run.sample(50, y="left"))
    for data in (x, load_dataset(x, labels=np.where(x[:, 1] > 0, "up", "down")), load_dataset(x)):
        with pytest.raises(InputError, match="trained on points with the classes left, right"):
            diffuscope.load(run.path, data=data)
    steps = {"training.steps": 60}
    whole, _ = train(x, "whole", y=y, settings=steps)
    resumed = diffuscope.train(x, y=y, out=whole.path, resume=True, pictures=False, progress=False)
    assert np.array_equal(resumed.sample(20, y=1), whole.sample(20, y=1))
    again = diffuscope.train(
        x, y=y, recipe="fast", settings={**FAST, **steps}, out=whole.path, resume=True, pictures=False
    )
    assert again.recipe == whole.recipe


@pytest.mark.parametrize(
    ("data", "options", "match"),
    [
        (normal(50), {"y": [0, 1]}, "one label for each"),
        (normal(50), {"y": [None] + [1] * 49}, "missing"),
        (normal(50), {"y": [float("nan")] + [1.0] * 49}, "missing"),
        (normal(50), {"y": range(50)}, "no classes"),
        ("moons", {"y": [0, 1]}, "array of points"),
        ("moons", {"target": "y"}, "column"),
        (normal(50), {"target": "y"}, "no columns"),
        (pd.DataFrame({"a": [1.0, 2.0] * 30}), {"y": [0, 1] * 30}, "one of the columns"),
        (normal(50), {"y": [0, 1] * 25, "recipe": "table"}, "beside rows"),
        (pd.DataFrame({"a": [1.0, 2.0] * 30}), {"target": "b", "recipe": "fast"}, "b"),
    ],
)
def test_a_label_never_disappears_in_silence(tmp_path, data, options, match):
    with pytest.raises(InputError, match=match):
        diffuscope.train(data, out=tmp_path / "run", pictures=False, progress=False, **options)
    assert not (tmp_path / "run").exists()


def test_a_network_without_classes_is_refused_for_points_with_some(tmp_path):
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x, t):
            return self.layer(x)

    x = normal(100)
    with pytest.raises(InputError, match="takes no classes"):
        diffuscope.train(x, y=x[:, 0] > 0, network=Net(), out=tmp_path / "run", pictures=False)
    settings = {"data.labels": False, "training.steps": 3, "sampling.steps": 2}
    run = diffuscope.train(
        x, y=x[:, 0] > 0, network=Net(), out=tmp_path / "run", settings=settings, pictures=False
    )
    assert run.generator.classes == ()


@given(st.lists(st.sampled_from([3, 1, 20, -4]), min_size=8, max_size=60))
@settings(max_examples=50, deadline=None)
def test_classes_are_the_values_in_order(values):
    labels, names = classes_of(values, len(values), "y")
    assert [int(names[i]) for i in labels] == values
    assert [int(name) for name in names] == sorted(set(values))
    text, same = classes_of([f"c{v}" for v in values], len(values), "y")
    assert [same[i] for i in text] == [f"c{v}" for v in values]


@pytest.mark.slow
def test_the_article_network_learns_classes_too(tmp_path):
    x = normal(600)
    settings = {"training.epochs": 150, "network.width": 32}
    run = diffuscope.train(
        x,
        y=np.where(x[:, 0] > 0, "right", "left"),
        recipe="article",
        out=tmp_path / "run",
        settings=settings,
        pictures=False,
        progress=False,
    )
    left, right = (run.sample(1000, y=y)[:, 0].mean() for y in ("left", "right"))
    assert left < right - 0.5


# --- ranges of settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"sampler": "ddim", "eta": -1}, "eta"),
        ({"sampler": "ddim", "eta": 2}, "eta.*1"),
        ({"sampler": "ddim", "eta": float("nan")}, "eta"),
        ({"sampler": "euler", "churn": -1}, "churn"),
        ({"sampler": "heun", "churn_noise": -0.1}, "churn_noise"),
        ({"sampler": "predictor_corrector", "snr": -1}, "snr"),
        ({"sampler": "predictor_corrector", "corrections": -1}, "corrections"),
        ({"y": "left", "guidance": -1}, "from 0 to 1,000"),
        ({"y": "left", "guidance": float("inf")}, "from 0 to 1,000"),
        ({"y": "left", "guidance": True}, "from 0 to 1,000"),
        ({"y": "left", "guidance": 2, "interval": (5, 1)}, "interval"),
        ({"steps": 0}, "steps"),
        ({"steps": True}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"seed": True}, "seed"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_the_range(sides, options, match):
    with pytest.raises(InputError, match=match):
        sides[2].sample(4, **options)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ddim", {"eta": 1.5}),
        ("euler", {"churn": -2.0}),
        ("heun", {"churn_min": -1.0}),
        ("ddim", {"eta": True}),
    ],
)
def test_samplers_themselves_refuse_what_is_out_of_range(name, settings):
    with pytest.raises(InputError, match="at least 0"):
        make_sampler(name, **settings)


def test_recipes_and_denoisers_refuse_a_negative_guidance(tmp_path):
    with pytest.raises(InputError, match="guidance"):
        diffuscope.train("moons", out=tmp_path / "run", settings={"sampling.guidance": -1.0})
    with pytest.raises(InputError, match="from 0 to 1,000"):
        ClassifierFreeGuidance(None, None, -0.5)


# --- links ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("metrics.jsonl", "figures", "tensorboard")),
    ],
)
def test_nothing_outside_of_a_run_is_touched_through_a_link(tiny, tmp_path, name, cli, little):
    run = tiny()
    (run.path / "summary.json").unlink()  # as if it had not finished
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for step in range(6):
        (foreign / f"step_{step:09d}.safetensors").write_bytes(b"mine")
    (foreign / "quality.png").write_bytes(b"mine")
    target = foreign
    if name == "metrics.jsonl":
        target = foreign / "log"
        target.write_bytes(b"mine")
        (run.path / name).unlink()
    elif (run.path / name).exists():
        (run.path / name).rename(run.path / "aside")
    (run.path / name).symlink_to(target)
    before = {file.name: file.read_bytes() for file in foreign.iterdir()}
    for words in (("train", "--out", run.path, "--resume"), ("evaluate", run.path, "--no-baselines")):
        code, _, err = cli(*words)
        assert code != 0
        assert "is a link" in err
    assert {file.name: file.read_bytes() for file in foreign.iterdir()} == before


def test_a_run_directory_may_itself_be_reached_by_a_link(tiny, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "disk")
    assert (tiny(out="linked").path / "model.safetensors").is_file()


def test_labels_that_a_recipe_leaves_out_are_said(tiny):
    x = np.random.default_rng(0).normal(size=(200, 2))
    run = tiny({"data.labels": False}, data=x, y=(x[:, 0] > 0).astype(int))
    assert run.data.notes == ("y is not used: the recipe has data.labels = false.",)
    assert not run.recipe.data.classes


def test_labels_are_given_once(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(InputError, match=r"^y and target both say what the labels are\.\nGive one"):
        diffuscope.train(x, y=x[:, 0] > 0, target="x", out=tmp_path / "run")


def test_a_class_is_asked_for_as_it_was_given(tiny):
    x = np.random.default_rng(0).normal(size=(60, 2))
    run = tiny(data=x, y=(x[:, 0] > 0).astype(float))
    assert run.recipe.data.classes == ("0", "1")
    np.testing.assert_array_equal(run.sample(4, y=1.0), run.sample(4, y="1"))
    with pytest.raises(InputError, match=r"no class 0\.5"):
        run.sample(4, y=0.5)


def test_a_number_that_no_data_is_near_is_refused(tiny):
    x = np.random.default_rng(0).normal(size=(60, 2))
    run = tiny(data=x, y=np.linspace(0.1, 8.7, 60))
    with pytest.raises(InputError, match=r"y = 1e\+09 is nowhere near the data, 0\.1 to 8\.7\."):
        run.sample(2, y=1e9)


def test_numbers_that_floats_cannot_tell_apart_are_not_called_constant():
    x = np.column_stack([2**56 + 16 * np.arange(60), np.arange(60)])
    with pytest.raises(
        InputError, match=r"column 0 differ too little for their size(.|\n)*Subtract their mean"
    ):
        PointsCodec.fit(load_dataset(x).x)


def test_a_sparse_tensor_says_what_to_pass():
    with pytest.raises(InputError, match=r"sparse\.\nPass x\.to_dense"):
        load_dataset(torch.eye(5).to_sparse())


def test_where_a_name_is_a_number_numbers_are_names():
    classes = Classes(("9", "10", "black cat"))
    assert classes.read(9, 2).tolist() == [0, 0]
    assert classes.read("black cat", 1).tolist() == [2]
    with pytest.raises(InputError, match=r"no class 1: this model has 3 classes\.\nChoose 9, 10, black cat"):
        classes.read(1, 2)
