"""What do the tests share? A recipe that trains in a moment, and a run made with it."""

from __future__ import annotations

import os

os.environ["DIFFUSCOPE_LANG"] = "en"  # whatever the locale of this machine is
os.environ["OMP_NUM_THREADS"] = "1"  # read once, by whatever first loads OpenMP; see _one_thread

import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import diffuscope
from diffuscope.cli import main
from diffuscope.data.points import POINT_SETS

TINY: dict[str, Any] = {
    "data.size": 300,
    "network.width": 8,
    "network.depth": 1,
    "training.steps": 30,
    "training.batch_size": 32,
    "sampling.steps": 4,
}


def pytest_collection_modifyitems(items):
    """Begin with the browser: each takes two cores, so that two of them must not meet at the end."""
    items.sort(key=lambda item: "browser" not in getattr(item, "fixturenames", ()))


def pytest_collection_finish():
    """Keep what is there by now, a million objects that stay, out of all later collections of garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


@pytest.fixture(scope="session", autouse=True)
def _usual_signals():
    """Give signals their usual effect in the processes of tests, also under nohup or in the background."""
    if threading.current_thread() is threading.main_thread():
        for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, usual)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tests run side by side: one thread each, also in the processes that they start.

    Threads of OpenMP that wait for each other keep a core busy: scikit-learn's trees took twenty times as
    long on two threads with another test beside them as on one.
    """
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep out of the user's cache. What is kept serves all processes of these tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["XDG_CACHE_HOME"] = str(shared / "cache")


@pytest.fixture(scope="session", autouse=True)
def _small_clouds():
    """Measure runs in clouds of 300 fresh points, in place of 10,000."""
    from diffuscope.modalities import reference

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "DRAWN_POINTS", 300)
        patch.setattr(reference, "MOST_HALVED", 200)
        yield


@pytest.fixture(scope="session", autouse=True)
def _brief_classifiers():
    """Train classifiers of images for 2 epochs, in place of 40; tests of their features set this back."""
    from diffuscope.metrics.features.training import SETTINGS

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SETTINGS, "epochs", 2)
        yield


def refine_with(patch: pytest.MonkeyPatch, counts: dict[str, float]) -> dict[str, float]:
    """Have rows of tables refined with so many trees, rows and draws; return the counts before."""
    from diffuscope.modalities.tables import boosting, refinement

    before = {}
    for name, count in counts.items():
        module = boosting if hasattr(boosting, name) else refinement
        before[name] = getattr(module, name)
        patch.setattr(module, name, count)
    return before


@pytest.fixture(scope="session", autouse=True)
def _coarse_refinement():
    """Refine rows of tables with few trees of few rows; :func:`whole_refinement` sets this back."""
    with pytest.MonkeyPatch.context() as patch:
        yield refine_with(patch, {"_TREES": 15, "_MOST_ROWS": 300, "_DRAWN": 1.0})


def draw_with(patch: pytest.MonkeyPatch, engine: Any, dpi: int) -> None:
    """Have pictures laid out by an engine, and written with so many dots per inch."""
    from diffuscope.pages import rendering
    from diffuscope.plots import style

    patch.setattr(style, "ConstrainedLayoutEngine", engine)
    patch.setattr(style.save_figure, "__kwdefaults__", {"dpi": dpi})
    patch.setattr(rendering.png_address, "__defaults__", (dpi,))


@pytest.fixture(scope="session", autouse=True)
def _plain_pictures():
    """Write pictures small, and as they are without a layout; :func:`whole_pictures` sets this back."""
    with pytest.MonkeyPatch.context() as patch:
        draw_with(patch, lambda **_: None, 50)
        yield


