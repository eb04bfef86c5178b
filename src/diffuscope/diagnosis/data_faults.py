"""What may be wrong with the data: too few rows, copies, values far out, rows unlike the held-out ones?"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from diffuscope.diagnosis.budget import Budget
from diffuscope.diagnosis.differences import differences
from diffuscope.diagnosis.distances import Clouds
from diffuscope.diagnosis.findings import Finding, matters
from diffuscope.diagnosis.pictures import Differences, Values
from diffuscope.diagnosis.subject import Points, Subject

__all__ = [
    "Lattice",
    "atoms_of",
    "data_findings",
    "few_data",
    "heavy_tails",
    "lattice_of",
    "mostly_one_value",
]

_FEW_DATA = 0.7
_MOST_TO_REMEMBER = 20_000
_MEMORISED = 0.5
_DISTINCT = 0.5  # share of rows that are distinct, below which they are few
_FINE = 20  # values of a column, from which on equal rows are not to be expected
_FAR = 50.0  # interquartile ranges from the quartiles
_SQUEEZED = 0.3  # deviation of nearly all rows in the model's units
_FEW_FAR = 0.01
_FEWEST_VALUES = 5  # of a column that is rounded; fewer are categories
_ITS_OWN = 0.9  # of the distinct rows: values of a column that are hardly shared
_COARSE = 0.1  # deviations of a step, and values for each row, at most
_ATOM, _ATOMS_AMONG = 0.05, 0.2  # of the rows: one value, as of an amount that is often 0; distinct ones
_QUARTILES = 1.349  # deviations between the quartiles of a normal law
_HEAVY = 2.5  # deviations over that of a normal law with the same quartiles
_ONE_DRAW = 3.0  # deviations


def data_findings(clouds: Clouds, budget: Budget) -> list[Finding]:
    """Return what is wrong with the training data."""
    subject = clouds.subject
    copies, shift = _duplicates(subject), _shifted(clouds, budget)
    if copies is not None and shift is not None:  # copies are what makes them unlike
        copies, shift = replace(copies, gain=shift.gain, interval=shift.interval), None
    return [one for one in (_outliers(subject), copies, shift) if one is not None]


def _outliers(subject: Subject) -> Finding | None:
    """Find values so far out that they spoil the scale of their column."""
    x = subject.data.x.astype(np.float64)
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
    spread = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(spread > 0, np.maximum(low - x, x - high) / spread, 0.0)
    rows, columns = np.nonzero(far > _FAR)
    if not len(rows) or len(set(rows.tolist())) > max(3, _FEW_FAR * len(x)):
        return None
    j = int(columns[np.argmax(far[rows, columns])])
    i = int(np.argmax(far[:, j]))
    inner = np.abs(x[:, j] - middle[j]) <= _FAR * spread[j]
    squeezed = float(np.std((x[inner, j] - subject.scaling.shift[j]) / subject.scaling.scale[j]))
    name = _name(subject, j)
    count = len(set(rows.tolist()))
    others = f" So are {count - 1:,} more rows." if count > 1 else ""
    effect = ""
    if squeezed < _SQUEEZED:
        effect = (
            f" In the model's units all other rows have a deviation of {squeezed:.2g} there, not about 1."
        )
    return Finding(
        "outliers",
        f"Row {i} is far out: {name} is {x[i, j]:.6g}",
        f"Half of the values of {name} lie between {low[j]:.4g} and {high[j]:.4g}; row {i} (counted from 0) "
        "is "
        f"{far[i, j]:,.0f} times that range away.{others}{effect}",
        None,
        "Correct or remove such rows, or clip the column, and train again; or scale by quantiles.",
        "certain" if squeezed < _SQUEEZED else "possible",
        picture=Values.of(name, x[:, j], [(float(x[i, j]), f"row {i}: {x[i, j]:.6g}")], half=True),
    )


class Lattice(NamedTuple):
    """Columns whose values are multiples of a step: number, least value, step."""

    columns: tuple[tuple[int, float, float], ...]

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers, as counts, codes and bytes are: that is no fault of data."""
        return all(_is_whole(least, step) for _, least, step in self.columns)

    def rounded(self, x: Points) -> Points:
        """Return points (m, d) in the units of the data, rounded as the data is."""
        rounded = x.copy()
        for j, least, step in self.columns:
            rounded[:, j] = least + step * np.round((x[:, j] - least) / step)
        return rounded

    def finding(self, subject: Subject) -> Finding:
        """Return the finding that samples are not rounded."""
        j, _, step = self.columns[0]
        x, name, count = subject.data.x.astype(np.float64), _name(subject, j), len(self.columns)
        more = f" So are {count - 1} more columns." if count > 1 else ""
        return Finding(
            "rounded",
            f"Samples differ from the data, which is rounded: {name} has multiples of {step:.4g} only",
            f"The step is {step / x[:, j].std():.2g} deviations of {name}; a diffusion model makes all "
            f"values between.{more} Once samples are rounded so, boosted trees do not tell them from real "
            "rows.",
            None,
            "Round samples as the data is rounded, and train on dequantised data: add uniform noise of one "
            "step.",
            "certain",
            picture=Values.of(name, x[:, j], [], half=True),
        )


