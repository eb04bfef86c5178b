r"""When should training stop? When the loss on held-out rows no longer falls (early stopping).

Their noise levels, noise and masks are drawn once. The loss of the averaged weights on them falls while the
network learns the distribution, and rises when it memorises the training rows, which happens early in small
data sets. The best weights are kept, and training stops when the loss has not fallen for a quarter of the
run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Examples, Times
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.seeds import stream, stream_seed

__all__ = ["HeldOut", "validation_rows", "validation_split"]

_ROWS = 4096  # noised rows, repeating the held-out ones: on few of them the loss is too noisy
_NUMBERS = 2**21  # in a batch of the network
_LOOKS = 40
_PATIENCE = 0.25  # of the run


class _LossLike(Protocol):
    def examples(self, denoiser: Denoiser, x_0: Tensor, level: NoiseLevel, eps: Tensor, /) -> Examples: ...

    def value(self, output: Tensor, examples: Examples, /) -> Tensor: ...


def validation_split(x: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split rows (n, d) at random into training and held-out rows, at least one of each."""
    train, held = validation_rows(len(x), share, seed)
    return x[train.to(x.device)], x[held.to(x.device)]


def validation_rows(n: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices of n rows for training, and of those held out."""
    held = min(max(1, round(share * n)), n - 1)
    order = torch.randperm(n, generator=stream(seed, "held out"))
    return order[held:], order[:held]


class HeldOut:
    """The loss on held-out rows, and the best weights so far.

    Parameters
    ----------
    denoiser : Denoiser
    loss : LossLike
    times : Times
    x : Tensor of shape (n, ...)
        The rows.
    label : Tensor of shape (n,), int64, optional
        Their classes.
    seed : int

    Attributes
    ----------
    best : tuple of (float, int)
        The lowest loss so far, and its step.
    weights : Tensor or None
        The weights of that step.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        loss: _LossLike,
        times: Times,
        x: Tensor,
        label: Tensor | None = None,
        *,
        seed: int,
    ) -> None:
        self.denoiser, self.loss = denoiser, loss
        which = torch.arange(max(_ROWS, min(len(x), 4 * _ROWS)), device=x.device) % len(x)
        rows = x[which]
        generator = stream(seed, "held out", 1)
        level = denoiser.schedule(times.draw(denoiser.schedule, 1, len(rows), generator)[0])
        eps = torch.randn(rows.shape, generator=generator).to(x.device)
        with torch.random.fork_rng():
            torch.manual_seed(stream_seed(seed, "held out", 2))
            examples = loss.examples(denoiser, rows, level, eps)
        self._examples = examples._replace(label=None if label is None else label[which])
        self.best = (math.inf, 0)
        self.weights: Tensor | None = None
        self._next = 0

    @torch.no_grad()
    def look(self, step: int, total: int, vector: nn.Parameter, averaged: Tensor) -> bool:
        """Measure the loss if it is due; return whether to stop.

        Parameters
        ----------
        step, total : int
        vector : Parameter
            The weights of the network as one vector; restored afterwards.
        averaged : Tensor
            The weights to be measured.
        """
        if step < self._next and step < total:
            return False
        self._next = step + max(1, total // _LOOKS)
        own = vector.detach().clone()
        was_training = self.denoiser.training
        self.denoiser.eval()
        vector.copy_(averaged)
        output = self._output()
        loss = self.loss.value(output, self._examples).item()
        vector.copy_(own)
        self.denoiser.train(was_training)
        if loss < self.best[0] or self.weights is None:
            self.best, self.weights = (loss, step), averaged.clone()
        return step - self.best[1] > _PATIENCE * total

    def _output(self) -> Tensor:
        """Return the network's output, computed in pieces if points are large."""
        n = len(self._examples.inputs)
        size = max(1, _NUMBERS // self._examples.inputs[0].numel())
        pieces = (self._examples.at(slice(start, start + size)) for start in range(0, n, size))
        return torch.cat([piece.predict(self.denoiser.network) for piece in pieces])

    def tensors(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        assert self.weights is not None  # the first look comes before the first checkpoint
        loss, step = self.best
        return {
            "held_out.weights": self.weights,
            "held_out.best": torch.tensor([loss, step, self._next], dtype=torch.float64),
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state of a checkpoint."""
        loss, step, following = tensors["held_out.best"].tolist()
        self.best, self._next = (loss, int(step)), int(following)
        self.weights = tensors["held_out.weights"].to(self._examples.inputs.device)
