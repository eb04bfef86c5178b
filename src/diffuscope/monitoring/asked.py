"""How is a network asked in the middle of its training, without the training noticing?

Each module's mode and torch's random state are as before, nothing gets a gradient, and all batches have one
size, so that a compiled network is not compiled again.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diffuscope.errors import InputError

__all__ = ["Asked", "Labelled", "averaged_of", "undisturbed"]

Network = Callable[..., Any]


class Labelled(nn.Module):
    """A network ``(x, t, y)`` as one ``(x, t)`` of a single class, or of one value of numbers.

    Parameters
    ----------
    network : nn.Module
        Takes points (n, ...), times (n,) and classes (n,), int64, or numbers (n, k).
    label : int, or float or sequence of k floats
        The class of all points, or their numbers in the units of the network; the null class of a network for
        classifier-free guidance has a number as well.
    keyword : str, optional
        The name of the third argument, such as ``class_labels``, where it is no positional one.

    Examples
    --------
    >>> import diffuscope, torch
    >>> class Network(torch.nn.Module):
    ...     def forward(self, x, t, y):
    ...         return x * y[:, None]
    >>> one = diffuscope.Labelled(Network(), label=3)
    >>> one(torch.ones(2, 2), torch.zeros(2))
    tensor([[3., 3.],
            [3., 3.]])
    """

    def __init__(
        self, network: nn.Module, label: int | float | Sequence[float], keyword: str | None = None
    ) -> None:
        super().__init__()
        given = torch.as_tensor(label)
        # One class, or a row of numbers.
        self.label = given.float().reshape(-1) if given.is_floating_point() or given.ndim else given.long()
        self.network, self.keyword = network, keyword

    def forward(self, x: Tensor, t: Tensor) -> Any:
        """Return what the network answers for the label."""
        y = self.label.to(x.device).expand(len(x), *self.label.shape)
        return self.network(x, t, y) if self.keyword is None else self.network(x, t, **{self.keyword: y})


class Asked(nn.Module):
    """Any network as ``(x, t) -> a tensor of the shape of x``, for points (n, d) that it sees as ``shape``.

    An answer may be a tuple, or have a field ``sample``, as those of diffusers. A network that is
    distributed is asked without its wrapper, so that no other process is waited for.
    """

    def __init__(self, network: Network, shape: tuple[int, ...], batch: int, near: Any = None) -> None:
        super().__init__()
        parallel = (nn.parallel.DistributedDataParallel, nn.DataParallel)
        bare = network.module if isinstance(network, parallel) else network
        self.network: Any = bare
        self.shape, self.batch = shape, batch
        first = next(bare.parameters(), None) if isinstance(bare, nn.Module) else None
        home = first if first is not None else near if isinstance(near, Tensor) else torch.zeros(())
        self.device = home.device
        self.dtype = home.dtype if home.is_floating_point() else torch.float32

    @torch.no_grad()
    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the answers (n, d), float32, on the CPU, for points (n, d) at times (n,)."""
        n, parts = len(x), []
        for start in range(0, n, self.batch):
            piece, when = x[start : start + self.batch], t[start : start + self.batch]
            missing = self.batch - len(piece)
            if missing:
                piece = torch.cat([piece, piece[-1:].expand(missing, -1)])
                when = torch.cat([when, when[-1:].expand(missing)])
            points = piece.to(self.dtype).to(self.device).reshape(self.batch, *self.shape)
            answer = self._answer(points, when.to(self.device))
            parts.append(answer.reshape(self.batch, -1)[: self.batch - missing].float().cpu())
        return torch.cat(parts)

    def _answer(self, x: Tensor, t: Tensor) -> Tensor:
        try:
            answer = self.network(x, t)
        except Exception as error:  # whatever the user's own network may raise
            raise InputError(
                f"The network fails for points of shape {tuple(x.shape)} and times of shape {tuple(t.shape)}:"
                f" {error}",
                "Give a network (x, t) -> the shape of x. One with classes: diffuscope.Labelled(network, y).",
            ) from error
        if not isinstance(answer, Tensor):
            answer = getattr(answer, "sample", answer[0] if isinstance(answer, tuple | list) else answer)
        if not isinstance(answer, Tensor) or answer.shape != x.shape:
            got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise InputError(
                f"The network must return the shape of its input, {tuple(x.shape)}, but returned {got}.",
                "Wrap it so that (x, t) gives the prediction alone: without a learned variance, say.",
            )
        return answer


def averaged_of(average: Any) -> Network | None:
    """Return the network of averaged weights: itself, or what a function without arguments returns."""
    if average is None:
        return None
    if not callable(average):
        raise InputError(
            f"A {type(average).__name__} is no network of averaged weights.",
            "Give the averaged network, or a function without arguments that returns it.",
        )
    found: Any = average() if not isinstance(average, nn.Module) and _takes_nothing(average) else average
    if not callable(found):
        raise InputError(
            f"The averaged network is a {type(found).__name__}.", "Return the network from the function."
        )
    network: Network = found
    return network


def _takes_nothing(function: Callable[..., Any]) -> bool:
    """Whether a function can be called without arguments."""
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


@contextlib.contextmanager
def undisturbed(networks: list[Any], device: torch.device) -> Iterator[None]:
    """Switch modules to evaluation while the block runs; modes and random states are then as before."""
    modules = [m for network in networks if isinstance(network, nn.Module) for m in network.modules()]
    before = [module.training for module in modules]
    numbers = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=numbers):
        try:
            for network in networks:
                if isinstance(network, nn.Module):
                    network.eval()
            yield
        finally:
            for module, was_training in zip(modules, before, strict=True):
                module.training = was_training
