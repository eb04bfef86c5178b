"""The training loop and its parts: flat weights, batches, averages, checkpoints, processes."""

from __future__ import annotations

from diffuscope.training.batches import Batches, BatchSource, Noise, Origin, Paired, Resident
from diffuscope.training.checkpoints import Checkpoints
from diffuscope.training.distributed import World, join_world
from diffuscope.training.held_out import HeldOut, validation_rows
from diffuscope.training.loop import Interrupted, Progress, Trainer
from diffuscope.training.randomness import LossLike

__all__ = [
    "BatchSource",
    "Batches",
    "Checkpoints",
    "HeldOut",
    "Interrupted",
    "LossLike",
    "Noise",
    "Origin",
    "Paired",
    "Progress",
    "Resident",
    "Trainer",
    "World",
    "join_world",
    "validation_rows",
]
