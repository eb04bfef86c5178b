"""Do the pictures show what they claim to, for any dimension, without touching anybody's pyplot?"""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from diffuscope.errors import InputError, RunError
from diffuscope.plots import (
    State,
    plot_dataset,
    plot_forward_grid,
    plot_loss,
    plot_samples,
    plot_walk_rows,
    save_figure,
)
from diffuscope.plots.clouds import draw_points
from diffuscope.plots.view import Projection, axis_limits, view_of

pytestmark = pytest.mark.usefixtures("whole_pictures")


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def cloud(n: int = 300, d: int = 2, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(size=(n, d))


def trajectory(steps: int = 10, d: int = 2, first: float = 1.0, last: float = 0.1) -> list[State]:
    scales = np.linspace(first, last, steps)
    return [
        State(cloud(d=d, scale=s, seed=k), rf"$\mathbf{{x}}_{{{steps - k}}}$", k / max(steps - 1, 1))
        for k, s in enumerate(scales)
    ]


def visible(figure: Figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def dark(figure: Figure, drawn: bool = False) -> int:
    """How many pixels of the figure are not white."""
    if not drawn:
        figure.canvas.draw()
    return int((np.asarray(figure.canvas.buffer_rgba())[..., :3].min(axis=-1) < 200).sum())


def is_whole(figure: Figure) -> bool:
    """Whether nothing reaches over the edge of the figure when it is drawn for the first time."""
    figure.canvas.draw()
    box = figure.get_tightbbox()  # inches
    return bool(box.x0 >= 0 and box.y0 >= 0 and (box.max <= figure.get_size_inches()).all())


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2, pytest.param(5, marks=pytest.mark.slow)])
def test_every_figure_of_points_works_in_any_dimension(d):
    x = cloud(d=d)
    figures = [
        plot_dataset(x),
        plot_dataset(x, [f"column {k}" for k in range(d)]),
        plot_forward_grid(trajectory(d=d)),
        plot_walk_rows([("epoch 1000", trajectory(d=d)), ("epoch 2000", trajectory(4, d=d))], reference=x),
        plot_samples(x, cloud(200, d, seed=1), caption="sliced Wasserstein 1.14 × floor"),
        plot_samples(x, x),
        plot_samples(x, x, [f"column {k}" for k in range(d)], "a caption"),
        plot_walk_rows([("epoch 1000", trajectory(d=d))]),
    ]
    for figure in figures:
        assert isinstance(figure, Figure)
        assert is_whole(figure)
        assert dark(figure, drawn=True) > 500


def test_the_forward_grid_is_two_rows_of_five_on_common_square_axes():
    states = trajectory(first=0.1, last=0.3)
    axes = visible(plot_forward_grid(states))
    assert len(axes) == 10
    assert [ax.get_title() for ax in axes] == [state.label for state in states]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in axes}) == 1
    assert np.ptp(axes[0].get_xlim()) == pytest.approx(np.ptp(axes[0].get_ylim()))
    axes[0].figure.canvas.draw()
    box = axes[0].get_window_extent()
    assert box.width == pytest.approx(box.height, rel=1e-6)
    assert len({round(ax.get_position().y0, 3) for ax in axes}) == 2


def test_axes_are_fixed_along_a_row_and_over_all_rows_given_the_data():
    rows = [("a", trajectory(last=0.1)), ("b", trajectory(last=0.12))]
    axes = visible(plot_walk_rows(rows))
    limits = [ax.get_xlim() for ax in axes]
    assert len(set(limits[:10])) == 1
    assert len(set(limits[10:])) == 1
    assert limits[0] != limits[10]
    assert [axes[0].get_ylabel(), axes[10].get_ylabel()] == ["a", "b"]
    shared = visible(plot_walk_rows(rows, reference=cloud(scale=0.1)))
    assert len({ax.get_xlim() for ax in shared}) == 1


def test_small_data_stay_recognisable_beside_noise_of_unit_variance():
    data, noise = cloud(5_000, scale=0.05), cloud(5_000)
    (low, high), _ = axis_limits([noise, data], focus=data)
    assert np.ptp(data[:, 0]) / (high - low) > 0.5


