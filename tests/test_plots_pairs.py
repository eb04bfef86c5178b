"""Do pair plots show rows of every kind of column, where they are and as many as there are?"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from diffuscope.errors import InputError
from diffuscope.plots import plot_pairs
from diffuscope.plots.facets import facets_of, telling_columns
from diffuscope.plots.fonts import plain

pytestmark = pytest.mark.usefixtures("whole_pictures")


def people(n, seed=0):
    random = np.random.default_rng(seed)
    age = random.integers(18, 90, n)
    place = np.where(age > 60, "country", random.choice(["town", "city"], n))
    income = random.lognormal(10 + 0.01 * age, 1.5, n)
    seen = pd.Timestamp("2023-03-01") + pd.to_timedelta(random.integers(0, 500, n), unit="D")
    return pd.DataFrame(
        {
            "age": age,
            "place": pd.Categorical(place),
            "married": random.random(n) < 0.5,
            "income": np.where(random.random(n) < 0.2, np.nan, income),
            "seen": seen,
            "children": random.poisson(1.5, n),
        }
    )


def is_whole(figure):
    figure.canvas.draw()
    box = figure.get_tightbbox()  # inches
    assert (box.min >= -0.01).all(), box.min
    assert (box.max <= figure.get_size_inches() + 0.01).all(), box.max - figure.get_size_inches()
    return True


def names_of(figure, k):
    return [ax.get_xlabel() for ax in figure.axes[-k:]], [ax.get_ylabel() for ax in figure.axes[::k]]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [["age"], ["place"], ["age", "income"], ["place", "married"], None])
def test_every_column_has_a_row_and_a_column_of_panels(columns):
    figure = plot_pairs(people(400), people(300, 1), columns)
    shown = columns or list(people(1).columns)
    assert len(figure.axes) == len(shown) ** 2
    assert names_of(figure, len(shown)) == (shown, shown)
    assert is_whole(figure)


def test_panels_of_a_column_share_its_axis():
    figure = plot_pairs(people(400), people(300, 1))
    panels = np.array(figure.axes).reshape(6, 6)
    for i in range(6):
        assert len({ax.get_xlim() for ax in panels[:, i]}) == 1
        beside = {ax.get_ylim() for j, ax in enumerate(panels[i]) if j != i}
        assert beside == {panels[0, i].get_xlim()}


def test_dates_have_ticks_of_dates_and_categories_those_of_their_values():
    figure = plot_pairs(people(400), people(300, 1), ["seen", "place"])
    figure.canvas.draw()
    dates, places = ([t.get_text() for t in ax.get_xticklabels()] for ax in figure.axes[-2:])
    assert any("2024" in text for text in dates)
    assert set(places) == {"country", "city", "town"}


def test_real_rows_are_below_the_diagonal_and_synthetic_ones_above():
    real = pd.DataFrame({"x": np.zeros(200), "y": np.linspace(0, 1, 200)})
    synthetic = pd.DataFrame({"x": np.linspace(0, 1, 200), "y": np.linspace(0, 1, 200)})
    figure = plot_pairs(synthetic, real)
    above, below = figure.axes[1].images[0].get_array(), figure.axes[2].images[0].get_array()
    assert (np.ptp(np.nonzero(above.max(axis=0))) / above.shape[1]) > 0.8  # x is on the diagonal of `below`
    along = np.nonzero(below > 0.2)
    slope = np.corrcoef(along[0], along[1])[0, 1]
    assert slope < -0.99  # rows count from the top
    assert np.ptp(np.nonzero((above > 0.2).any(axis=1))) < 0.2 * above.shape[0]


def test_the_diagonal_shows_shares_of_all_rows_and_what_is_missing():
    real = pd.DataFrame({"c": ["a", "a", "b", None], "x": [1.0, 2.0, 3.0, 4.0]})
    synthetic = pd.DataFrame({"c": ["a", "b", "b", "b"], "x": [1.0, 2.0, np.nan, np.nan]})
    figure = plot_pairs(real, synthetic)
    bars, histogram = figure.axes[0], figure.axes[3]
    assert [bar.get_height() for bar in bars.patches] == [0.5, 0.25]
    assert [line.get_ydata()[0] for line in bars.lines] == [0.25, 0.75]
    assert [text.get_text() for text in bars.texts] == ["25% missing", "0% missing"]
    assert [text.get_text() for text in histogram.texts] == ["0% missing", "50% missing"]
    assert sum(histogram.patches[0].get_data().values) == pytest.approx(1)
    assert sum(histogram.patches[1].get_data().values) == pytest.approx(0.5)


def test_squares_have_the_area_of_their_share():
    real = pd.DataFrame({"c": ["a"] * 4 + ["b"] * 4, "d": ["u", "u", "u", "v"] + ["v"] * 4})
    figure = plot_pairs(real, real)
    areas = [p.get_width() * p.get_height() for p in figure.axes[2].patches if p.get_alpha() == 0.5]
    assert np.array(sorted(areas)) / max(areas) == pytest.approx([0.25, 0.75, 1])


def test_integers_of_few_values_have_a_bin_each():
    figure = plot_pairs(people(2000), people(2000, 1), ["children"])
    values, edges, _ = figure.axes[0].patches[0].get_data()
    counts = people(2000)["children"].value_counts(normalize=True)
    for low, high, share in zip(edges[:-1], edges[1:], values, strict=True):
        assert high - low == 1
        assert share == pytest.approx(counts.get(round((low + high) / 2), 0.0))


def test_numbers_that_span_decades_are_shown_by_their_logarithm():
    income, age = facets_of(people(500), people(500, 1), ["income", "age"])
    assert income.log
    assert not age.log
    low, high = income.limits
    assert 1 < low < high < 9
    negative = people(500).assign(income=lambda t: t["income"] - 1e4)
    assert not facets_of(negative, people(500), ["income"])[0].log


def test_synthetic_rows_far_away_do_not_squeeze_the_real_ones():
    real = pd.DataFrame({"x": np.linspace(0, 1, 100)})
    low, high = facets_of(real, real * 1000, ["x"])[0].limits
    assert -0.2 < low < 0
    assert 1 < high < 1.7


def test_of_many_columns_those_that_say_most_about_each_other_are_shown():
    random = np.random.default_rng(0)
    x = random.normal(size=(800, 9))
    x[:, 4] = x[:, 1] + 0.3 * random.normal(size=800)
    table = pd.DataFrame(x, columns=[f"x{k}" for k in range(9)])
    table["x7"] = np.where(x[:, 1] > 0, "up", "down")
    assert telling_columns(table, table, 3) == ["x1", "x4", "x7"]
    lost = table.assign(x7="up", x2=table["x3"])  # a dependence that only synthetic rows have counts as well
    assert {"x2", "x3"} <= set(telling_columns(table, lost, 5))
    assert telling_columns(table, table, 9) == list(table)


def test_the_rarest_of_many_categories_stand_together():
    random = np.random.default_rng(0)
    names = [f"name {k}" for k in range(40)]
    real = pd.DataFrame({"c": random.choice(names, 3000, p=np.arange(40, 0, -1) / 820)})
    facet = facets_of(real, real, ["c"])[0]
    assert facet.labels[0] == "name 0"
    assert facet.labels[-1] == "(32 others)"
    assert len(facet.labels) == 9
    assert facet.shares(0).sum() == pytest.approx(1)


def test_ordered_categories_and_truth_stand_in_their_order():
    order = ["low", "middle", "high"]
    real = pd.DataFrame(
        {
            "c": pd.Categorical(["high"] * 5 + ["low"] * 2 + ["middle"], order, ordered=True),
            "b": [True] * 7 + [False],
        }
    )
    grade, truth = facets_of(real, real, ["c", "b"])
    assert grade.labels == order
    assert truth.labels == ["False", "True"]


@pytest.mark.parametrize("name", ["$x_1$ and $", "病房", "a very long name " * 5, "_hidden", "two\nlines", 7])
def test_any_name_can_be_drawn(name):
    table = people(60)[["age", "place"]].set_axis([name, "other"], axis=1)
    table["other"] = table["other"].astype(object).replace({"town": "東京 $", "city": "%\\frac"})
    assert is_whole(plot_pairs(table, table))


def test_names_are_cut_in_their_middle_and_signs_that_no_font_has_are_boxes():
    assert plain("abcdefghijklmnopqrstuvwxyz", 9) == "abcde…xyz"
    assert plain("cost in $") == r"cost in \$"
    assert plain("\U000e0001") == "□"
    assert plain("größe, 温度"[:5]) == "größe"


@pytest.mark.slow
def test_columns_without_values_or_of_one_value_are_drawn():
    real = pd.DataFrame({"none": [None] * 30, "one": [3.0] * 30, "x": np.arange(30.0), "c": ["a"] * 30})
    assert is_whole(plot_pairs(real, real))
    assert is_whole(plot_pairs(real, real.assign(none=np.arange(30.0), x=np.nan)))


def test_floats_that_are_whole_are_integers():
    real = pd.DataFrame({"x": [1.0, 2.0, np.nan, 5.0]})
    assert facets_of(real, real, ["x"])[0].kind == "integer"
    assert facets_of(real, real + 0.5, ["x"])[0].kind == "number"


def test_a_hundred_thousand_rows_take_no_longer_than_what_is_drawn_of_them():
    table = people(100_000)
    start = time.perf_counter()
    figure = plot_pairs(table, table, ["age", "income", "place"])
    assert time.perf_counter() - start < 10
    assert len(facets_of(table, table, ["age"])[0].values[0]) == 20_000
    assert is_whole(figure)


def test_the_same_call_draws_the_same_pixels():
    iris = load_iris(as_frame=True).frame
    drawn = []
    for _ in range(2):
        figure = plot_pairs(iris, iris[::-1], ["petal width (cm)", "target"])
        figure.canvas.draw()
        drawn.append(np.asarray(figure.canvas.buffer_rgba()).copy())
    assert (drawn[0] == drawn[1]).all()


def test_what_cannot_be_drawn_is_refused():
    table = people(30)
    with pytest.raises(InputError, match="no column named 'agee'"):
        plot_pairs(table, table, ["agee"])
    with pytest.raises(InputError, match="synthetic rows have no column"):
        plot_pairs(table, table.drop(columns="age"), ["age"])
    with pytest.raises(InputError, match="Nothing to plot"):
        plot_pairs(table, table, [])
    with pytest.raises(InputError, match="in only one table"):
        plot_pairs(table, table.assign(seen=1.0), ["seen"])
