"""Is a step known by its coefficients: sound ones as sound, each mistake as the one that it is?"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffuscope.diagnosis.imitations import _Imitation, _with_more
from diffuscope.diagnosis.loops import LOOPS, SOUND
from diffuscope.diagnosis.sampling_faults import _is_off
from diffuscope.diagnosis.steps import mistake_of, probe_steps, reuses_noise
from diffuscope.diffusion.samplers import SAMPLERS, SamplingContext, make_sampler
from diffuscope.diffusion.schedules import cosine, linear

SCHEDULES = {
    "cosine": (cosine(40), 40),
    "linear": (linear(100, 1e-4, 0.2), 100),
    "long": (linear(1000), 1000),
    "skipping": (linear(1000), 50),
    "the tutorial's": (linear(100, 1e-5, 5e-3), 100),
}
AFFINE = [loop for loop in LOOPS if loop.is_affine]


@pytest.mark.parametrize("name", SCHEDULES)
def test_sound_steps_have_no_mistake(name):
    schedule, n = SCHEDULES[name]
    grid = schedule.grid(n)
    for sampler in [*SOUND, *(make_sampler(one) for one in SAMPLERS)]:
        steps = probe_steps(sampler, grid, 1.0)
        assert mistake_of(steps, grid, schedule) is None
        assert not any(_is_off(step) for step in steps if not step.is_last)
        assert not reuses_noise(sampler, grid)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "skipping" else pytest.mark.slow) for name in SCHEDULES],
)
def test_each_mistake_is_known_by_the_coefficients_of_the_steps(name):
    schedule, n = SCHEDULES[name]
    grid = schedule.grid(n)
    for loop in AFFINE:
        steps = probe_steps(dataclasses.replace(loop, schedule=schedule), grid, 1.0)
        found = mistake_of(steps, grid, schedule)
        if loop.name == "betas of single steps" and n == schedule.T:
            assert found is None  # there it is none
        elif loop.offset and schedule.T == 1000:
            assert found is None or found.offset  # of a thousand levels, those nearby are hardly others
        else:
            assert found is not None
            assert found.code == loop.code
            assert found.words == loop.words


def test_noise_that_is_drawn_once_is_known_by_two_steps():
    grid = cosine(40).grid(40)
    once = [loop for loop in LOOPS if loop.z == "once"]
    assert len(once) == 2
    assert all(reuses_noise(loop, grid) for loop in once)


def test_a_loop_starts_where_it_says():
    grid = cosine(40).grid(40)
    uniform = next(loop for loop in LOOPS if loop.name == "uniform start")
    seen = []

    def denoiser(x_t, level):
        seen.append(x_t)
        return torch.zeros_like(x_t)

    noise = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    uniform(SamplingContext(denoiser, grid, torch.Generator().manual_seed(1)), noise)
    assert 0 <= seen[0].min() < 0.01 < 0.99 < seen[0].max() <= 1
    assert abs(seen[0].mean() - 0.5) < 0.03


def test_names_of_loops_are_distinct_and_all_say_how_they_are_mended():
    assert len({loop.name for loop in (*SOUND, *LOOPS)}) == len(SOUND) + len(LOOPS)
    assert all(loop.words and loop.fix and loop.code for loop in LOOPS)


def test_loops_that_are_as_near_are_looked_at_again_with_the_rest_of_the_samples():
    def loop(code, first, rest):
        return _Imitation(code, "", "", np.full((4, 1), first), lambda: np.full((4, 1), rest))

    def distance(a, b):
        return abs(float(a.mean() - b.mean()))

    samples = np.zeros((8, 1))
    subject = SimpleNamespace(
        samples=samples, shown=lambda x: x, reference=SimpleNamespace(distance=distance)
    )
    near = [
        (0.1, loop("lucky", 0.1, 0.9)),
        (0.2, loop("right", 0.2, 0.2)),
        (0.3, loop("broken", 0.3, np.nan)),
    ]
    given, found = _with_more(subject, samples[:4], near)
    assert given.shape == (8, 1)
    assert [one.code for _, one in found] == ["right", "lucky"]
    assert [far for far, _ in found] == pytest.approx([0.2, 0.5])
    assert all(len(one.made) == 8 for _, one in found)
    few = SimpleNamespace(**{**vars(subject), "samples": samples[:6]})
    given, found = _with_more(few, samples[:4], near)
    assert (len(given), found) == (4, near)
