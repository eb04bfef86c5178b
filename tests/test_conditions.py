"""Are points and images sampled with the numbers that are asked for: an angle, a brightness, a vector?"""

from __future__ import annotations

import csv
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import diffuscope
from diffuscope.data.conditions import Classes, Numbers, labels_of
from diffuscope.data.images import load_images
from diffuscope.data.points import load_dataset
from diffuscope.errors import InputError
from diffuscope.modalities.points.modality import POINTS
from diffuscope.networks import NETWORKS, ResMLP

FAST: dict[str, Any] = {
    "network.width": 32,
    "training.steps": 250,
    "training.batch_size": 128,
    "sampling.steps": 8,
}
TINY = {**FAST, "network.width": 8, "network.depth": 1, "training.steps": 4, "sampling.steps": 2}
SIDE = 8


def circle(n: int = 1500, seed: int = 0):
    """Return points near the unit circle, and their angles."""
    random = np.random.default_rng(seed)
    angle = random.uniform(0, 2 * np.pi, n)
    return np.column_stack([np.cos(angle), np.sin(angle)]) + 0.05 * random.normal(size=(n, 2)), angle


def error(points, angle) -> float:
    """Return the mean distance of points from an angle, in radians."""
    apart = np.arctan2(points[:, 1], points[:, 0]) - angle
    return float(np.abs((apart + np.pi) % (2 * np.pi) - np.pi).mean())


def trained(data, folder, **options):
    settings = {**FAST, **options.pop("settings", {})}
    if "network" in options:
        settings = {key: value for key, value in settings.items() if not key.startswith("network.")}
    return diffuscope.train(data, out=folder, settings=settings, pictures=False, progress=False, **options)


@pytest.fixture(scope="module")
def angles(tmp_path_factory):
    """Points with their angles, and a run on them."""
    x, angle = circle()
    return x, angle, trained(x, tmp_path_factory.mktemp("angles") / "run", y=angle)


def gray(n: int = 240, seed: int = 0):
    """Return grey images of any brightness from 0 to 1, and this brightness."""
    random = np.random.default_rng(seed)
    level = random.uniform(0, 1, n)
    noise = random.normal(0, 8, (n, SIDE, SIDE))
    return np.clip(200 * level[:, None, None] + 25 + noise, 0, 255).astype(np.uint8), level


UNET = {
    "network.width": 16,
    "network.multipliers": [1],
    "network.blocks": 1,
    "network.head_width": 8,
    "training.steps": 80,
    "training.batch_size": 32,
    "training.learning_rate": 3e-3,
    "sampling.steps": 6,
    "sampling.precision": "float32",
}


@pytest.fixture(scope="module")
def brightness(tmp_path_factory):
    """Images with their brightness, and a run on them."""
    x, level = gray()
    folder = tmp_path_factory.mktemp("brightness")
    run = diffuscope.train(
        x, y=level, recipe="digits", out=folder / "run", settings=UNET, pictures=False, progress=False
    )
    return x, level, run


# --- points -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.8, 2.0, 4.5])
def test_samples_lie_at_the_angle_that_is_asked_for(angles, angle):
    run = angles[2]
    told, untold = error(run.sample(400, y=angle), angle), error(run.sample(400), angle)
    assert told < 0.25
    assert untold > 1.0  # a quarter of a turn where nothing is known


def test_a_model_that_is_not_told_the_angle_does_not_know_it(angles, tmp_path):
    x, angle, run = angles
    plain = trained(x, tmp_path / "run", y=angle, settings={"data.labels": False, "training.steps": 20})
    assert plain.recipe.data.label_type is None
    with pytest.raises(InputError, match="without classes or a target"):
        plain.sample(5, y=0.3)
    assert error(plain.sample(400), 2.0) > 4 * error(run.sample(400, y=2.0), 2.0)


def test_each_sample_has_the_number_that_it_was_asked_for(angles):
    run, asked = angles[2], np.linspace(0.5, 5.5, 300)
    for y in (asked, asked[:, None], torch.from_numpy(asked), pd.Series(asked), asked.tolist()):
        assert error(run.sample(300, y=y), asked) < 0.3
    assert error(run.sample(300, y="each"), np.linspace(*np.quantile(angles[1], [0, 1]), 300)) < 0.4


