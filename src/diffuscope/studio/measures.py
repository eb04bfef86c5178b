"""How good is a model of points in the plane, and what costs what? Distances, and shares of them, in floors.

Each distance is measured once for a network; always of the same noise and the same real points, so that two
of them can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.diffusion.predictions import output_coefficients
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError
from diffuscope.metrics import half_interval, relate, sliced_wasserstein
from diffuscope.seeds import stream
from diffuscope.studio.plane import Plane, Points
from diffuscope.studio.requests import (
    BudgetRequest,
    HeartRequest,
    IrreducibleRequest,
    LevelsRequest,
    QualityRequest,
    Sampling,
)

__all__ = ["Measures"]

_LEVELS = 16


class Measures:
    """Measures a model; ``sampling`` is that of its recipe."""

    def __init__(self, plane: Plane, sampling: dict[str, Any]) -> None:
        self.plane, self.sampling = plane, sampling
        self.measured: dict[str, Points] = {}

    # --- distances ------------------------------------------------------------------------------------------

    def quality(self, request: QualityRequest) -> dict[str, float | str]:
        """Return the distance of samples from data over that of data from data, with its interval."""
        values = self._distances(request.which, request.n, request.draws, request.sampling)
        return relate(values, self._floors(request.n, request.draws, request.sampling.label)).to_json()

    def budget(self, request: BudgetRequest) -> dict[str, Any]:
        """Exchange one part after the other for an exact one, as a diagnosis does, with all else the same."""
        n, draws, sampling, plane = request.n, request.draws, request.sampling, self.plane
        label, labels = sampling.label, plane.setup.data.labels
        floors = self._floors(n, draws, label)
        data = (
            plane.data if label is None or labels is None else plane.data[torch.from_numpy(labels) == label]
        )
        random = stream(0, "studio set")

        def real(i: int) -> Points:
            return self._fresh(n, "quality", i, label)

        def base(i: int) -> float:
            return sliced_wasserstein(self._fresh(n, "other", i, label), real(i))

        def remembered(i: int) -> float:
            chosen = torch.randint(len(data), (n,), generator=random)
            return sliced_wasserstein(plane.in_data(data[chosen]), real(i))

        least = self._once(f"base {n} {draws} {label}", draws, base)
        memory = self._once(f"set {n} {draws} {label}", draws, remembered)
        given = self._distances("exact", n, draws, sampling.model_copy(update={"start": True}))
        exact = self._distances("exact", n, draws, sampling)
        own = self._distances("learned", n, draws, sampling)
        of_set = memory - least if plane.known else np.zeros(draws)
        shares = {
            "steps": given - (least if plane.known else memory),
            "start": exact - given,
            "set": of_set,
            "network": own - exact - of_set,
        }
        parts = [{"part": part, **_share(values, floors)} for part, values in shares.items()]
        total, best = relate(own, floors).to_json(), relate(exact, floors).to_json()
        return {"real": float(least.mean() / floors.mean()), "parts": parts, "total": total, "exact": best}

    def floor(self, n: int, i: int, label: int | None = None) -> float:
        """Return the distance of two clouds of n real points."""
        return sliced_wasserstein(self._fresh(n, "floor a", i, label), self._fresh(n, "floor b", i, label))

    def _floors(self, n: int, draws: int, label: int | None) -> Points:
        return self._once(f"floors {n} {draws} {label}", 2 * draws, lambda i: self.floor(n, i, label))

    def _distances(self, which: str, n: int, draws: int, sampling: Sampling) -> Points:
        """Return distances of samples from fresh data."""
        denoiser = self.plane.denoiser(which, None, sampling)

        def one(i: int) -> float:
            made = self.plane.ends(denoiser, n, sampling, 1000 + i)
            return sliced_wasserstein(made, self._fresh(n, "quality", i, sampling.label))

        return self._once(f"{which} {n} {draws} {sampling}", draws, one)

    def _once(self, key: str, count: int, one: Callable[[int], float]) -> Points:
        """Return distances (count,), each measured once for a network."""
        if key not in self.measured:
            self.measured[key] = np.array([one(i) for i in range(count)])
        return self.measured[key]

    def _fresh(self, n: int, name: str, i: int, label: int | None = None) -> Points:
        return self.plane.in_data(self.plane.draw(n, name, i, label=label))

    # --- of the network -------------------------------------------------------------------------------------

    def heart(self, request: HeartRequest) -> float:
        """Return which part of samples is nearer to a training point than half of all fresh points."""
        plane = self.plane
        made = plane.states(plane.denoiser("learned"), request.n, Sampling(**self.sampling), 9)[1][-1]
        fresh, own = (torch.cdist(x, plane.data).amin(1) for x in (plane.draw(request.n, "heart"), made))
        return float((own < fresh.median()).double().mean())

    @torch.no_grad()
    def irreducible(self, request: IrreducibleRequest) -> dict[str, float]:
        """Return the loss of the exact denoiser on the batches of the training, with its interval."""
        plane = self.plane
        loss, denoiser = plane.setup.loss, plane.setup.model.denoiser
        if not isinstance(loss, Loss):
            raise InputError("The least loss is known for the losses of recipes only.")
        losses: list[float] = []
        for chunk in plane.setup.batches.chunks(0, request.batches):
            examples = loss.examples(denoiser, chunk.x_0, chunk.level, chunk.eps, chunk.label)
            x_t = q_sample(chunk.x_0, chunk.level, chunk.eps)
            answers = plane.exact(x_t.double(), chunk.level)
            for k, own in enumerate(plane.classes if chunk.label is not None else []):
                rows = chunk.label == k
                answers[rows] = own(x_t[rows].double(), chunk.level.at(rows))
            output = _as_output(denoiser, answers.float(), x_t, chunk.level)
            for start, stop in zip(chunk.bounds, chunk.bounds[1:], strict=False):
                part: Examples = examples.at(slice(start, stop))
                losses.append(float(loss.value(output[start:stop], part)))
        mean, half = float(np.mean(losses)), 1.96 * float(np.std(losses, ddof=1)) / math.sqrt(len(losses))
        return {"value": mean, "low": mean - half, "high": mean + half}

    @torch.no_grad()
    def levels(self, request: LevelsRequest) -> dict[str, Any]:
        """Return how wrong the network is at each noise level."""
        plane = self.plane
        denoiser = plane.denoiser("learned", request.snapshot)
        sampling = Sampling(**{**self.sampling, "steps": _LEVELS, "spacing": "karras"})
        grid = plane.grid(sampling)
        x_0 = plane.draw(request.n, "levels")
        eps = torch.randn(x_0.shape, generator=stream(5, "studio levels"))
        found: dict[str, list[float]] = {"ratio": [], "learned": [], "exact": [], "excess": []}
        for i in range(grid.n_steps):
            level = grid.levels.at(i)
            if level.alpha == 0:
                continue
            x_t = q_sample(x_0, level, eps)
            made, best = denoiser(x_t, level), plane.exact(x_t, level)
            found["ratio"].append(float(level.ratio))
            found["learned"].append(float((made - x_0).square().mean()))
            found["exact"].append(float((best - x_0).square().mean()))
            found["excess"].append(float((made - best).square().mean().sqrt()) / plane.spread)
        return found


def _as_output(denoiser: Denoiser, x_0: Tensor, x_t: Tensor, level: NoiseLevel) -> Tensor:
    """Return what a network would have to put out to answer x_0."""
    skip, out = output_coefficients(denoiser.prediction, level, denoiser.sigma_data)
    return (x_0 - coefficient(skip, x_t) * x_t) / coefficient(out, x_t)


def _share(values: Points, floors: Points) -> dict[str, float]:
    """Return the mean of differences of distances in floors, with its 95% interval."""
    floor = float(floors.mean())
    ratio = float(values.mean()) / floor
    spread = math.hypot(half_interval(values) / floor, ratio * half_interval(floors) / floor)
    return {"ratio": ratio, "low": ratio - spread, "high": ratio + spread}
