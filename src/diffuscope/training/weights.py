"""How does an optimiser step stay cheap? All weights of a network are stored in one vector.

Clipping, Adam, averaging and the exchange between processes are then one operation each, however many
layers there are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffuscope.errors import InputError

__all__ = ["FlatParameters", "WeightAverage"]


class FlatParameters:
    """The trainable parameters of a network as one ``vector`` of shape (n_weights,), with one gradient.

    The parameters become views of it; keep no other references to their data. ``views`` has the values and
    the gradient of each.

    Raises
    ------
    InputError
        When the network has nothing to train, or its parameters differ in type or device.
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        if not self.parameters:
            raise InputError(
                "The network has no parameters to train.", "Give a module whose parameters require gradients."
            )
        kinds = {(p.dtype, p.device) for p in self.parameters}
        if len(kinds) > 1 or not self.parameters[0].is_floating_point():
            raise InputError(
                "The network's parameters must have one floating-point type and be on one device.",
                "Convert it: network.float().to(device).",
            )
        vector = torch.cat([p.detach().flatten() for p in self.parameters])
        grad = torch.zeros_like(vector)
        sizes = [p.numel() for p in self.parameters]
        self._grads = [g.view_as(p) for p, g in zip(self.parameters, torch.split(grad, sizes), strict=True)]
        for p, values in zip(self.parameters, torch.split(vector, sizes), strict=True):
            p.data = values.view_as(p)
        self.views = [(p.data, g) for p, g in zip(self.parameters, self._grads, strict=True)]
        self.vector = nn.Parameter(vector)
        self.vector.grad = grad

    def release(self) -> None:
        """Give each parameter its own memory again.

        The last digits of a matrix product can depend on the alignment of a matrix. A trained network is to
        give the same bytes as one that was read from a file.
        """
        for p in self.parameters:
            p.data = p.detach().clone()

    @property
    def grad(self) -> Tensor:
        """All gradients, shape (n_weights,)."""
        assert self.vector.grad is not None
        return self.vector.grad

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients of ``loss``, in the order of ``parameters``; zeros for unused ones."""
        return torch.autograd.grad(loss, self.parameters, allow_unused=True, materialize_grads=True)

    def keep(self, gradients: tuple[Tensor, ...], add: bool = False) -> None:
        """Write the gradients of all parameters into ``grad``, or add them to it."""
        (torch._foreach_add_ if add else torch._foreach_copy_)(self._grads, gradients)

    def clip(self, norm: float) -> None:
        """Scale the gradients down to ``norm``, as ``torch.nn.utils.clip_grad_norm_`` does."""
        total = torch.linalg.vector_norm(self.grad)
        self.grad.mul_((norm / (total + 1e-6)).clamp_(max=1.0))


class WeightAverage:
    r"""Exponential moving average of a vector of weights, which starts from them; decay 0 follows them.

    The decay warms up with the step k, :math:`\min\left(d, \frac{1 + k}{10 + k}\right)`, so that a run of a
    few hundred steps does not keep its first weights.
    """

    def __init__(self, weights: Tensor, decay: float) -> None:
        self.weights, self.decay = weights.detach().clone(), decay

    def share(self, step: int) -> float:
        """Return the share of the weights after ``step`` steps (1, 2, ...) in their average."""
        return 1 - min(self.decay, (1 + step) / (10 + step))

    def update(self, weights: Tensor, share: float | Tensor) -> None:
        """Move the average towards the weights by a share of the way, a number or a tensor of shape ()."""
        self.weights.lerp_(weights.detach(), share)
