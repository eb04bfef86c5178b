"""How is a model of any kind of data watched? By moments of its sampling, as its kind shows them.

A page of one file has one such walk; a studio makes new ones, as they are asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffuscope._version import __version__
from diffuscope.diffusion.samplers import SAMPLERS, SamplingState
from diffuscope.diffusion.schedules import DiscreteSchedule
from diffuscope.metrics import Measured
from diffuscope.modalities.figures import Figures
from diffuscope.plots.facets import MOST_ROWS
from diffuscope.request import Request
from diffuscope.translations import Language
from diffuscope.viewer.contents import check_language, losses_of, numbers_of, packed_arrays

__all__ = ["Recorder"]

_MOST_MOMENTS, _MOMENTS_OF_A_FILE = 40, 15
_ROWS, _ROWS_OF_A_FILE = 500, 400
_BYTES_OF_A_FILE = 240_000
_MOST_BYTES = 2**23
_TWICE = ("heun",)  # samplers that ask the network twice a step


class Recorder:
    """Records walks of a model for pages; ``name`` is its title where the data is not at hand."""

    def __init__(self, figures: Figures, name: str) -> None:
        self.figures, self.generator, self.model = figures, figures.generator, figures.model
        self.title = name if figures.data is None else figures.data.name

    def about(
        self,
        *,
        metrics: Sequence[Mapping[str, float]] = (),
        quality: Measured | None = None,
        language: Language = "en",
    ) -> dict[str, Any]:
        """Return what a page says of the model, and what can be chosen."""
        check_language(language)
        section, schedule = self.model.recipe.sampling, self.model.denoiser.schedule
        guided = any(choice.guided for choice in self.generator.choices)
        return {
            "version": __version__,
            "title": self.title,
            "recipe_name": self.model.recipe.name,
            "unit": self.generator.unit,
            "language": language,
            "quality": None if quality is None else numbers_of(quality),
            "loss": losses_of(metrics),
            "choices": [choice.to_json() for choice in self.generator.choices],
            "guidance": section.guidance if guided else None,
            "samplers": list(SAMPLERS) if section.name in SAMPLERS else [],
            "sampler": section.name,
            "steps": section.steps,
            "most_steps": schedule.T if isinstance(schedule, DiscreteSchedule) else 1000,
            "estimates": self.figures.estimates,
            "weights": sum(p.numel() for p in self.model.denoiser.network.parameters()),
        }

    def request(self, n: int, options: Mapping[str, Any], condition: Mapping[str, str]) -> Request:
        """Return a request for n samples; without a condition with that of the figures of the kind."""
        given = {key: value for key, value in options.items() if value is not None}
        request = self.generator.request({**given, **self.generator.chosen(condition)}, n)
        count, usual = self.figures.sampled()
        if condition or usual.condition is None:
            return request
        return dataclasses.replace(request, condition=usual.condition[np.arange(n) % count])

    def count(self, steps: int, file: bool = False) -> tuple[int, int]:
        """Return how many samples are shown, and at how many moments of so many steps."""
        moments = min(steps + 1, _MOMENTS_OF_A_FILE if file else _MOST_MOMENTS)
        size = self.figures.bytes_shown
        most = (_BYTES_OF_A_FILE if file else _MOST_BYTES) / (moments * size)
        usual, request = self.figures.sampled()
        if request.condition is None:
            usual = min(usual, _ROWS_OF_A_FILE if file else _ROWS)
        return max(4, int(min(usual, most, MOST_ROWS / moments))), moments

    def walk(
        self,
        n: int,
        request: Request,
        moments: int,
        *,
        condition: Mapping[str, str] | None = None,
        estimates: bool = False,
        advance: Callable[[float], None] | None = None,
    ) -> dict[str, Any]:
        """Sample n; return some moments as the kind of data shows them, and their noise levels.

        ``condition`` is that of the request, in words. With ``estimates`` moments are what the network takes
        each state for. ``advance`` is called with the part that is done; what it raises ends the sampling.
        """
        hook = None
        if advance is not None:
            hook = self.model.denoiser.network.register_forward_hook(self._counting(n, request, advance))
        try:
            states = self.generator.states(n, request)
        finally:
            if hook is not None:
                hook.remove()
        last = len(states) - 1
        steps = sorted({round(i * last / (moments - 1)) for i in range(moments)}) if moments > 1 else [last]
        chosen = [states[step] for step in steps]
        levels = [{name: float(value) for name, value in state.level._asdict().items()} for state in chosen]
        if estimates:
            chosen = self._estimates(chosen, n, request)
        return {
            **self.figures.watched(chosen, request).to_json(),
            "steps": steps,
            "levels": levels,
            "how": {**self._how(request, last), "condition": dict(condition or {})},
        }

    def _how(self, request: Request, steps: int) -> dict[str, Any]:
        return {
            "sampler": request.sampler or self.model.recipe.sampling.name,
            "steps": steps,
            "seed": request.seed,
            "guidance": self._guidance(request),
        }

    def _guidance(self, request: Request) -> float:
        """Return the scale of guidance: 1 without a condition, by default the recipe's."""
        if request.condition is None:
            return 1.0
        return self.model.recipe.sampling.guidance if request.guidance is None else request.guidance

    def _counting(self, n: int, request: Request, advance: Callable[[float], None]) -> Callable[..., None]:
        """Return what is called after each evaluation of the network, with its input."""
        grid, _ = self.model.plan(request)
        sampler = request.sampler or self.model.recipe.sampling.name
        twice = (sampler in _TWICE) + (self._guidance(request) != 1)
        expected = n * grid.n_steps * 2**twice
        done = 0

        def count(network: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
            nonlocal done
            done += len(inputs[0]) if inputs else 0
            advance(min(0.99, done / expected))

        return count

    @torch.no_grad()
    def _estimates(self, states: Sequence[SamplingState], n: int, request: Request) -> list[SamplingState]:
        """Return what the network takes states for, in their place."""
        of = self.generator.conditioned(request, n)
        denoiser = self.model.denoiser if of is None else of(np.arange(n))
        found = []
        for state in states:
            noisy = state.level.sigma > 0
            x = denoiser(state.x.to(self.model.device), state.level).cpu() if noisy else state.x
            clean = state.level._replace(sigma=torch.zeros_like(state.level.sigma))
            found.append(state._replace(x=x, level=clean))
        return found

    def file(
        self,
        options: Mapping[str, Any] | None = None,
        condition: Mapping[str, str] | None = None,
        **about: Any,
    ) -> dict[str, Any]:
        """Return what a page of one file shows: one walk.

        ``options`` and ``condition`` are those of :meth:`request`, by default those of the figures of the
        kind, ``about`` are arguments of :meth:`about`.
        """
        described = self.about(**about)  # first: its errors come before any work
        options = {"seed": self.model.recipe.seed, **(options or {})}
        n, moments = self.count(options.get("steps") or self.model.recipe.sampling.steps, file=True)
        request = self.request(n, options, condition or {})
        walk = packed_arrays(self.walk(n, request, moments, condition=condition))
        return {"look": "walk", **described, "walk": walk}
