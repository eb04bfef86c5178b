"""Small tables with known laws, and models of them, fitted once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diffuscope import DiffusionModel


def draw_people(n: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Draw people: height depends on sex, weight on height, ill people are old; some values are missing."""
    random = np.random.default_rng(seed)
    is_male = random.random(n) < 0.4
    height = np.where(is_male, 178.0, 165.0) + 6 * random.normal(size=n)
    weight = 60 + 0.9 * (height - 165) + 5 * random.normal(size=n)
    age = random.integers(18, 80, size=n)
    ill = random.random(n) < 1 / (1 + np.exp(-(age - 50) / 6))
    people = pd.DataFrame(
        {
            "sex": pd.Categorical(
                np.where(is_male, "male", "female"), categories=["male", "female", "other"]
            ),
            "height": height,
            "weight": weight.astype(np.float32),
            "age": age.astype(np.int16),
            "smokes": random.random(n) < 0.3,
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 300, size=n), unit="D"),
            "hospital": "St. Mary",
        },
        index=pd.Index(np.arange(n) + 1000, name="patient"),
    )
    people.loc[random.random(n) < 0.1, "weight"] = np.nan
    return people, pd.Series(np.where(ill, "ill", "well"), index=people.index, name="state")


@pytest.fixture(scope="session")
def people():
    return draw_people(3000)


@pytest.fixture(scope="session")
def new_people():
    return draw_people(500, seed=1)


@pytest.fixture(scope="session")
def people_model(people):
    return DiffusionModel(steps=600, width=32, random_state=0).fit(*people)


MIXING = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 0.5, 0.7]])
SHIFT = np.array([10.0, -3.0, 0.5])


@pytest.fixture(scope="session")
def covariance():
    return MIXING @ MIXING.T


@pytest.fixture(scope="session")
def normal_rows():
    return lambda n, seed: SHIFT + np.random.default_rng(seed).normal(size=(n, 3)) @ MIXING.T


@pytest.fixture(scope="session")
def normal_model(normal_rows):
    return DiffusionModel(steps=600, width=48, random_state=0).fit(normal_rows(5000, 0))