def test_guidance_strengthens_the_number(angles):
    run = angles[2]
    errors = [error(run.sample(600, y=2.0, guidance=w), 2.0) for w in (0.0, 0.4, 1.0)]
    assert errors[0] > 1.0  # as if nothing were asked for
    assert errors[0] > 1.2 * errors[1] > 1.4 * errors[2]
    assert error(run.sample(600, y=2.0, guidance=2.0), 2.0) < 1.5 * errors[2]


def test_a_sample_does_not_depend_on_how_many_there_are(angles):
    run, asked = angles[2], np.linspace(1, 5, 600)
    assert np.array_equal(run.sample(600, y=asked, seed=3)[:300], run.sample(300, y=asked[:300], seed=3))
    noise = np.random.default_rng(0).normal(size=(4, 2))
    assert np.array_equal(run.sample(4, y=2.0, initial=noise), run.sample(4, y=[2.0] * 4, initial=noise))


@pytest.mark.parametrize(
    "y", ["x", "", float("nan"), np.inf, [1, 2, 3], [[1, 2]], True, "0.1,0.2", [None], [[1], [2]], {}]
)
def test_what_is_no_number_for_each_is_refused(angles, y):
    with pytest.raises(InputError, match=r"no value of y|the model takes y"):
        angles[2].sample(5, y=y)


def test_a_number_far_out_of_the_data_is_warned_of(angles):
    with pytest.warns(UserWarning, match=r"y = 70 is far out of the data, 0\.0"):
        angles[2].sample(2, y=70)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        angles[2].sample(2, y=6.29)


def test_a_vector_of_numbers_is_a_condition_as_well(tmp_path):
    random = np.random.default_rng(0)
    y = random.uniform(-1, 1, (1500, 3))
    x = y[:, :2] + 0.05 * random.normal(size=(1500, 2))  # the third says nothing
    run = trained(x, tmp_path / "run", y=y)
    assert run.recipe.data.numbers.names == ("y0", "y1", "y2")
    made = run.sample(300, y=[0.6, -0.5, 0.0])
    assert np.abs(made.mean(axis=0) - [0.6, -0.5]).max() < 0.15
    assert made.std(axis=0).max() < 0.3
    assert np.array_equal(run.sample(300, y="0.6,-0.5,0"), made)
    asked = random.uniform(-1, 1, (300, 3))
    assert np.abs(run.sample(300, y=asked) - asked[:, :2]).mean() < 0.2
    with pytest.raises(InputError, match="3 numbers"):
        run.sample(300, y=0.6)


@pytest.mark.slow
def test_the_density_of_points_is_that_at_their_angle(angles):
    x, angle, run = angles
    x, angle = x[:20], angle[:20]
    own, other = (run.log_density(x, y=y) for y in (angle, (angle + np.pi) % (2 * np.pi)))
    assert np.median(own - other) > 3
    assert np.median(own - run.log_density(x)) > 0.7  # known to about a tenth of the circle
    pieces = run.log_density(x[:9], y=angle[:9], batch=7)
    assert pieces == pytest.approx(own[:9], abs=0.05)
    one = run.log_density(x[:3], label=float(angle[0]))
    assert one[0] == pytest.approx(own[0], abs=0.05)


@pytest.mark.slow
def test_a_density_may_be_that_of_a_class(tmp_path):
    x, _ = circle(600)
    run = trained(x, tmp_path / "run", y=np.where(x[:, 0] > 0, "right", "left"))
    right = x[x[:, 0] > 0.5][:20]
    own, other = (run.log_density(right, y=name) for name in ("right", "left"))
    assert np.median(own - other) > 1


