"""Do flows lead from one data set to another, straighter on their own pairs; do students need few steps?"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.distillation import DistillationLoss
from diffuscope.diffusion.samplers import SamplingContext, make_sampler, trajectory
from diffuscope.diffusion.schedules import EDM, Flow, Schedule, cosine
from diffuscope.errors import InputError, RunError
from diffuscope.oracle import GaussianMixture

FLOW = {
    "data.size": 400,
    "data.origin": "eight_gaussians",
    "network.width": 16,
    "network.depth": 1,
    "training.steps": 200,
    "training.batch_size": 64,
    "sampling.steps": 6,
}


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """A flow from eight Gaussians to moons."""
    out = tmp_path_factory.mktemp("flow") / "run"
    return diffuscope.train("moons", recipe="flow", settings=FLOW, out=out, pictures=False)


def test_a_flow_starts_in_one_data_set_and_ends_near_the_other(flow):
    states = flow.trajectory(500, seed=1)
    eight = diffuscope.load_dataset("eight_gaussians").x
    nearest = np.linalg.norm(states[0][:, None] - eight[None, :4000], axis=2).min(axis=1)
    assert np.quantile(nearest, 0.9) < 0.2
    moons = flow.data.x
    nearest = np.linalg.norm(states[-1][:, None] - moons[None], axis=2).min(axis=1)
    assert np.median(nearest) < 0.3


def test_a_flow_that_was_saved_starts_where_it_did(flow):
    again = diffuscope.load(flow.path)
    np.testing.assert_array_equal(again.sample(50, seed=2), flow.sample(50, seed=2))
    np.testing.assert_array_equal(again.trajectory(50, seed=2)[-1], flow.sample(50, seed=2))
    assert not np.array_equal(again.sample(50, seed=3), flow.sample(50, seed=2))


def test_points_of_ones_own_are_carried(flow):
    z = (np.array([[0.0, 2.8], [2.8, 0.0]]) - flow.model.codec.shift) / flow.model.codec.scale
    start = flow.trajectory(2, initial=z)[0]
    np.testing.assert_allclose(start, [[0.0, 2.8], [2.8, 0.0]], atol=1e-5)


def test_pictures_of_a_flow_show_both_data_sets_whole(flow):
    figure = flow.plot_forward()
    (left, right), (low, high) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    x, y = flow.figures.forward(10, 0)[-1].x.T
    assert np.mean((x > left) & (x < right) & (y > low) & (y < high)) > 0.98
    eight = diffuscope.load_dataset("eight_gaussians").x
    away = np.linalg.norm(np.stack([x, y], axis=1)[:, None] - eight[None, :3000], axis=2).min(axis=1)
    assert np.quantile(away, 0.9) < 0.2  # which the forward walk ends in


def test_what_rests_on_gaussian_noise_is_refused_for_such_a_flow(flow):
    for ask in (
        lambda: flow.log_density(flow.data.x[:3]),
        lambda: flow.score(flow.data.x[:3], 0.5),
        lambda: diffuscope.diagnose(flow, progress=False),
    ):
        with pytest.raises(InputError, match="another data set"):
            ask()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"schedule.name": "edm", "denoiser.prediction": "edm"}, "needs the schedule 'flow'"),
        ({"loss.target": "posterior"}, "loss.target other than 'posterior'"),
        ({"loss.target": "teacher"}, r"needs a trained run(.|\n)*start="),
        ({"training.reflow": 50, "data.origin": None}, r"needs a trained run(.|\n)*start="),
    ],
)
def test_settings_that_make_no_flow_are_refused(tmp_path, changes, word):
    wanted = {key: value for key, value in {**FLOW, **changes}.items() if value is not None}
    with pytest.raises(InputError, match=word):
        diffuscope.train("moons", recipe="flow", settings=wanted, out=tmp_path / "run", pictures=False)


def test_the_data_sets_of_a_flow_have_as_many_columns(tmp_path):
    x = np.random.default_rng(0).normal(size=(80, 3))
    wanted = {key: value for key, value in FLOW.items() if key != "data.size"}
    with pytest.raises(InputError, match=r"from points of shape \(2,\) to points of shape \(3,\)"):
        diffuscope.train(x, recipe="flow", settings=wanted, out=tmp_path / "run", pictures=False)


def test_a_flow_starts_from_points_of_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    begin, end = rng.normal([8.0, 0.0], 0.1, (200, 2)), rng.normal(size=(300, 2))
    wanted = {key: value for key, value in FLOW.items() if not key.startswith("data.")}
    more = {"recipe": "flow", "settings": wanted, "out": tmp_path / "run", "pictures": False}
    run = diffuscope.train(end, origin=begin, **more)
    assert run.recipe.data.origin == "custom"
    np.testing.assert_allclose(run.trajectory(40)[0].mean(axis=0), [8.0, 0.0], atol=0.1)
    again = diffuscope.load(tmp_path / "run", data=end)
    np.testing.assert_array_equal(again.sample(5), run.sample(5))
    straighter = diffuscope.reflow(run, 50, out=tmp_path / "re", steps=2, pictures=False)
    np.testing.assert_array_equal(straighter.trajectory(5)[0], run.trajectory(5)[0])
    steps = run.recipe.training.steps + 2
    more = {"out": tmp_path / "run", "resume": True, "steps": steps, "pictures": False}
    with pytest.raises(InputError, match="Pass them again: origin="):
        diffuscope.train(end, **more)
    with pytest.raises(RunError, match="belongs to a run with other data"):
        diffuscope.train(end, origin=begin + 1, **more)
    assert diffuscope.train(end, origin=begin, **more).summary["steps"] == steps


def straightness(run) -> float:
    """Mean squared distance of paths from the straight lines between their ends, over that of the ends."""
    states = run.trajectory(400, sampler="heun", steps=20, seed=7).astype(float)
    levels = run.levels(20, sampler="heun")
    t = levels.t.numpy()[:, None, None]
    line = (1 - t) * states[-1] + t * states[0]
    return float(((states - line) ** 2).sum() / len(t) / ((states[-1] - states[0]) ** 2).sum())


def test_reflow_makes_paths_straighter_and_is_resumed_with_the_same_pairs(flow, tmp_path):
    again = diffuscope.reflow(flow, pairs=1000, out=tmp_path / "re", steps=400, pictures=False)
    assert straightness(again) < 0.5 * straightness(flow)
    assert again.recipe.training.reflow == 1000
    longer = diffuscope.train(out=again.path, resume=True, steps=420, pictures=False)
    assert longer.summary["steps"] == 420


SCHEDULES: list[tuple[Schedule, str]] = [
    (EDM(0.002, 10.0), "edm"),
    (Flow(), "flow"),
    (cosine(200), "velocity"),
]


@pytest.mark.parametrize(("schedule", "prediction"), SCHEDULES, ids=lambda one: str(one)[:6])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_student_that_answers_the_target_ends_where_its_teacher_does(schedule, prediction, steps):
    """The teacher is exact; the answers of the loss, taken for the student's, lead along its path."""
    oracle = GaussianMixture(np.array([[1.0, -0.5], [-1.0, 0.5]]), np.stack([0.04 * np.eye(2)] * 2))

    class Exact(torch.nn.Module):
        def forward(self, x, level, label=None):
            return oracle(x, level)

    teacher = Exact()
    teacher.schedule = schedule
    grid = schedule.grid(steps, "trailing" if schedule.discrete or prediction == "flow" else "karras")
    student = Denoiser(torch.nn.Identity(), schedule, prediction, sigma_data=1.0)
    loss = DistillationLoss(teacher=teacher, grid=grid)
    generator = torch.Generator().manual_seed(0)
    x_0, eps = oracle.draw(600, 1).float(), torch.randn((600, 2), generator=generator)
    examples = loss.examples(student, x_0, grid.levels, eps)
    first = torch.arange(600) % steps == 0  # at the first level
    x_t = grid.levels.alpha[0].float() * x_0 + grid.levels.sigma[0].float() * eps

    student.network_output = lambda x, level, label=None: examples.target[first]
    context = SamplingContext(student, grid, generator)
    made = make_sampler("ddim")(context, x_t[first])
    fine = schedule.grid(150, "trailing" if schedule.discrete or prediction == "flow" else "karras")
    begin = x_t[first]
    end = None
    for state in trajectory(teacher, begin, fine, make_sampler("heun"), generator):
        if end is None or state.level.ratio >= grid.levels.ratio[1] * 0.98:
            end = state
    error = (made - end.x).norm(dim=1).median()
    assert error < 0.05 * (x_t[first] - end.x).norm(dim=1).median() + 0.02