def test_everything_is_in_view_where_the_clouds_are_of_one_size():
    a, b = cloud(5_000), cloud(5_000, scale=1.3, seed=1)
    limits = axis_limits([a, b])
    for x in (a, b):
        for k in range(2):
            assert ((x[:, k] > limits[k][0]) & (x[:, k] < limits[k][1])).mean() > 0.997


def test_columns_of_different_scale_each_get_their_own_axis():
    limits = axis_limits([cloud() * [1.0, 1000.0]])
    assert np.ptp(limits[1]) > 100 * np.ptp(limits[0])


def test_limits_hold_up_against_constant_columns_outliers_and_points_that_are_not_finite():
    constant = axis_limits([np.ones((5, 2))])
    assert all(low < 1 < high for low, high in constant)
    x = cloud(5_000)
    x[0], x[1], x[2] = 1e12, np.nan, -np.inf
    assert max(abs(np.array(axis_limits([x])).ravel())) < 10
    with pytest.raises(InputError, match="no point is finite"):
        axis_limits([np.full((3, 2), np.nan)])


def test_the_projection_finds_the_plane_that_holds_the_variance():
    rng = np.random.default_rng(0)
    plane, _ = np.linalg.qr(rng.normal(size=(6, 2)))
    flat = rng.normal(size=(2_000, 2)) * [3.0, 1.0]
    x = flat @ plane.T + 5.0 + 1e-3 * rng.normal(size=(2_000, 6))
    view = Projection.fit(x)
    assert view.explained.sum() == pytest.approx(1, abs=1e-4)
    assert view.explained[0] == pytest.approx(0.9, abs=0.02)
    shown = view.transform(x)
    distances = np.linalg.norm(flat[:50, None] - flat[None, :50], axis=-1)
    assert np.allclose(np.linalg.norm(shown[:50, None] - shown[None, :50], axis=-1), distances, atol=0.02)
    assert view.names()[0] == "principal axis 1 (90% of variance)"


def test_two_dimensions_are_shown_as_they_are():
    x = cloud()
    assert np.array_equal(Projection.fit(x).transform(x), x)


def test_the_view_looks_along_the_axes_of_the_end_that_has_structure():
    noise, data = cloud(2_000, 5), cloud(2_000, 5, seed=1) * [0.01, 1, 0.01, 1, 0.01]
    for states in ([noise, data], [data, noise]):
        view = view_of([State(x, "", 0.0) for x in states])
        assert np.abs(view.projection.axes[[1, 3]]).max(axis=0) == pytest.approx([1, 1], abs=0.6)
        assert np.linalg.norm(view.projection.axes[[1, 3]]) ** 2 == pytest.approx(2, abs=1e-2)


def test_a_diverged_walk_is_drawn_and_its_lost_points_are_counted():
    states = trajectory(3, d=5)
    states[1].x[:7] = np.nan
    states[2].x[:] = 1e200 * states[2].x
    figure = plot_forward_grid(states, reference=cloud(d=5))
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert texts == ["7 not finite"]
    dark(figure)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_state_that_is_lost_altogether_is_an_empty_panel(d):
    states = trajectory(3, d=d)
    states[2].x[:] = np.inf
    figure = plot_forward_grid(states)
    assert [text.get_text() for text in figure.axes[2].texts] == ["300 not finite"]
    dark(figure)


def test_points_get_smaller_when_there_are_more_of_them():
    sizes = []
    for n in (100, 10_000, 100_000):
        ax = plot_dataset(cloud(10)).axes[0]
        sizes.append(draw_points(ax, cloud(n)).get_sizes()[0])
    assert sizes[0] > 2 * sizes[1] > 2 * sizes[2] > 0


def test_crowded_points_are_darker_and_on_top():
    x = np.vstack([cloud(2_000, scale=0.05), cloud(2_000, scale=1.0, seed=1)])
    artist = draw_points(plot_dataset(cloud(10)).axes[0], x)
    depth = np.asarray(artist.get_array())
    assert (np.diff(depth) >= 0).all()
    distance = np.linalg.norm(np.asarray(artist.get_offsets()), axis=1)
    assert depth[distance < 0.05].min() > np.median(depth[distance > 1.5])