def test_a_run_is_loaded_and_resumed_with_its_units(angles, tmp_path):
    x, angle, run = angles
    part = load_dataset(x[:700], labels=angle[:700])
    again = diffuscope.load(run.path, data=part)
    assert np.array_equal(again.sample(20, y=1.0), run.sample(20, y=1.0))
    assert again.data.numbers == run.recipe.data.numbers != part.numbers
    for data in (x, load_dataset(x, labels=x[:, 0] > 0), load_dataset(x, labels=x)):
        with pytest.raises(InputError, match="1 number for each point"):
            diffuscope.load(run.path, data=data)
    whole = trained(x, tmp_path / "whole", y=angle, settings=TINY)
    for more in ({}, {"recipe": "fast", "settings": TINY}):
        resumed = diffuscope.train(x, y=angle, out=whole.path, resume=True, pictures=False, **more)
        assert np.array_equal(resumed.sample(5, y=1.0), whole.sample(5, y=1.0))
    started = trained(x[:700], tmp_path / "on", y=angle[:700], start=run, settings={"training.steps": 1})
    assert started.recipe.data.numbers == run.recipe.data.numbers


@pytest.mark.parametrize("form", ["npz", "csv", "parquet", "frame"])
def test_numbers_of_files_are_learned(tmp_path, form):
    x, angle = circle(200)
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(angle=angle, size=np.abs(x[:, 0]))
    options = {"recipe": "fast", "target": "angle"}
    if form == "npz":
        source, options = tmp_path / "p.npz", {}
        np.savez(source, x=x, y=angle)
    elif form == "frame":
        source = frame
    else:
        source = tmp_path / f"p.{form}"
        frame.to_csv(source, index=False) if form == "csv" else frame.to_parquet(source)
    said: list[str] = []
    run = trained(
        source if form == "frame" else str(source),
        tmp_path / "run",
        settings=TINY,
        announce=said.extend,
        **options,
    )
    name = "y" if form == "npz" else "angle"
    assert run.recipe.data.numbers.names == (name,)
    assert run.model.dimension == (2 if form == "npz" else 3)
    assert f"1 number: {name} between " in " ".join(said)
    if form == "npz":
        return
    for target in (["angle", "size"], "angle, size"):
        both = trained(
            source if form == "frame" else str(source),
            tmp_path / f"{target}",
            recipe="fast",
            target=target,
            settings=TINY,
        )
        assert both.recipe.data.numbers.names == ("angle", "size")
        assert list(both.sample_frame(2, y=[1.0, 0.5]).columns) == ["a", "b", "angle", "size"]
        if form != "frame":
            assert np.allclose(diffuscope.load(both.path).data.labels, frame[["angle", "size"]])


@pytest.mark.slow
def test_the_command_line_trains_samples_and_evaluates_numbers(angles, tmp_path, cli, little):
    x, angle, _ = angles
    pd.DataFrame(x, columns=["a", "b"]).assign(angle=angle).to_csv(tmp_path / "p.csv", index=False)
    settings = {**FAST, "pictures.forward_frames": 2}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "run"
    code, printed, err = cli(
        "train", tmp_path / "p.csv", "--recipe", "fast", "--target", "angle", "--out", out, *words
    )
    assert code == 0, err
    assert "1 number: angle" in printed
    assert "loss.target = 'sample'" in printed
    assert cli("sample", out, "-n", 200, "-o", tmp_path / "two.csv", "--y", "2.0", "--guidance", 2)[0] == 0
    table = pd.read_csv(tmp_path / "two.csv")
    assert set(table["angle"]) == {2.0}
    assert error(table[["a", "b"]].to_numpy(), 2.0) < 0.3
    code, _, err = cli("sample", out, "-o", tmp_path / "x.csv", "--label", "north")
    assert (code, "no value of angle" in err) == (2, True)
    assert cli("evaluate", out, "--no-baselines")[0] == 0
    assert cli("sample", out, "-n", 50, "-o", tmp_path / "s.png", "--y", "2")[0] == 0


def test_samples_in_an_archive_are_data_again(angles, tmp_path):
    run = angles[2]
    run.sample_to(tmp_path / "s.npz", 60, y="each")
    data = load_dataset(tmp_path / "s.npz")
    assert data.numbers.names == ("y",)
    assert data.labels[:, 0] == pytest.approx(
        np.linspace(run.recipe.data.numbers.low[0], run.recipe.data.numbers.high[0], 60)
    )


