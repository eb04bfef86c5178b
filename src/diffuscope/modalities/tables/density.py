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
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError
from diffuscope.likelihood import LogDensity, log_density
from diffuscope.model import Model
from diffuscope.seeds import stream
from diffuscope.shares import shared

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
        present = ~rows.isnan()
        if not isinstance(self.model.denoiser, MaskedDenoiser) and not (present & self.is_number).all():
            raise InputError(
                "This model was not trained with masks: only the density of complete rows of numbers is "
                "available.",
                "Fit with partial above 0.",
            )
        return (self._categories(rows, present, given) + self._numbers(rows, present, given)).numpy()

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
        everything = torch.ones_like(rows, dtype=torch.bool)
        return self._follow(rows, everything, self.is_number.expand_as(rows), None).nodes

    def presence(self, known: Floats) -> Floats:
        """Return the probabilities (n, p) that values are there, given the known ones of rows (n, D)."""
        rows = torch.from_numpy(known)
        total, present = np.zeros((len(known), len(self.rows.presence))), ~rows.isnan()
        for k, place in enumerate(self.rows.presence_at):
            here = ~present[:, place].all(1)
            if here.any():
                p = self._probabilities(rows[here], present[here], place)
                total[here.numpy(), k] = p[:, 1].numpy()
        return total

    def _categories(self, rows: Tensor, present: Tensor, given: Tensor) -> Tensor:
        """Return the sum of log p(c_j | c_<j), shape (n,)."""
        total = torch.zeros(len(rows), dtype=torch.float64)
        known = present & given
        for place, codes in self.codes:
            here = present[:, place].all(1)
            if given[place].all() or not here.any():
                continue
            p = self._probabilities(rows[here], known[here], place)
            index = torch.from_numpy(codes.decode(rows[here, place].numpy()))
            total[here] += p.gather(1, index[:, None])[:, 0].log()
            known[:, place] |= here[:, None]
        return total

    @torch.no_grad()
    def _probabilities(self, rows: Tensor, known: Tensor, place: slice) -> Tensor:
        """Return the probabilities (n, k) of the categories of a column given the known coordinates.

        Both rows and what is known of them are (n, D). What is neither known nor the column's is absent.
        """
        denoiser = self._denoiser
        assert isinstance(denoiser, MaskedDenoiser)
        assert denoiser.choices is not None
        queried = torch.zeros(rows.shape[1], dtype=torch.bool)
        queried[place] = True
        of_column = queried.to(self.model.device)[denoiser.choices.where]
        schedule, device, d = self.model.denoiser.schedule, self.model.device, rows.shape[1]
        level = schedule(torch.tensor(schedule.t_max, dtype=torch.float64))
        half = torch.randn((_NOISES // 2, d), generator=stream(0, "categories"), dtype=torch.float64)
        noises = (level.sigma * torch.cat([half, -half])).to(device)
        # Rows of which the same is known are evaluated once.
        inputs = torch.cat([rows.where(known, 0.0), known.double()], 1)
        inputs, back = torch.unique(inputs, dim=0, return_inverse=True)

        def piece(some: Tensor) -> Tensor:
            values, there = some[:, :d].repeat(_NOISES, 1), some[:, d:].bool().repeat(_NOISES, 1)
            mask = self._mask(values, there, ~(there | queried))
            answers = denoiser.log_probabilities(noises.repeat_interleave(len(some), 0), level, mask)
            p = answers[:, of_column].exp()  # (noises n, k)
            return p.view(_NOISES, len(some), -1).mean(0).cpu()

        what = f"probabilities of {len(inputs):,} rows"
        return torch.cat(list(shared(piece, torch.split(inputs, _PIECE), device, what=what)))[back]

    def _numbers(self, rows: Tensor, present: Tensor, given: Tensor) -> Tensor:
        """Return log p(x | c), shape (n,)."""
        value = torch.zeros(len(rows), dtype=torch.float64)
        queried = present & self.is_number & ~given
        order = queried.sum(1).argsort(stable=True)  # rows with as many numbers together
        order = order[queried[order].any(1)]
        if not len(order):
            return value
        nodes = self._nodes  # once, before pieces ask for them side by side

        def piece(some: Tensor) -> Tensor:
            return self._refined(rows[some], present[some], queried[some], nodes)

        exact = int((queried.sum(1)[order] <= _EXACT).sum())
        parts = [one for part in (order[:exact], order[exact:]) for one in torch.split(part, _PIECE)]
        pieces, what = [one for one in parts if len(one)], f"log-densities of {len(order):,} rows"
        value[order] = torch.cat(list(shared(piece, pieces, self.model.device, what=what)))
        return value

    def _refined(self, rows: Tensor, present: Tensor, queried: Tensor, nodes: Sequence[float]) -> Tensor:
        """Return densities of rows; where the steps are too coarse they are refined."""
        value = torch.full((len(rows),), -math.inf, dtype=torch.float64)
        left = torch.arange(len(rows))
        for _ in range(_ROUNDS):
            found = self._follow(rows[left], present[left], queried[left], nodes)
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
        """Return log-densities of the queried coordinates of rows, all (n, D), given the other present ones.

        The queried ones stand side by side. A row with fewer of them than another has zeros there, which are
        taken for standard normal data, independent of all else; the density of that is taken off again.
        """
        device, counts = self.model.device, queried.sum(1)
        most = int(counts.max())
        places = (~queried).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
        there = torch.arange(most) < counts[:, None]
        x = rows.gather(1, places).where(there, 0.0)
        mask = self._mask(rows.nan_to_num(0.0), present & ~queried, ~present)
        found = log_density(
            _Part(self._denoiser, mask, places.to(device), there.to(device)),
            self.model.denoiser.schedule,
            x.to(device),
            tolerance=_TOLERANCE,
            probes=_EXACT,
            nodes=nodes,
            batch=len(rows),
        )
        schedule = self.model.denoiser.schedule
        level = schedule(torch.tensor(schedule.t_min))
        of_zero = (level.alpha / level.alpha.hypot(level.sigma)).log() - 0.5 * math.log(2 * math.pi)
        return found._replace(value=found.value - (most - counts) * of_zero.double().cpu())

    def _mask(self, values: Tensor, known: Tensor, absent: Tensor) -> Mask:
        return Mask(*(part.to(self.model.device) for part in (values, known, absent)))


class _Part:
    """The denoiser of some coordinates of each row, at ``places`` (n, m) where they are ``there`` (n, m)."""

    def __init__(self, denoiser: Denoiser, mask: Mask, places: Tensor, there: Tensor) -> None:
        self.denoiser, self.mask, self.places, self.there = denoiser, mask, places, there

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        if not isinstance(self.denoiser, MaskedDenoiser):
            return self.denoiser.forward(x_t, level)
        wide = torch.zeros_like(self.mask.value).scatter_add(1, self.places, x_t.where(self.there, 0.0))
        x_0 = self.denoiser.forward(wide, level, self.mask).gather(1, self.places)
        normal = coefficient(level.alpha / (level.alpha.square() + level.sigma.square()), x_t) * x_t
        return x_0.where(self.there, normal)