def lattice_of(subject: Subject) -> Lattice | None:
    """Return the columns whose values are multiples of a step that is coarse beside their deviation.

    Columns of two to four whole numbers are truth values and codes: they are part of it as well.
    """
    x = subject.data.x.astype(np.float64)
    found = []
    for j in range(x.shape[1]):
        values = np.unique(x[:, j])
        if not 2 <= len(values) <= len(x) * _COARSE:
            continue
        step = _step_of(values)
        if step is None or step <= _COARSE * x[:, j].std():
            continue
        if len(values) >= _FEWEST_VALUES or _is_whole(values[0], step):
            found.append((j, float(values[0]), step))
    return Lattice(tuple(found)) if found else None


def atoms_of(x: Points) -> np.ndarray:
    """Return which columns of rows (n, d) have one value again and again among others that hardly repeat."""
    found = np.zeros(x.shape[1], bool)
    for j, column in enumerate(x.T):
        values, counts = np.unique(column, return_counts=True)
        found[j] = len(values) > _ATOMS_AMONG * len(x) and counts.max() > _ATOM * len(x)
    return found


def mostly_one_value(x: Points, share: float) -> np.ndarray:
    """Return which columns of points (n, d) have one value in more than a share of the rows."""
    most = [np.unique(column, return_counts=True)[1].max() for column in x.T]
    return np.asarray(np.array(most) > share * len(x))


def _is_whole(least: float, step: float) -> bool:
    return least == round(least) and step == round(step)


def _step_of(values: Points) -> float | None:
    """Return the step of which two or more distinct values, in order, are multiples; None where none is."""
    step = max(float(np.diff(values).min()), 1e-300)
    multiples = (values - values[0]) / step
    return step if np.allclose(multiples, multiples.round(), atol=0.01) else None


def heavy_tails(subject: Subject) -> Finding | None:
    """Find columns whose deviation is made by few values: most of the rows are squeezed together.

    Pixels are none: those at a border are dark nearly always.
    """
    if not subject.probe:
        return None
    x = subject.data.x.astype(np.float64)
    low, high = np.quantile(x, [0.25, 0.75], axis=0)
    usual = (high - low) / _QUARTILES
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.where(usual > 0, x.std(axis=0) / usual, 1.0)
    times[mostly_one_value(x, 0.5)] = 1.0  # quartiles say nothing of them
    j = int(np.argmax(times))
    if times[j] < _HEAVY:
        return None
    name = _name(subject, j)
    return Finding(
        "heavy_tails",
        f"Samples differ from the data, whose tails are heavy: {name}",
        f"The deviation of {name} is {times[j]:.1f} times that of a normal law with the same quartiles: few "
        "values "
        "far out set the scale, and most rows are squeezed into a small part of it.",
        None,
        "Transform such columns before training, by quantiles, or by log or asinh, and transform samples "
        "back.",
        "likely",
        picture=Values.of(name, x[:, j], [], half=True),
    )


def _name(subject: Subject, j: int) -> str:
    names = subject.data.columns
    return f"column {j + 1}" if names is None else repr(names[j])


def _duplicates(subject: Subject) -> Finding | None:
    """Find training data of which most rows are copies of others."""
    x = subject.data.x
    distinct = len(np.unique(x, axis=0))
    fine = max(len(np.unique(column)) for column in x.T) >= min(_FINE, distinct)
    values = np.prod([float(len(np.unique(column))) for column in x.T[:20]])
    copied = (fine and values >= 4 * len(x)) or _is_each_its_own(x, distinct)
    if distinct >= _DISTINCT * len(x) or not copied:
        return None
    return Finding(
        "duplicates",
        f"Only {distinct:,} of {len(x):,} training rows are distinct",
        f"{len(x) - distinct:,} rows are copies of others, while the columns have values for {values:,.3g} "
        "different rows. A network learns such rows by heart.",
        None,
        "Look how the data was loaded (a batch repeated, a file read twice); keep each row once, use more "
        "data.",
        "certain",
        picture=_repeats(x),
    )


