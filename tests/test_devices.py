"""Sampling and training on an accelerator: what is copied to it, and what is read back.

No accelerator is needed: tensors of the device "meta" have shapes and no numbers, and nothing can be read
from them. A mode counts what is copied there, and, in training, what is asked back.
"""

import collections

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import diffuscope.model
from diffuscope import seeds
from diffuscope.data.images.batches import ImageRows
from diffuscope.data.tables import TableData
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.samplers import SAMPLERS, make_sampler
from diffuscope.diffusion.schedules import make_schedule
from diffuscope.model import sample_pieces
from diffuscope.networks import ResMLP, UNet
from diffuscope.recipes import load_recipe
from diffuscope.runs.setup import Setup
from diffuscope.training import Batches, Resident, Trainer, batches, loop

DEVICE = torch.device("meta")
STEPS = 6


class Counting(TorchDispatchMode):
    """Counts copies from the CPU to the device, and refuses operations on tensors of both.

    A tensor of one number is allowed: kernels take it as an argument.
    """

    def __init__(self):
        super().__init__()
        self.copied = self.asked = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        places = collections.Counter(one.device.type for one in tensors)
        if function is torch.ops.aten._to_copy.default:
            to = kwargs.get("device")
            self.copied += to is not None and torch.device(to) == DEVICE and "cpu" in places
            if to is not None and torch.device(to).type == "cpu" and "meta" in places:
                self.asked += 1
                return torch.zeros(args[0].shape, dtype=args[0].dtype)
        elif len(places) > 1:
            assert all(one.ndim == 0 for one in tensors if one.device.type == "cpu"), function
        if function is torch.ops.aten._local_scalar_dense.default and "meta" in places:
            self.asked += 1
            return 0.0
        if function is torch.ops.aten.nonzero.default and "meta" in places:
            self.asked += 1
            return torch.zeros((2, args[0].ndim), dtype=torch.int64, device=DEVICE)
        return function(*args, **kwargs)


@pytest.fixture
def generators(monkeypatch):
    """Have generators of the device be made where there are some."""

    class OfTheDevice(torch.Generator):
        def __new__(cls, device="cpu"):
            return super().__new__(cls, "cpu")

    monkeypatch.setattr(torch, "Generator", OfTheDevice)


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


@pytest.mark.parametrize("name", ["ddim", *FRESH_NOISE])
def test_a_device_that_draws_noise_itself_is_sent_nothing(name, copies, generators, monkeypatch):
    monkeypatch.setattr(seeds, "draws_itself", lambda device: True)
    made = Denoiser(ResMLP(2, width=8, depth=1), make_schedule("edm"), "edm")
    assert copies(made, name, (2,), STEPS) == 0


def of_points(recipe, **changes):
    """Return a trainer of points on the device."""
    plan = load_recipe(recipe).changed(changes)
    return trainer_of(plan, plan.make_denoiser(2), Resident(torch.randn(10_000, 2)))


def of_images():
    """Return a trainer of images with classes on the device."""
    plan = load_recipe("fashion_fast").changed({"network.width": 16, "training.precision": "float32"})
    pixels = np.zeros((500, 1, 28, 28), dtype=np.uint8)
    rows = ImageRows(pixels, np.arange(500) % 10, torch.device("cpu"), flip=True, none=10, drop_labels=0.1)
    rows._resident = torch.from_numpy(pixels)
    plan = plan.changed({"data.labels": True, "data.classes": tuple("0123456789")})
    return trainer_of(plan, plan.make_denoiser((1, 28, 28)), rows)


def of_a_table():
    """Return a trainer of a table with numbers, categories and missing values on the device."""
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"a": r.normal(size=500), "b": r.choice(["x", "y"], 500), "c": r.normal(size=500)})
    frame.loc[::7, "c"] = np.nan
    setup = Setup(load_recipe("table"), TableData.of(frame, seed=0), torch.device("cpu"))
    made = trainer_of(setup.recipe, setup.model.denoiser, setup.source, setup.loss)
    with Counting() as counting:  # where the categories are, which is asked once
        assert len(made.loss.choices.where) == 2
    assert counting.asked == 2
    return made


def trainer_of(plan, denoiser, source, loss=None):
    for name in ("x", "_resident"):
        if isinstance(getattr(source, name, None), torch.Tensor):
            setattr(source, name, getattr(source, name).to(DEVICE))
    source.device = DEVICE
    order, times, size = plan.training.batches, plan.times.make(), plan.training.batch_size
    made = Batches(source, denoiser.schedule, times, size, order, 0, on_device=True)
    return Trainer(denoiser.to(DEVICE), made, loss or plan.loss.make(), plan.training)


KINDS = {
    "fast": lambda: of_points("fast"),
    "article": lambda: of_points("article"),
    "images": of_images,
    "table": of_a_table,
}


@pytest.mark.parametrize("kind", KINDS)
def test_training_asks_the_device_once_a_chunk_and_copies_nothing_in_a_step(kind, generators, monkeypatch):
    counted = []
    for steps in (2, 4):  # of a chunk
        monkeypatch.setattr(batches, "_STEPS_ON_DEVICE", steps)
        trainer, seen = KINDS[kind](), []
        trainer.on_progress = lambda now, seen=seen: seen.append(now.step)
        trainer.settings = trainer.settings.model_copy(update={"steps": 2 * steps, "epochs": None})
        with Counting() as counting:
            trainer.run()
        assert seen == [steps, 2 * steps]
        assert counting.asked == 2
        counted.append(counting.copied)
    assert counted[0] == counted[1] <= 2 * 20  # indices, labels, coefficients of the levels


def test_losses_are_read_while_the_device_works_on_the_next_chunk(generators, monkeypatch):
    trainer, said = of_points("fast"), []
    train, read = trainer._train_on, loop.Reading.__call__
    trainer._train_on = lambda chunk: said.append(("train", chunk.first_step)) or train(chunk)
    monkeypatch.setattr(loop.Reading, "__call__", lambda one: said.append("read") or read(one))
    steps = trainer.batches.chunk_steps
    trainer.settings = trainer.settings.model_copy(update={"steps": 3 * steps})
    with Counting():
        trainer.run()
    assert said == [("train", 0), ("train", steps), "read", ("train", 2 * steps), "read", "read"]
