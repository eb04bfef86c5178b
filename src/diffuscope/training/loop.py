"""How is a network trained? Step by step, with as little overhead as possible.

The data stays on the device, batches come in chunks (:mod:`~diffuscope.training.batches`), all weights
are one vector (:mod:`~diffuscope.training.weights`). Interrupts, losses that are not finite and checkpoints
are handled between chunks, so that a resumed run takes the same steps as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Examples
from diffuscope.errors import InputError, RunError
from diffuscope.precision import autocast, half_type
from diffuscope.recipes.sections import TrainingSection
from diffuscope.seeds import stream_seed
from diffuscope.signals import Stopped, noted, words_of
from diffuscope.threads import side_by_side
from diffuscope.training.adam import Adam
from diffuscope.training.batches import Batches, Chunk
from diffuscope.training.checkpoints import Checkpoints
from diffuscope.training.distributed import World
from diffuscope.training.held_out import PARTS, HeldOut
from diffuscope.training.perceptrons import perceptron_of
from diffuscope.training.randomness import LossLike, is_repeatable, noised, random_of, share
from diffuscope.training.weights import FlatParameters, WeightAverage

__all__ = ["Interrupted", "Progress", "Trainer"]

_SMALL_STEP = 2**27  # examples times weights
_FEWEST = 8  # examples that are worth a core
_LONGEST_UNSAVED = 60.0  # seconds between two checkpoints


class Interrupted(Stopped):
    """Ctrl-C, SIGTERM or SIGHUP during a run. What is lost is at most what came after the last checkpoint."""


@dataclass(frozen=True)
class Progress:
    """Where training is, after a chunk: its mean loss, and the learning rate of its last step."""

    step: int
    total: int
    epoch: float
    loss: float
    learning_rate: float


@dataclass
class Trainer:
    """Trains a denoiser in place, on the device of the batches' data.

    ``held_out`` chooses the best weights and the end of training; by default those of the last step.
    ``on_progress`` is called after each chunk, ``on_epoch`` after each epoch of shuffled batches with its
    number (1, 2, ...) and the trainer.
    """

    denoiser: Denoiser
    batches: Batches
    loss: LossLike
    settings: TrainingSection
    checkpoints: Checkpoints | None = None
    world: World = field(default_factory=World)
    held_out: HeldOut | None = None
    on_progress: Callable[[Progress], None] | None = None
    on_epoch: Callable[[int, Trainer], None] | None = None

    def __post_init__(self) -> None:
        self.flat = FlatParameters(self.denoiser.network)
        vector = self.flat.vector
        for tensor in (vector, *self.denoiser.network.buffers()):
            self.world.copy_first_(tensor)  # initial weights may differ between processes
        self.average = WeightAverage(vector, self.settings.ema_decay)
        self.optimizer: Any = Adam(vector, self.settings.learning_rate, self.settings.betas)
        self._half = half_type(self.settings.precision, vector.device)
        self._scaler = torch.amp.GradScaler(vector.device.type, enabled=self._half is torch.float16)
        network = self.denoiser.network
        self._network = torch.compile(network) if self.settings.compile else network
        exact = not self.settings.compile and self._half is None
        self._perceptron = perceptron_of(network, self.flat) if exact else None
        self.step = 0
        self._saved_step, self._saved_at = -1, time.monotonic()

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.settings.steps or (self.settings.epochs or 0) * self.batches.steps_per_epoch

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of step 0, 1, ...: linear warm-up, then optional linear decay."""
        warmup = self.settings.warmup * self.total_steps
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        fall = 1 - step / self.total_steps if self.settings.decay == "linear" else 1.0
        return self.settings.learning_rate * rise * fall

    def resume(self) -> int:
        """Load the last checkpoint, if there is one; return the step from which to resume."""
        found = self.checkpoints.load_last() if self.checkpoints else None
        if found:
            self.step = self._saved_step = found[0]
            self._load(found[1])
        return self.step

    def run(self) -> None:
        """Train up to the last step.

        A loss that is not finite is a RunError; Ctrl-C, SIGTERM and SIGHUP are ``Interrupted``, once the
        checkpoint is written.
        """
        with noted() as signalled, self._training_mode():
            for chunk in self.batches.chunks(self.step, self.total_steps):
                first = chunk.first_step
                losses = self._train_on(chunk)
                self._check_finite(losses, first)
                if self.on_progress:
                    epochs = self.step / self.batches.steps_per_epoch
                    loss, rate = losses.mean().item(), self.learning_rate(self.step - 1)
                    self.on_progress(Progress(self.step, self.total_steps, epochs, loss, rate))
                epoch, rest = divmod(self.step, self.batches.steps_per_epoch)
                if self.on_epoch and self.batches.order == "shuffled" and rest == 0:
                    self.on_epoch(epoch, self)
                finished = self._validate()
                stop = self.world.any(bool(signalled()))
                if stop or self._due():
                    self.save_checkpoint()
                if stop:
                    number = signalled() or signal.SIGINT
                    raise Interrupted(f"{words_of(number)} at step {self.step}", number)
                if finished:
                    return

    def _due(self) -> bool:
        """Whether a checkpoint is due: by the steps since the last one, or by the time."""
        steps = self.step - max(self._saved_step, 0)
        return steps >= self.settings.checkpoint_every or time.monotonic() - self._saved_at > _LONGEST_UNSAVED

    def _validate(self) -> bool:
        """Return whether the loss on held-out rows ends the training; equal in all processes."""
        if self.held_out is None or not self.held_out.due(self.step, self.total_steps):
            return False
        with self.averaged():
            return self.held_out.look(self.step, self.total_steps, self.flat.vector.detach())

    def _train_on(self, chunk: Chunk) -> Tensor:
        """Take a step for each batch of the chunk; return their losses.

        Masks and dropout are drawn alike by all processes, each of which uses its rows of them; those of a
        network or a loss of one's own are drawn by each process for itself.
        """
        network = None if self.settings.compile else self.denoiser.network
        apart = 0 if is_repeatable(network, self.loss) else self.world.rank
        seed = stream_seed(self.batches.seed, "network", chunk.first_step, apart)
        with random_of(network, self.loss, seed, chunk.x_0.device) as generator:
            examples = noised(
                self.loss, self.denoiser, chunk.x_0, chunk.level, chunk.eps, generator, chunk.label
            )
            return self._steps(examples, chunk)

    def _steps(self, examples: Examples, chunk: Chunk) -> Tensor:
        """Take the steps of :meth:`_train_on`."""
        losses = torch.zeros(len(chunk.bounds) - 1, device=chunk.x_0.device)
        flat, settings = self.flat, self.settings
        for i, (start, stop) in enumerate(itertools.pairwise(chunk.bounds)):
            # Process r of n takes every n-th example from r on: together they see the whole batch. One that
            # is left without any takes the first, which then counts nothing.
            own = range(self.world.rank, stop - start, self.world.size)
            n, own = len(own), own or range(1)
            if self.world.size > 1:
                share(self.denoiser.network, own, stop - start)
            losses[i] = self._differentiate(examples.at(slice(start + own.start, start + own.stop, own.step)))
            if self.world.size > 1:  # average gradient and loss over all processes' examples
                both = torch.cat([flat.grad, losses[i : i + 1], torch.ones_like(losses[:1])]) * n
                self.world.sum_(both)
                both = both / both[-1]
                flat.grad.copy_(both[:-2])
                losses[i] = both[-2]
            self._scaler.unscale_(self.optimizer)
            if settings.clip_norm is not None:
                flat.clip(settings.clip_norm)
            self.optimizer.learning_rate = self.learning_rate(self.step)
            self._scaler.step(self.optimizer)
            self._scaler.update()
            self.step += 1
            if settings.ema_decay:
                self.average.update(flat.vector, self.step)
        return losses

    def _differentiate(self, batch: Examples) -> Tensor:
        """Write the gradient of a batch's mean loss, accumulated over parts if set; return the loss."""
        n, at_once = len(batch.inputs), self._at_once()
        size = max(math.ceil(n / (self.settings.accumulate * at_once)), min(n, _FEWEST) if at_once > 1 else 1)
        if self._perceptron is not None and size >= n:
            return self._perceptron.differentiate(self.loss, batch)
        total = torch.zeros((), device=batch.inputs.device)

        def of(part: Examples) -> tuple[Tensor, tuple[Tensor, ...]]:
            with autocast(self._half, part.inputs.device):
                output = part.predict(self._network)
            loss = self.loss.value(output.to(part.inputs.dtype), part)
            if len(part.inputs) < n:
                loss = loss * (len(part.inputs) / n)
            return loss.detach(), self.flat.gradients(self._scaler.scale(loss))

        parts = [batch.at(slice(start, start + size)) for start in range(0, n, size)]
        for i, (loss, gradients) in enumerate(side_by_side(of, parts) if at_once > 1 else map(of, parts)):
            self.flat.keep(gradients, add=i > 0)
            total += loss
        return total

    def _at_once(self) -> int:
        """Return how many parts of a batch are computed in parallel, one on each core.

        Small convolutions gain little from a second core, independent parts of a batch gain all of it. The
        network must allow this (``per_example``); with dropout, random numbers would depend on the timing.
        """
        network = self.denoiser.network
        apart = getattr(network, "per_example", False) and not self.settings.compile
        if not apart or self.flat.vector.device.type != "cpu":
            return 1
        drawn = any(isinstance(module, nn.Dropout) and module.p > 0 for module in network.modules())
        return 1 if drawn else torch.get_num_threads()

    def _check_finite(self, losses: Tensor, first_step: int) -> None:
        good = torch.isfinite(losses)
        if good.all():
            return
        at = int((~good).nonzero()[0])
        before = f" (before: {losses[at - 1].item():.3g})" if at else ""
        kept = self.checkpoints.paths() if self.checkpoints else {}
        last = f"the checkpoint of step {max(kept)} is kept" if kept else "there is no checkpoint before it"
        causes = [f"a learning rate of {self.learning_rate(first_step + at):.3g} that is too high"]
        if self.settings.clip_norm is None:
            causes.append("gradients that are not clipped (clip_norm = 1.0 in [training])")
        if (scale := self.batches.source.largest()) > 20:
            causes.append(
                f'data that is not scaled (values up to {scale:.3g}; scaling = "standard" in [data])'
            )
        raise RunError(
            f"The loss of step {first_step + at} is {losses[at].item()}{before}; {last}.",
            f"Likely: {'; or '.join(causes)}.",
        )

    @contextlib.contextmanager
    def _training_mode(self) -> Iterator[None]:
        """Train small networks with one thread: several cost more than they save."""
        before = torch.get_num_threads()
        small = self.batches.batch_size * self.flat.vector.numel() < _SMALL_STEP
        if small and self.flat.vector.device.type == "cpu" and self._at_once() == 1:
            torch.set_num_threads(1)
        self.denoiser.train()
        try:
            yield
        finally:
            self.denoiser.eval()
            torch.set_num_threads(before)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[Denoiser]:
        """Yield the denoiser with its averaged weights, in evaluation mode; training continues afterwards."""
        own = self.flat.vector.detach().clone()
        was_training = self.denoiser.training
        self.denoiser.eval()
        try:
            with torch.no_grad():
                if self.settings.ema_decay:
                    self.flat.vector.copy_(self.average.weights)
                yield self.denoiser
        finally:
            with torch.no_grad():
                self.flat.vector.copy_(own)
            self.denoiser.train(was_training)

    def finish(self) -> None:
        """Set the denoiser's weights to the averaged ones, or the best of them, in their own memory."""
        best = self.held_out.weights if self.held_out else None
        if best is None and self.settings.ema_decay:
            best = self.average.weights
        if best is not None:
            with torch.no_grad():
                self.flat.vector.copy_(best)
        self.flat.release()
        self.denoiser.eval()

    def save_checkpoint(self) -> None:
        """Write a checkpoint of the current step, if checkpoints are enabled."""
        if self.checkpoints and self.world.is_main and self.step != self._saved_step:
            tensors = self._in_place() | (self.held_out.tensors() if self.held_out else {})
            if scaler := self._scaler.state_dict():  # of float16
                tensors["scale"] = torch.tensor([scaler["scale"], scaler["_growth_tracker"]])
            self.checkpoints.save(self.step, tensors)
        self._saved_step, self._saved_at = self.step, time.monotonic()

    def _in_place(self) -> dict[str, Tensor]:
        """Return the part of the state that a checkpoint is copied into."""
        return {
            "weights": self.flat.vector,
            "averaged": self.average.weights,
            "adam.exp_avg": self.optimizer.exp_avg,
            "adam.exp_avg_sq": self.optimizer.exp_avg_sq,
            "adam.step": self.optimizer.steps,
            **{f"buffers.{name}": b for name, b in self.denoiser.network.named_buffers()},
        }

    def _load(self, tensors: dict[str, Tensor]) -> None:
        own = self._in_place()
        shapes = {name: tensor.shape for name, tensor in own.items()}
        if self._scaler.is_enabled():
            shapes |= {"scale": torch.Size([2])}
        if self.held_out:
            shapes |= {
                "held_out.weights": self.flat.vector.shape,
                "held_out.best": torch.Size([3]),
                "held_out.parts": torch.Size([PARTS]),
            }
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise InputError(
                "The checkpoint does not match the network.",
                "Resume with the network and settings of the first start.",
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])
        if self._scaler.is_enabled():
            scale, since = tensors["scale"].tolist()
            state = {"scale": scale, "_growth_tracker": int(since)}
            self._scaler.load_state_dict(self._scaler.state_dict() | state)
        if self.held_out:
            self.held_out.load(tensors)
