"""How is a perceptron differentiated without a tape? By its backward pass, which is written out.

Recording operations and walking back over them costs a small network as much as its matrix products.
Gradients of :mod:`diffuscope.networks.perceptron_pass` go straight into the vector of all gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import in_type_of
from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.diffusion.mixture_loss import MixtureLoss
from diffuscope.networks import ArticleMLP, ResMLP
from diffuscope.networks.perceptron_pass import ArticlePass, ResidualPass, WrittenPass
from diffuscope.training.randomness import LossLike
from diffuscope.training.weights import FlatParameters

__all__ = ["Perceptron", "perceptron_of"]


class Perceptron:
    """A network of which a batch's gradient is written without autograd."""

    def __init__(self, written: WrittenPass) -> None:
        self._pass = written

    def differentiate(self, loss: LossLike, examples: Examples) -> Tensor:
        """Write the gradient of a batch's mean loss into that of all weights; return the loss, shape ()."""
        x, condition = (in_type_of(self._pass.network, one) for one in (examples.inputs, examples.condition))
        with torch.no_grad():
            output = self._pass.forward(x, condition).to(examples.inputs.dtype)
        value, slope = _with_slope(loss, output, examples)
        with torch.no_grad():
            self._pass.backward(slope.to(x.dtype))
        return value


def perceptron_of(network: nn.Module, flat: FlatParameters) -> Perceptron | None:
    """Return what differentiates a network without autograd; None where it is another, or has conditions."""
    if getattr(network, "label", None) is not None:
        return None
    names = [name for name, _ in network.named_parameters()]
    if len(flat.parameters) != len(names):
        return None  # some are not trained
    weights = dict(zip(names, flat.views, strict=True))
    if type(network) is ArticleMLP:
        return Perceptron(ArticlePass(network, weights))
    return Perceptron(ResidualPass(network, weights)) if type(network) is ResMLP else None


def _with_slope(loss: LossLike, output: Tensor, examples: Examples) -> tuple[Tensor, Tensor]:
    """Return the loss, shape (), and its gradient by the output (n, d)."""
    if isinstance(loss, Loss) and type(loss) in (Loss, MixtureLoss) and loss.distance == "l2":
        error = output - examples.target
        weighted = error if examples.weight is None else examples.weight * error
        return (weighted * error).mean(), weighted * (2 / error.numel())
    output.requires_grad_()
    value = loss.value(output, examples)
    (slope,) = torch.autograd.grad(value, output)
    return value.detach(), slope
