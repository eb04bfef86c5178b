"""Pipelines with nothing wrong, of many kinds: what is said of them beyond a trifle is a false alarm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .case import MOST, PLANE, SMALL, Case, Make, Question, plain
from .data import blobs_denoiser, bring
from .folders import BETAS, foreign, running
from .networks import SCHEDULES, Recipe, scaling_of
from .owners import asked
from .pipelines import Pipeline, Steps, pipeline_of, question
from .stepping import guided

__all__ = ["sounds"]


def _sound_of(variants: dict[str, dict[str, Any]], **fields: Any) -> Make:
    """A recipe, with fields of its pipeline."""

    def make(variant: str, data: str, seed: int, way: str) -> Question:
        return asked(pipeline_of(plain(data, seed, **variants[variant]), **fields), way, seed)

    return make


def _oracle(variant: str, data: str, seed: int, way: str) -> Question:
    """The exact denoiser of the Gaussian mixture itself."""
    brought = bring("blobs", seed)
    shift, scale = scaling_of(Recipe("blobs"), brought.x)

    def denoiser(x: Tensor, level: Any) -> Tensor:
        alpha, sigma = (
            np.broadcast_to(np.asarray(torch.as_tensor(one), float).reshape(-1), len(x))
            for one in (level.alpha, level.sigma)
        )
        return torch.as_tensor(blobs_denoiser(x.double().numpy(), alpha, sigma, shift, scale)).to(x.dtype)

    pipeline = Pipeline(brought, nn.Identity(), SCHEDULES[variant](), shift, scale)
    made = question(pipeline, "module", seed)
    del made["prediction"]
    return made | {"subject": denoiser}


def sounds() -> Iterator[Case]:
    def case(
        name: str, make: Make, data: tuple[str, ...], ways: tuple[str, ...], variants: Any = ("",)
    ) -> Case:
        return Case(f"sound: {name}", "sound", make, variants=tuple(variants), data=data, ways=ways)

    every = ("module", "denoiser", "sampler", "samples")
    yield case("predicts noise", _sound_of({"": {}}), MOST, every)
    for target in ("data", "velocity", "flow"):
        data = PLANE if target == "flow" else SMALL
        yield case(
            f"predicts {target}", _sound_of({"": {"target": target}}), data, ("module", "denoiser", "samples")
        )
    yield case(
        "other schedules",
        _sound_of({name: {"schedule": name} for name in ("cosine 100", "linear 200", "quadratic 100")}),
        PLANE,
        ("module", "samples"),
        ("cosine 100", "linear 200", "quadratic 100"),
    )
    small = {f"rows {n}": {"change": f"rows {n}", "steps": 1_000, "width": 64} for n in (150, 500)}
    yield case(
        "few rows, a short training", _sound_of(small), ("blobs", "table5"), ("module", "samples"), small
    )
    yield case(
        "the mended tutorial",
        _sound_of({"": {"schedule": "linear 100", "ema": 0.999, "constant_rate": True}}),
        PLANE,
        every,
    )
    yield case("own loop, DDIM", _sound_of({"": {}}, steps=Steps(ddim=True)), SMALL, ("sampler", "samples"))
    yield case(
        "own loop, DDIM in 50 steps",
        _sound_of({"": {}}, steps=Steps(ddim=True, every=2)),
        SMALL,
        ("sampler", "samples"),
    )
    yield case(
        "own loop, posterior variance",
        _sound_of({"": {}}, steps=Steps(noise="posterior")),
        SMALL,
        ("sampler", "samples"),
    )
    yield case("held-out data given", _sound_of({"": {}}, held_out=True), MOST, ("module", "samples"))
    for n, words in enumerate(("dpmpp_2m 20", "heun 20", "ddim 100")):
        name, steps = words.split()
        yield case(
            f"sampled with {words}",
            _sound_of({"": {}}, more={"sampler": name, "steps": int(steps)}),
            SMALL[n % 3 :] + SMALL[: n % 3],
            ("module", "denoiser"),
        )
    yield case(
        "heavy tails, standardised",
        _sound_of({"": {"change": "tails 5"}}),
        PLANE,  # a column of the tables has heavy tails of its own
        ("module", "samples"),
    )
    yield case(
        "large units, standardised", _sound_of({"": {"change": "factor 1000"}}), PLANE, ("module", "samples")
    )
    yield case(
        "finely rounded", _sound_of({"": {"change": "rounded 0.01"}}), ("blobs", "table5"), ("module",)
    )
    yield case("dropout, switched off", _sound_of({"": {"dropout": 0.05}}), SMALL, ("module", "samples"))
    yield case("a batch norm, switched over", _sound_of({"": {"norm": True}}), SMALL, ("module", "samples"))
    yield case(
        "an exact denoiser", _oracle, ("blobs",), ("denoiser",), ("linear 100", "cosine 100", "linear 200")
    )
    yield case("classes without guidance", guided, ("digits",), ("samples",), ("1",))
    yield case("a run", running({"": {}}), (*MOST,), ("run",))
    yield case(
        "a run of other settings",
        running({"cosine": {"schedule__name": "cosine"}, "wide": {"network__width": 192}}),
        SMALL,
        ("run",),
        ("wide",),
    )
    yield case("a run of 500 rows", running({"": {"change": "rows 500"}}), ("blobs", "table5"), ("run",))
    yield case("a folder", foreign({"": (1_500, BETAS, {})}), ("digits",), ("folder",))
