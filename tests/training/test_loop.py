"""Does the loop train as a plain loop would, and say what went wrong when it cannot?"""

from __future__ import annotations

import contextlib
import copy
import itertools

import pytest
import torch
from torch import nn

from diffuscope.diffusion.losses import Loss
from diffuscope.errors import RunError
from diffuscope.recipes import load_recipe
from diffuscope.training import Batches, Checkpoints, Resident, Trainer


def trainer(changes=None, *, recipe="article", n=1000, folder=None, seed=0, network=None) -> Trainer:
    plan = load_recipe(recipe).changed({"training.epochs": 2, **(changes or {})})
    torch.manual_seed(seed)
    denoiser = plan.make_denoiser(2, network=network)
    x = torch.randn(n, 2)
    batches = Batches(
        Resident(x),
        denoiser.schedule,
        plan.times.make(),
        plan.training.batch_size,
        plan.training.batches,
        seed,
    )
    checkpoints = Checkpoints(folder, "f") if folder else None
    return Trainer(denoiser, batches, plan.loss.make(), plan.training, checkpoints)


def plain_article_loop(net, batches, steps):
    """The article's training, written without any of ours but the batches' numbers."""
    beta = torch.linspace(1e-5, 0.5e-2, 100, dtype=torch.float64)
    alpha_bar = torch.cumprod(1 - beta, 0)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4)
    losses = []
    for chunk in batches.chunks(0, steps):
        for low, high in itertools.pairwise(chunk.bounds):
            x_0, eps, t = chunk.x_0[low:high], chunk.eps[low:high], chunk.level.t[low:high]
            signal = alpha_bar[t].sqrt().float()[:, None]
            noise = (1 - alpha_bar[t]).sqrt().float()[:, None]
            h = signal * x_0 + noise * eps
            for i in range(3):
                h = net.linears[2 * i](h) + net.step_embeddings[i].weight[t]
                h = torch.relu(h)
            loss = (eps - net.linears[6](h)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_the_article_trains_as_a_plain_loop_does():
    ours = trainer({"training.steps": 20})
    plain = copy.deepcopy(ours.denoiser.network)
    seen = []
    ours.on_progress = lambda now: seen.append((now.step, now.loss))
    losses = plain_article_loop(plain, ours.batches, 20)
    ours.run()
    for one, other in zip(ours.denoiser.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    steps = [0] + [step for step, _ in seen]
    for (first, last), (_, loss) in zip(itertools.pairwise(steps), seen, strict=True):
        assert loss == pytest.approx(sum(losses[first:last]) / (last - first), rel=1e-5)


def test_training_lowers_the_loss():
    ours = trainer({"training.epochs": 60, "training.learning_rate": 3e-3})
    losses = []
    ours.on_progress = lambda now: losses.append(now.loss)
    ours.run()
    assert losses[-1] < 0.95 * losses[0]


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_the_end():
    ours = trainer({"training.steps": 100, "training.warmup": 0.1, "training.decay": "linear"})
    top = ours.settings.learning_rate
    rates = [ours.learning_rate(step) / top for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1 - 0.09)
    assert rates[10:] == pytest.approx([1 - step / 100 for step in range(10, 100)])
    constant = trainer({"training.steps": 100})
    assert {constant.learning_rate(step) for step in range(100)} == {5e-4}


def test_the_learning_rate_of_a_step_is_the_one_it_is_taken_with():
    ours = trainer({"training.steps": 3, "training.warmup": 1.0, "training.batch_size": 1000})
    used = []
    take = ours.optimizer.step

    def step():
        used.append(ours.optimizer.learning_rate)
        take()

    ours.optimizer.step = step
    ours.run()
    assert used == pytest.approx([5e-4 / 3, 1e-3 / 3, 5e-4])


def test_progress_is_told_after_each_chunk_in_steps_and_epochs():
    ours = trainer({"training.epochs": 3})
    seen = []
    ours.on_progress = seen.append
    epochs = []
    ours.on_epoch = lambda epoch, _: epochs.append(epoch)
    ours.run()
    assert [now.step for now in seen] == [8, 16, 24]
    assert [now.epoch for now in seen] == [1.0, 2.0, 3.0]
    assert {now.total for now in seen} == {24}
    assert epochs == [1, 2, 3]


def test_averaged_lends_the_averaged_weights_and_gives_the_own_ones_back():
    ours = trainer({"training.ema_decay": 0.9})
    ours.run()
    own = ours.flat.vector.detach().clone()
    assert not torch.equal(own, ours.average.weights)
    ours.denoiser.train()
    with contextlib.suppress(ZeroDivisionError), ours.averaged() as denoiser:
        assert torch.equal(ours.flat.vector, ours.average.weights)
        assert not denoiser.training
        raise ZeroDivisionError
    assert torch.equal(ours.flat.vector, own)
    assert ours.denoiser.training


def test_finish_leaves_the_averaged_weights():
    ours = trainer({"training.ema_decay": 0.9})
    ours.run()
    ours.finish()
    flat = torch.cat([p.detach().flatten() for p in ours.denoiser.network.parameters()])
    assert torch.equal(flat, ours.average.weights)


def test_without_averaging_finish_leaves_the_weights_of_the_last_step():
    ours = trainer()
    ours.run()
    own = ours.flat.vector.detach().clone()
    ours.finish()
    assert torch.equal(ours.flat.vector, own)


def test_training_leaves_the_global_generator_alone():
    ours = trainer(network=nn_with_dropout())
    before = torch.get_rng_state()
    ours.run()
    assert torch.equal(torch.get_rng_state(), before)


def nn_with_dropout() -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 2))

        def forward(self, x, t):
            return self.layers(torch.cat([x, t[:, None] / 100], dim=1))

    return Net()