def test_kept_points_and_images_have_their_numbers(tmp_path):
    x, _ = circle(100)
    data = load_dataset(x, labels=np.arange(100) % 7, condition="numbers")
    file = POINTS.keep(data, tmp_path)
    about = {"name": "p", "columns": None, "source": data.source}
    again = POINTS.restore(file, about, diffuscope.load_recipe("fast"))
    assert again.numbers == data.numbers
    assert np.array_equal(again.labels, data.labels)


@pytest.mark.slow
def test_an_evaluation_sees_whether_samples_follow_their_numbers(angles, little):
    x, angle, run = angles
    told = diffuscope.evaluate(run, baselines=False, progress=False)
    mixed = load_dataset(x, labels=np.random.default_rng(0).permutation(angle))
    untold = diffuscope.evaluate(diffuscope.load(run.path, data=mixed), baselines=False, progress=False)
    assert float(untold.jointly) > 2 * float(told.jointly)
    assert set(told.to_json()["jointly"]) >= {"value", "ratio"}
    assert "points with their numbers" in str(told)


def test_figures_have_a_scale_of_the_number(angles, tmp_path):
    run = angles[2]
    figure = run.plot_samples(200, y="each")
    assert "y" in [ax.get_xlabel() for ax in figure.axes]
    colors = np.concatenate([ax.collections[0].get_facecolors()[:, :3] for ax in figure.axes[:2]])
    assert len(np.unique(colors.round(3), axis=0)) > 50
    assert len(run.plot_data().axes) == 2
    line = trained(angles[0][:200, :1], tmp_path / "line", y=angles[1][:200], settings=TINY)
    assert len(line.plot_data().axes) == 2


# --- what is learned --------------------------------------------------------------------------------------


def test_means_over_points_of_other_numbers_are_refused(tmp_path):
    x, angle = circle(100)
    with pytest.raises(InputError, match="would mix their numbers"):
        trained(x, tmp_path / "run", y=angle, settings={**TINY, "loss.target": "posterior"})
    run = trained(x, tmp_path / "run", y=angle, settings=TINY)
    assert run.recipe.loss.target == "sample"


def test_a_network_of_ones_own_says_how_many_numbers_it_takes(tmp_path):
    class Net(torch.nn.Module):
        conditions = 1

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)
            self.seen: list[Any] = []

        def forward(self, x, t, y=None):
            y = torch.zeros(len(x), 1) if y is None else y.nan_to_num()
            self.seen.append(y.detach())
            return self.layer(torch.cat([x, t[:, None].float(), y], dim=1))

    x, angle = circle(100)
    net = Net()
    run = trained(x, tmp_path / "run", y=angle, network=net, settings=TINY)
    assert run.sample(5, y=1.0).shape == (5, 2)
    told = torch.cat([y for y in net.seen if len(y) == 128])
    assert told.abs().max() < 2  # in deviations
    net.conditions = 2
    with pytest.raises(InputError, match="takes no numbers as a condition"):
        trained(x, tmp_path / "other", y=angle, network=net, settings=TINY)
    del Net.conditions, net.conditions
    with pytest.raises(InputError, match="conditions = 1"):
        trained(x, tmp_path / "other", y=angle, network=net, settings=TINY)


@pytest.mark.parametrize("name", ["resmlp", "article_mlp", "unet", "dit"])
def test_at_the_start_numbers_change_nothing_and_then_are_learned(name):
    torch.manual_seed(0)
    images = name in ("unet", "dit")
    own = {"shape": (1, 8, 8), "width": 16} if images else {"dimension": 2, "width": 16}
    network = NETWORKS[name](**own, conditions=3)
    x = torch.randn(5, 1, 8, 8) if images else torch.randn(5, 2)
    t = torch.zeros(5, dtype=torch.long) if name == "article_mlp" else torch.zeros(5)
    y = torch.randn(5, 3)
    nothing = torch.full((5, 3), torch.nan)
    embed = network.embedding.label if images else network.label
    assert torch.equal(embed(y), torch.zeros_like(embed(y)))
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.1)
    told, untold = network(x, t, y), network(x, t)
    assert told.shape == x.shape
    assert (told - untold).abs().max() > 1e-3
    torch.testing.assert_close(network(x, t, nothing), untold, atol=1e-5, rtol=0)
    mixed = network(x, t, torch.where(torch.arange(5)[:, None] == 2, torch.nan, y))
    torch.testing.assert_close(mixed[2:4], torch.stack([untold[2], told[3]]), atol=1e-5, rtol=0)
    network(x, t, nothing).square().sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in network.parameters())


