"""What do the tests of tables share? Patients, simulated, with every kind of column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def make_patients(n: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    age = np.clip(random.gamma(9, 6, n), 18, 97).round().astype(int)
    sex = random.choice(["female", "male"], n)
    smoker = random.random(n) < np.where(sex == "male", 0.35, 0.2)
    pressure = 95 + 0.5 * age + 6 * smoker + random.normal(0, 9, n)
    old = random.choice(["geriatrics", "cardiology", "surgery"], n, p=[0.7, 0.2, 0.1])
    young = random.choice(["cardiology", "surgery", "internal medicine"], n, p=[0.3, 0.3, 0.4])
    ward = np.where(age > 65, old, young)
    admitted = pd.Timestamp("2021-01-01") + pd.to_timedelta(random.integers(0, 900 * 1440, n), unit="min")
    lab = random.lognormal(1.5 + 0.01 * age, 0.5, n)
    lab[random.random(n) < np.where(ward == "surgery", 0.1, 0.5)] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "sex": pd.Categorical(sex),
            "smoker": smoker,
            "pressure": pressure,
            "ward": ward,
            "admitted": admitted,
            "lab": lab,
        }
    )


@pytest.fixture(scope="session")
def patients():
    """``patients(n, seed)``: rows of one law."""
    return make_patients


@pytest.fixture(scope="session")
def three(patients):
    """Training, held-out and perfect synthetic rows."""
    return patients(700, 1), patients(300, 2), patients(700, 5)
