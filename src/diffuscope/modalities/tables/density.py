r"""What is the density of a row, of which some columns may be missing?

With the chain rule: categories c, one column after the other, then numbers x,

.. math::  \log p(c, x) = \sum_j \log p(c_j \mid c_{<j}) + \log p(x \mid c).

Each term is computed by one network that receives the masks of known and absent coordinates. A category's
probabilities are the mean of its coordinates, which is what a denoiser answers to noise alone:
:math:`E[e_{c_j} \mid c_{<j}] = p(c_j \mid c_{<j})`. The numbers' density is that of the probability-flow
ODE (:mod:`diffuscope.likelihood`) with the categories known. What is missing is absent throughout, and
so is left out of the density. All is done in float64 and in the same steps for all rows: a row's value
depends on no other row.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.columns.categories import Codes
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.masked import Mask, MaskedDenoiser
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError
from diffuscope.likelihood import LogDensity, log_density
from diffuscope.model import Model
from diffuscope.seeds import stream
from diffuscope.threads import side_by_side

__all__ = ["Density", "presence_mask"]

_EXACT = 64  # coordinates up to which the divergence is exact
_TOLERANCE = 1e-3
_ROWS = 64  # that steps are chosen by
_PIECE = 256
# A row whose error may be larger, in nats and as a share of its density, is followed again in half the steps.
_COARSE, _COARSE_SHARE = 0.2, 0.002
_ROUNDS = 5
_NOISES = 8  # draws of noise alone that probabilities are averaged over

Floats = NDArray[np.float64]


def presence_mask(rows: RowCodec, present: NDArray[np.bool_]) -> Mask:
    """Return the mask of one row of which it is known which values, (p,), there are."""
    known, absent = torch.from_numpy(rows.is_presence), torch.zeros(rows.width, dtype=torch.bool)
    value = torch.zeros(rows.width, dtype=torch.float64)
    value[known] = torch.from_numpy(rows.encode_presence(present[None])[0])
    for there, values in zip(present, rows.values_of, strict=True):
        absent[torch.from_numpy(values)] = not there
    return Mask(value[None], known[None], absent[None])


class Density:
    """The density of the rows of a table's model."""

    def __init__(self, model: Model) -> None:
        assert isinstance(model.codec, RowCodec)
        self.model: Model = model
        self.rows = model.codec
        self.codes: list[tuple[slice, Codes]] = model.codec.coded  # presence comes first
        self.is_number: Tensor = torch.ones(model.dimension, dtype=torch.bool)
        for place, _ in self.codes:
            self.is_number[place] = False

    def __call__(self, points: Floats, condition: NDArray[np.bool_] | None = None) -> Floats:
        """Return the log-density (n,) of rows (n, D) in the units of their coordinates, NaN where missing.

        ``condition``, of shape (D,), marks coordinates to condition on. InputError where categories are
        encoded as bits, or the network was not trained with masks and there are missing values or categories.
        """
        if any(codes.coding != "onehot" for _, codes in self.codes):
            raise InputError(
                "Probabilities of categories need the one-hot encoding, and this model uses bits.",
                "Fit with categories='onehot'.",
            )
        rows = torch.from_numpy(points)
        given = torch.zeros(rows.shape[1], dtype=torch.bool)
        if condition is not None:
            given = torch.from_numpy(condition)
        masked = isinstance(self.model.denoiser, MaskedDenoiser)
        value = torch.zeros(len(rows), dtype=torch.float64)
        patterns, which = torch.unique(~rows.isnan(), dim=0, return_inverse=True)
        for i, present in enumerate(patterns):
            if not masked and not (present & self.is_number).all():
                raise InputError(
                    "This model was not trained with masks: only the density of complete rows of numbers is "
                    "available.",
                    "Fit with partial above 0.",
                )
            some = rows[which == i]
            value[which == i] = self._categories(some, present, given) + self._numbers(some, present, given)
        return value.numpy()

    @cached_property
    def _denoiser(self) -> Denoiser:
        return copy.deepcopy(self.model.denoiser).double()

    @cached_property
    def _nodes(self) -> tuple[float, ...]:
        """The steps of the integration, chosen once with samples of the model."""
        complete = presence_mask(self.rows, np.ones(len(self.rows.presence), dtype=bool))
        model = self.model
        if self.rows.presence and isinstance(model.denoiser, MaskedDenoiser):
            model = dataclasses.replace(model, denoiser=model.denoiser.with_pattern(complete))
        rows = torch.cat(list(model.coordinates(_ROWS))).double().cpu()
        rows = torch.where(complete.known, complete.value, rows)
        everything = torch.ones(rows.shape[1], dtype=torch.bool)
        return self._follow(rows, everything, self.is_number, None).nodes

    def presence(self, known: Floats) -> Floats:
        """Return the probabilities (n, p) that values are there, given the known ones of rows (n, D)."""
        rows = torch.from_numpy(known)
        total = np.zeros((len(known), len(self.rows.presence)))
        patterns, which = torch.unique(~rows.isnan(), dim=0, return_inverse=True)
        for i, present in enumerate(patterns):
            here = which == i
            for k, place in enumerate(self.rows.presence_at):
                if present[place].all():
                    continue
                queried = torch.zeros_like(present)
                queried[place] = True
                p = self._probabilities(rows[here].nan_to_num(0.0), present, queried)
                total[here.numpy(), k] = p[:, 1].numpy()
        return total

    def _categories(self, rows: Tensor, present: Tensor, given: Tensor) -> Tensor:
        """Return the sum of log p(c_j | c_<j), shape (n,)."""
        total = torch.zeros(len(rows), dtype=torch.float64)
        known = given & present
        for place, codes in self.codes:
            if not present[place].all() or given[place].all():
                continue
            queried = torch.zeros_like(known)
            queried[place] = True
            # Rows with the same known coordinates are evaluated once.
            values, back = torch.unique(rows.where(known, 0.0), dim=0, return_inverse=True)
            p = self._probabilities(values, known, queried)[back]
            index = torch.from_numpy(codes.decode(rows[:, place].numpy()))
            total += p.gather(1, index[:, None])[:, 0].log()
            known = known | queried
        return total

    @torch.no_grad()
    def _probabilities(self, values: Tensor, known: Tensor, queried: Tensor) -> Tensor:
        """Return the probabilities (n, k) of the categories of a column given what is known.

        Values are coordinates (n, D); those that are neither known nor the column's are absent.
        """
        denoiser = self._denoiser
        assert isinstance(denoiser, MaskedDenoiser)
        assert denoiser.choices is not None
        of_column = queried.to(self.model.device)[denoiser.choices.where]
        schedule, device, d = self.model.denoiser.schedule, self.model.device, values.shape[1]
        level = schedule(torch.tensor(schedule.t_max, dtype=torch.float64))
        half = torch.randn((_NOISES // 2, d), generator=stream(0, "categories"), dtype=torch.float64)
        noises = level.sigma * torch.cat([half, -half])

        def piece(some: Tensor) -> Tensor:
            given = self._given(some, known, ~(known | queried))
            answers = [
                denoiser.log_probabilities(x_t.expand_as(some).to(device), level, given) for x_t in noises
            ]
            return torch.stack(answers).exp().mean(0)[:, of_column].cpu()

        return torch.cat(list(side_by_side(piece, torch.split(values, _PIECE), device)))

    def _numbers(self, rows: Tensor, present: Tensor, given: Tensor) -> Tensor:
        """Return log p(x | c), shape (n,)."""
        queried = present & self.is_number & ~given
        if not queried.any():
            return torch.zeros(len(rows), dtype=torch.float64)
        nodes = self._nodes  # once, before pieces ask for them side by side

        def piece(some: Tensor) -> Tensor:
            return self._refined(some, present, queried, nodes)

        return torch.cat(list(side_by_side(piece, torch.split(rows, _PIECE), self.model.device)))

    def _refined(self, rows: Tensor, present: Tensor, queried: Tensor, nodes: Sequence[float]) -> Tensor:
        """Return densities of rows; where the steps are too coarse they are refined."""
        value = torch.full((len(rows),), -math.inf, dtype=torch.float64)
        left = torch.arange(len(rows))
        for _ in range(_ROUNDS):
            found = self._follow(rows[left], present, queried, nodes)
            value[left] = found.value.cpu().nan_to_num(-math.inf)
            fine = found.error.cpu() < _COARSE + _COARSE_SHARE * value[left].abs()
            left = left[~fine]
            if not len(left):
                break
            nodes = sorted({*nodes, *((a + b) / 2 for a, b in itertools.pairwise(nodes))})
        return value

    def _follow(
        self, rows: Tensor, present: Tensor, queried: Tensor, nodes: Sequence[float] | None
    ) -> LogDensity:
        device = self.model.device
        given = self._given(rows.nan_to_num(0.0), present & ~queried, ~present)
        part = _Part(self._denoiser, given, queried.to(device))
        return log_density(
            part,
            self.model.denoiser.schedule,
            rows[:, queried].to(device),
            tolerance=_TOLERANCE,
            probes=_EXACT,
            nodes=nodes,
        )

    def _given(self, values: Tensor, known: Tensor, absent: Tensor) -> Mask:
        """Return the mask of rows (n, D) with the same known and absent coordinates."""
        parts = (values, known.expand_as(values), absent.expand_as(values))
        return Mask(*(part.contiguous().to(self.model.device) for part in parts))


class _Part:
    """The denoiser of some of the coordinates; the others are known or absent."""

    def __init__(self, denoiser: Denoiser, given: Mask, queried: Tensor) -> None:
        self.denoiser, self.given, self.queried = denoiser, given, queried

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        if not isinstance(self.denoiser, MaskedDenoiser):
            return self.denoiser.forward(x_t, level)
        index = self.queried.nonzero()[:, 0].expand(len(x_t), -1)
        wide = torch.zeros_like(self.given.value).scatter(1, index, x_t)
        return self.denoiser.forward(wide, level, self.given)[:, self.queried]