def test_a_histogram_is_a_density():
    artist = draw_points(plot_dataset(cloud(10, 1)).axes[0], cloud(20_000, 1))
    values, edges, _ = artist.get_data()
    assert (values * np.diff(edges)).sum() == pytest.approx(1, abs=5e-3)


def test_the_loss_leaves_out_what_is_not_finite_and_uses_a_log_axis_only_where_it_helps():
    steps = np.arange(1_000)
    falling = 0.1 + np.exp(-steps / 100)
    falling[500] = np.nan
    figure = plot_loss(steps, falling)
    assert figure.axes[0].get_yscale() == "log"
    assert len(figure.axes[0].lines[0].get_xdata()) == 999
    assert plot_loss(steps, 1 + 0.1 * np.sin(steps)).axes[0].get_yscale() == "linear"
    dark(figure)
    with pytest.raises(InputError, match="no loss is finite"):
        plot_loss([1], [np.inf])
    with pytest.raises(InputError, match="2 steps and 1 losses"):
        plot_loss([1, 2], [1.0])


def test_the_running_mean_is_the_mean_of_the_last_losses():
    loss = cloud(1_000, 1)[:, 0]
    smooth = plot_loss(np.arange(1_000), loss).axes[0].lines[1].get_ydata()
    assert smooth[0] == pytest.approx(loss[0])
    assert smooth[700] == pytest.approx(loss[681:701].mean())


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_figures_are_saved_in_the_format_of_their_suffix(tmp_path, suffix, magic):
    path = tmp_path / "new" / f"figure{suffix}"
    save_figure(plot_dataset(cloud()), path)
    assert path.read_bytes().startswith(magic)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_same_data_give_the_same_picture(tmp_path):
    for suffix in (".png", ".pdf"):
        for name in "ab":
            save_figure(plot_dataset(cloud()), tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
        save_figure(plot_dataset(cloud()), tmp_path / "figure.bmp")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    figure = plot_dataset(cloud())

    def half(target, **_):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", half)
    with pytest.raises(RunError, match="No space left"):
        save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_a_notebook_shows_a_figure_without_pyplot():
    assert plot_dataset(cloud())._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow  # nor is it by a training with pictures, in test_imports
def test_pyplot_is_never_imported(tmp_path):
    code = (
        "import sys, numpy as np, matplotlib; before = dict(matplotlib.rcParams.copy())\n"
        "from diffuscope.plots import *; from diffuscope.plots.animation import save_animation\n"
        "x = np.random.default_rng(0).normal(size=(50, 2))\n"
        "s = [State(x, '$x$', 0.0), State(x + 1, 'y', 1.0)]\n"
        f"save_figure(plot_samples(x, x), {str(tmp_path / 'a.png')!r})\n"
        f"save_animation(s, {str(tmp_path / 'a.gif')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert dict(matplotlib.rcParams.copy()) == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 300


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.zeros((2, 2, 2)), np.array([["a", "b"]])])
def test_what_is_no_cloud_of_points_is_refused(bad):
    with pytest.raises(InputError, match="Points must"):
        plot_dataset(bad)


def test_no_states_and_mixed_dimensions_are_refused():
    with pytest.raises(InputError, match="no states"):
        plot_forward_grid([])
    with pytest.raises(InputError, match="no rows"):
        plot_walk_rows([])
    with pytest.raises(InputError, match="3 and of 2 dimensions"):
        plot_samples(cloud(d=2), cloud(d=3))
    with pytest.raises(InputError, match="1 names for 2 columns"):
        plot_dataset(cloud(d=2), ["x"])


def test_dollars_in_column_names_are_not_taken_for_mathematics():
    figure = plot_dataset(cloud(), ["price_$", r"$ and _$"])
    dark(figure)
    assert figure.axes[0].get_xlabel() == r"price_\$"
