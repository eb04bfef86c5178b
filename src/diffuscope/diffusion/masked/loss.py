"""How is a network trained for all masks? They are drawn at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser, training_target
from diffuscope.diffusion.losses import Examples, Loss, posterior_means
from diffuscope.diffusion.masked.categorical import Choices
from diffuscope.diffusion.masked.denoiser import MaskedDenoiser
from diffuscope.diffusion.masked.mask import Mask
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = ["MaskedLoss"]


@dataclass(frozen=True)
class MaskedLoss(Loss):
    """The loss of a :class:`MaskedDenoiser` with random masks; NaN in the data is absent.

    ``partial`` is the fraction of rows in which any coordinate is known or absent. ``groups`` has the column
    of each coordinate: all coordinates of a column share a state. Empty: one column each.
    """

    partial: float = 0.5
    groups: tuple[int, ...] = ()
    choices: Choices | None = None

    def of_columns(self, columns: Sequence[int], choices: Choices | None = None) -> MaskedLoss:
        """Return the loss for coordinates of these columns."""
        return dataclasses.replace(self, groups=tuple(columns), choices=choices)

    def examples(self, denoiser: Denoiser, x_0: Tensor, level: NoiseLevel, eps: Tensor) -> Examples:
        """Draw masks, add noise to ``x_0`` (n, d) and return inputs and targets of the network."""
        assert isinstance(denoiser, MaskedDenoiser)
        mask = self._draw(x_0)
        complete, x_0 = not x_0.isnan().any(), x_0.nan_to_num(0.0)
        x_t = q_sample(x_0, level, eps)
        noisy = ~(mask.known | mask.absent)
        target_x, target_eps = x_0, eps
        if self.target == "posterior" and complete:
            whole = noisy.all(1, keepdim=True)
            mean_x, mean_eps = posterior_means(x_0, level, eps, self.group)
            target_x, target_eps = torch.where(whole, mean_x, x_0), torch.where(whole, mean_eps, eps)
        weight = noisy.to(x_0.dtype) * (noisy.numel() / noisy.to(x_0.dtype).sum().clamp_min(1))
        own = self._weight(denoiser, level)
        target = training_target(denoiser.prediction, target_x, target_eps, level, denoiser.sigma_data)
        if denoiser.factors is not None:
            target = target + denoiser.gaussian_offset(x_t, level, mask)
        if self.choices is not None:
            # After the target of F: the one-hot category, and its log-probabilities without F.
            prior = self.choices.prior(x_t / coefficient(level.alpha, x_t), level.ratio.square())
            target = torch.cat([target, self.choices.one_hot(x_0), prior], 1)
        return Examples(
            inputs=denoiser.network_inputs(x_t, level, mask),
            condition=denoiser.condition(level, x_0),
            target=target,
            weight=weight if own is None else weight * coefficient(own, x_0),
        )

    def value(self, output: Tensor, examples: Examples) -> Tensor:
        """Return the mean loss, shape (), over numbers (squares) and categories (cross-entropy)."""
        if self.choices is None:
            return super().value(output, examples)
        assert examples.weight is not None
        d, where = output.shape[1], self.choices.where
        target, one_hot, prior = torch.split(examples.target, [d, len(where), len(where)], 1)
        number = (self.choices.group < 0).to(output.dtype)
        squares = number * examples.weight * (output - target).square()
        entropies = -one_hot * self.choices.log_softmax(prior + output[:, where]) * examples.weight[:, where]
        return (squares.sum() + entropies.sum()) / output.numel()

    def _draw(self, x_0: Tensor) -> Mask:
        """Draw masks from torch's global random state."""
        n, d = x_0.shape
        groups = torch.tensor(self.groups or range(d), device=x_0.device)
        columns = int(groups.max()) + 1
        u = torch.rand(n, columns + 3, device=x_0.device)
        some = u[:, :1] < self.partial
        known = some & (u[:, 3:] < u[:, 1:2])
        again = torch.rand(n, columns, device=x_0.device)
        # In half of the partial rows some unknown coordinates are absent.
        absent = some & (u[:, 2:3] < 0.5) & ~known & (again < 2 * u[:, 2:3])
        missing = x_0.isnan()
        return Mask(x_0.nan_to_num(0.0), known[:, groups] & ~missing, absent[:, groups] | missing)
