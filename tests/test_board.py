"""Does TensorBoard show what was trained?"""

from __future__ import annotations

import json
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import diffuscope
from diffuscope.errors import InputError


def events(run) -> EventAccumulator:
    found = EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    return found


def test_losses_and_samples_of_points_are_shown(tiny):
    run = tiny({"training.steps": 64, "training.batches": "shuffled"}, tensorboard=True)
    found = events(run)
    written = [(line["step"], line["loss"]) for line in run.metrics]
    shown = [(event.step, event.value) for event in found.Scalars("loss")]
    assert [step for step, _ in shown] == [step for step, _ in written]
    assert [loss for _, loss in shown] == pytest.approx([loss for _, loss in written], rel=1e-5)
    assert found.Images("samples")[-1].step == 64
    assert found.Images("samples")[-1].width > 200


def test_a_training_that_is_watched_ends_with_the_same_bytes(tiny):
    plain, watched = tiny(out="plain"), tiny(out="watched", tensorboard=True)
    one, other = ((run.path / "model.safetensors").read_bytes() for run in (plain, watched))
    assert one == other
    assert not (plain.path / "tensorboard").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("features_are_pixels")
def test_sheets_of_images_are_shown(tmp_path):
    changes = {"network.width": 8, "network.head_width": 8, "training.steps": 4, "sampling.steps": 2}
    run = diffuscope.train("digits", out=tmp_path / "run", settings=changes, pictures=False, tensorboard=True)
    assert events(run).Images("samples")[-1].step == 4
    assert json.loads((run.path / "summary.json").read_text())["steps"] == 4


def test_where_it_is_not_installed_it_is_said_what_to_do(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError) as refused:
        tiny(tensorboard=True)
    assert "diffuscope[tensorboard]" in refused.value.hint
    assert not list(tmp_path.iterdir())
