"""How can one see what is wrong? The numbers of a picture of that one thing, drawn when it is asked for.

Each picture has a caption, for who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike

from diffuscope.diagnosis.levels import Band, LevelErrors
from diffuscope.diagnosis.steps import Step
from diffuscope.diagnosis.subject import Points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Difference", "Differences", "ErrorByLevel", "Picture", "Steps", "Values"]

_BINS = 60
_SHOWN = 300  # rows of a table in a picture
_BESIDE = "this network, beyond the least possible error"
_LEAST = "the least possible error"

Numbers = tuple[float, ...]


class Picture(Protocol):
    """The numbers of a picture."""

    @property
    def caption(self) -> str:
        """What is to be seen, in words."""
        ...

    def plot(self) -> Figure:
        """Draw it."""
        ...


def _numbers(values: ArrayLike) -> Numbers:
    return tuple(np.asarray(values, dtype=np.float64).ravel().tolist())


@dataclass(frozen=True)
class ErrorByLevel:
    """Errors of a network at k noise levels: as it is, and as it would be if something were mended.

    ``lines`` are pairs of words and k errors on the scale of :mod:`~diffuscope.diagnosis.levels`, the present
    ones first; ``limit`` is what no (or no simple) denoiser can do better.
    """

    ratio: Numbers  # σ/α
    lines: tuple[tuple[str, Numbers], ...]
    limit: tuple[str, Numbers] | None = None
    bands: tuple[Band, ...] = ()

    @classmethod
    def of(
        cls,
        ratio: ArrayLike,
        *lines: tuple[str, ArrayLike],
        limit: tuple[str, ArrayLike] | None = None,
        bands: Sequence[Band] = (),
    ) -> ErrorByLevel | None:
        """Return the picture of arrays of shape (k,); None where no number is above 0."""
        held = tuple((words, _numbers(errors)) for words, errors in lines)
        last = None if limit is None else (limit[0], _numbers(limit[1]))
        every = np.concatenate([errors for _, errors in (*held, *([] if last is None else [last]))])
        if not (every[np.isfinite(every)] > 0).any():
            return None
        return cls(_numbers(ratio), held, last, tuple(bands))

    @classmethod
    def of_network(
        cls, errors: LevelErrors, bands: Sequence[Band] = (), other: tuple[str, LevelErrors] | None = None
    ) -> ErrorByLevel | None:
        """Return the errors of a network beyond the irreducible ones, and those of another on request."""
        lines: list[tuple[str, ArrayLike]] = [(_BESIDE, errors.excess)]
        if other is not None:
            lines.append((other[0], other[1].excess))
        return cls.of(errors.ratio, *lines, limit=(_LEAST, errors.irreducible), bands=bands)

    @property
    def caption(self) -> str:
        """What is to be seen, in words."""
        lines = [*self.lines, *([] if self.limit is None else [self.limit])]
        means = "; ".join(f"{words} {np.mean(errors):.3g}" for words, errors in lines)
        return f"The network's error by noise level, in the mean: {means}."

    def plot(self) -> Figure:
        """Draw the errors over σ/α."""
        from diffuscope.plots import plot_levels

        return plot_levels(self.ratio, self.lines, self.limit, self.bands)


@dataclass(frozen=True)
class Steps:
    """Coefficients of k steps of a sampler, from the noisiest on, beside those that their levels ask for."""

    ratio: Numbers  # σ/α from which they lead
    data: Numbers  # the weight of the data estimate
    due_data: Numbers
    noise: Numbers  # the deviation of the noise
    due_noise: Numbers
    most_noise: Numbers

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Steps:
        """Return the picture of steps that were probed."""
        columns = [
            (s.now.ratio.item(), s.data, s.due_data, s.noise, s.due_noise, s.most_noise) for s in steps
        ]
        return cls(*map(_numbers, zip(*columns, strict=True)))

    @property
    def caption(self) -> str:
        """What is to be seen, in words."""
        off = max(abs(a - b) for a, b in zip(self.data, self.due_data, strict=True))
        added = "; ".join(
            f"{noise:.3g} (right: {least:.3g})"
            for noise, least in zip(self.noise, self.due_noise, strict=True)
        )
        return (
            f"Coefficients of {len(self.ratio)} steps, beside the right ones: the weight of the data "
            f"estimate is off by {off:.3g} at most, the noise is {added}."
        )

    def plot(self) -> Figure:
        """Draw weights and noise, step by step."""
        from diffuscope.plots import plot_steps

        noise = (self.noise, self.due_noise, self.most_noise)
        return plot_steps(self.ratio, (self.data, self.due_data), noise)


@dataclass(frozen=True)
class Values:
    """How often values come, in bins; with marks at some of them."""

    name: str
    edges: Numbers
    counts: Numbers
    marks: tuple[tuple[float, str], ...]
    half: tuple[float, float] | None = None  # between which half of the values lie

    @classmethod
    def of(
        cls, name: str, values: ArrayLike, marks: Sequence[tuple[float, str]], half: bool = False
    ) -> Values:
        """Return the picture of values (n,), on request with where half of them lie."""
        x = np.asarray(values, dtype=np.float64).ravel()
        counts, edges = np.histogram(x, _BINS)
        low, high = np.quantile(x, [0.25, 0.75]).tolist()
        return cls(name, _numbers(edges), _numbers(counts), tuple(marks), (low, high) if half else None)

    @property
    def caption(self) -> str:
        """What is to be seen, in words."""
        half = (
            ""
            if self.half is None
            else f": half of them lie between {self.half[0]:.4g} and {self.half[1]:.4g}"
        )
        marked = ", ".join(words for _, words in self.marks)
        return f"The values of {self.name}{half}; marked: {marked}."

    def plot(self) -> Figure:
        """Draw the histogram."""
        from diffuscope.plots import plot_values

        return plot_values(self.edges, self.counts, self.name, self.marks, self.half)


@dataclass(frozen=True)
class Difference:
    """One thing in which two tables differ: in words, and the values of one column or of two."""

    words: str
    real: tuple[Numbers, Numbers]  # the second is empty for a single column
    made: tuple[Numbers, Numbers]

    @classmethod
    def of(cls, words: str, columns: Sequence[int], real: Points, made: Points) -> Difference:
        """Return what is shown of tables (n, d) and (m, d)."""

        def shown(x: Points) -> tuple[Numbers, Numbers]:
            some = x[np.unique(np.linspace(0, len(x) - 1, min(len(x), _SHOWN)).round().astype(int))]
            parts = [_numbers(some[:, j]) for j in columns]
            return parts[0], parts[1] if len(parts) > 1 else ()

        return cls(words, shown(real), shown(made))


@dataclass(frozen=True)
class Differences:
    """In what two tables differ most. ``labels`` say what the rows of each are called."""

    parts: tuple[Difference, ...]
    labels: tuple[str, str]

    @property
    def caption(self) -> str:
        """What is to be seen, in words."""
        return f"{self.labels[0]} beside {self.labels[1]}: {'; '.join(part.words for part in self.parts)}."

    def plot(self) -> Figure:
        """Draw distribution functions of columns, and pairs of columns as points."""
        from diffuscope.plots import plot_differences

        panels = [(part.words, _arrays(part.real), _arrays(part.made)) for part in self.parts]
        return plot_differences(panels, self.labels)


def _arrays(pair: tuple[Numbers, Numbers]) -> tuple[Points, Points]:
    first, second = (np.asarray(values, dtype=np.float64) for values in pair)
    return first, second
