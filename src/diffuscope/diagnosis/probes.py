"""Would more training, another learning rate or a larger network have helped? Try it, for a second each.

Copies of the network go on from its weights, or begin anew, at several learning rates for some hundred
steps; and a network of known ability learns the same task beside them. Whoever gets nearer to the exact
denoiser tells what was missing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from diffuscope.diagnosis.levels import LevelErrors, level_errors
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.errors import RunError
from diffuscope.networks import ResMLP
from diffuscope.recipes.schema import TrainingSection
from diffuscope.training import Batches, LossLike, Resident, Trainer

__all__ = ["Probe", "probe_rates", "probe_yardstick"]

_STEPS = 400
_BATCH = 256
_IMAGE_STEPS, _IMAGE_BATCH = 40, 64  # a step of theirs takes as long as hundreds
_RATES = (1e-4, 1e-3, 1e-2)
_YARDSTICK_RATE = 1e-2


@dataclass(frozen=True)
class Probe:
    """A short training and where it ended.

    Attributes
    ----------
    kind : str
        "on" from the network's weights, "anew" from fresh ones, "yardstick" another network.
    learning_rate : float
    steps : int
    denoiser : Denoiser
    errors : LevelErrors
    """

    kind: str
    learning_rate: float
    steps: int
    denoiser: Denoiser
    errors: LevelErrors

    @property
    def excess(self) -> float:
        """Its mean excess error; infinite where it blew up."""
        value = self.errors.mean_excess
        return value if value == value else float("inf")


def probe_rates(subject: Subject, denoiser: Denoiser) -> list[Probe]:
    """Train copies of the network, on and anew, at its own learning rate and at others."""
    own = subject.training.learning_rate
    rates = {*_RATES, *((own,) if own else ())}
    distinct = [r for r in sorted(rates) if r == own or own is None or not 1 / 2 < r / own < 2]
    kinds = ["on", "anew"] if _can_begin_anew(denoiser.network) else ["on"]
    probes = []
    for kind in kinds:
        for rate in distinct:
            network = copy.deepcopy(denoiser.network)
            if kind == "anew":
                _begin_anew(network)
            trial = Denoiser(
                network, denoiser.schedule, denoiser.prediction, denoiser.sigma_data, denoiser.conditioning
            )
            training = subject.training
            found = _train(subject, trial, training.loss, training.times, rate)
            if found is not None:
                probes.append(Probe(kind, rate, _STEPS, trial, found))
    return probes


def probe_yardstick(subject: Subject) -> Probe | None:
    """Train a residual perceptron of 20,000 weights on the same task and schedule; not on images."""
    if not subject.flattened.probe:
        return None
    spread = subject.spread
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResMLP(subject.d)
    denoiser = Denoiser(network, subject.schedule, "edm", sigma_data=spread)
    times = Times("log_normal", mean=-1.2 + float(torch.tensor(spread).log()), stratified=True)
    found = _train(subject, denoiser, Loss(weighting="edm", target="posterior"), times, _YARDSTICK_RATE)
    return None if found is None else Probe("yardstick", _YARDSTICK_RATE, _STEPS, denoiser, found)


def _train(
    subject: Subject, denoiser: Denoiser, loss: LossLike, times: Times, rate: float
) -> LevelErrors | None:
    denoiser.to(subject.device)
    steps, batch = (_STEPS, _BATCH) if subject.flattened.probe else (_IMAGE_STEPS, _IMAGE_BATCH)
    settings = TrainingSection(
        steps=steps,
        batch_size=batch,
        batches="stream",
        learning_rate=rate,
        warmup=0.05,
        decay="linear",
        clip_norm=1.0,
        ema_decay=0.98,
    )
    x = subject.x.to(subject.device)
    batches = Batches(Resident(x), subject.schedule, times, batch, "stream", subject.seed)
    trainer = Trainer(denoiser, batches, loss, settings)
    try:
        trainer.run()
    except RunError:  # it blew up
        return None
    trainer.finish()
    return level_errors(subject, denoiser)


def _can_begin_anew(network: nn.Module) -> bool:
    """Whether all weights are those of layers that can draw them again."""
    own = {
        id(p)
        for m in network.modules()
        if hasattr(m, "reset_parameters")
        for p in m.parameters(recurse=False)
    }
    return all(id(p) in own for p in network.parameters())


def _begin_anew(network: nn.Module) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in network.modules():
            draw_again = getattr(module, "reset_parameters", None)
            if callable(draw_again):
                draw_again()
