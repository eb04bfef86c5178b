r"""What does a denoiser say of a category? Which one it may be, with what probability.

Category i of k is the point :math:`c_i = s\,(e_i - p)` (:mod:`diffuscope.data.tables.columns.categories`). A
noisy point y of it, with noise of variance v, is evidence for each: with what is known otherwise,

.. math::
    p(i \mid y, \text{rest}) \propto \exp\!\Bigl(\log p_i + \frac{y \cdot c_i - |c_i|^2 / 2}{v} + F_i\Bigr),
    \qquad E[x_0 \mid y, \text{rest}] = \sum_i p(i \mid y, \text{rest})\, c_i .

The first two terms are what can be said without any training. F, the answer of the network, is what the rest
of the row says, and is trained by cross-entropy, the proper loss of probabilities: a square error hardly
sees a rare category (Dieleman et al. 2022, section 3, train so too).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Choice", "Choices"]


class Choice(NamedTuple):
    """A column of categories among the coordinates.

    Attributes
    ----------
    place : slice
        Its coordinates.
    shares : tuple of float
        p, of as many categories.
    scale : float
        s.
    """

    place: slice
    shares: tuple[float, ...]
    scale: float


class Choices(nn.Module):
    """Which of d coordinates are those of categories; before any are set, none.

    Parameters
    ----------
    dimension : int
        d.
    """

    group: Tensor
    share: Tensor
    scale: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("group", torch.full((dimension,), -1))
        self.register_buffer("share", torch.ones(dimension))
        self.register_buffer("scale", torch.ones(dimension))

    def set(self, choices: Sequence[Choice | tuple[slice, tuple[float, ...], float]]) -> None:
        """Set the columns of categories."""
        for number, (place, shares, scale) in enumerate(choices):
            self.group[place] = number
            self.share[place] = torch.tensor(shares, dtype=self.share.dtype)
            self.scale[place] = scale

    @property
    def where(self) -> Tensor:
        """The coordinates of categories, shape (c,)."""
        return (self.group >= 0).nonzero()[:, 0]

    def prior(self, y: Tensor, variance: Tensor | None = None) -> Tensor:
        """Return log-probabilities without the rest of the row, shape (n, c), up to a constant per column.

        Parameters
        ----------
        y : Tensor of shape (n, d)
            Points with noise.
        variance : Tensor of shape () or (n,), optional
            Of the noise; without it, the points say nothing.
        """
        where = self.where
        share, scale = self.share[where], self.scale[where]
        log_share = share.log().expand(len(y), -1)
        if variance is None:
            return log_share
        variance = variance.to(y.dtype).to(y.device).expand(len(y))[:, None]
        return log_share + (scale * y[:, where] + scale.square() * share) / variance

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Return log-probabilities (n, c) of logits (n, c), column by column."""
        group = self.group[self.where]
        count = int(group.max()) + 1
        index = group.expand_as(logits)
        top = logits.new_full((len(logits), count), -torch.inf).scatter_reduce(1, index, logits, "amax")
        shifted = logits - top.detach()[:, group]
        total = logits.new_zeros(len(logits), count).scatter_add(1, index, shifted.exp())
        return shifted - total.log()[:, group]

    def means(self, log_probability: Tensor) -> Tensor:
        """Return the coordinates (n, c) that probabilities mean."""
        where = self.where
        return self.scale[where] * (log_probability.exp() - self.share[where])

    def taken(self, x_0: Tensor) -> Tensor:
        """Return 1 for the category that clean points (n, d) are, 0 for the others, shape (n, c)."""
        where = self.where
        return x_0[:, where] / self.scale[where] + self.share[where]
