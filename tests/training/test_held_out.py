"""Do rows that are not trained on stop a training in time, and keep the weights that were best on them?"""

from __future__ import annotations

import math

import pytest
import torch

import diffuscope
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.diffusion.schedules import EDM
from diffuscope.networks import ResMLP
from diffuscope.recipes.sections import TrainingSection
from diffuscope.training import Batches, HeldOut, Resident, Trainer, validation_rows


def make(steps, rows=40, seed=0):
    """Make a trainer that learns few rows by heart."""
    torch.manual_seed(seed)
    x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(1))
    schedule, times = EDM(0.01, 20.0), Times("log_normal", -0.5, 1.5, True)
    denoiser = Denoiser(ResMLP(6, width=64, depth=2, n_directions=0), schedule, "edm")
    train, held = (x[chosen] for chosen in validation_rows(rows, 0.25, seed))
    settings = TrainingSection(
        steps=steps, batch_size=64, batches="stream", learning_rate=1e-2, decay="linear", ema_decay=0.95
    )
    batches = Batches(Resident(train), schedule, times, 64, "stream", seed)
    return Trainer(
        denoiser, batches, Loss(), settings, held_out=HeldOut(denoiser, Loss(), times, held, seed=seed)
    )


def held_loss(trainer):
    examples = trainer.held_out._examples
    with torch.no_grad():
        return trainer.loss.value(
            trainer.denoiser.network(examples.inputs, examples.condition), examples
        ).item()


def test_every_row_is_on_one_side():
    train, held = validation_rows(20, 0.2, 3)
    assert (len(train), len(held)) == (16, 4)
    assert sorted(torch.cat([train, held]).tolist()) == list(range(20))
    assert [len(part) for part in validation_rows(2, 0.01, 0)] == [1, 1]
    assert torch.equal(validation_rows(20, 0.2, 3)[1], held)


def test_training_ends_where_rows_are_learned_by_heart_with_the_best_weights():
    trainer = make(1000)
    trainer.run()
    loss, step = trainer.held_out.best
    assert step < trainer.step < 1000
    assert trainer.step - step > 250
    trainer.finish()
    assert held_loss(trainer) == pytest.approx(loss, rel=1e-5)


def test_looks_leave_no_trace_in_the_training():
    with_looks, without = make(60), make(60)
    without.held_out = None
    for trainer in (with_looks, without):
        trainer.run()
    assert torch.equal(with_looks.flat.vector, without.flat.vector)


def test_a_resumed_run_ends_with_the_same_bytes(tmp_path, tiny, monkeypatch):
    changes = {"training.hold_out": 0.2, "training.steps": 60, "training.checkpoint_every": 10}
    whole = tiny(changes, out="whole")
    save = Trainer.save_checkpoint

    def save_and_stop(self):
        save(self)
        if self.step >= 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save_checkpoint", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            tiny(changes, out="stopped")
    folder = tmp_path / "stopped"
    assert not (folder / "model.safetensors").exists()
    diffuscope.train(None, out=folder, resume=True, pictures=False)
    assert (folder / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_a_loss_that_never_falls_keeps_the_first_weights():
    trainer = make(10)
    vector = trainer.flat.vector
    with torch.no_grad():
        vector.fill_(math.nan)
    assert trainer.held_out.look(1, 10, vector.detach()) is False
    assert trainer.held_out.weights is not None
