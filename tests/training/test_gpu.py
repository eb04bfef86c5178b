"""What is done on a GPU, done on a CPU by stand-ins: recorded steps, noise of the device, reading ahead."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from diffuscope.errors import InputError
from diffuscope.recipes import load_recipe, read_recipe
from diffuscope.runs.plan import decided
from diffuscope.threads import ahead
from diffuscope.training import Batches, Resident, Trainer, graphs
from diffuscope.transfers import Reading, upload


class Tape(TorchDispatchMode):
    """Stands in for a CUDA graph: notes all operations, and does them again on the same memory.

    A tensor that an operation made is filled again by the next replay; what was a number stays that number.
    While it is recorded nothing may last: what was written is written back.
    """

    def __init__(self):
        super().__init__()
        self.notes, self.before = [], {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for one in tree_leaves((args, kwargs)):
            if isinstance(one, torch.Tensor) and one.device.type == "cpu":
                storage = one.untyped_storage()
                self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        made = function(*args, **kwargs)
        self.notes.append((function, args, kwargs, made))
        return made

    def forget(self):
        for storage, content in self.before.values():
            storage.copy_(content)

    def replay(self):
        with torch._C._AutoDispatchBelowAutograd():
            for function, args, kwargs, made in self.notes:
                again = function(*args, **kwargs)
                for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


@pytest.fixture
def recorded(monkeypatch):
    """Have steps be recorded by a tape; return the tapes."""
    tapes = []

    def record(work):
        with Tape() as tape:
            work()
        tape.forget()
        tapes.append(tape)
        return tape.replay

    monkeypatch.setattr(graphs, "_recorded", record)
    monkeypatch.setattr(graphs, "_apart", lambda device: contextlib.nullcontext())
    return tapes


def trainer(recipe, shape, changes, n=300):
    plan = load_recipe(recipe).changed(changes)
    torch.manual_seed(0)
    denoiser, settings = plan.make_denoiser(shape), plan.training
    x = torch.randn(n, *shape)
    batches = Batches(
        Resident(x), denoiser.schedule, plan.times.make(), settings.batch_size, settings.batches, 0
    )
    return Trainer(denoiser, batches, plan.loss.make(), settings)


UNET = {"network.width": 8, "training.precision": "float32", "training.batch_size": 4, "training.steps": 8}
CASES = {
    "fast": ("fast", (2,), {"training.steps": 30}),
    "the tutorial's": ("article", (2,), {"training.epochs": 3}),  # 300 points: the last batch is smaller
    "a U-Net": ("images", (1, 8, 8), UNET),
    "a norm, an average": ("article", (2,), {"training.epochs": 2, "training.ema_decay": 0.9}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_step_trains_as_one_that_is_launched(case, recorded, monkeypatch):
    launched = trainer(*CASES[case])
    assert launched._recorded is None
    losses = []
    launched.on_progress = lambda now: losses.append(now.loss)
    launched.run()
    monkeypatch.setattr(Trainer, "_is_recorded", lambda trainer: True)
    replayed = trainer(*CASES[case])
    again = []
    replayed.on_progress = lambda now: again.append(now.loss)
    replayed.run()
    assert len(recorded) == 1
    assert replayed.step == launched.step > 5
    assert again == pytest.approx(losses, rel=1e-4)
    torch.testing.assert_close(replayed.flat.vector, launched.flat.vector, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(replayed.average.weights, launched.average.weights, rtol=1e-4, atol=1e-5)


def test_a_step_that_cannot_be_recorded_is_launched(recorded, monkeypatch):
    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "_recorded", refuse)
    launched = trainer(*CASES["fast"])
    launched.run()
    monkeypatch.setattr(Trainer, "_is_recorded", lambda trainer: True)
    replayed = trainer(*CASES["fast"])
    with pytest.warns(UserWarning, match="could not be recorded as a CUDA graph"):
        replayed.run()
    torch.testing.assert_close(replayed.flat.vector, launched.flat.vector, rtol=1e-4, atol=1e-5)


def test_on_a_cpu_no_step_is_recorded():
    with pytest.raises(InputError, match=r"CUDA graph: it does not run on a GPU of CUDA\."):
        trainer("fast", (2,), {"training.cuda_graph": True})


DEVICE_NOISE = {"training.noise": "device"}


def test_noise_of_the_device_is_of_the_chunk_alone():
    made = trainer("fast", (2,), {}).batches
    made = replace(made, on_device=True)
    chunks = list(made.chunks(0, 3 * made.chunk_steps))
    later = next(made.chunks(2 * made.chunk_steps, 3 * made.chunk_steps))
    assert torch.equal(later.eps, chunks[2].eps)
    noise = torch.cat([chunk.eps for chunk in chunks]).flatten()
    assert len(noise.unique()) > 0.99 * len(noise)
    assert abs(noise.mean()) < 5 / len(noise) ** 0.5
    assert abs(noise.std() - 1) < 5 / len(noise) ** 0.5


def test_where_noise_is_drawn_is_decided_when_a_training_begins(tiny, tmp_path):
    plan = load_recipe("fast")
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert decided(plan, cpu) == plan
    assert decided(plan, cuda).training.noise == "device"
    host = plan.changed({"training.noise": "host"})
    assert decided(host, cuda) == host
    # It is recorded, and stays so unless something else is asked for.
    first = tiny(DEVICE_NOISE, out="one")
    assert read_recipe(tmp_path / "one" / "recipe.toml").training.noise == "device"
    same = tiny({}, out="one", exist_ok=True)
    assert same.recipe == first.recipe
    with pytest.raises(InputError, match="other settings"):
        tiny({"training.noise": "host"}, out="one", exist_ok=True)


def test_chunks_read_ahead_are_the_same_and_an_error_comes_at_its_place():
    made = trainer("fast", (2,), {}).batches
    steps = 4 * made.chunk_steps
    for one, other in zip(ahead(made.chunks(0, steps)), made.chunks(0, steps), strict=True):
        assert torch.equal(one.x_0, other.x_0)
        assert torch.equal(one.eps, other.eps)
    where = []

    def numbers():
        for number in range(3):
            where.append(threading.current_thread())
            yield number
        raise ValueError("no more")

    coming = ahead(numbers())
    assert [next(coming) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no more"):
        next(coming)
    assert where[0] is threading.current_thread()
    assert where[1] is where[2] is not where[0]


def test_only_data_that_lies_elsewhere_is_read_ahead(tmp_path):
    from diffuscope.data.images.batches import ImageRows

    pixels = np.zeros((8, 1, 4, 4), dtype=np.uint8)
    made = trainer("fast", (2,), {}).batches
    assert not made.read
    assert replace(made, source=ImageRows(pixels, None, torch.device("cpu"))).read


class OnGpu:
    """Stands in for a tensor of the CPU that goes to a GPU."""

    device = torch.device("cpu")

    def __init__(self, pinned=False):
        self.pinned = pinned

    def pin_memory(self):
        return OnGpu(True)

    def to(self, device, non_blocking=False):
        return device, self.pinned, non_blocking


def test_numbers_go_to_a_gpu_through_pinned_memory():
    device = torch.device("cuda", 1)
    assert upload(OnGpu(), device) == (device, True, True)
    x = torch.ones(3)
    assert upload(x, x.device) is x
    assert torch.equal(Reading(x)(), x)
