"""Would more training, another learning rate or a larger network have helped? Try it, for a second each.

Copies of the network go on from its weights, or begin anew, at several learning rates for some hundred
steps; and a network of known ability learns the same task beside them. Whichever gets nearer to the exact
denoiser shows what was missing.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn

from diffuscope.diagnosis.levels import level_errors
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.errors import RunError
from diffuscope.networks import ResMLP
from diffuscope.recipes.schema import TrainingSection
from diffuscope.training import Batches, LossLike, Resident, Trainer

__all__ = ["Probe", "probe_rates", "probe_yardstick", "with_network"]

_STEPS = 400
_BATCH = 256
_IMAGE_STEPS, _IMAGE_BATCH = 40, 64  # a step of theirs takes as long as hundreds
_RATES = (1e-4, 1e-3, 1e-2)
_YARDSTICK_RATE = 1e-2


@dataclass(frozen=True)
class Probe:
    """A short training and where it ended: its mean excess error, infinite where it blew up."""

    kind: str  # "on" from the network's weights, "anew" from fresh ones, "yardstick" another network
    learning_rate: float
    steps: int
    denoiser: Denoiser
    excess: float


def probe_rates(subject: Subject, denoiser: Denoiser) -> list[Probe]:
    """Train copies of the network, on and anew, at its own learning rate and at others."""
    training = subject.training
    own = training.learning_rate
    rates = [r for r in sorted({*_RATES, own or _RATES[0]}) if r == own or not own or not 1 / 2 < r / own < 2]
    layers = [m for m in denoiser.network.modules() if hasattr(m, "reset_parameters")]
    drawn = {id(p) for layer in layers for p in layer.parameters(recurse=False)}
    kinds = ["on"]
    if all(id(p) in drawn for p in denoiser.network.parameters()):  # by layers that can draw them again
        kinds.append("anew")
    probes = []
    for kind in kinds:
        for rate in rates:
            network = copy.deepcopy(denoiser.network)
            if kind == "anew":
                with torch.random.fork_rng():
                    torch.manual_seed(0)
                    for module in network.modules():
                        getattr(module, "reset_parameters", lambda: None)()
            trial = with_network(denoiser, network)
            probes += _train(subject, kind, trial, training.loss, training.times, rate)
    return probes


def probe_yardstick(subject: Subject) -> Probe | None:
    """Train a residual perceptron of 20,000 weights on the same task and schedule; not on images."""
    if not subject.probe:
        return None
    spread = subject.spread
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResMLP(subject.d)
    denoiser = Denoiser(network, subject.schedule, "edm", sigma_data=spread)
    times = Times("log_normal", mean=-1.2 + float(torch.tensor(spread).log()), stratified=True)
    loss = Loss(weighting="edm", target="posterior")
    return next(iter(_train(subject, "yardstick", denoiser, loss, times, _YARDSTICK_RATE)), None)


def with_network(denoiser: Denoiser, network: nn.Module) -> Denoiser:
    """Return a denoiser that differs in its network only."""
    return Denoiser(
        network, denoiser.schedule, denoiser.prediction, denoiser.sigma_data, denoiser.conditioning
    )


def _train(
    subject: Subject, kind: str, denoiser: Denoiser, loss: LossLike, times: Times, rate: float
) -> list[Probe]:
    """Train for a moment; return the probe, or none where it blew up."""
    denoiser.to(subject.device)
    steps, batch = (_STEPS, _BATCH) if subject.probe else (_IMAGE_STEPS, _IMAGE_BATCH)
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
    except RunError:
        return []
    trainer.finish()
    excess = level_errors(subject, denoiser).mean_excess
    return [Probe(kind, rate, _STEPS, denoiser, math.inf if math.isnan(excess) else excess)]
