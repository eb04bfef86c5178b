r"""Do samples have the right classes, in the right proportions, and are they as easy to classify as data?

With :math:`p_i` the class probabilities of a classifier for sample i, :math:`q_j` those for real point j, and
bars for means:

* **imbalance**, :math:`\frac12 \sum_c |\bar p_c - \bar q_c|`: the fraction of samples that would have to
  change their class to match the class frequencies of the data;
* **entropy gap**, :math:`|\overline{H(p)} - \overline{H(q)}|` in nats: samples between classes are classified
  with less certainty than data, samples with strong guidance with more;
* **accuracy**: the fraction of class-conditional samples whose most probable class is the requested one.

The first two are positive even for finite clouds of equal distributions, and so need a floor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.metrics.clouds import Points, checked_pair
from diffuscope.metrics.floor import wilson

__all__ = ["ClassJudgement", "Share", "judge_classes"]


class Share(NamedTuple):
    """A share of n, with its 95% interval (Wilson 1927)."""

    value: float
    low: float
    high: float
    n: int


class ClassJudgement(NamedTuple):
    """Class statistics of samples and of real points; entropies in nats.

    The balance is the entropy of the mean probabilities: the logarithm of the number of classes if all are
    equally frequent, 0 if there is only one. The entropy is the mean of all rows: 0 if all are certain.
    """

    balance: float
    real_balance: float
    imbalance: float
    entropy: float
    real_entropy: float
    accuracy: Share | None = None

    @property
    def entropy_gap(self) -> float:
        """The difference of the mean entropies, in nats."""
        return abs(self.entropy - self.real_entropy)


def judge_classes(generated: ArrayLike, real: ArrayLike, labels: ArrayLike | None = None) -> ClassJudgement:
    """Return balance, certainty and accuracy from class probabilities, (n, k) of samples and (m, k) of data.

    ``labels`` (n,) are the requested classes, 0 to k - 1, or k for unconditional samples.
    """
    p, q = checked_pair(generated, real)
    for rows in (p, q):
        if (rows < 0).any() or (np.abs(rows.sum(axis=1) - 1) > 1e-3).any():
            raise InputError(
                "Class probabilities are not probabilities.", "Each row must be 0 or more, and sum to 1."
            )
    return ClassJudgement(
        balance=float(_entropy(p.mean(axis=0))),
        real_balance=float(_entropy(q.mean(axis=0))),
        imbalance=float(np.abs(p.mean(axis=0) - q.mean(axis=0)).sum() / 2),
        entropy=float(_entropy(p).mean()),
        real_entropy=float(_entropy(q).mean()),
        accuracy=None if labels is None else _accuracy(p, np.asarray(labels)),
    )


def _entropy(p: Points) -> NDArray[np.float64]:
    """Return the entropy of the last axis, in nats."""
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1))


def _accuracy(p: Points, labels: NDArray[np.integer]) -> Share | None:
    n, k = p.shape
    integers = labels.shape == (n,) and np.issubdtype(labels.dtype, np.integer)
    if not integers or labels.min() < 0 or labels.max() > k:
        raise InputError(
            f"Labels of shape {labels.shape} ({labels.dtype}) are not valid for {n} samples of {k} classes.",
            f"Give an integer from 0 to {k - 1} for each, or {k} for an unconditional sample.",
        )
    named = labels < k
    count = int(named.sum())
    if not count:
        return None
    right = int((p[named].argmax(axis=1) == labels[named]).sum())
    return Share(right / count, *wilson(right, count), count)