def test_a_network_trains_in_training_mode_and_is_left_in_evaluation_mode():
    modes = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x, t):
            modes.append(self.training)
            return self.linear(x)

    ours = trainer(network=Spy())
    ours.run()
    assert set(modes) == {True}
    assert not ours.denoiser.training


class Exploding(Loss):
    def value(self, output, examples):
        self.calls.append(1)
        return super().value(output, examples) * (float("nan") if len(self.calls) == self.fatal else 1.0)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where_why_and_what_is_left(tmp_path):
    ours = trainer({"training.epochs": 5, "training.clip_norm": None}, folder=tmp_path)
    ours.settings.__dict__["checkpoint_every"] = 8
    ours.batches.source.x[0, 0] = 1e3
    loss = Exploding()
    loss.__dict__.update(calls=[], fatal=21)
    ours.loss = loss
    with pytest.raises(RunError) as failure:
        ours.run()
    assert "The loss of step 20 is nan (before: " in failure.value.what
    assert "the checkpoint of step 16 is kept" in failure.value.what
    for cause in ("learning rate of 0.0005", "not clipped", "not scaled (values up to 1e+03"):
        assert cause in failure.value.hint
    step, tensors = ours.checkpoints.load_last()
    assert step == 16
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_loss_that_is_not_finite_at_once_names_no_step_before():
    ours = trainer()
    loss = Exploding()
    loss.__dict__.update(calls=[], fatal=1)
    ours.loss = loss
    with pytest.raises(RunError, match=r"The loss of step 0 is nan; there is no checkpoint") as failure:
        ours.run()
    assert "not clipped" not in failure.value.hint
    assert "not scaled" not in failure.value.hint


def test_a_learning_rate_far_too_high_ends_in_that_error():
    ours = trainer({"training.learning_rate": 1e30, "training.epochs": 20, "training.clip_norm": None})
    with pytest.raises(RunError, match=r"learning rate of 1e\+30 that is too high"):
        ours.run()
