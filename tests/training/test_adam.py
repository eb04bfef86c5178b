"""Does Adam take the steps of torch's, to the last bit, and none where the scaler says so?"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from diffuscope.training.adam import Adam

RATES = [1e-3, 3e-3, 2e-3, 1e-4]


def vector(n: int = 1_003) -> nn.Parameter:
    weights = nn.Parameter(torch.randn(n, generator=torch.Generator().manual_seed(0)))
    weights.grad = torch.zeros_like(weights)
    return weights


def gradients(n: int = 1_003) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [10.0**k * torch.randn(n, generator=generator) for k in (0, -3, 1, 0)]


@pytest.mark.parametrize("fused", [True, False])
def test_the_steps_are_those_of_torch_to_the_last_bit(fused):
    ours, theirs = vector(), vector()
    adam = Adam(ours, 1e-3, (0.9, 0.99))
    adam._fused = fused
    reference = torch.optim.Adam([theirs], lr=1e-3, betas=(0.9, 0.99), fused=fused, foreach=False)
    for rate, gradient in zip(RATES, gradients(), strict=True):
        adam.learning_rate = reference.param_groups[0]["lr"] = rate
        ours.grad.copy_(gradient)
        theirs.grad.copy_(gradient)
        adam.step()
        reference.step()
    state = reference.state[theirs]
    assert torch.equal(ours, theirs)
    assert torch.equal(adam.exp_avg, state["exp_avg"])
    assert torch.equal(adam.exp_avg_sq, state["exp_avg_sq"])
    assert adam.steps == state["step"] == len(RATES)


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_of_scaled_gradients_that_overflow_is_left_out_as_torch_does(fused):
    results = []
    for make in (
        lambda w: Adam(w, 1e-3, (0.9, 0.999)),
        lambda w: torch.optim.Adam([w], lr=1e-3, fused=fused, foreach=False),
    ):
        weights = vector()
        optimizer = make(weights)
        if isinstance(optimizer, Adam):
            optimizer._fused = optimizer._step_supports_amp_scaling = fused
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
        scaler.scale(torch.zeros(()))  # makes its tensors
        for k, gradient in enumerate(gradients()):
            weights.grad.copy_(256.0 * gradient if k != 1 else torch.full_like(gradient, torch.inf))
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        results.append(weights.detach())
    assert torch.isfinite(results[0]).all()
    assert torch.equal(*results)


@pytest.mark.slow  # a training that loads none of it is in test_imports
def test_a_trainer_leaves_the_compiler_of_torch_alone():
    code = """
import sys, torch
from diffuscope.training.adam import Adam
weights = torch.nn.Parameter(torch.ones(3))
weights.grad = torch.ones(3)
Adam(weights, 1e-3, (0.9, 0.999)).step()
assert not {"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
