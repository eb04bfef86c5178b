"""What does a training need? An untrained model in the units of its data, batches, a loss, held-out rows."""

from __future__ import annotations

import copy
import hashlib
import time

import numpy as np
import torch
from torch import Tensor, nn

from diffuscope.data.base import Dataset
from diffuscope.data.affine import Scaling
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.errors import InputError
from diffuscope.data.images import ImageData, ImageRows
from diffuscope.model import Model
from diffuscope.diffusion.masked import MaskedDenoiser, MaskedLoss
from diffuscope.recipes import Recipe
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import Schedule
from diffuscope.seeds import stream_seed
from diffuscope.data.tables import TableData
from diffuscope.training import (
    Batches,
    Checkpoints,
    HeldOut,
    LossLike,
    Resident,
    Rows,
    Trainer,
    World,
    validation_rows,
    validation_split,
)

__all__ = ["Fitting"]

_PROBED_STEPS = 20


class Fitting:
    """A recipe and data, ready to be trained.

    Parameters
    ----------
    recipe : Recipe
    data : Dataset
        A :class:`~diffuscope.data.tables.TableData` where the recipe's scaling is "table", and only there.
    device : torch.device
    network, schedule, loss, sampler : optional
        The parts that the recipe calls "custom".
    start : Model, optional
        Go on with its weights, in its units.

    Attributes
    ----------
    model : Model
        Trained in place.
    loss : LossLike

    Raises
    ------
    InputError
        When data and parts do not fit together.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        device: torch.device,
        *,
        network: nn.Module | None = None,
        schedule: Schedule | None = None,
        loss: LossLike | None = None,
        sampler: Sampler | None = None,
        start: Model | None = None,
    ) -> None:
        self.recipe, self.data, self.device = recipe, data, device
        seed, shape = recipe.seed, data.x.shape[1:]
        rows = data.rows if isinstance(data, TableData) else None
        if start is None:
            section = recipe.data
            _check_suits(section.scaling, data)
            scaling = Scaling.fit(data.x, section.scaling, section.divisor)
            with torch.random.fork_rng():
                torch.manual_seed(stream_seed(seed, "weights"))
                denoiser = recipe.make_denoiser(shape, network=network, schedule=schedule)
        else:
            scaling, denoiser = start.scaling, start.denoiser
        denoiser.to(device)
        if network is not None or schedule is not None:
            _try(denoiser, shape, device)
        self.model = Model(recipe, denoiser, scaling, data.columns, sampler, rows)
        self.model.plan()  # the sampling must be possible as well
        self.held: tuple[Tensor, Tensor | None] | None = None
        self.rows: Rows
        if isinstance(data, ImageData):
            self.rows = self._images(data)
        else:
            x = scaling.to_model(data.x).to(device)
            if recipe.training.hold_out:
                x, held = validation_split(x, recipe.training.hold_out, seed)
                self.held = held, None
            if start is None and isinstance(denoiser, MaskedDenoiser) and denoiser.factors is not None:
                denoiser.factors.fit(x)
            self.rows = Resident(x)
        if start is None and rows is not None and isinstance(denoiser, MaskedDenoiser):
            denoiser.network.choices.set(rows.choices)  # type: ignore[union-attr, operator]
        self.loss: LossLike = loss or recipe.make_loss()
        if rows is not None and isinstance(self.loss, MaskedLoss):
            assert isinstance(denoiser, MaskedDenoiser)
            self.loss = self.loss.of_columns(rows.groups, denoiser.choices)

    def trainer(self, checkpoints: Checkpoints | None = None, world: World | None = None) -> Trainer:
        """Make what trains the model."""
        denoiser, batches = self.model.denoiser, self._batches()
        held = None
        if self.held is not None:
            held = HeldOut(denoiser, self.loss, batches.times, *self.held, seed=self.recipe.seed)
        return Trainer(
            denoiser, batches, self.loss, self.recipe.training, checkpoints, world or World(), held
        )

    def steps_within(self, seconds: float) -> int:
        """Return how many steps can be taken in that time, by how long a few take; at most the recipe's."""
        settings, batches = self.recipe.training, self._batches()
        epochs = settings.epochs or 0
        most = settings.steps or epochs * batches.steps_per_epoch
        short = settings.model_copy(update={"steps": _PROBED_STEPS, "epochs": None})
        trainer = Trainer(copy.deepcopy(self.model.denoiser), batches, self.loss, short)
        trainer.run()
        begun = time.perf_counter()
        trainer.step = 0
        trainer.run()
        each = (time.perf_counter() - begun) / _PROBED_STEPS
        return max(1, min(most, int(seconds / each) - 2 * _PROBED_STEPS))

    def fingerprint(self) -> str:
        """Of all that the weights depend on: data, recipe and the shape of the network."""
        digest = hashlib.sha256(np.ascontiguousarray(self.data.x).data)
        digest.update(self.recipe.to_toml().encode())
        for name, tensor in self.model.denoiser.network.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        return digest.hexdigest()

    def _images(self, data: ImageData) -> ImageRows:
        """Return the images of training, and keep those that are held out."""
        section, settings, seed = self.recipe.data, self.recipe.training, self.recipe.seed
        labels = data.labels if section.classes else None
        rows = ImageRows(
            data.pixels, labels, self.device, section.flip, len(section.classes), settings.drop_labels
        )
        if not settings.hold_out:
            return rows
        train, held = validation_rows(len(data.x), settings.hold_out, seed)
        self.held = rows.as_they_are(held)
        return rows.only(train)

    def _batches(self) -> Batches:
        settings, recipe = self.recipe.training, self.recipe
        schedule, times = self.model.denoiser.schedule, recipe.times.make()
        return Batches(self.rows, schedule, times, settings.batch_size, settings.batches, recipe.seed)


def _check_suits(scaling: str, data: Dataset) -> None:
    """Refuse data of another kind than the recipe is for."""
    kinds = {"table": "the rows of a table", "pixels": "images"}
    kind = "table" if isinstance(data, TableData) else "pixels" if isinstance(data, ImageData) else "points"
    if kind != (scaling if scaling in kinds else "points"):
        raise InputError(
            f"A recipe with scaling = {scaling!r} is not for {kinds.get(kind, 'plain points')}.",
            "Take the recipe 'table' for tables, 'images' for images, another for points.",
        )


def _try(denoiser: Denoiser, shape: tuple[int, ...], device: torch.device) -> None:
    """Make sure that a network maps points and times to the shape of the points, before it is trained."""
    x = torch.zeros(3, *shape, device=device)
    hint = "Hand over a network (x, t) -> same shape as x, and a schedule whose times it takes."
    was_training = denoiser.network.training
    denoiser.network.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            level = denoiser.schedule(torch.tensor(denoiser.schedule.t_max))
            made = tuple(denoiser.network_output(x, level).shape)
    except Exception as error:  # whatever the user's own parts may raise
        raise InputError(
            f"The network cannot take points of shape {tuple(x.shape)} and times of shape (3,): {error}",
            hint,
        ) from error
    finally:
        denoiser.network.train(was_training)
    if made != x.shape:
        raise InputError(f"The network maps points of shape {tuple(x.shape)} to shape {made}.", hint)
