"""How is a network trained? Step by step, with as little overhead as possible.

The data stays on the device, batches come in chunks (:mod:`~diffuscope.training.batches`), all weights
are one vector (:mod:`~diffuscope.training.weights`). The gradient of a batch is a sum over its parts
(:mod:`~diffuscope.training.parts`), so that neither threads nor processes change a byte of it. Of several
processes the first decides all else: when to stop, which weights are best, what is written.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Examples
from diffuscope.errors import InputError, RunError
from diffuscope.precision import arranged, autocast, half_type
from diffuscope.recipes.sections import TrainingSection
from diffuscope.seeds import stream_seed
from diffuscope.signals import Stopped, noted, words_of
from diffuscope.threads import ahead, side_by_side
from diffuscope.training.adam import Adam
from diffuscope.training.batches import Batches, Chunk
from diffuscope.training.checkpoints import Checkpoints
from diffuscope.training.distributed import World
from diffuscope.training.graphs import RecordedStep
from diffuscope.training.held_out import PARTS, HeldOut
from diffuscope.training.overlap import Overlap
from diffuscope.training.parts import PartSum, is_divisible, number_of_parts, own_parts, part_bounds
from diffuscope.training.perceptrons import perceptron_of
from diffuscope.training.randomness import (
    LossLike,
    PartStreams,
    draws_in_parts,
    is_repeatable,
    noised,
    random_of,
    share_dropout,
)
from diffuscope.training.weights import FlatParameters, WeightAverage
from diffuscope.transfers import Reading

__all__ = ["Interrupted", "Progress", "Trainer"]

_SMALL_STEP = 2**27  # examples times weights
_FEWEST = 8  # examples that are worth a core
_LONGEST_UNSAVED = 60.0  # seconds between two checkpoints
_BETWEEN = 0.2  # seconds between two messages to those that wait for the first process


class Interrupted(Stopped):
    """Ctrl-C or another signal to stop. What is lost is at most what came after the last checkpoint."""


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
            self.world.copy_first_(tensor)  # initial weights may differ between machines
        self.average = WeightAverage(vector, self.settings.ema_decay)
        self.optimizer: Any = Adam(vector, self.settings.learning_rate, self.settings.betas)
        self._half = half_type(self.settings.precision, vector.device)
        self._scaler = torch.amp.GradScaler(vector.device.type, enabled=self._half is torch.float16)
        network = self.denoiser.network
        self._network = torch.compile(network) if self.settings.compile else network
        plain = not self.settings.compile and self._half is None
        self._perceptron = perceptron_of(network, self.flat) if plain else None
        self._plan_parts()
        self._recorded = RecordedStep(self._take_step, vector.device) if self._is_recorded() else None
        # Losses that were not looked at yet: the number of steps before them, and after.
        self._unread: deque[tuple[int, int, Reading]] = deque()
        self._signalled: Callable[[], int] = lambda: 0
        self.step = 0
        self._saved_step, self._saved_at = -1, time.monotonic()
        self._agreed_at = 0.0

    def _plan_parts(self) -> None:
        """Decide into which parts batches are divided, and how many of them are computed at a time."""
        settings, network, device = self.settings, self.denoiser.network, self.flat.vector.device
        self.exact = device.type == "cpu" if settings.exact is None else settings.exact
        divisible = is_divisible(network) and not settings.compile
        self._one_thread = self._is_small
        self.parts, self._at_once, self._accumulate = 1, 1, settings.accumulate
        self._streams: PartStreams | None = None
        drawn = draws_in_parts(network, self.loss)
        self._stops_anywhere = not drawn  # within a chunk, too
        if self.exact and divisible:
            shape, size = self.batches.source.shape, self.batches.batch_size
            self.parts = number_of_parts(network, size, shape, settings.accumulate)
            self._one_thread, self._accumulate = True, 1
            if self.parts > 1:
                self._stops_anywhere = True
                repeatable = is_repeatable(network, self.loss)
                if drawn:
                    seed = stream_seed(self.batches.seed, "network")
                    self._streams = PartStreams(seed, device, own=repeatable)
                if device.type == "cpu" and (repeatable or not drawn):
                    self._at_once = min(torch.get_num_threads(), max(1, self.parts // settings.accumulate))
        elif divisible and device.type == "cpu" and not drawn and getattr(network, "per_example", False):
            self._at_once = torch.get_num_threads()  # small convolutions gain little from a second core
        self._one_thread &= device.type == "cpu" and (self.exact or self._at_once == 1)
        # Of a batch of one part there is nothing to share: the others wait for what the first makes of it.
        self._by_the_first = self.exact and self.parts == 1 and self.world.size > 1
        self._overlap = Overlap(self.flat, self.world) if self.world.size > 1 and not self.exact else None

    def _is_recorded(self) -> bool:
        """Whether a step is recorded and replayed; InputError where it cannot be, and is to be."""
        wanted, network = self.settings.cuda_graph, self.denoiser.network
        obstacles = {
            "it does not run on a GPU of CUDA": self.flat.vector.device.type != "cuda",
            "several processes share it": self.world.size > 1,
            "a network is compiled (training.compile)": self.settings.compile,
            "its gradients are summed in parts (training.exact)": self.parts > 1,
            "float16 needs a look at every step": self._scaler.is_enabled(),
            "random numbers, such as those of dropout, are drawn in it": draws_in_parts(network, self.loss),
        }
        found = next((why for why, there in obstacles.items() if there), None)
        if wanted and found:
            raise InputError(
                f"A step of this training cannot be recorded as a CUDA graph: {found}.",
                "Leave out training.cuda_graph.",
            )
        return found is None and (self._is_small if wanted is None else wanted)

    @property
    def _is_small(self) -> bool:
        """Whether a step is little work."""
        return self.batches.batch_size * self.flat.vector.numel() < _SMALL_STEP

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
        world, scaler = self.world, self._scaler.state_dict()
        if world.is_main:
            found = self.checkpoints.load_last() if self.checkpoints else None
            if found:
                self.step = found[0]
                self._load(found[1])
        if world.size > 1:
            (self.step,) = world.agree(self.step)
            for tensor in self._in_place().values():
                world.copy_first_(tensor)
            if scaler:
                scale = torch.tensor([scaler["scale"], scaler["_growth_tracker"]], dtype=torch.float64)
                scale = scale.to(self.flat.vector.device)
                world.copy_first_(scale)
                self._set_scale(scale)
        self._saved_step = self.step or -1
        return self.step

    def run(self) -> None:
        """Train up to the last step.

        A loss that is not finite is a RunError; Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP are ``Interrupted``, once
        the checkpoint is written.
        """
        with noted() as self._signalled, self._training_mode():
            if self._by_the_first and not self.world.is_main:
                while self.step < self.total_steps and not self._agree(False):
                    pass
                return
            chunks, device = self.batches.chunks(self.step, self.total_steps), self.flat.vector.device
            for chunk in ahead(chunks) if self.batches.read and device.type == "cuda" else chunks:
                first, losses = self.step, self._train_on(chunk)
                if len(losses):
                    self._unread.append((first, self.step, Reading(losses)))
                # An accelerator works on a chunk while the losses of the one before are looked at.
                self._read(later=0 if device.type == "cpu" else 1)
                if self._agree(bool(len(losses)) and self.world.is_main and self._measured()):
                    return

    def _read(self, later: int = 0) -> None:
        """Check and show the losses of chunks, but of the last few, which are looked at ``later``."""
        while len(self._unread) > later:
            first, stop, reading = self._unread.popleft()
            losses = reading()
            self._check_finite(losses, first)
            if self.world.is_main and self.on_progress:
                epochs, rate = stop / self.batches.steps_per_epoch, self.learning_rate(stop - 1)
                self.on_progress(Progress(stop, self.total_steps, epochs, losses.mean().item(), rate))

    def _measured(self) -> bool:
        """Draw and measure what came of the steps so far, where it is time; return whether training ends."""
        epoch, rest = divmod(self.step, self.batches.steps_per_epoch)
        if self.on_epoch and self.batches.order == "shuffled" and rest == 0:
            self._read()
            self.on_epoch(epoch, self)
        return self._validate()

    def _agree(self, finished: bool) -> bool:
        """Save a checkpoint if one is due; return whether training ends, in all processes alike.

        A signal that any of them got is ``Interrupted`` in all.
        """
        number, ends = self._signalled(), finished or self.step >= self.total_steps
        # Those that only wait for the first process need to hear of it a few times a second.
        waits = self._by_the_first and self.world.is_main and not (number or ends)
        if not (waits and time.monotonic() - self._agreed_at < _BETWEEN):
            number, ended, self.step = self.world.agree(number, int(ends), self.step)
            ends, self._agreed_at = bool(ended), time.monotonic()
        if number or ends or self._due():
            self._read()
        if number or self._due():
            self.save_checkpoint()
        if number:
            self.world.wait()  # until it is written
            raise Interrupted(f"{words_of(number)} at step {self.step}", number)
        return ends

    def _due(self) -> bool:
        """Whether a checkpoint is due: by the steps since the last one, or by the time."""
        steps = self.step - max(self._saved_step, 0)
        return steps >= self.settings.checkpoint_every or time.monotonic() - self._saved_at > _LONGEST_UNSAVED

    def _validate(self) -> bool:
        """Return whether the loss on held-out rows ends the training; equal in all processes."""
        if self.held_out is None or not self.held_out.due(self.step, self.total_steps):
            return False
        self._read()
        with self.averaged():
            return self.held_out.look(self.step, self.total_steps, self.flat.vector.detach())

    def _train_on(self, chunk: Chunk) -> Tensor:
        """Take a step for each batch of the chunk that is left; return their losses.

        Masks are drawn for the chunk, dropout for each part of a batch, or for the chunk where it has one.
        """
        network = None if self.settings.compile else self.denoiser.network
        apart = 0 if self.exact or is_repeatable(network, self.loss) else self.world.rank
        seed = stream_seed(self.batches.seed, "network", chunk.first_step, apart)
        with random_of(network, self.loss, seed, chunk.x_0.device, self._streams) as generator:
            examples = noised(
                self.loss, self.denoiser, chunk.x_0, chunk.level, chunk.eps, generator, chunk.label
            )
            return self._steps(examples._replace(inputs=arranged(examples.inputs, self._half)), chunk)

    def _steps(self, examples: Examples, chunk: Chunk) -> Tensor:
        """Take the steps of :meth:`_train_on`; a signal ends them early where a run can go on from there."""
        losses: list[Tensor] = []
        for i, (start, stop) in enumerate(itertools.pairwise(chunk.bounds)):
            if chunk.first_step + i < self.step:  # taken already, before an interruption
                continue
            rate, share = self.learning_rate(self.step), self.average.share(self.step + 1)
            if self.parts == 1 and self._stops_anywhere and self.world.size == 1 and self._signalled():
                break
            if self._recorded is not None and stop - start == self.batches.batch_size:
                loss = self._recorded(examples.at(slice(start, stop)), rate, share)
            elif self.parts > 1:
                found = self._sum_of_parts(examples.at(slice(start, stop)))
                if found is None:
                    break
                loss = self._update(found, rate, share)
            elif self._overlap is not None:
                loss = self._update(self._share_of(examples, start, stop, self._overlap), rate, share)
            else:
                loss = self._take_step(examples.at(slice(start, stop)), rate, share)
            losses.append(loss)
            self.step += 1
        return torch.stack(losses) if losses else torch.zeros(0)

    def _take_step(self, batch: Examples, rate: float | Tensor, share: float | Tensor) -> Tensor:
        """Take a step on a batch, with this learning rate and share in the average; return its mean loss."""
        return self._update(self._differentiate(batch), rate, share)

    def _update(self, loss: Tensor, rate: float | Tensor, share: float | Tensor) -> Tensor:
        """Turn the gradient into a step, and return the loss that it is of."""
        self._scaler.unscale_(self.optimizer)
        if self.settings.clip_norm is not None:
            self.flat.clip(self.settings.clip_norm)
        self.optimizer.learning_rate = rate
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self.settings.ema_decay:
            self.average.update(self.flat.vector, share)
        return loss

    def _sum_of_parts(self, batch: Examples) -> Tensor | None:
        """Write the gradient of a batch's mean loss, a sum over its parts; return the loss.

        Each process computes its own parts. After a signal to any of them the step is left out: None.
        """
        world, n, signalled = self.world, len(batch.inputs), self._signalled
        bounds, own = part_bounds(n, self.parts), own_parts(world.rank, world.size, self.parts)
        rest = self.flat.grad.new_zeros(2)  # loss, and whether to stop

        def of(i: int) -> Tensor:
            part = batch.at(bounds[i])
            m = len(part.inputs)
            if signalled() or not m:
                return torch.cat([torch.zeros_like(self.flat.grad), rest + (1 if m else 0)])
            if self._streams is not None:
                self._streams.begin(self.step, i)
            with autocast(self._half, part.inputs.device):
                output = part.predict(self._network)
            loss = self.loss.value(output.to(part.inputs.dtype), part) * (m / n)
            gradients = self.flat.gradients(self._scaler.scale(loss))
            return torch.cat([*(one.flatten() for one in gradients), loss.detach()[None], rest[:1]])

        total = PartSum()
        for i, vector in zip(own, side_by_side(of, own, workers=self._at_once), strict=True):
            total.add(0, i, vector)
        whole = world.sum_parts(total, self.parts, torch.cat([self.flat.grad, rest]))
        if whole[-1] > 0:
            return None
        self.flat.grad.copy_(whole[:-2])
        return whole[-2].clone()

    def _share_of(self, examples: Examples, start: int, stop: int, overlap: Overlap) -> Tensor:
        """Write the gradient of the mean loss of the batch from ``start`` to ``stop``; return the loss.

        Process r of n takes every n-th example from r on: together they see the whole batch. One that is left
        without any takes the first, which then counts nothing.
        """
        n = stop - start
        own = range(self.world.rank, n, self.world.size)
        share = len(own) / n
        own = own or range(1)
        share_dropout(self.denoiser.network, own, n)
        batch = examples.at(slice(start + own.start, start + own.stop, own.step))
        loss = self._differentiate(batch, overlap, share) * share
        overlap.send(share)
        self.world.begin_sum(loss)()
        return loss

    def _differentiate(self, batch: Examples, overlap: Overlap | None = None, share: float = 1.0) -> Tensor:
        """Write the gradient of a batch's mean loss, accumulated over parts if set; return the loss.

        What of the last part is done may be sent to others while the rest of it is computed.
        """
        n, at_once = len(batch.inputs), self._at_once
        size = max(math.ceil(n / (self._accumulate * at_once)), min(n, _FEWEST) if at_once > 1 else 1)
        if self._perceptron is not None and size >= n:
            return self._perceptron.differentiate(self.loss, batch)
        total = torch.zeros((), device=batch.inputs.device)

        def of(start: int) -> tuple[Tensor, tuple[Tensor, ...]]:
            part = batch.at(slice(start, start + size))
            with autocast(self._half, part.inputs.device):
                output = part.predict(self._network)
            loss = self.loss.value(output.to(part.inputs.dtype), part)
            if len(part.inputs) < n:
                loss = loss * (len(part.inputs) / n)
            last = overlap is not None and at_once == 1 and start + size >= n
            with overlap.sending(share, add=start > 0) if overlap and last else contextlib.nullcontext():
                return loss.detach(), self.flat.gradients(self._scaler.scale(loss))

        for i, (loss, gradients) in enumerate(side_by_side(of, range(0, n, size), workers=at_once)):
            if overlap is None or not overlap.begun:
                self.flat.keep(gradients, add=i > 0)
            total += loss
        return total

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
        """Train with one thread where several cost more than they save, or would change the bytes."""
        before = torch.get_num_threads()
        if self._one_thread:
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
            self._set_scale(tensors["scale"])
        if self.held_out:
            self.held_out.load(tensors)

    def _set_scale(self, values: Tensor) -> None:
        scale, since = values.tolist()
        state = {"scale": scale, "_growth_tracker": int(since)}
        self._scaler.load_state_dict(self._scaler.state_dict() | state)
