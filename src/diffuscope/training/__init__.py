"""The training loop and its parts: flat weights, batches, averages, checkpoints, processes."""

from __future__ import annotations

from diffuscope.training.batches import Batches, Resident, Rows
from diffuscope.training.checkpoints import Checkpoints
from diffuscope.training.distributed import World, join_world
from diffuscope.training.held_out import HeldOut, validation_rows, validation_split
from diffuscope.training.loop import Interrupted, LossLike, Progress, Trainer

__all__ = [
    "Batches",
    "Checkpoints",
    "HeldOut",
    "Interrupted",
    "LossLike",
    "Progress",
    "Resident",
    "Rows",
    "Trainer",
    "World",
    "join_world",
    "validation_rows",
    "validation_split",
]
