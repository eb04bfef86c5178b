"""How fast does one GPU train and sample, and is what comes out as good as on a CPU?

A part that fails says so, and the others go on; after each of them ``--out`` is written anew. All of it is
meant to take less than ten minutes on one large GPU. Where there is none the script says so and ends with 2.
``--device cpu --quick`` goes through all parts at a tiny size, without aims, so that a test can see if the
script still works: its numbers mean nothing.

Images are Fashion-MNIST; where it cannot be had, random ones of its size, of which only speeds are taken.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import report
import torch
from on_images.jobs import timed_on
from training_step import PlainLoop

import diffuscope
from diffuscope.data.base import Dataset
from diffuscope.data.images import load_images
from diffuscope.data.points import load_dataset
from diffuscope.errors import DiffuscopeError
from diffuscope.files import write_json
from diffuscope.modalities.recognition import modality
from diffuscope.model import pick_device
from diffuscope.recipes import Recipe, load_recipe
from diffuscope.runs.setup import Setup
from diffuscope.training import Trainer, loop

NO_DEVICE = 2  # the exit code


@dataclass(frozen=True)
class Line:
    """What was measured: ``value`` is for people, ``number`` for programs; ``met``: whether the aim is."""

    what: str
    value: str
    number: float | None = None
    aim: str = ""
    met: bool | None = None


class Measured:
    """The device, and how much is done on it."""

    def __init__(self, device: torch.device, quick: bool) -> None:
        self.device, self.quick = device, quick
        self.cuda = device.type == "cuda"

    def size(self, whole: int, quick: int) -> int:
        """Return how much of something there is."""
        return quick if self.quick else whole

    @cached_property
    def points(self) -> Dataset:
        """The tutorial's points."""
        return load_dataset("s_curve", size=self.size(10_000, 600))

    @cached_property
    def images(self) -> Dataset:
        """Images with classes."""
        with contextlib.suppress(DiffuscopeError):
            if not self.quick:
                return load_images("fashion_mnist")
        random = np.random.default_rng(0)
        n = self.size(60_000, 400)
        pixels = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        return load_images(pixels, labels=np.arange(n) % 10)

    @property
    def are_real(self) -> bool:
        """Whether images mean something."""
        return self.images.source == "fashion_mnist"

    def recipe(self, name: str, **changes: Any) -> Recipe:
        """Return a recipe as a training on this device begins with it; ``a__b`` stands for ``a.b``."""
        small = {"network.width": 16} if self.quick and name == "fashion_fast" else {}
        asked = {key.replace("__", "."): value for key, value in changes.items()}
        noise = {"training.noise": "device"} if self.cuda else {}
        return load_recipe(name).changed({**noise, **small, **asked})

    def setup(self, name: str, **changes: Any) -> Setup:
        """Return what a recipe needs on this device."""
        recipe = self.recipe(name, **changes)
        data = self.images if recipe.data.kind == "images" else self.points
        own = modality(recipe.data.kind)
        return Setup(recipe.changed(own.describe(data, recipe.data)), data, self.device)

    def step(self, name: str, steps: int, **changes: Any) -> float:
        """Return the seconds of a step of training, after as many that are not counted."""
        trainer = self.setup(name, **changes).trainer()
        go_on(trainer, max(steps // 2, 5))
        return timed_on(lambda: go_on(trainer, steps), self.device) / steps


def go_on(trainer: Trainer, steps: int) -> None:
    """Take so many steps more."""
    length = {"steps": trainer.step + steps, "epochs": None}
    trainer.settings = trainer.settings.model_copy(update=length)
    trainer.run()


def ratio(what: str, slow: float, fast: float, least: float) -> Line:
    """Return how much faster something is, with an aim."""
    value = slow / fast
    return Line(what, f"{value:.2f}", value, f"at least {least:g}", value >= least)


def seconds(what: str, value: float, most: float | None = None) -> Line:
    """Return how long something takes, maybe with an aim."""
    text = f"{value * 1e3:.3f} ms" if value < 0.5 else f"{value:.1f} s"
    if most is None:
        return Line(what, text, value)
    return Line(what, text, value, f"at most {most:g} s", value <= most)


def small_networks(on: Measured) -> Iterator[Line]:
    """Steps of small networks: launched operation by operation, and recorded once (CUDA graphs)."""
    steps = on.size(2000, 20)
    loop_of_the_tutorial = PlainLoop(torch.from_numpy(on.points.x).float(), on.device)
    loop_of_the_tutorial.run(on.size(79, 5))
    plain = timed_on(lambda: loop_of_the_tutorial.run(on.size(790, 10)), on.device) / on.size(790, 10)
    yield seconds("a step of the tutorial's own loop", plain)
    for name, title in (("article", "the tutorial's network"), ("fast", "`fast`")):
        launched = on.step(name, steps, training__cuda_graph=False)
        recorded = on.step(name, steps, training__cuda_graph=True if on.cuda else None)
        yield seconds(f"a step of {title}, launched", launched)
        yield seconds(f"a step of {title}, recorded", recorded)
        yield ratio(f"{title}: launched ÷ recorded", launched, recorded, 5)
        if name == "article":
            yield ratio("the tutorial's own loop ÷ recorded", plain, recorded, 5)


def unets(on: Measured) -> Iterator[Line]:
    """Steps of `fashion_fast`'s U-Net: 32 and 16 bits, compiled, recorded, channels first and last."""
    steps, batch = on.size(60, 2), on.size(256, 4)
    kinds: dict[str, dict[str, Any]] = {
        "float32": {"training__precision": "float32", "training__cuda_graph": False},
        "bfloat16": {"training__precision": "bfloat16", "training__cuda_graph": False},
    }
    if on.cuda:
        kinds["bfloat16, recorded"] = {"training__precision": "bfloat16", "training__cuda_graph": True}
    if not on.quick:
        kinds["float32, compiled"] = {"training__precision": "float32", "training__compile": True}
        kinds["bfloat16, compiled"] = {"training__precision": "bfloat16", "training__compile": True}
    took = {}
    for title, changes in kinds.items():
        took[title] = on.step("fashion_fast", steps, training__batch_size=batch, **changes)
        yield seconds(f"a step of {batch} images in {title}", took[title])
    yield ratio("U-Net: float32 ÷ bfloat16", took["float32"], took["bfloat16"], 1.8)
    if not on.quick:
        compiled = took["float32, compiled"], took["bfloat16, compiled"]
        yield ratio("U-Net, compiled: float32 ÷ bfloat16", *compiled, 1.8)
    arranged = loop.arranged
    loop.arranged = lambda x, half: x
    try:
        first = on.step("fashion_fast", steps, training__batch_size=batch, **kinds["bfloat16"])
    finally:
        loop.arranged = arranged
    yield seconds(f"a step of {batch} images in bfloat16, channels first", first)
    yield ratio("U-Net in bfloat16: channels first ÷ last", first, took["bfloat16"], 1)


def waiting(on: Measured) -> Iterator[Line]:
    """How often does the CPU wait for the GPU in training, by torch's own count?"""
    for name in ("fast", "fashion_fast"):
        trainer = on.setup(name).trainer()
        steps = 3 * trainer.batches.chunk_steps if not on.quick else 2
        go_on(trainer, steps)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if on.cuda:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                go_on(trainer, steps)
            finally:
                if on.cuda:
                    torch.cuda.set_sync_debug_mode("default")
        waits = sum("synchroniz" in str(one.message) for one in said)
        count = waits / max(1, steps / trainer.batches.chunk_steps)
        yield Line(f"`{name}`: waits a chunk", f"{count:.2f}", count, "at most 1", count <= 1)


def busy(on: Measured) -> Iterator[Line]:
    """Which share of the time does the GPU work in training, by the profile of its kernels?"""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CUDA] if on.cuda else [ProfilerActivity.CPU]
    for name in ("fast", "fashion_fast"):
        trainer = on.setup(name).trainer()
        steps = on.size(400, 2)
        go_on(trainer, steps)
        with profile(activities=kinds) as profiled:
            took = timed_on(lambda trainer=trainer, steps=steps: go_on(trainer, steps), on.device)
        spans = sorted(
            (event.time_range.start, event.time_range.end)
            for event in profiled.events()
            if not on.cuda or event.device_type == torch.autograd.DeviceType.CUDA
        )
        share = covered(spans) / 1e6 / took
        yield Line(f"`{name}`: the GPU works", f"{share:.1%}", share, "at least 95%", share >= 0.95)


def covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of spans, sorted by their start."""
    total, end = 0.0, float("-inf")
    for start, stop in spans:
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def fashion(on: Measured) -> Iterator[Line]:
    """`fashion_fast` from the first to the last step, and 50,000 images of it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"network.width": 16, "sampling.steps": 2} if on.quick else {}
        run = diffuscope.train(
            on.images,
            recipe="fashion_fast",
            out=Path(folder) / "run",
            device=str(on.device),
            steps=on.size(2800, 4),
            settings=settings,
            pictures=False,
            progress=False,
        )
        yield seconds("`fashion_fast`, trained", run.summary["train_seconds"], 60)
        if on.are_real:
            yield Line("`fashion_fast`: its images", str(run.quality), run.quality.ratio)
        n = on.size(50_000, 4)
        took = timed_on(lambda: run.sample(n, seed=1), on.device)
        yield seconds(f"{n:,} images, 30 steps", took, 30)


