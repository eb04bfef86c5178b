r"""How does a denoiser estimate a categorical column? By the probabilities of its categories.

Category i of k is the point :math:`c_i = s\,(e_i - p)` (:mod:`diffuscope.data.tables.columns.categories`).
Given a noisy point y with noise of variance v, and the rest of the row,

.. math::
    p(i \mid y, \text{rest}) \propto \exp\!\Bigl(\log p_i + \frac{y \cdot c_i - |c_i|^2 / 2}{v} + F_i\Bigr),
    \qquad E[x_0 \mid y, \text{rest}] = \sum_i p(i \mid y, \text{rest})\, c_i .

The first two terms need no training. F, the output of the network, is the evidence of the rest of the row. It
is trained by cross-entropy: the squared error is insensitive to rare categories (Dieleman et al. 2022,
section 3, train this way too).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffuscope.transfers import upload

__all__ = ["Choices"]


class Choices(nn.Module):
    """Which of d coordinates belong to categorical columns; at first none do."""

    group: Tensor
    share: Tensor
    scale: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("group", torch.full((dimension,), -1))
        self.register_buffer("share", torch.ones(dimension))
        self.register_buffer("scale", torch.ones(dimension))
        self._known: tuple[Tensor, int, tuple[Tensor, Tensor, int]] | None = None

    def set(self, choices: Sequence[tuple[slice, tuple[float, ...], float]]) -> None:
        """Set the categorical columns: of each its coordinates, shares p and scale s."""
        for number, (place, shares, scale) in enumerate(choices):
            self.group[place] = number
            self.share[place] = torch.tensor(shares, dtype=self.share.dtype)
            self.scale[place] = scale

    def _columns(self) -> tuple[Tensor, Tensor, int]:
        """Return indices of the categorical coordinates (c,), their columns (c,), and how many columns.

        They are looked up once: a GPU would be waited for in every step.
        """
        known = self._known
        if known is None or known[0] is not self.group or known[1] != self.group._version:
            where = (self.group >= 0).nonzero()[:, 0]
            group = self.group[where]
            count = int(group.max()) + 1 if len(group) else 0
            self._known = known = (self.group, self.group._version, (where, group, count))
        return known[2]

    @property
    def where(self) -> Tensor:
        """Indices of the categorical coordinates, shape (c,)."""
        return self._columns()[0]

    @property
    def entropy(self) -> Tensor:
        """The entropy of the shares of each coordinate's column, in nats, shape (c,)."""
        where, group, count = self._columns()
        share = self.share[where]
        total = share.new_zeros(count).index_add(0, group, -share * share.log())
        return total[group]

    def prior(self, y: Tensor, variance: Tensor | None = None) -> Tensor:
        """Return log-probabilities without the rest of the row, shape (n, c), up to a constant per column.

        ``y``, shape (n, d), are noisy points, ``variance``, () or (n,), that of their noise; without it, they
        are ignored.
        """
        where = self.where
        share, scale = self.share[where], self.scale[where]
        log_share = share.log().expand(len(y), -1)
        if variance is None:
            return log_share
        variance = upload(variance.to(y.dtype), y.device).expand(len(y))[:, None]
        return log_share + (scale * y.index_select(1, where) + scale.square() * share) / variance

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Return log-probabilities (n, c) of logits (n, c), column by column."""
        _, group, count = self._columns()
        index = group.expand_as(logits)
        top = logits.new_full((len(logits), count), -torch.inf).scatter_reduce(1, index, logits, "amax")
        shifted = logits - top.detach().index_select(1, group)
        total = logits.new_zeros(len(logits), count).scatter_add(1, index, shifted.exp())
        return shifted - total.log().index_select(1, group)

    def means(self, log_probability: Tensor) -> Tensor:
        """Return the expected coordinates (n, c) under log-probabilities (n, c)."""
        where = self.where
        return self.scale[where] * (log_probability.exp() - self.share[where])

    def one_hot(self, x_0: Tensor) -> Tensor:
        """Return the categories of clean points (n, d) as one-hot vectors, shape (n, c)."""
        where = self.where
        return x_0.index_select(1, where) / self.scale[where] + self.share[where]
