r"""Which tables is ``tables.py`` about? Five that ship with scikit-learn, and four whose law is known.

The real ones are split anew for every seed, four fifths for training. Of the simulated ones 8,000 rows for
training and 2,000 others are drawn anew; since they are drawn column after column,
:math:`\log p(x) = \sum_j \log p(x_j \mid x_{<j})` is known exactly, which no method can exceed in the mean.

Measured values are rounded, and a law of numbers that stands on rounded ones has a density without bound. So
to the numbers of the real tables a uniform one of the size of their last digit is added, once (Theis et al.
2016, section 3.1): all methods then have densities of the same thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

__all__ = ["TABLES", "Table"]

Floats = NDArray[np.float64]
_TRAIN, _HELD_OUT = 8_000, 2_000
_MANY = 1_000


@dataclass(frozen=True)
class Table:
    """A table, or a law of tables.

    Attributes
    ----------
    title : str
    target : str or None
        The column that a model trained on synthetic rows has to predict.
    split : callable
        ``split(seed) -> (train, held_out)``.
    log_density : callable or None
        The law's own, frame of n rows to (n,), where it is known.
    seeds : int
        How many are enough.
    reused : bool
        Whether the rows of different seeds are the same ones in another order.
    """

    title: str
    target: str | None
    split: Callable[[int], tuple[pd.DataFrame, pd.DataFrame]]
    log_density: Callable[[pd.DataFrame], Floats] | None = None
    seeds: int = 3

    @property
    def reused(self) -> bool:
        return self.log_density is None


# --- real ------------------------------------------------------------------------------------------------


def _last_digit(x: Floats) -> float:
    """Return the unit, a power of 10, to which most values are rounded."""
    units = (10.0**-k for k in range(9))
    return next(
        (unit for unit in units if np.isclose(x / unit, np.rint(x / unit), rtol=0, atol=1e-6).mean() > 0.5),
        0.0,
    )


def _shipped(name: str, is_class: bool) -> Table:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True, **({} if is_class else {"scaled": False}))
    frame, target = bunch.data.astype(float), bunch.target
    random = np.random.default_rng(0)
    sex = frame.pop("sex") if name == "diabetes" else None
    for column in frame:
        frame[column] += (random.random(len(frame)) - 0.5) * _last_digit(frame[column].to_numpy())
    if sex is not None:
        frame["sex"] = pd.Categorical.from_codes((sex > 1).astype(int), ["1", "2"])
    if is_class:
        target = pd.Categorical.from_codes(target, [f"class {c}" for c in bunch.target_names])
    frame["target"] = target

    def split(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        order = np.random.default_rng(seed).permutation(len(frame))
        held = len(frame) // 5
        return tuple(frame.iloc[part].reset_index(drop=True) for part in (order[held:], order[:held]))

    return Table(
        f"{name}: {len(frame):,} rows, {frame.shape[1]} columns",
        "target",
        split,
        seeds=5 if len(frame) < _MANY else 3,
    )


# --- simulated -------------------------------------------------------------------------------------------


def _simulated(
    title: str,
    target: str | None,
    draw: Callable[[int, np.random.Generator], pd.DataFrame],
    log_density: Callable[[pd.DataFrame], Floats],
) -> Table:
    def split(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        frame = draw(_TRAIN + _HELD_OUT, np.random.default_rng(1000 + seed))
        return frame.iloc[:_TRAIN], frame.iloc[_TRAIN:].reset_index(drop=True)

    return Table(title, target, split, log_density)


def _gaussians() -> Table:
    """Eight Gaussians in 30 columns, each with its own correlations."""
    random, k, d = np.random.default_rng(8), 8, 30
    weights = random.dirichlet(np.full(k, 4.0))
    means = 1.2 * random.standard_normal((k, d)) * (random.random((k, d)) < 0.5)
    factors = random.standard_normal((k, d, 4)) * 0.6
    roots = np.linalg.cholesky(factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(d))

    def draw(n: int, random: np.random.Generator) -> pd.DataFrame:
        which = random.choice(k, n, p=weights)
        x = means[which] + np.einsum("nij,nj->ni", roots[which], random.standard_normal((n, d)))
        return pd.DataFrame(x, columns=[f"x{j}" for j in range(d)])

    def log_density(frame: pd.DataFrame) -> Floats:
        x = frame.to_numpy()
        terms = [
            np.log(w) + stats.multivariate_normal(m, root @ root.T).logpdf(x)
            for w, m, root in zip(weights, means, roots, strict=True)
        ]
        return np.logaddexp.reduce(terms, axis=0)

    return _simulated("gaussians: 8,000 rows, 30 columns, 8 correlated Gaussians", "x0", draw, log_density)


def _chain_step(x: Floats, j: int) -> tuple[Floats, Floats]:
    """Return mean and deviation of column j given those before it."""
    last, before = x[:, j - 1], x[:, max(j - 3, 0)]
    means = (
        lambda: 1.5 * np.sin(2 * last),
        lambda: np.where(last > 0, 1.0, -1.0) * np.abs(before) ** 0.5,
        lambda: 0.7 * last * before,
    )
    spreads = (
        lambda: np.full(len(x), 0.3),
        lambda: 0.15 + 0.25 / (1 + np.exp(-3 * last)),
        lambda: 0.2 + 0.1 * np.abs(before),
    )
    return means[j % 3](), spreads[j % 3]()


def _chain() -> Table:
    """Ten columns, each a curved function of two before it, with noise that depends on them."""
    d = 10

    def draw(n: int, random: np.random.Generator) -> pd.DataFrame:
        x = np.zeros((n, d))
        x[:, 0] = random.standard_normal(n)
        for j in range(1, d):
            mean, spread = _chain_step(x, j)
            x[:, j] = mean + spread * random.standard_normal(n)
        return pd.DataFrame(x, columns=[f"x{j}" for j in range(d)])

    def log_density(frame: pd.DataFrame) -> Floats:
        x = frame.to_numpy()
        total = stats.norm.logpdf(x[:, 0])
        for j in range(1, d):
            total = total + stats.norm.logpdf(x[:, j], *_chain_step(x, j))
        return total

    return _simulated("chain: 8,000 rows, 10 columns, curved relations", "x9", draw, log_density)


REGIONS, STAGES, THERAPIES = tuple("NESWC"), ("0", "I", "II", "III"), ("none", "drug", "surgery")
_REGION_SHARES = np.array([0.35, 0.25, 0.2, 0.15, 0.05])
_AGES = np.arange(18, 91)


def _softmax(logits: Floats) -> Floats:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _patients_laws(f: pd.DataFrame) -> dict[str, object]:
    """Return the law of each column given those before it, as far as they are there.

    Probabilities (n, k) for what is counted, frozen scipy laws for numbers.
    """
    laws: dict[str, object] = {"region": np.tile(_REGION_SHARES, (len(f), 1))}
    if "region" in f:
        region = f["region"].cat.codes.to_numpy()
        centre = np.array([40.0, 52, 60, 45, 30])[region]
        laws["age"] = _softmax(-0.5 * ((_AGES - centre[:, None]) / 14) ** 2)
    if "age" in f:
        age = f["age"].to_numpy()
        laws["female"] = _two(0.02 * (age - 50) + 0.1)
    if "female" in f:
        female = f["female"].to_numpy(dtype=float)
        laws["smoker"] = _two(-0.8 - 0.7 * female + 1.2 * np.exp(-(((age - 45) / 15) ** 2)))
    if "smoker" in f:
        smoker = f["smoker"].to_numpy(dtype=float)
        laws["bmi"] = stats.lognorm(0.12 + 0.04 * female, scale=25 + 0.06 * (age - 40) - 1.5 * smoker)
    if "bmi" in f:
        bmi = f["bmi"].to_numpy()
        laws["pressure"] = stats.norm(
            95 + 0.5 * age + 0.9 * (bmi - 25) + 6 * smoker * (age > 50), 6 + 0.08 * age
        )
    if "pressure" in f:
        pressure = f["pressure"].to_numpy()
        rate = np.exp(-1.2 + 0.02 * (pressure - 110) + 0.8 * smoker)
        laws["visits"] = stats.poisson(np.minimum(rate, 12.0))
    if "visits" in f:
        risk = (pressure - 120) / 15 + 0.25 * f["visits"].to_numpy()
        laws["stage"] = _softmax(np.stack([np.zeros(len(f)), risk - 1, 1.5 * risk - 3, 2 * risk - 6], 1))
    if "stage" in f:
        stage = f["stage"].cat.codes.to_numpy()
        old = (age > 65).astype(float)
        laws["therapy"] = _softmax(
            np.stack([2 - stage, 0.8 * stage - 0.5 * old, 1.5 * stage - 2 - 1.5 * old], axis=1)
        )
    if "therapy" in f:
        treated = f["therapy"].cat.codes.to_numpy()
        laws["cost"] = stats.lognorm(
            np.array([0.6, 0.35, 0.25])[treated],
            scale=np.array([120.0, 900, 7000])[treated] * (1 + 0.2 * stage),
        )
    return laws


def _two(logit: Floats) -> Floats:
    p = 1 / (1 + np.exp(-logit))
    return np.stack([1 - p, p], axis=1)


_MEANINGS = {"region": REGIONS, "stage": STAGES, "therapy": THERAPIES, "age": _AGES, "female": (False, True)}
_MEANINGS["smoker"] = _MEANINGS["female"]
_PATIENTS = ("region", "age", "female", "smoker", "bmi", "pressure", "visits", "stage", "therapy", "cost")


def _pick(p: Floats, random: np.random.Generator) -> NDArray[np.intp]:
    """Draw a number for each row of probabilities (n, k)."""
    ends = p.cumsum(axis=1)
    return np.minimum((random.random((len(p), 1)) > ends).sum(axis=1), p.shape[1] - 1)


def _patients() -> Table:
    """Numbers, integers, truth values and categories, each depending on those before it."""

    def draw(n: int, random: np.random.Generator) -> pd.DataFrame:
        frame = pd.DataFrame(index=range(n))
        for name in _PATIENTS:
            law = _patients_laws(frame)[name]
            if not isinstance(law, np.ndarray):
                frame[name] = law.rvs(size=n, random_state=random)
            elif name in ("region", "stage", "therapy"):
                frame[name] = pd.Categorical.from_codes(_pick(law, random), list(_MEANINGS[name]))
            else:
                frame[name] = np.asarray(_MEANINGS[name])[_pick(law, random)]
        return frame

    def log_density(frame: pd.DataFrame) -> Floats:
        total = np.zeros(len(frame))
        for name, law in _patients_laws(frame).items():
            x = frame[name].to_numpy()
            if isinstance(law, np.ndarray):
                places = pd.Index(_MEANINGS[name]).get_indexer(x)
                total += np.log(law[np.arange(len(x)), places])
            else:
                total += law.logpmf(x) if name == "visits" else law.logpdf(x)
        return total

    return _simulated("patients: 8,000 rows, 10 columns of all kinds", "therapy", draw, log_density)


def _survey() -> Table:
    """Ten questions of 2 to 12 answers each; every answer depends on two earlier ones."""
    random, sizes = np.random.default_rng(5), (2, 3, 4, 12, 5, 2, 8, 3, 6, 4)
    parents = [tuple(random.choice(j, min(j, 2), replace=False)) for j in range(len(sizes))]
    laws = [
        random.dirichlet(np.full(k, 0.5), size=tuple(sizes[i] for i in before))
        for k, before in zip(sizes, parents, strict=True)
    ]
    laws = [0.97 * law + 0.03 / law.shape[-1] for law in laws]
    answers = [[f"{chr(97 + j)}{i}" for i in range(k)] for j, k in enumerate(sizes)]

    def given(codes: NDArray[np.intp], j: int) -> Floats:
        before = tuple(codes[:, i] for i in parents[j])
        return laws[j][before] if before else np.tile(laws[j], (len(codes), 1))

    def draw(n: int, random: np.random.Generator) -> pd.DataFrame:
        codes = np.zeros((n, len(sizes)), dtype=np.intp)
        for j in range(len(sizes)):
            codes[:, j] = _pick(given(codes, j), random)
        return pd.DataFrame(
            {f"q{j}": pd.Categorical.from_codes(codes[:, j], answers[j]) for j in range(len(sizes))}
        )

    def log_density(frame: pd.DataFrame) -> Floats:
        codes = np.stack([frame[name].cat.codes for name in frame], axis=1).astype(np.intp)
        rows = np.arange(len(codes))
        return sum(np.log(given(codes, j)[rows, codes[:, j]]) for j in range(len(sizes)))

    return _simulated("survey: 8,000 rows, 10 columns of categories", "q9", draw, log_density)


TABLES: dict[str, Callable[[], Table]] = {
    "iris": lambda: _shipped("iris", True),
    "wine": lambda: _shipped("wine", True),
    "breast_cancer": lambda: _shipped("breast_cancer", True),
    "diabetes": lambda: _shipped("diabetes", False),
    "digits": lambda: _shipped("digits", True),
    "gaussians": _gaussians,
    "chain": _chain,
    "patients": _patients,
    "survey": _survey,
}
"""The tables, by name."""