def points(on: Measured) -> Iterator[Line]:
    """`fast` on the device and on a CPU: the same quality within their intervals; 1,000,000 points."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for device in dict.fromkeys((str(on.device), "cpu")):
            settings = {"data.size": on.size(10_000, 600), "training.steps": on.size(950, 10)}
            run = diffuscope.train(
                "s_curve",
                recipe="fast",
                out=Path(folder) / device.replace(":", "-"),
                device=device,
                settings=settings,
                pictures=False,
                progress=False,
            )
            found[device] = run.quality
            yield seconds(f"`fast` on {device}, trained", run.summary["train_seconds"])
            yield Line(f"`fast` on {device}: its points", str(run.quality), run.quality.ratio)
            if device == str(on.device):
                n = on.size(1_000_000, 2000)
                yield seconds(
                    f"{n:,} points, 40 steps", timed_on(lambda r=run, n=n: r.sample(n), on.device), 5
                )
    own, cpu = found[str(on.device)], found["cpu"]
    same = own.low <= cpu.high and cpu.low <= own.high
    yield Line("`fast`: intervals of both meet", "yes" if same else "no", float(same), "yes", same)


PARTS: tuple[Callable[[Measured], Iterator[Line]], ...] = (
    small_networks,
    waiting,
    points,
    fashion,
    busy,
    unets,
)


def measured(on: Measured, keep: Callable[[list[Line]], None]) -> tuple[list[Line], bool]:
    """Go through all parts, and hand over the lines after each; return them, and whether all went well."""
    lines: list[Line] = []
    well = True
    for part in PARTS:
        begun = time.perf_counter()
        try:
            for line in part(on):
                lines.append(replace(line, aim="", met=None) if on.quick else line)
                print(f"{line.what}: {line.value}", file=sys.stderr, flush=True)
        except Exception as error:  # what the others measure is still worth having
            well = False
            traceback.print_exc()
            lines.append(Line(part.__name__, f"failed: {type(error).__name__}", None, "", False))
        lines.append(seconds(f"*{part.__name__}, in all*", time.perf_counter() - begun))
        keep(lines)
    return lines, well


def main() -> int:
    """Measure; return the exit code."""
    arguments = report.parser(__doc__)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--quick", action="store_true", help="tiny sizes: does the script work?")
    arguments.add_argument("--out", type=Path, help="a JSON file for all numbers")
    options = arguments.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no CUDA device", file=sys.stderr)
        return NO_DEVICE
    on = Measured(pick_device(options.device), options.quick)
    name = torch.cuda.get_device_name(on.device) if on.cuda else str(on.device)
    begun = time.perf_counter()

    def keep(lines: list[Line]) -> None:
        if options.out:
            took = round(time.perf_counter() - begun, 1)
            about = {"device": name, "torch": torch.__version__, "quick": on.quick, "seconds": took}
            write_json(options.out, {**about, "lines": [asdict(line) for line in lines]})

    lines, well = measured(on, keep)
    rows = [
        [line.what, line.value, line.aim, "" if line.met is None else "met" if line.met else "NOT met"]
        for line in lines
    ]
    images = "Fashion-MNIST" if on.are_real else "random images of the same size"
    text = f"\n\n{name}, {images}; {time.perf_counter() - begun:.0f} s in all."
    report.publish("gpu", report.table(["what", "measured", "aim", ""], rows) + text, options.write)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
