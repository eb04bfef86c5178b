"""What does one see in TensorBoard? The loss and the learning rate, and now and then samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.errors import InputError
from diffuscope.training import Progress, Trainer

if TYPE_CHECKING:
    from diffuscope.modalities.figures import Figures

__all__ = ["Board", "summary_writer"]

_PICTURES = 10  # in a training


class Board:
    """Writes a training's events, and samples drawn by ``figures``, into a folder.

    ``tensorboard --logdir FOLDER`` shows it.
    """

    def __init__(self, folder: Path, figures: Figures, trainer: Trainer) -> None:
        self.figures, self.trainer = figures, trainer
        self._writer = summary_writer()(str(folder), purge_step=trainer.step)
        self._every = max(1, math.ceil(trainer.total_steps / _PICTURES))
        self._next = trainer.step + self._every
        self.close = self._writer.close

    def follow(self, now: Progress) -> None:
        """Write where training is, and a picture if it is time for one."""
        self._writer.add_scalar("loss", now.loss, now.step)
        self._writer.add_scalar("learning_rate", now.learning_rate, now.step)
        if now.step >= self._next or now.step == now.total:
            self._next = now.step + self._every
            with self.trainer.averaged():
                picture = self.figures.board(self.figures.model.recipe.seed)
            self._writer.add_image("samples", picture, now.step, dataformats="HWC")
        self._writer.flush()


def summary_writer() -> Any:
    """Return TensorBoard's class that writes events; an InputError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            f"TensorBoard is not installed ({error}).", "Install it: pip install 'diffuscope[tensorboard]'"
        ) from error
    return SummaryWriter
