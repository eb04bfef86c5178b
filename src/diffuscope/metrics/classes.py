r"""Are samples of the right classes, in the right shares, and as plainly as data is?

With :math:`p_i` the probabilities that a classifier gives the classes of sample i, :math:`q_j` those of
real point j, and bars for means over all of them:

* **imbalance**, :math:`\frac12 \sum_c |\bar p_c - \bar q_c|`: the share of samples that would have to be
  of another class for the classes to come as often as in data;
* **gap in entropy**, :math:`|\overline{H(p)} - \overline{H(q)}|` in nats: samples between the classes are
  less certain than data, samples of a model that exaggerates (guidance does) more so;
* **accuracy**: of samples that were asked for by class, the share whose class is the most probable one.

The first two are positive for finite clouds of equal laws, and so need a floor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.metrics.clouds import Points, checked_pair

__all__ = ["ClassJudgement", "Share", "class_imbalance", "entropy_gap", "judge_classes"]


class Share(NamedTuple):
    """A share of n, with its 95% interval (Wilson 1927)."""

    value: float
    low: float
    high: float
    n: int


class ClassJudgement(NamedTuple):
    """What a classifier says of samples, and of real points beside them; entropies in nats.

    Attributes
    ----------
    balance, real_balance : float
        Entropy of the mean probabilities: the logarithm of the number of classes where all come equally
        often, 0 where there is only one.
    imbalance : float
        Share of samples that would have to be of another class.
    entropy, real_entropy : float
        Mean entropy of the probabilities: 0 where all is certain.
    accuracy : Share or None
        Of samples that were asked for by class.
    """

    balance: float
    real_balance: float
    imbalance: float
    entropy: float
    real_entropy: float
    accuracy: Share | None = None


def judge_classes(generated: ArrayLike, real: ArrayLike, asked: ArrayLike | None = None) -> ClassJudgement:
    """Say of which classes samples are, and how plainly.

    Parameters
    ----------
    generated, real : array_like of shape (n, k) and (m, k)
        Probabilities of classes, a row each.
    asked : array_like of int, shape (n,), optional
        The classes that were asked for, 0 to k - 1; k where none was, which counts for no accuracy.

    Raises
    ------
    InputError
        When rows are no probabilities, or ``asked`` does not go with them.
    """
    p, q = _checked(generated, real)
    return ClassJudgement(
        balance=float(_entropy(p.mean(axis=0))),
        real_balance=float(_entropy(q.mean(axis=0))),
        imbalance=class_imbalance(p, q),
        entropy=float(_entropy(p).mean()),
        real_entropy=float(_entropy(q).mean()),
        accuracy=None if asked is None else _accuracy(p, np.asarray(asked)),
    )


def class_imbalance(generated: ArrayLike, real: ArrayLike) -> float:
    """Return the share of samples that would have to be of another class, from 0 to 1.

    Parameters
    ----------
    generated, real : array_like of shape (n, k) and (m, k)
        Probabilities of classes.

    Raises
    ------
    InputError
        When rows are no probabilities.
    """
    p, q = _checked(generated, real)
    return float(np.abs(p.mean(axis=0) - q.mean(axis=0)).sum() / 2)


def entropy_gap(generated: ArrayLike, real: ArrayLike) -> float:
    """Return how much more, or less, certain samples are than real points, in nats, without its sign.

    Parameters
    ----------
    generated, real : array_like of shape (n, k) and (m, k)
        Probabilities of classes.

    Raises
    ------
    InputError
        When rows are no probabilities.
    """
    p, q = _checked(generated, real)
    return float(abs(_entropy(p).mean() - _entropy(q).mean()))


def _checked(generated: ArrayLike, real: ArrayLike) -> tuple[Points, Points]:
    both = checked_pair(generated, real)
    for rows in both:
        if (rows < 0).any() or (np.abs(rows.sum(axis=1) - 1) > 1e-3).any():
            raise InputError(
                "These are not probabilities of classes.", "Give rows of shares that add up to 1."
            )
    return both


def _entropy(p: Points) -> NDArray[np.float64]:
    """Return the entropy of the last axis, in nats."""
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1))


def _accuracy(p: Points, asked: NDArray[np.integer]) -> Share | None:
    from scipy.stats import binomtest

    n, k = p.shape
    if (
        asked.shape != (n,)
        or not np.issubdtype(asked.dtype, np.integer)
        or asked.min() < 0
        or asked.max() > k
    ):
        raise InputError(
            f"Classes of shape {asked.shape} ({asked.dtype}) do not go with {n} samples of {k} classes.",
            f"Give a whole number from 0 to {k - 1} for each, and {k} where none was asked for.",
        )
    named = asked < k
    count = int(named.sum())
    if not count:
        return None
    right = int((p[named].argmax(axis=1) == asked[named]).sum())
    low, high = binomtest(right, count).proportion_ci(method="wilson")
    return Share(right / count, float(low), float(high), count)
