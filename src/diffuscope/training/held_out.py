r"""When should training stop? When the loss on held-out rows no longer falls (early stopping).

Their noise levels, noise and masks are drawn once. The loss of the averaged weights on them falls while the
network learns the distribution, and rises when it memorises the training rows, which happens early in small
data sets. The best weights are kept. Training stops when the loss has not fallen for a quarter of the run and
is now above its best by more than chance; a loss that stands still may fall when the learning rate does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Times
from diffuscope.seeds import stream, stream_seed
from diffuscope.training.randomness import LossLike, noised, random_of

__all__ = ["PARTS", "HeldOut", "validation_rows"]

_ROWS = 4096  # noised rows, repeating the held-out ones: on few of them the loss is too noisy
_NUMBERS = 2**21  # in a batch of the network
_LOOKS = 40
_PATIENCE = 0.25  # of the run
PARTS = 16  # of the rows, whose losses show what is chance
_CERTAIN = 2.0  # standard errors


def validation_rows(n: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices of n rows for training, and of those held out, at random; at least one of each."""
    held = min(max(1, round(share * n)), n - 1)
    order = torch.randperm(n, generator=stream(seed, "held out"))
    return order[held:], order[:held]


class HeldOut:
    """The loss on held-out rows x (n, ...) with their classes ``label`` (n,), if any.

    ``best`` are the lowest loss so far and its step, ``weights`` those of that step.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        loss: LossLike,
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
        with random_of(denoiser.network, loss, stream_seed(seed, "held out", 2), rows.device) as masks:
            labels = None if label is None else label[which]
            self._examples = noised(loss, denoiser, rows, level, eps, masks, labels)
        self.best = (math.inf, 0)
        self.history: list[tuple[int, float]] = []  # steps and losses of this process
        self._first = self._parts = torch.full(
            (PARTS,), math.inf, dtype=torch.float64
        )  # the best loss, in parts
        self.weights: Tensor | None = None
        self._next = 0

    def due(self, step: int, total: int) -> bool:
        """Return whether the loss is to be measured at this step."""
        return step >= min(self._next, total)

    @torch.no_grad()
    def look(self, step: int, total: int, weights: Tensor) -> bool:
        """Measure the loss of the network, whose weights are these; return whether to stop."""
        self._next = step + max(1, total // _LOOKS)
        n = len(self._examples.inputs)
        size = max(1, _NUMBERS // self._examples.inputs[0].numel())  # pieces, if points are large
        pieces = (self._examples.at(slice(start, start + size)) for start in range(0, n, size))
        output = torch.cat([piece.predict(self.denoiser.network) for piece in pieces])
        each = -(-n // PARTS)
        places = [slice(i * each, (i + 1) * each) for i in range(PARTS)]
        losses = [self.loss.value(output[place], self._examples.at(place)) for place in places]
        parts = torch.stack(losses).cpu().double()  # read at once
        loss = parts.mean().item()
        self.history.append((step, loss))
        if len(self.history) == 1:
            self._first = parts
        if loss < self.best[0] or self.weights is None:
            self.best, self.weights, self._parts = (loss, step), weights.clone(), parts
        above = parts - self._parts
        chance = _CERTAIN * above.std() / math.sqrt(PARTS)
        return step - self.best[1] > _PATIENCE * total and bool(above.mean() > chance)

    @property
    def fell(self) -> bool:
        """Whether the best loss is below that of the first look of this process, by more than chance."""
        below = self._first - self._parts
        return bool(below.mean() > _CERTAIN * below.std() / math.sqrt(PARTS))

    def tensors(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        assert self.weights is not None  # the first look comes before the first checkpoint
        loss, step = self.best
        return {
            "held_out.weights": self.weights,
            "held_out.best": torch.tensor([loss, step, self._next], dtype=torch.float64),
            "held_out.parts": self._parts,
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state of a checkpoint."""
        loss, step, following = tensors["held_out.best"].tolist()
        self.best, self._next = (loss, int(step)), int(following)
        self._parts = tensors["held_out.parts"]
        self.weights = tensors["held_out.weights"].to(self._examples.inputs.device)
