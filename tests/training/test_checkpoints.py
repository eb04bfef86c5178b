"""Is the last checkpoint whole, the right one, and refused where it does not belong?"""

from __future__ import annotations

import pytest
import torch

from diffuscope.errors import FormatError, RunError
from diffuscope.training import Checkpoints


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"weights": torch.full((4,), value)}


def test_the_last_checkpoint_comes_back_as_it_was(tmp_path):
    checkpoints = Checkpoints(tmp_path, "f")
    for step in (5, 20, 100):
        checkpoints.save(step, tensors(step))
    step, found = Checkpoints(tmp_path, "f").load_last()
    assert step == 100
    assert torch.equal(found["weights"], torch.full((4,), 100.0))


def test_the_last_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, "f")
    for step in (5, 20, 100, 1_000_000_000):
        checkpoints.save(step, tensors(step))
    assert list(checkpoints.paths()) == [100, 1_000_000_000]
    assert len(list(tmp_path.iterdir())) == 2


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "not there", "f").load_last() is None


def test_one_of_another_run_is_refused(tmp_path):
    Checkpoints(tmp_path, "one").save(3, tensors(0))
    with pytest.raises(RunError, match="other data, another recipe or another seed"):
        Checkpoints(tmp_path, "other").load_last()


def test_a_damaged_one_is_refused_and_the_one_before_can_be_taken(tmp_path):
    checkpoints = Checkpoints(tmp_path, "f")
    checkpoints.save(3, tensors(3))
    checkpoints.save(4, tensors(4))
    last = checkpoints.paths()[4]
    last.write_bytes(last.read_bytes()[:-3])
    with pytest.raises(FormatError, match="the run then resumes from the previous checkpoint"):
        checkpoints.load_last()
    last.unlink()
    assert checkpoints.load_last()[0] == 3


def test_one_under_a_wrong_name_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path, "f")
    checkpoints.save(3, tensors(3))
    checkpoints.paths()[3].rename(tmp_path / "step_000000009.safetensors")
    with pytest.raises(FormatError, match="it holds step 3"):
        checkpoints.load_last()
