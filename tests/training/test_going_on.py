"""Does a finished run go on, does another start from its weights, is an old one replaced on request only?"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.errors import InputError, RunError

LONG = {"training.batches": "stream", "training.batch_size": 256}


def steps_of(folder) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.denoiser.network.parameters()])


def test_a_finished_run_goes_on_to_more_steps(tiny):
    first = tiny(LONG, steps=40)
    loss = [line["loss"] for line in first.metrics]
    longer = diffuscope.train(out=first.path, resume=True, steps=70, pictures=False)
    assert longer.summary["steps"] == longer.recipe.training.steps == 70
    assert steps_of(first.path) == [32, 40, 64, 70]
    assert [line["loss"] for line in longer.metrics][:2] == loss
    assert not torch.equal(weights(longer), weights(first))
    assert diffuscope.load(first.path).summary["steps"] == 70


def test_a_run_goes_on_with_the_moments_of_adam_and_a_run_from_its_weights_without(tiny):
    plain = {**LONG, "training.decay": "none", "training.warmup": 0.0, "training.ema_decay": 0.0}
    first = tiny(plain, steps=40)
    anew = diffuscope.train(start=first, out=first.path.parent / "anew", steps=1, pictures=False)
    on = diffuscope.train(out=first.path, resume=True, steps=41, pictures=False)
    assert not torch.equal(weights(on), weights(anew))


def test_going_on_in_parts_is_training_at_once_where_the_rate_does_not_depend_on_the_length(tiny, tmp_path):
    plain = {**LONG, "training.decay": "none", "training.warmup": 0.0, "training.ema_decay": 0.9}
    whole = tiny(plain, out="whole", steps=96)
    tiny(plain, out="parts", steps=32)  # a whole chunk
    for steps in (64, 96):
        parts = diffuscope.train(out=tmp_path / "parts", resume=True, steps=steps, pictures=False)
    assert torch.equal(weights(parts), weights(whole))
    assert steps_of(parts.path) == steps_of(whole.path)


def test_a_run_in_epochs_goes_on_to_more_epochs(tiny):
    run = tiny({"training.batches": "shuffled", "training.steps": None, "training.epochs": 2})
    on = diffuscope.train(out=run.path, resume=True, epochs=5, pictures=False)
    assert on.summary["steps"] == 5 * -(-300 // 32)


def test_fewer_steps_than_were_taken_are_refused_and_nothing_changes(tiny):
    run = tiny(steps=40)
    before = (run.path / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="trained for 40 steps, which is not less than 20"):
        diffuscope.train(out=run.path, resume=True, steps=20, pictures=False)
    assert (run.path / "model.safetensors").read_bytes() == before
    assert diffuscope.load(run.path).summary["steps"] == 40


def test_other_data_is_refused_also_where_a_run_goes_on(tiny):
    run = tiny(data=np.random.default_rng(0).normal(size=(80, 2)))
    other = np.random.default_rng(1).normal(size=(80, 2))
    with pytest.raises(RunError, match="other data"):
        diffuscope.train(other, out=run.path, resume=True, steps=60, pictures=False)


def test_a_run_without_a_checkpoint_says_what_to_do_instead(tiny):
    run = tiny()
    for path in (run.path / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"no checkpoint(.|\n)*start="):
        diffuscope.train(out=run.path, resume=True, steps=60, pictures=False)


def test_the_command_line_goes_on(tiny, cli):
    run = tiny(steps=30)
    code, said, _ = cli("train", "--out", run.path, "--resume", "--steps", 50, "--no-pictures")
    assert code == 0
    assert "50 steps" in said


@pytest.mark.parametrize("kind", ["points", "table", "images"])
def test_a_run_starts_from_the_weights_of_another(tiny, tmp_path, kind, features_are_pixels):
    random = np.random.default_rng(0)
    if kind == "points":
        first, other = tiny(steps=60), random.normal(size=(90, 2)) * 3
    elif kind == "table":
        import pandas as pd

        frame = pd.DataFrame({"a": random.normal(size=90), "b": random.choice(["x", "y"], 90)})
        first = tiny({"data.refine": False}, data=frame, recipe="table")
        other = frame.iloc[::-1].reset_index(drop=True).assign(a=lambda f: f["a"] * 2)
    else:
        images = random.integers(0, 256, (20, 8, 8), dtype=np.uint8)
        size = {"network.width": 8, "network.blocks": 1, "training.batch_size": 8, "sampling.steps": 2}
        first = diffuscope.train(images, out=tmp_path / "run", steps=4, settings=size, pictures=False)
        other = 255 - images
    run = diffuscope.train(
        other, start=first, out=tmp_path / "next", steps=1, settings={"learning_rate": 1e-6}, pictures=False
    )
    assert run.model.codec.to_json() == first.model.codec.to_json()
    torch.testing.assert_close(weights(run), weights(first), atol=1e-4, rtol=0)
    assert run.summary["start"] == str(first.path)
    again = diffuscope.train(other, out=run.path, resume=True, steps=3, pictures=False)
    assert again.summary["steps"] == 3


def test_the_data_and_the_recipe_to_start_from_are_the_defaults(tiny, tmp_path):
    first = tiny({"network.width": 12})
    run = diffuscope.train(start=first.path, out=tmp_path / "next", steps=2, pictures=False)
    assert run.recipe.network == first.recipe.network
    np.testing.assert_array_equal(run.data.x, first.data.x)


def test_the_run_that_was_started_from_is_left_as_it_was(tiny, tmp_path):
    first = tiny()
    before = weights(first).clone()
    diffuscope.train("moons", size=100, start=first, out=tmp_path / "next", steps=5, pictures=False)
    assert torch.equal(weights(first), before)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"settings": {"network.width": 16}}, "network differs"),
        ({"settings": {"denoiser.prediction": "velocity"}}, "denoiser differs"),
        ({"data": np.random.default_rng(0).normal(size=(50, 3))}, r"points of shape \(3,\)"),
        ({"resume": True}, "started already"),
    ],
)
def test_what_does_not_fit_the_weights_is_refused(tiny, tmp_path, arguments, word):
    first = tiny()
    with pytest.raises(InputError, match=word):
        diffuscope.train(start=first, out=tmp_path / "next", pictures=False, **arguments)
    assert not (tmp_path / "next").exists()


def test_another_schedule_is_refused_where_the_network_sees_its_times(tiny, tmp_path):
    changes = {"schedule.name": "linear", "schedule.T": 20, "denoiser.conditioning": "time"}
    first = tiny({**changes, "denoiser.prediction": "noise", "sampling.name": "ddim"})
    with pytest.raises(InputError, match="schedule differs"):
        diffuscope.train(start=first, out=tmp_path / "next", settings={"schedule.T": 40}, pictures=False)


def test_a_cell_that_trains_can_be_run_again(tiny, monkeypatch):
    run = tiny(exist_ok=True)
    monkeypatch.setattr("diffuscope.training.loop.Trainer.run", None)  # no step is taken again
    again = tiny(exist_ok=True)
    np.testing.assert_array_equal(again.sample(20), run.sample(20))
    with pytest.raises(InputError, match="other settings"):
        tiny({"training.learning_rate": 0.5}, exist_ok=True)
    with pytest.raises(InputError, match="other settings"):
        tiny(steps=31, exist_ok=True)
    with pytest.raises(InputError, match="exists"):
        tiny()


def test_cells_can_be_run_again_also_where_one_of_them_goes_on(tiny):
    for _ in range(2):
        run = tiny(steps=30, exist_ok=True)
        longer = diffuscope.train(out=run.path, resume=True, steps=50, pictures=False)
        assert longer.summary["steps"] == 50


def test_a_run_is_replaced_on_request_and_foreign_files_stay(tiny, tmp_path):
    run = tiny(steps=40)
    (run.path / "notes.txt").write_text("mine")
    (run.path / "figures").mkdir()
    (run.path / "figures" / "mine.jpg").write_text("mine")
    (run.path / "evaluation.json").write_text("{}")
    again = tiny(steps=20, overwrite=True)
    assert again.summary["steps"] == 20
    assert steps_of(run.path) == [20]
    assert (run.path / "notes.txt").read_text() == (run.path / "figures" / "mine.jpg").read_text() == "mine"
    assert not (run.path / "evaluation.json").exists()


def test_a_folder_that_is_no_run_is_not_replaced(tmp_path, tiny):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="not a run directory; nothing was removed"):
        tiny(overwrite=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_what_a_link_in_a_run_points_to_is_not_removed(tiny, tmp_path):
    run = tiny()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_text("mine")
    (run.path / "figures").symlink_to(outside)
    with pytest.raises(InputError, match="is a link to"):
        tiny(overwrite=True)
    assert (outside / "a.png").read_text() == "mine"


def test_the_command_line_replaces_a_run(tiny, cli, tiny_words):
    run = tiny(steps=40)
    code, said, _ = cli("train", "s_curve", "--out", run.path, "--overwrite", "--steps", 20, *tiny_words[:1])
    assert code == 0
    assert "20 steps" in said


def test_contradicting_wishes_are_refused(tiny):
    with pytest.raises(InputError, match="different things"):
        tiny(overwrite=True, exist_ok=True)