def test_a_network_is_watched_at_one_value_of_its_numbers():
    seen = []
    watched = diffuscope.Labelled(lambda x, t, y: seen.append(y) or x, [0.5, -1.0])
    watched(torch.zeros(3, 2), torch.zeros(3))
    diffuscope.Labelled(watched.network, 0.5)(torch.zeros(2, 2), torch.zeros(2))
    diffuscope.Labelled(watched.network, 7)(torch.zeros(2, 2), torch.zeros(2))
    assert [y.tolist() for y in seen] == [[[0.5, -1.0]] * 3, [[0.5]] * 2, [7, 7]]
    assert (seen[0].dtype, seen[2].dtype) == (torch.float32, torch.int64)


def test_a_network_takes_classes_or_numbers_not_both(tmp_path):
    with pytest.raises(InputError, match="not on both"):
        ResMLP(2, classes=3, conditions=1)
    (x, y), more = gray(), {"recipe": "annotated_fashion", "out": tmp_path / "run", "pictures": False}
    with pytest.raises(InputError, match="takes no numbers"):
        diffuscope.train(x, y=y, settings={"data.labels": True}, **more)
    assert not (tmp_path / "run").exists()


# --- what labels are --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([0.5, 1, 2, 1], None, Numbers),
        (np.array([0.5, 1, 2, 1], dtype=object), None, Numbers),
        (np.float32([0.5, 1, 2, 1]), None, Numbers),
        ([[1, 2], [3, 4], [1, 2], [3, 3]], None, Numbers),
        ([1, 2, 2, 1], "numbers", Numbers),
        ([1.0, 2.0, 2.0, 1.0], None, Classes),
        ([1, 2, 2, 1], None, Classes),
        ([True, False, True, True], None, Classes),
        (["0.5", "1", "0.5", "1"], None, Classes),
        (["a", "b", "a", "b"], None, Classes),
    ],
)
def test_labels_are_numbers_where_they_are_not_whole_or_it_is_said(values, kind, found):
    labels, classes, numbers = labels_of(values, 4, "They", kind)
    assert isinstance(Classes(classes) if classes else numbers, found)
    assert len(labels) == 4


@pytest.mark.parametrize(
    ("values", "kind", "match"),
    [
        ([0.5, np.nan, 1, 2], None, "missing or infinite in 1 rows, the first of them row 1"),
        ([0.5, np.inf, 1, 2], None, "missing or infinite"),
        ([0.5, 1, 2], None, "there are 4 points"),
        ([[0.5, 1]] * 3, None, "there are 4 points"),
        ([0.5] * 4, None, "one value, 0.5, in 'y'"),
        ([[1, 0.5], [2, 0.5], [3, 0.5], [4, 0.5]], None, "one value, 0.5, in 'y1'"),
        (["a", "b", "c", "d"], "numbers", "no numbers"),
        ([0.5, 1, 2, 3], "classes", "no classes"),
        (np.zeros((4, 2, 2)), "numbers", "have shape"),
    ],
)
def test_labels_that_are_no_numbers_are_refused(values, kind, match):
    with pytest.raises(InputError, match=match):
        labels_of(values, 4, "They", kind)


