"""Is the noise of a row its own: whatever the number of rows, the pieces and the cores?"""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffuscope
from diffuscope.diffusion.samplers import make_sampler
from diffuscope.model import Model, rows_per_block
from diffuscope.seeds import RowStreams, alone

SAMPLERS = {
    "ddpm": {},
    "ddim": {},
    "heun": {},
    "euler": {"churn": 10.0},
    "dpmpp_2m": {},
    "predictor_corrector": {},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    changes = {"network.width": 37, "network.depth": 2, "training.steps": 60, "sampling.steps": 5}
    out = tmp_path_factory.mktemp("rows") / "run"
    return diffuscope.train("moons", out=out, settings={**changes, "data.size": 300}, pictures=False)


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_noise_of_a_row_depends_on_the_seed_and_its_number_alone(seed, n, more, start):
    whole = RowStreams(seed, 0, 8 * 12, 8)
    part = RowStreams(seed, 8 * start, 8 * (-(-n // 8)), 8)
    for _ in range(2):  # the second draw as well as the first
        noise = whole.normal((8 * 12, 3))
        few = part.normal((n, 3))
        assert torch.equal(few[: 8 * 12 - 8 * start], noise[8 * start : 8 * start + len(few)])
    assert not torch.equal(RowStreams(seed, 0, 8, 8).normal((8, more)), whole.normal((8, more)))


def test_rows_of_one_draw_are_independent():
    noise = RowStreams(0, 0, 4096, 256).normal((4096, 2)).numpy()
    off = np.corrcoef(np.column_stack([noise[:-256], noise[256:]]).T) - np.eye(4)
    assert np.abs(off).max() < 0.07  # 4.5 standard errors
    assert abs(noise.std() - 1) < 0.03


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("few", "many"), [(8, 12), (1, 300), (255, 257), (256, 5000), (4097, 4500)])
def test_fewer_points_are_the_first_of_more_to_the_last_bit(run, sampler, few, many):
    options = {"sampler": sampler, "seed": 3, **SAMPLERS[sampler]}
    assert run.sample(few, **options).tobytes() == run.sample(many, **options)[:few].tobytes()


@pytest.mark.parametrize("piece", [256, 512, 1024])
def test_points_do_not_depend_on_the_pieces(run, monkeypatch, piece):
    expected = run.sample(2000, sampler="ddpm")
    monkeypatch.setattr(Model, "piece", property(lambda self: piece))
    assert run.sample(2000, sampler="ddpm").tobytes() == expected.tobytes()


def test_points_do_not_depend_on_the_number_of_cores(run):
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(run.sample(9000, sampler="ddpm").tobytes())
    torch.set_num_threads(before)
    assert len(set(found)) == 1


def test_trajectories_and_files_have_the_same_rows(run, tmp_path):
    few, many = (run.trajectory(n, sampler="ddpm", seed=5) for n in (7, 700))
    assert few.tobytes() == many[:, :7].tobytes()
    assert np.array_equal(few[-1], run.sample(7, sampler="ddpm", seed=5))
    run.sample_to(tmp_path / "x.npy", 300, sampler="ddpm", seed=5)
    assert np.array_equal(np.load(tmp_path / "x.npy")[:7], few[-1])


def test_a_sampler_of_ones_own_draws_the_noise_of_each_row(run):
    def sampler(context, x):
        return make_sampler("ddpm")(context, x) + 0.01 * context.noise(x)

    few, many = (run.sample(n, sampler=sampler, seed=1) for n in (3, 900))
    assert few.tobytes() == many[:3].tobytes()


def test_a_block_is_never_larger_than_a_piece():
    assert rows_per_block((2,)) == 256
    for shape in ((1, 8, 8), (3, 28, 28), (3, 64, 64), (3, 256, 256), (3000,), (2**22,)):
        assert rows_per_block(shape) >= 1
        assert rows_per_block(shape) & (rows_per_block(shape) - 1) == 0


@pytest.mark.parametrize("constraint", [pytest.param(None, marks=pytest.mark.slow), "a < b"])
def test_fewer_rows_of_a_table_are_the_first_of_more(tmp_path, constraint):
    random = np.random.default_rng(0)
    a = random.normal(size=400)
    frame = pd.DataFrame({"a": a, "b": a + random.exponential(size=400) + 0.01})
    frame["c"] = random.choice(list("xyz"), 400)
    frame["d"] = np.where(random.random(400) < 0.2, np.nan, a**2)
    settings = {"training.steps": 60, "network.width": 16, "network.depth": 1, "sampling.steps": 3}
    if constraint:
        settings["data.constraints"] = (constraint,)
    run = diffuscope.train(frame, out=tmp_path / "run", settings=settings, pictures=False, progress=False)
    for options in ({}, {"given": {"c": "x"}}):
        few, many = (run.sample(n, seed=3, **options) for n in (8, 1300))
        pd.testing.assert_frame_equal(few, many.iloc[:8])
        if constraint:
            assert (many["a"] < many["b"]).all()
    each = {"c": random.choice(list("xyz"), 1300), "a": random.normal(size=1300)}  # another of each row
    few, many = (run.sample(n, seed=3, given={k: v[:n] for k, v in each.items()}) for n in (8, 1300))
    pd.testing.assert_frame_equal(few, many.iloc[:8])
    holes = frame.mask(random.random(frame.shape) < 0.3)
    for draws in (1, 3):
        few, many = (run.table.impute(holes[:n], n_draws=draws, seed=3) for n in (8, 400))
        for one, other in zip(few, many, strict=True):
            pd.testing.assert_frame_equal(one, other.iloc[:8])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"network.dropout": 0.2}, marks=pytest.mark.slow),
        {"recipe": "table", "network.dropout": 0.1},
    ],
    ids=str,
)
def test_trainings_side_by_side_give_the_model_of_one_alone(tmp_path, changes):
    changes = dict(changes)
    recipe = changes.pop("recipe", "fast")
    rows = np.random.default_rng(0).normal(size=(200, 3))
    settings = {
        "network.width": 16,
        "network.depth": 1,
        "training.steps": 60,
        "training.batch_size": 32,
        "sampling.steps": 3,
        **changes,
    }
    made = {}

    def train(name):
        run = diffuscope.train(
            rows, recipe=recipe, out=tmp_path / name, settings=settings, pictures=False, progress=False
        )
        weights = run.model.denoiser.network.state_dict()
        made[name] = b"".join(weights[key].numpy().tobytes() for key in sorted(weights))

    train("alone")
    threads = [threading.Thread(target=train, args=(f"thread {i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made.values())) == 1


def test_a_network_with_torchs_own_dropout_is_trained_by_one_thread_at_a_time(tmp_path):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(3, 16), torch.nn.Dropout(0.3), torch.nn.SiLU(), torch.nn.Linear(16, 2)
            )

        def forward(self, x, t):
            return self.layers(torch.cat([x, t[:, None]], 1))

    made = {}

    def train(name):
        with alone(0):
            network = Net()
        diffuscope.train(
            "moons",
            network=network,
            out=tmp_path / name,
            settings={"training.steps": 40, "data.size": 200, "sampling.steps": 3},
            pictures=False,
            progress=False,
        )
        made[name] = b"".join(w.numpy().tobytes() for w in network.state_dict().values())

    train("alone")
    threads = [threading.Thread(target=train, args=(f"thread {i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made.values())) == 1


def test_a_training_leaves_torchs_random_state_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    settings = {"network.width": 8, "training.steps": 20, "data.size": 100, "network.dropout": 0.5}
    diffuscope.train("moons", out=tmp_path / "run", settings=settings, pictures=False)
    assert torch.equal(torch.rand(3), expected)
