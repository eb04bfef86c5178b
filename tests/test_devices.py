"""Sampling on an accelerator: what is copied to it, and what is read back.

No accelerator is needed: tensors of the device "meta" have shapes and no numbers, and nothing can be read
from them. A mode counts what is copied there.
"""

import collections

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import diffuscope.model
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.samplers import SAMPLERS, make_sampler
from diffuscope.diffusion.schedules import make_schedule
from diffuscope.model import sample_pieces
from diffuscope.networks import ResMLP, UNet

DEVICE = torch.device("meta")
STEPS = 6


class Counting(TorchDispatchMode):
    """Counts copies from the CPU to the device, and refuses operations on tensors of both.

    A tensor of one number is allowed: kernels take it as an argument.
    """

    def __init__(self):
        super().__init__()
        self.copied = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        places = collections.Counter(one.device.type for one in tensors)
        if function is torch.ops.aten._to_copy.default:
            to = kwargs.get("device")
            self.copied += to is not None and torch.device(to) == DEVICE and "cpu" in places
        elif len(places) > 1:
            assert all(one.ndim == 0 for one in tensors if one.device.type == "cpu"), function
        return function(*args, **kwargs)


@pytest.fixture
def copies(monkeypatch):
    """Return what samples by a network and says how often something is copied to the device."""
    monkeypatch.setattr(diffuscope.model, "shared", lambda do, pieces, device, what: map(do, pieces))

    def count(denoiser, sampler, shape, steps):
        schedule = denoiser.schedule
        grid = schedule.grid(steps, "uniform" if schedule.discrete else "karras", 7.0)
        denoiser = denoiser.to(DEVICE).eval()
        with Counting() as counting, torch.no_grad():
            pieces = sample_pieces(
                8,
                shape,
                grid,
                make_sampler(sampler),
                0,
                lambda rows: denoiser,
                lambda rows, noise: noise,
                DEVICE,
                8,
                None,
            )
            for x in pieces:
                assert x.shape == (8, *shape)
        return counting.copied

    return count


FRESH_NOISE = {"ddpm": 1, "dpmpp_2m_sde": 1, "predictor_corrector": 2}  # draws of a step


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", ["edm", "linear"])
def test_a_step_copies_nothing_to_the_device_but_its_fresh_noise(name, schedule, copies):
    schedule = make_schedule(schedule)
    prediction = "noise" if schedule.discrete else "edm"
    made = Denoiser(ResMLP(2, width=8, depth=1), schedule, prediction)
    few, more = (copies(made, name, (2,), steps) for steps in (STEPS, 2 * STEPS))
    assert more - few == STEPS * FRESH_NOISE.get(name, 0)
    assert few <= 1 + STEPS * FRESH_NOISE.get(name, 0)


def test_nor_does_a_unet(copies):
    unet = UNet((1, 8, 8), width=8, multipliers=(1,), blocks=1)
    made = Denoiser(unet, make_schedule("flow"), "flow")
    assert copies(made, "ddim", (1, 8, 8), STEPS) == copies(made, "ddim", (1, 8, 8), 2 * STEPS) == 1
