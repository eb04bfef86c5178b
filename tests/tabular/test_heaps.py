"""Are heaps found where they are, and is it seen where synthetic rows have others?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diffuscope.metrics.tabular.heaps import measure_heaps
from diffuscope.metrics.tabular.steps import step_of


def test_heaps_are_the_values_that_stand_out(of_loans, as_splits):
    metrics, found = measure_heaps(as_splits(*of_loans))
    assert {heap.value for heap in found.columns["amount"].heaps} == {"5000", "10000", "15000", "20000"}
    assert [heap.value for heap in found.columns["fee"].heaps] == ["0"]
    assert set(found.columns) <= {"amount", "fee", "total"}  # a total is an amount where the fee is 0
    assert found.columns["amount"].real == pytest.approx(0.5, abs=0.03)
    assert set(metrics) == {"heap_rates", "heap_share"}


def test_of_perfect_rows_no_heap_is_named(loans, as_splits):
    for seed in range(6):
        metrics, found = measure_heaps(as_splits(*(loans(800, 10 * seed + k) for k in range(3))))
        assert not found.off, found.line()
        assert metrics["heap_rates"].low < 1.05
        assert "as high as in real rows" in found.line()


def test_heaps_that_were_smeared_are_named(of_loans, as_splits):
    train, held_out, synthetic = of_loans
    noise = np.random.default_rng(0).normal(size=len(synthetic))
    smeared = synthetic.assign(amount=(synthetic["amount"] * (1 + 0.01 * noise)).round())
    metrics, found = measure_heaps(as_splits(train, held_out, smeared))
    assert next(iter(found.columns)) == "amount"
    worst = found.columns["amount"].off[0]
    assert (worst.value, len(found.columns["amount"].off)) == ("10000", 4)
    assert worst.real == pytest.approx(0.2, abs=0.03)
    assert worst.synthetic < 0.03
    assert found.columns["fee"].off == ()
    assert metrics["heap_share"].low > 2
    assert "worst in 'amount', 10000 in " in found.line()


def test_heaps_with_the_wrong_shares_differ_in_rates_but_not_in_their_share(of_loans, as_splits):
    train, held_out, synthetic = of_loans
    swapped = synthetic.assign(amount=synthetic["amount"].replace({10_000: 20_000, 20_000: 10_000}))
    columns = ["job", "amount"]
    metrics, found = measure_heaps(as_splits(train[columns], held_out[columns], swapped[columns]))
    assert {heap.value for heap in found.columns["amount"].off} == {"10000", "20000"}
    assert metrics["heap_rates"].low > 2
    assert metrics["heap_share"].low < 1.05


def test_ages_classes_and_smooth_numbers_have_no_heaps(as_splits):
    def draw(seed):
        random = np.random.default_rng(seed)
        return pd.DataFrame(
            {
                "age": random.integers(18, 80, 900),  # each more than 1%
                "children": random.poisson(1.0, 900),
                "length": random.normal(size=900),
                "weight": random.normal(70, 10, 900).round(),
                "group": random.choice(list("abc"), 900),
            }
        )

    assert measure_heaps(as_splits(*map(draw, range(3)))) is None


def test_a_value_on_a_lattice_is_a_heap_where_its_neighbours_are_not(as_splits):
    def draw(seed):
        random = np.random.default_rng(seed)
        age = random.integers(18, 80, 900)
        return pd.DataFrame({"age": np.where(random.random(900) < 0.15, 40, age)})

    found = measure_heaps(as_splits(*map(draw, range(3))))[1]
    assert [heap.value for heap in found.columns["age"].heaps] == ["40"]


def test_days_can_be_heaps(as_splits):
    def draw(seed):
        random = np.random.default_rng(seed)
        day = pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(1, 2000, 900), unit="D")
        return pd.DataFrame(
            {"day": pd.Series(day).where(random.random(900) > 0.1, pd.Timestamp("1900-01-01"))}
        )

    found = measure_heaps(as_splits(*map(draw, range(3))))[1]
    assert [heap.value for heap in found.columns["day"].heaps] == ["1900-01-01"]


def test_a_few_rows_are_no_heap(loans, as_splits):
    found = measure_heaps(as_splits(*(loans(60, k)[["income", "start"]] for k in range(3))))
    assert found is None


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([18, 19, 25], 1.0),
        ([100, 300, 1200], 100.0),
        ([0.25, 0.5, 2.0], 0.25),
        ([9.99, 19.99, 24.5], 0.01),
        ([1e-7, 2e-7, 0.1], 0.0),
        ([np.pi, 4.0, 5.0], 0.0),
        ([-3.5, 0.0, 3.5], 3.5),
        ([1e300, 2e300], 0.0),
    ],
)
def test_the_step_of_a_column_is_the_one_it_was_written_in(values, step):
    assert step_of(np.array(values)) == pytest.approx(step)
