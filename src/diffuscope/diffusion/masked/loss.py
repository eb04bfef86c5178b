"""How is a network trained for all masks? They are drawn at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Examples, Loss, posterior_means
from diffuscope.diffusion.masked.categorical import Choices
from diffuscope.diffusion.masked.denoiser import MaskedDenoiser
from diffuscope.diffusion.masked.mask import Mask
from diffuscope.diffusion.predictions import training_target
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.transfers import upload

__all__ = ["MaskedLoss"]

_LEAST_ENTROPY = 0.5  # nats
_ASKED = 0.25  # share of rows that learn whether values are there


@dataclass(frozen=True)
class MaskedLoss(Loss):
    """The loss of a :class:`MaskedDenoiser` with random masks; NaN in the data is absent.

    ``partial`` is the fraction of rows in which any coordinate is known or absent. ``groups`` has the column
    of each coordinate: all coordinates of a column share a state. Empty: one column each. ``presence`` has
    the columns that say whether the values of others are there, each with these others: in a quarter of the
    rows they are learned given some of the values, in all others the values given them.
    """

    partial: float = 0.5
    groups: tuple[int, ...] = ()
    choices: Choices | None = None
    presence: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def of_columns(
        self,
        columns: Sequence[int],
        choices: Choices | None = None,
        presence: tuple[tuple[int, tuple[int, ...]], ...] = (),
    ) -> MaskedLoss:
        """Return the loss for coordinates of these columns."""
        return dataclasses.replace(self, groups=tuple(columns), choices=choices, presence=presence)

    def examples(
        self,
        denoiser: Denoiser,
        x_0: Tensor,
        level: NoiseLevel,
        eps: Tensor,
        label: Tensor | None = None,
    ) -> Examples:
        """Return :meth:`masked_examples` with masks of torch's own generator; masked rows have no classes."""
        return self.masked_examples(denoiser, x_0, level, eps, None)

    def masked_examples(
        self,
        denoiser: Denoiser,
        x_0: Tensor,
        level: NoiseLevel,
        eps: Tensor,
        generator: torch.Generator | None,
    ) -> Examples:
        """Draw masks, add noise to ``x_0`` (n, d) and return inputs and targets of the network.

        Masks are of the ``generator``, on the device of ``x_0``; by default of torch's own.
        """
        assert isinstance(denoiser, MaskedDenoiser)
        mask = self._draw(x_0, generator)
        posterior = self.target == "posterior" and not x_0.isnan().any()
        x_0 = x_0.nan_to_num(0.0)
        x_t = q_sample(x_0, level, eps)
        noisy = ~(mask.known | mask.absent)
        target_x, target_eps = x_0, eps
        if posterior:
            whole = noisy.all(1, keepdim=True)
            mean_x, mean_eps = posterior_means(x_0, level, eps, self.group)
            target_x, target_eps = torch.where(whole, mean_x, x_0), torch.where(whole, mean_eps, eps)
        weight = noisy.to(x_0.dtype) * (noisy.numel() / noisy.to(x_0.dtype).sum().clamp_min(1))
        own = self._weight(denoiser, level)
        target = training_target(denoiser.prediction, target_x, target_eps, level, denoiser.sigma_data)
        if denoiser.factors is not None:
            target = target + denoiser.gaussian_offset(x_t, level, mask)
        prior = denoiser.prior(x_t, level)
        if self.choices is not None and prior is not None:
            # After the target of F: the one-hot category, and its log-probabilities without F.
            target = torch.cat([target, self.choices.one_hot(x_0), prior], 1)
        return Examples(
            inputs=denoiser.network_inputs(x_t, level, mask, prior),
            condition=denoiser.condition(level, x_0),
            target=target,
            weight=weight if own is None else weight * coefficient(own, x_0),
        )

    def value(self, output: Tensor, examples: Examples) -> Tensor:
        """Return the mean loss, shape (), over numbers (squares) and categories (cross-entropy).

        The cross-entropy of a column is over its entropy, so that all columns have about the same weight.
        """
        if self.choices is None:
            return super().value(output, examples)
        assert examples.weight is not None
        d, where = output.shape[1], self.choices.where
        target, one_hot, prior = torch.split(examples.target, [d, len(where), len(where)], 1)
        number = (self.choices.group < 0).to(output.dtype)
        squares = number * examples.weight * (output - target).square()
        weight = examples.weight.index_select(1, where) / self.choices.entropy.clamp_min(_LEAST_ENTROPY)
        entropies = -one_hot * self.choices.log_softmax(prior + output.index_select(1, where)) * weight
        return (squares.sum() + entropies.sum()) / output.numel()

    def _draw(self, x_0: Tensor, generator: torch.Generator | None) -> Mask:
        """Draw masks."""
        n, d = x_0.shape
        groups = upload(torch.tensor(self.groups or range(d)), x_0.device)
        columns = max(self.groups or range(d)) + 1
        u = torch.rand(n, columns + 3, device=x_0.device, generator=generator)
        some = u[:, :1] < self.partial
        known = some & (u[:, 3:] < u[:, 1:2])
        again = torch.rand(n, columns, device=x_0.device, generator=generator)
        # In half of the partial rows some unknown coordinates are absent.
        absent = some & (u[:, 2:3] < 0.5) & ~known & (again < 2 * u[:, 2:3])
        missing = x_0.isnan()
        if self.presence:
            lost = torch.zeros(n, columns, dtype=torch.bool, device=x_0.device)
            lost[:, groups] = missing
            known, absent = self._with_presence(known & ~lost, absent | lost, lost, generator)
        return Mask(
            x_0.nan_to_num(0.0),
            known.index_select(1, groups) & ~missing,
            absent.index_select(1, groups) | missing,
        )

    def _with_presence(
        self, known: Tensor, absent: Tensor, lost: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return states (n, c) of columns, those of presence set; ``lost`` is where values are missing."""
        n, c = known.shape
        asked, some, left_out = torch.rand(3, n, 1, device=known.device, generator=generator)
        ask = asked < _ASKED
        own = upload(torch.tensor([number for number, _ in self.presence]), known.device)
        of_value = torch.ones(c, dtype=torch.bool, device=known.device).index_fill(0, own, False)
        # Rows that learn presence: values are known, half of the time, or absent.
        u = torch.rand(n, c, device=known.device, generator=generator)
        known = torch.where(ask & of_value, (u < 2 * some - 1) & ~lost, known)
        absent = torch.where(ask & of_value, ~known, absent)
        # There, presence is known if a value is; half of the time some of the rest is known, or absent.
        values = [upload(torch.tensor(values), known.device) for _, values in self.presence]
        here = torch.stack([(~absent.index_select(1, one)).any(1) for one in values], 1)
        draw, part = torch.rand(2, n, len(own), device=known.device, generator=generator)
        told = here | (draw < 2 * left_out - 1)
        dropped = ~told & (part < 2 * left_out - 1)
        # Elsewhere it is known; in a quarter of the rows it is absent where all its values are.
        hidden = ~here & (left_out < 0.25)
        known, absent = known.clone(), absent.clone()
        known[:, own] = torch.where(ask, told, ~hidden)
        absent[:, own] = torch.where(ask, dropped, hidden)
        return known, absent
