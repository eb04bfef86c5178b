"""Which random numbers does a training draw, and from where? Masks and dropout, from generators of its own.

Torch's own generator is shared by all threads of a process: two trainings side by side would take turns with
it, and neither could be repeated. Networks and losses of the package draw from a generator that is handed to
them. Those of others may use torch's, so they are trained a chunk at a time, by one thread at a time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.distillation import DistillationLoss
from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.diffusion.masked import MaskedLoss
from diffuscope.diffusion.mixture_loss import MixtureLoss
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.networks import NETWORKS
from diffuscope.networks.blocks import Dropout
from diffuscope.seeds import alone, stream_seed

__all__ = [
    "LossLike",
    "PartStreams",
    "draws_in_parts",
    "is_repeatable",
    "noised",
    "random_of",
    "share_dropout",
]


class LossLike(Protocol):
    """A loss in two halves: what the network is trained on, and the distance of its output from it."""

    def examples(self, denoiser: Denoiser, x_0: Tensor, level: NoiseLevel, eps: Tensor, /) -> Examples:
        """Noise data (n, ...) to ``level`` (n,); called once for many batches."""

    def value(self, output: Tensor, examples: Examples, /) -> Tensor:
        """Return the mean loss, shape (), of a network's output (n, ...)."""


def noised(
    loss: LossLike,
    denoiser: Denoiser,
    x_0: Tensor,
    level: NoiseLevel,
    eps: Tensor,
    generator: torch.Generator | None,
    label: Tensor | None = None,
) -> Examples:
    """Return the examples of a loss with their classes (n,), if any.

    Masks are drawn from the generator where it has some; a loss of one's own knows of neither.
    """
    if isinstance(loss, MaskedLoss):
        return loss.masked_examples(denoiser, x_0, level, eps, generator)
    if isinstance(loss, Loss) and type(loss) in (Loss, DistillationLoss, MixtureLoss):
        return loss.examples(denoiser, x_0, level, eps, label)
    return loss.examples(denoiser, x_0, level, eps)._replace(label=label)


def is_repeatable(network: nn.Module | None, loss: LossLike) -> bool:
    """Whether network and loss draw from a generator that is handed to them."""
    return type(network) in NETWORKS.values() and type(loss) in (Loss, MaskedLoss, MixtureLoss)


def draws_in_parts(network: nn.Module | None, loss: LossLike) -> bool:
    """Whether a network or a loss may draw random numbers for each part of a batch."""
    known = type(loss) in (Loss, MaskedLoss, MixtureLoss, DistillationLoss)
    if network is None or type(network) not in NETWORKS.values() or not known:
        return True
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in network.modules())


class PartStreams:
    """Random numbers of the parts of a batch: a stream for each seed, step and part."""

    def __init__(self, seed: int, device: torch.device, own: bool) -> None:
        self._seed, self._device, self._own = seed, device, own
        self._of_thread = threading.local()

    def begin(self, step: int, part: int) -> None:
        """Have this thread draw for a part from here on; without a generator of one's own from torch's."""
        seed = stream_seed(self._seed, "part", step, part)
        if self._own:
            self._of_thread.generator = torch.Generator(self._device).manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def __call__(self) -> torch.Generator:
        """Return the generator of this thread."""
        generator: torch.Generator = self._of_thread.generator
        return generator


@contextlib.contextmanager
def random_of(
    network: nn.Module | None,
    loss: LossLike,
    seed: int,
    device: torch.device,
    streams: PartStreams | None = None,
) -> Iterator[torch.Generator | None]:
    """Have a network and a loss draw their random numbers from the seed within a block.

    Yields the generator; None where they may draw from torch's own, which then has the seed, and which no
    other training uses meanwhile. ``network`` is None for one that cannot be handed a generator. Dropout
    draws from the ``streams`` of parts, if given.
    """
    if not is_repeatable(network, loss):
        with alone(seed):
            yield None
        return
    assert network is not None
    generator = torch.Generator(device).manual_seed(seed)
    dropouts = [module for module in network.modules() if isinstance(module, Dropout)]
    for dropout in dropouts:
        dropout.generator = streams or generator
    try:
        yield generator
    finally:
        for dropout in dropouts:
            dropout.generator = dropout.own = None


def share_dropout(network: nn.Module, own: range, whole: int) -> None:
    """Have a network take its own rows of what is dropped in a whole batch, which several processes share."""
    for module in network.modules():
        if isinstance(module, Dropout):
            module.own, module.whole = own, whole