@pytest.fixture(scope="module")
def whole_pictures(_plain_pictures):
    """Draw pictures as outside of tests, in a module that is about what they look like."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with pytest.MonkeyPatch.context() as patch:
        draw_with(patch, ConstrainedLayoutEngine, 160)
        yield


@pytest.fixture(scope="session", autouse=True)
def _coarse_densities():
    """Integrate densities of rows in coarse steps; :func:`whole_densities` sets this back."""
    from diffuscope.modalities.tables import density

    before = density._TOLERANCE, density._ROUNDS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(density, "_TOLERANCE", 1e-2)
        patch.setattr(density, "_ROUNDS", 1)
        yield before


@pytest.fixture(scope="module")
def whole_densities(_coarse_densities):
    """Integrate densities of rows as outside of tests, in a module that is about their values."""
    from diffuscope.modalities.tables import density

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(density, "_TOLERANCE", _coarse_densities[0])
        patch.setattr(density, "_ROUNDS", _coarse_densities[1])
        yield


@pytest.fixture(scope="module")
def whole_refinement(_coarse_refinement):
    """Refine rows as outside of tests, in a module that is about what refinement gains."""
    with pytest.MonkeyPatch.context() as patch:
        refine_with(patch, _coarse_refinement)
        yield


@pytest.fixture
def tiny(tmp_path) -> Callable[..., diffuscope.Run]:
    """Train the fast recipe in miniature: ``tiny(changes, out=..., data=..., **arguments of train)``."""

    def train(changes=None, *, out="run", data="s_curve", **arguments) -> diffuscope.Run:
        wanted = {**TINY, **(changes or {})}
        if not callable(data) and not (isinstance(data, str) and data in POINT_SETS):
            del wanted["data.size"]  # data of one's own has a size
        if "network" in arguments:
            del wanted["network.width"], wanted["network.depth"]
        arguments.setdefault("pictures", False)
        return diffuscope.train(data, out=tmp_path / out, settings=wanted, **arguments)

    return train


@pytest.fixture
def features_are_pixels(monkeypatch):
    """Measure images in their pixels, in the place of a classifier's features."""

    class AsTheyAre:
        def features(self, pixels):
            return pixels.reshape(len(pixels), -1).astype("float32") / 255

    monkeypatch.setattr(
        "diffuscope.modalities.images.modality.cached_classifier", lambda *_, **__: AsTheyAre()
    )


def measure_little(patch: pytest.MonkeyPatch) -> None:
    """Measure, draw and diagnose with a few small clouds, where nobody looks at the numbers."""
    from diffuscope.diagnosis import (
        claim,
        dictionary,
        findings,
        levels,
        network_faults,
        probes,
        sampling_faults,
        steps,
    )
    from diffuscope.metrics.tabular import detection, trees
    from diffuscope.modalities import figures, reference
    from diffuscope.modalities.points import evaluation

    for module, name, value in (
        (evaluation, "_LIKELIHOOD_POINTS", 8),
        (figures, "SHOWN", 300),
        (reference, "DRAWS", 4),
        (reference, "PAIRS", 8),
        (dictionary, "_POINTS", 64),
        (detection, "_FLOORS", 1),
        (detection, "_FOLDS", 2),
        (trees, "_FITS", 2),
        (claim, "_MOST", 300),
        (findings, "_FEW_CLOUDS", 3),
        (levels, "_POINTS", 256),
        (sampling_faults, "_FEW_CLOUDS", 3),
        (network_faults, "_FEW_CLOUDS", 3),
        (probes, "_STEPS", 5),
        (probes, "_IMAGE_STEPS", 2),
        (steps, "_POINTS", 256),
    ):
        patch.setattr(module, name, value)


@pytest.fixture
def little(monkeypatch):
    """Measure little in one test."""
    measure_little(monkeypatch)


def diagnose_quickly(patch: pytest.MonkeyPatch) -> None:
    """Diagnose with a few small clouds, still large enough for findings, and train briefly on images."""
    from diffuscope.diagnosis import dictionary, findings, probes, sampling_faults
    from diffuscope.modalities import reference

    for module, name, value in (
        (reference, "DRAWN_POINTS", 1_000),
        (reference, "MOST_HALVED", 1_000),
        (reference, "DRAWS", 4),
        (reference, "PAIRS", 12),
        (dictionary, "_POINTS", 256),
        (findings, "_FEW_CLOUDS", 4),
        (probes, "_STEPS", 150),
        (probes, "_IMAGE_STEPS", 10),
        (sampling_faults, "_FEW_CLOUDS", 4),
    ):
        patch.setattr(module, name, value)


@pytest.fixture
def quick(monkeypatch):
    """Diagnose quickly in one test."""
    diagnose_quickly(monkeypatch)


@pytest.fixture
def in_this_process(monkeypatch):
    """Have jobs of a comparison run in threads of this process: to start a worker takes seconds."""
    from diffuscope.comparison import pool
    from diffuscope.comparison.jobs import run_job
    from diffuscope.errors import DiffuscopeError

    def run_here(worker, job):
        try:
            run_job(job)
        except DiffuscopeError as error:
            raise pool.JobError(error.what) from error

    monkeypatch.setattr(pool.Worker, "run_job", run_here)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory) -> Path:
    """A finished run on a built-in set, without pictures. Nobody writes to it."""
    path = tmp_path_factory.mktemp("runs") / "s_curve"
    diffuscope.train("s_curve", out=path, settings=TINY, pictures=False)
    return path


@pytest.fixture(scope="session")
def tiny_words() -> list[str]:
    """Make the command line train in miniature."""
    words = ["--no-pictures"]
    for key, value in TINY.items():
        words += ["--set", f"{key}={value}"]
    return words


@pytest.fixture
def cli(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: ``code, out, err = cli("list", "datasets")``."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        code = stop.value.code
        return (0 if code is None else int(code)), captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def shell() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def call(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "diffuscope.cli", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=60,
            **options,
        )

    return call