def _is_each_its_own(x: Points, distinct: int) -> bool:
    """Whether distinct rows differ in all columns, and values are no multiples of a step."""
    if x.shape[1] < 2 or distinct < _FEWEST_VALUES:
        return False
    for column in x.T:
        values = np.unique(column)
        if len(values) < _ITS_OWN * distinct or _step_of(values) is not None:
            return False
    return True


def _repeats(x: Points) -> Values:
    """Return how often the distinct rows of data come."""
    counts = np.unique(x, axis=0, return_counts=True)[1]
    mean = float(counts.mean())
    return Values.of("how often a distinct row comes", counts, [(mean, f"in the mean {mean:.3g} times")])


def _shifted(clouds: Clouds, budget: Budget) -> Finding | None:
    """Find training data that is not like the held-out data, beyond what so few rows are unlike anyway."""
    subject, share = clouds.subject, budget["finite_data"]
    if subject.held_out is None or not matters(share):
        return None
    as_many = clouds.of_as_many_held_out
    beyond = clouds.share(clouds.memory, as_many)
    if not matters(beyond) or beyond.value < _ONE_DRAW * as_many.std(ddof=1):  # the rows are one draw
        return None
    x = subject.data.x.astype(np.float64)
    apart = differences(subject, subject.held_out, x)
    lines = [part.words for part in apart]
    where = f" They differ most in this: {'; '.join(lines)}." if lines else ""
    return Finding(
        "data_shift",
        "The training data is not like the held-out data",
        f"The {len(x):,} training rows, resampled, are {share} × floor further from held-out rows than "
        "held-out "
        f"rows are from each other, {beyond} more than as many held-out rows are.{where}",
        share.ratio,
        "Look how rows were chosen for training (a group lost, a filter, another source), and split at "
        "random.",
        "certain",
        interval=(share.low, share.high),
        picture=Differences(tuple(apart), ("held-out rows", "training rows")) if apart else None,
    )


def few_data(clouds: Clouds, budget: Budget) -> Finding | None:
    """Check whether the error is the training set's own distance from its distribution."""
    subject, share = clouds.subject, budget["finite_data"]
    n = len(subject.data.x)
    closeness = _closeness(clouds)
    memorised = closeness is not None and closeness < _MEMORISED
    gain: float | None = None
    known = subject.is_exact or subject.data.draw is not None or subject.held_out is not None
    if known and not (subject.held_out is not None and memorised):
        total = budget["total"].ratio - 1 if "total" in budget else share.ratio
        gain = min(share.ratio, total)
        if not matters(share, _FEW_DATA) or gain < _FEW_DATA:
            return None
    elif not memorised:
        return None
    evidence = f"The {n:,} training points, resampled, are {1 + share.ratio:.2f} × floor from fresh ones. "
    title = f"{n:,} training points are too few"
    if memorised:
        title = f"The network has memorised its {n:,} training points"
        evidence += (
            f"The distance of samples to the nearest training point is {closeness:.2f} times that between "
            "real points."
        )
    fix = "Use more data; a smaller network, dropout or fewer training steps reduce memorisation."
    interval = None if gain is None else (share.low, share.high)
    return Finding("few_data", title, evidence, gain, fix, "likely", interval=interval)


def _closeness(clouds: Clouds) -> float | None:
    """Return how near samples are to training points, over how near these are to each other; 1 is sound."""
    from sklearn.neighbors import NearestNeighbors

    x: Points = np.unique(clouds.subject.shown(clouds.subject.data.x[:_MOST_TO_REMEMBER]), axis=0)
    if len(x) < 3:
        return None
    samples = clouds.first(1)[0]
    if not np.isfinite(samples).all():
        return None
    tree = NearestNeighbors(n_neighbors=2).fit(x)
    between = np.median(tree.kneighbors(x)[0][:, 1])
    near = np.median(tree.kneighbors(samples, n_neighbors=1)[0])
    return float(near / between) if between > 0 else None