def test_whole_numbers_are_a_condition_where_it_is_said(tmp_path):
    x, _ = circle(120)
    size = np.arange(120) % 30
    run = trained(x, tmp_path / "run", y=size, condition="numbers", settings=TINY)
    assert run.recipe.data.numbers.high == (29.0,)
    assert run.sample(3, y=12).shape == (3, 2)
    with pytest.raises(InputError, match=r"data\.condition = 'numbers'"):
        trained(x, tmp_path / "other", y=np.arange(120), settings=TINY)


# --- images -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_images_are_as_bright_as_is_asked(brightness):
    run = brightness[2]
    for level in (0.15, 0.5, 0.85):
        assert abs(float(run.sample(32, y=level).mean()) - (25 + 200 * level)) < 40
    each = run.sample(32, y=np.linspace(0, 1, 32)).mean(axis=(1, 2, 3))
    assert np.corrcoef(each, np.linspace(0, 1, 32))[0, 1] > 0.9


@pytest.mark.slow
def test_images_are_written_with_their_numbers_and_read_again(brightness, tmp_path):
    run = brightness[2]
    run.sample_to(tmp_path / "s.npz", 20, y="each")
    again = load_images(tmp_path / "s.npz")
    assert again.numbers.names == ("y",)
    assert (np.diff(again.labels[:, 0]) > 0).all()
    run.sample_to(tmp_path / "folder", 3, y=[0.1, 0.2, 0.3])
    with (tmp_path / "folder" / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["file_name"], float(row["y"])) for row in rows] == [
        ("00000.png", 0.1),
        ("00001.png", 0.2),
        ("00002.png", 0.3),
    ]
    run.sample_to(tmp_path / "sheet.png", 9, y="each")
    run.sample_to(tmp_path / "one.png", 9, y=0.5)
    assert (tmp_path / "sheet.png").stat().st_size > (tmp_path / "one.png").stat().st_size


@pytest.mark.slow
def test_figures_show_images_along_the_number(brightness):
    figures = brightness[2].figures
    n, request = figures.sampled()
    assert (n, request.condition.shape) == (64, (64, 1))
    assert (np.diff(request.condition[:8, 0]) > 0).all()
    shown = figures.shown.mean(axis=(1, 2, 3)).reshape(8, 8)
    assert (np.diff(shown.mean(axis=0)) > 0).all()  # columns are brighter and brighter
    drawn = figures.draw_samples(figures.shown, None, request)
    titles = [float(label.get_text()) for label in drawn.axes[0].get_xticklabels()]
    assert titles == pytest.approx(request.condition[:8, 0], abs=0.01)


@pytest.mark.slow
def test_images_are_steered_with_a_number(brightness):
    x, _, run = brightness
    few = load_images(x[:2]).pixels
    mask = np.ones((SIDE, SIDE), dtype=bool)
    mask[0] = False
    made = run.images.inpaint(few, mask, n=2, y=[0.1, 0.9])
    assert made[:2].mean() < made[2:].mean()
    assert run.images.vary(few, 0.5, y=0.5).shape == few.shape
    assert run.images.interpolate(3, y=0.5).shape == (3, 1, SIDE, SIDE)


@pytest.mark.slow  # that of points says it, above
def test_an_evaluation_of_images_says_whether_they_follow_their_numbers(brightness, features_are_pixels):
    x, level, run = brightness
    data = load_images(x, labels=level)
    told = diffuscope.evaluate(diffuscope.load(run.path, data=data), samples=240, progress=False)
    mixed = load_images(x, labels=np.random.default_rng(0).permutation(level))
    untold = diffuscope.evaluate(diffuscope.load(run.path, data=mixed), samples=240, progress=False)
    assert float(untold.jointly) > 1.5 * float(told.jointly)
    assert "numbers" in str(told)


# --- elsewhere --------------------------------------------------------------------------------------------


def test_a_model_with_numbers_is_diagnosed(angles, little):
    assert str(diffuscope.diagnose(angles[2], progress=False))


@pytest.mark.slow
def test_a_model_with_numbers_is_exported(angles, tmp_path):
    run = angles[2]
    pytest.importorskip("onnxruntime")
    from diffuscope.exchange.onnx import export_onnx

    assert export_onnx(run.model, tmp_path / "m.onnx").is_file()
