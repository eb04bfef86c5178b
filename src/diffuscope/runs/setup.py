"""What does a training need? An untrained model in the units of its data, batches, a loss, held-out rows."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffuscope.data.base import Dataset, columns_of
from diffuscope.data.conditions import Numbers
from diffuscope.data.stored_rows import StoredRows
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.distillation import DistillationLoss
from diffuscope.diffusion.losses import Loss
from diffuscope.diffusion.masked import MaskedDenoiser
from diffuscope.diffusion.mixture import FITS, fit_mixture
from diffuscope.diffusion.mixture_loss import MixtureLoss
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import Schedule
from diffuscope.errors import InputError
from diffuscope.modalities.base import fitted_rows
from diffuscope.modalities.recognition import modality
from diffuscope.model import ORIGIN, Model
from diffuscope.recipes import Recipe
from diffuscope.recipes.sections import TrainingSection
from diffuscope.request import Request
from diffuscope.seeds import alone, stream_seed
from diffuscope.training import (
    Batches,
    Checkpoints,
    HeldOut,
    LossLike,
    Noise,
    Origin,
    Paired,
    Resident,
    Trainer,
    World,
    validation_rows,
)

__all__ = ["Setup"]

_PROBED_STEPS = 20
_MOST_MIXED = 32  # columns of points to which a mixture is fitted: covariances are full


class Setup:
    """A recipe and data of its kind, ready to be trained; ``model`` is trained in place.

    ``network``, ``schedule``, ``loss``, ``sampler`` and ``origin`` are what the recipe calls "custom".
    Training continues from the weights of ``start``, in its units, with a copy of its network. Data and parts
    that do not fit together are an InputError.
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
        origin: Any = None,
        start: Model | None = None,
    ) -> None:
        self.recipe, self.data, self.device, self.start = recipe, data, device, start
        seed, own = recipe.seed, modality(recipe.data.kind)
        if data.kind != own.name:
            raise InputError(
                f"The recipe is for {own.name} data, and the data is {data.kind}.",
                f"Use another recipe, such as {modality(data.kind).recipe_hint!r}.",
            )
        if start is None:
            codec = own.codec(data, recipe.data)
            with alone(stream_seed(seed, "weights")):
                denoiser = recipe.make_denoiser(
                    codec.shape, columns=columns_of(codec), network=network, schedule=schedule
                )
        else:
            codec = start.codec
            denoiser = recipe.make_denoiser(
                codec.shape,
                columns=columns_of(codec),
                network=copy.deepcopy(start.denoiser.network),
                schedule=schedule,
            )
        if recipe.data.label_type is not None:
            _check_label_type(denoiser, recipe.data.label_type.arguments)
        denoiser.to(device)
        if network is not None or schedule is not None:
            _try(denoiser, codec.shape, device)
        self.model = Model(recipe, denoiser, codec, sampler)
        self.model.plan()  # the sampling must be possible as well
        self.source = own.batch_source(data, codec, recipe, device)
        self.held: tuple[Tensor, Tensor | None] | None = None
        if recipe.training.hold_out:
            self._hold_out(recipe.training.hold_out, seed)
        if start is None:
            own.initialise(denoiser, self.source, codec)
        self.noise = self._noise(origin)
        self.loss: LossLike = own.loss(loss or self._loss(), denoiser, codec)
        numbered = isinstance(recipe.data.label_type, Numbers)
        if numbered and isinstance(self.loss, Loss) and self.loss.target == "posterior":
            raise InputError(
                "Means over points (loss.target = 'posterior') would mix their numbers.",
                "Set loss.target = 'sample'.",
            )
        times, size, order = recipe.times.make(), recipe.training.batch_size, recipe.training.batches
        self.batches = Batches(
            self.source,
            denoiser.schedule,
            times,
            size,
            order,
            seed,
            self.noise,
            on_device=recipe.training.noise == "device",
        )

    def _hold_out(self, share: float, seed: int) -> None:
        """Keep a share of the rows from training; of large data a share of the rows that are held."""
        source, stored = self.source, self.data.stored
        if stored is None or not isinstance(source, StoredRows):
            train, held = validation_rows(len(source), share, seed)
            self.held = source.as_they_are(held)
            self.source = source.only(train)
            return
        _, held = validation_rows(len(stored.held), share, seed)
        rows = np.sort(stored.held[held.numpy()])
        self.held = source.at(rows)
        self.source = source.without(rows)

    def _noise(self, given: Any) -> Noise | None:
        """Return what flows start from, where it is not noise: another data set, or the pairs of a run."""
        recipe, codec = self.recipe, self.model.codec
        own, pairs = modality(recipe.data.kind), recipe.training.reflow
        kept = None if self.start is None else self.start.extras.get(ORIGIN)
        origin = own.origin(self.data, codec, recipe.data, recipe.seed, given, kept)
        if origin is None and not pairs:
            return None
        if recipe.schedule.name != "flow" or recipe.training.hold_out or recipe.loss.target == "posterior":
            raise InputError(
                "A flow from other points than noise needs the schedule 'flow', no held-out rows, and a "
                "loss.target other than 'posterior'.",
                "Use the recipe 'flow'.",
            )
        if origin is not None:
            self.model.extras = {**self.model.extras, ORIGIN: origin}
        if not pairs:
            assert origin is not None
            return Origin(origin.to(self.device))
        start = self._teacher("training.reflow")
        states = own.generator(start).states(pairs, Request(sampler="heun", seed=recipe.seed))
        ends, begins = states[-1].x.to(self.device), states[0].x.to(self.device)
        if not ends.isfinite().all():
            raise InputError("Some samples of the run to start from are not finite.", "Train it for longer.")
        self.source = Resident(ends)
        return Paired(begins)

    def _loss(self) -> LossLike:
        """Return the recipe's loss; that of a student needs a teacher, that of a mixture the points."""
        section = self.recipe.loss
        if section.target == "mixture":
            return self._mixture_loss()
        if section.target != "teacher":
            return self.recipe.make_loss()
        teacher = self._teacher("loss.target = 'teacher'").denoiser
        grid, _ = self.model.plan()
        return DistillationLoss(
            **section.settings(), teacher=copy.deepcopy(teacher).to(self.device).eval(), grid=grid
        )

    def _mixture_loss(self) -> MixtureLoss:
        """Fit a mixture to the points; return the loss that learns from it."""
        recipe, source, most = self.recipe, self.source, _MOST_MIXED
        shape = self.model.codec.shape
        if not (isinstance(source, Resident) or (isinstance(source, StoredRows) and not source.labelled)) or (
            len(shape) != 1 or shape[0] > most or self.noise is not None
        ):
            raise InputError(
                f"loss.target = 'mixture' is for points of at most {most} columns, without labels, and not "
                "for flows from other points.",
                "Set loss.target = 'sample'.",
            )
        recipe.make_loss()  # refuses what no loss of points allows
        section = recipe.loss
        fits = FITS if section.fits is None else section.fits
        x, weights = fitted_rows(source, recipe.seed)
        mixture = fit_mixture(x, section.components, fits, recipe.seed, weights)
        return MixtureLoss(**section.settings(), mixture=mixture)

    def _teacher(self, what: str) -> Model:
        """Return the model to start from, which must answer without a condition."""
        if self.start is None:
            raise InputError(f"{what} needs a trained run.", "Give the run with --start.")
        before = self.start.denoiser
        if before.classes or before.conditions or self.recipe.denoiser.partial:
            raise InputError(
                f"{what} is for runs without conditions, such as classes, numbers or known columns.",
                "Train a run of points, or of images with data.labels = false.",
            )
        return self.start

    def trainer(self, checkpoints: Checkpoints | None = None, world: World | None = None) -> Trainer:
        """Make what trains the model."""
        denoiser, batches, settings = self.model.denoiser, self.batches, self.recipe.training
        held = None
        if self.held is not None:
            held = HeldOut(denoiser, self.loss, batches.times, *self.held, seed=self.recipe.seed)
        return Trainer(denoiser, batches, self.loss, settings, checkpoints, world or World(), held)

    def steps_within(self, seconds: float) -> int:
        """Return how many steps can be taken in that time, by how long a few take; at most the recipe's."""
        settings = self.recipe.training
        most = self.total_steps
        short = settings.model_copy(update={"steps": _PROBED_STEPS, "epochs": None})
        trainer = Trainer(copy.deepcopy(self.model.denoiser), self.batches, self.loss, short)
        trainer.run()
        begun = time.perf_counter()
        trainer.step = 0
        trainer.run()
        each = (time.perf_counter() - begun) / _PROBED_STEPS
        return max(1, min(most, int(seconds / each) - 2 * _PROBED_STEPS))

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        settings = self.recipe.training
        return settings.steps or (settings.epochs or 0) * self.batches.steps_per_epoch

    @cached_property
    def _digest_of_data(self) -> str:
        """Of all points, which takes a while where they are many."""
        return self.data.digest()

    def fingerprint(self, length: TrainingSection | None = None) -> str:
        """Return a digest of everything that the weights depend on: data, recipe, shapes of the network.

        The length of the training is none of it, as a run may go on, unless a section that says it is given.
        """
        recipe = self.recipe.changed({"training.steps": 1})
        if length is not None:
            as_long = {"steps": length.steps, "epochs": length.epochs}
            training = self.recipe.training.model_copy(update=as_long)
            recipe = self.recipe.model_copy(update={"training": training})
        digest = hashlib.sha256(self._digest_of_data.encode())
        digest.update(recipe.to_toml().encode())
        for name, tensor in self.model.denoiser.network.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if (origin := self.model.extras.get(ORIGIN)) is not None:
            digest.update(origin.detach().cpu().contiguous().numpy().tobytes())
        if self.start is not None:
            for tensor in self.start.denoiser.network.state_dict().values():
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def _check_label_type(denoiser: Denoiser, arguments: Mapping[str, int]) -> None:
    """Make sure that a network takes the labels of the data: so many ``classes``, or ``conditions``."""
    for name, count in arguments.items():
        masked = isinstance(denoiser, MaskedDenoiser)
        if masked or getattr(denoiser, name) != count:
            what = "A network with masks" if masked else "The network"
            word = "classes" if name == "classes" else "numbers as a condition"
            raise InputError(
                f"{what} takes no {word}, and the data has {count}.",
                "Train without them (data.labels = false), or use 'resmlp' for points, 'unet' for images, or "
                f"a network (x, t, label=None) of your own with an attribute `{name} = {count}`.",
            )


def _try(denoiser: Denoiser, shape: tuple[int, ...], device: torch.device) -> None:
    """Make sure that a network maps points and times to the shape of the points, before it is trained."""
    x = torch.zeros(3, *shape, device=device, dtype=torch.float32)
    hint = "Pass a network (x, t) -> the shape of x, and a schedule whose times it accepts."
    was_training = denoiser.network.training
    denoiser.network.eval()
    try:
        with alone(0), torch.no_grad():
            level = denoiser.schedule(torch.tensor(denoiser.schedule.t_max))
            made = tuple(denoiser.network_output(x, level).shape)
    except Exception as error:  # whatever the user's own parts may raise
        raise InputError(
            f"The network fails for points of shape {tuple(x.shape)} and times of shape (3,): {error}", hint
        ) from error
    finally:
        denoiser.network.train(was_training)
    if made != x.shape:
        raise InputError(
            f"The network must return the shape of its input, {tuple(x.shape)}, but returned {made}.", hint
        )
