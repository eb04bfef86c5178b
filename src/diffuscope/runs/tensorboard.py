"""What does one see in TensorBoard? The loss and the learning rate, and now and then samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.modalities.images.generator import ImageModel
from diffuscope.errors import InputError
from diffuscope.data.images.sheets import tiled
from diffuscope.model import Model
from diffuscope.training import Progress, Trainer

__all__ = ["Board", "check_board"]

_PICTURES = 10  # in a training
_IMAGES, _POINTS = 64, 2000


class Board:
    """Writes a training's events into a folder.

    Parameters
    ----------
    folder : Path
        ``tensorboard --logdir FOLDER`` shows it.
    model : Model
        The one in training.
    trainer : Trainer
    data : ndarray
        That samples are shown beside, in the units of the data.

    """

    def __init__(self, folder: Path, model: Model, trainer: Trainer, data: NDArray[np.floating]) -> None:
        self.model, self.trainer, self.data = model, trainer, data
        self._writer = _writer()(str(folder), purge_step=trainer.step)
        self._every = max(1, math.ceil(trainer.total_steps / _PICTURES))
        self._next = trainer.step + self._every

    def follow(self, now: Progress) -> None:
        """Write where training is, and a picture if it is time for one."""
        self._writer.add_scalar("loss", now.loss, now.step)
        self._writer.add_scalar("learning_rate", now.learning_rate, now.step)
        if now.step >= self._next or now.step == now.total:
            self._next = now.step + self._every
            with self.trainer.averaged():
                picture = self._picture()
            if picture is not None:
                self._writer.add_image("samples", picture, now.step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _picture(self) -> NDArray[np.uint8] | None:
        """Return samples as a picture (height, width, 3); of the rows of a table there is none."""
        model, seed = self.model, self.model.recipe.seed
        if model.is_of_images:
            asked = ImageModel(model)
            images = asked.sample(_IMAGES, label="each" if asked.classes else None, seed=seed)
            columns = min(len(asked.classes), 16) or 8
            sheet = tiled(images[: _IMAGES // columns * columns], columns)
            factor = max(1, 480 // sheet.shape[1])
            return sheet.repeat(factor, axis=0).repeat(factor, axis=1)
        if model.rows is not None:
            return None
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        from diffuscope.plots import plot_samples

        figure = plot_samples(self.data[:_POINTS], model.sample(_POINTS, seed=seed), model.columns)
        canvas: Any = FigureCanvasAgg(figure)  # matplotlib does not type its canvas
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def check_board() -> None:
    """Make sure that TensorBoard is there.

    Raises
    ------
    InputError
        When it is not installed.
    """
    _writer()


def _writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            f"TensorBoard is not installed ({error}).", "pip install 'diffuscope[tensorboard]'"
        ) from error
    return SummaryWriter