@pytest.mark.slow
def test_a_student_in_two_steps_is_better_than_its_teacher_in_two(tmp_path):
    settings = {"data.size": 2000, "network.width": 32, "network.depth": 2, "training.batch_size": 128}
    teacher = diffuscope.train("moons", settings=settings, steps=400, out=tmp_path / "t", pictures=False)
    student = diffuscope.distill(teacher, 2, out=tmp_path / "s", pictures=False)
    assert student.recipe.sampling.steps == 2
    assert student.recipe.sampling.name == "ddim"
    teacher.model.recipe = teacher.recipe.changed({"sampling.name": "ddim", "sampling.steps": 2})
    rough = float(teacher.measure()["sliced_wasserstein"])
    assert float(student.quality) < 0.5 * rough
    assert student.summary["start"] == str(teacher.path)


def test_commands_train_what_comes_of_a_run(flow, tmp_path, cli):
    short = ("--training-steps", "3", "--no-pictures")
    code, out, _ = cli("distill", str(flow.path), "--steps", "2", "-o", str(tmp_path / "s"), *short)
    assert code == 0
    assert "quality" in out
    student = diffuscope.load(tmp_path / "s").recipe
    assert (student.sampling.steps, student.training.steps, student.loss.target) == (2, 3, "teacher")
    again = ("--pairs", "70", "--set", "learning_rate=0.0005", "--seed", "4")
    code, _, _ = cli("reflow", str(flow.path), *again, "-o", str(tmp_path / "r"), *short)
    assert code == 0
    straighter = diffuscope.load(tmp_path / "r").recipe
    assert (straighter.training.reflow, straighter.training.learning_rate, straighter.seed) == (70, 0.0005, 4)
    code, _, err = cli("distill", str(flow.path), "--steps", "65", "-o", str(tmp_path / "n"))
    assert (code, "Give 1 to 64" in err) == (2, True)


@pytest.mark.parametrize("steps", [0, 65, True, 2.0])
def test_a_number_of_steps_that_cannot_be_is_refused(flow, steps):
    with pytest.raises(InputError, match="cannot be trained"):
        diffuscope.distill(flow, steps)


def test_a_run_with_conditions_has_no_student(tmp_path, features_are_pixels):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(20) % 2)
    size = {"network.width": 8, "network.multipliers": [1], "network.blocks": 1, "training.batch_size": 8}
    size |= {"training.steps": 2, "sampling.steps": 2}
    run = diffuscope.train(tmp_path / "x.npz", settings=size, out=tmp_path / "run", pictures=False)
    with pytest.raises(InputError, match="without conditions"):
        diffuscope.distill(run, 2, out=tmp_path / "s", pictures=False)
