"""Would more training, another learning rate or a larger network have helped? Try it, for a second each.

Copies of the network go on from its weights, or begin anew, at several learning rates for some hundred
steps; and a larger network of the same kind learns the same task in the same way. Whichever gets
nearer to the exact denoiser shows what was missing.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffuscope.diagnosis.levels import mean_error
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import DiffuscopeError, RunError
from diffuscope.networks.resmlp import ResMLP
from diffuscope.recipes.schema import Recipe
from diffuscope.recipes.sections import TrainingSection
from diffuscope.seeds import alone
from diffuscope.training import Batches, LossLike, Resident, Trainer

__all__ = [
    "EVALUATE",
    "Probe",
    "in_training_mode",
    "is_in_training_mode",
    "probe_larger",
    "probe_rates",
    "probe_standardised",
    "widened",
    "with_fresh_weights",
    "with_network",
]

EVALUATE = "Call network.eval() before sampling, and network.train() before going on with training."
_STEPS = 400
_BATCH = 256
_IMAGE_STEPS, _IMAGE_BATCH = 40, 64  # a step of theirs takes as long as hundreds
_SMALL_RATE = 5e-3
_RATES = (1e-4, 1e-3, 1e-2)
_LARGER_RATES = (1e-3, 1e-2)
_WIDE, _MOST_TIMES = 64, 16  # units that a small network gets, by a factor of at most
_LARGER = {"width": 4, "depth": 2, "n_directions": 4}


@dataclass(frozen=True)
class Probe:
    """A short training and the mean error where it ended, infinite where it blew up."""

    kind: str  # "on" from the network's weights, "anew" from fresh ones, "larger" a larger network
    learning_rate: float
    steps: int
    denoiser: Denoiser
    error: float


def probe_rates(subject: Subject, denoiser: Denoiser) -> list[Probe]:
    """Train copies of the network, on and anew, at its own learning rate and at others."""
    training = subject.training
    own = training.learning_rate
    rates = [r for r in sorted({*_RATES, own or _RATES[0]}) if r == own or not own or not 1 / 2 < r / own < 2]
    if type(denoiser) is not Denoiser or not any(True for _ in denoiser.network.parameters()):
        return []  # other kinds of denoisers are trained on more than points
    fresh = with_fresh_weights(denoiser)
    starts = {"on": denoiser} if fresh is None else {"on": denoiser, "anew": fresh}
    probes = []
    for kind, start in starts.items():
        for rate in rates:
            network = copy.deepcopy(start.network).requires_grad_()  # it may have been frozen
            trial = with_network(denoiser, network)
            probes += _train(subject, kind, trial, training.loss, training.times, rate)
    return probes


def with_fresh_weights(denoiser: Denoiser) -> Denoiser | None:
    """Return a denoiser whose weights are drawn again; None where not all layers can draw their own."""
    network = copy.deepcopy(denoiser.network)
    layers = [m for m in network.modules() if hasattr(m, "reset_parameters")]
    drawn = {id(p) for layer in layers for p in layer.parameters(recurse=False)}
    if any(id(p) not in drawn for p in network.parameters()):
        return None
    with alone(0):
        for layer in layers:
            layer.reset_parameters()  # type: ignore[operator]
    return with_network(denoiser, network)


def probe_larger(subject: Subject) -> Probe | None:
    """Train a larger network of the same kind from fresh weights, by the run's own loss.

    None where its kind cannot be widened, or the trial blows up.
    """
    recipe, denoiser = subject.training.recipe, subject.denoiser
    if type(denoiser) is not Denoiser or not subject.probe:
        return None
    training = subject.training
    with alone(0):
        network = _widened_by_recipe(recipe, subject.d) if recipe is not None else widened(subject)
    if network is None:
        return None
    rates = [training.learning_rate] if training.learning_rate else list(_LARGER_RATES)
    steps = max(_STEPS, min(training.steps or 3 * _STEPS, 3 * _STEPS))
    probes: list[Probe] = []
    for rate in rates:
        trial = with_network(denoiser, copy.deepcopy(network))
        probes += _train(subject, "larger", trial, training.loss, training.times, rate, steps)
    return min(probes, key=lambda probe: probe.error, default=None)


def probe_standardised(subject: Subject, standard: Subject) -> tuple[Probe, Probe] | None:
    """Train small networks of ours in the model's units and in others, with the same seed and at one rate.

    None where a perceptron is no match for the data, or a trial blows up.
    """
    if not subject.probe:
        return None
    made: list[Probe] = []
    for one in (subject, standard):
        with alone(0):
            network = ResMLP(subject.d)
        denoiser = Denoiser(network, subject.schedule, "velocity")
        made += _train(one, "small", denoiser, Loss(), Times(), _SMALL_RATE)
    return (made[0], made[1]) if len(made) == 2 else None


def _widened_by_recipe(recipe: Recipe, d: int) -> nn.Module | None:
    own = recipe.network.settings
    larger = {name: factor * own[name] for name, factor in _LARGER.items() if isinstance(own.get(name), int)}
    if not larger:
        return None
    try:
        section = type(recipe.network)(name=recipe.network.name, **{**own, **larger})
        return recipe.model_copy(update={"network": section}).make_denoiser(d).network
    except DiffuscopeError:
        return None


def widened(subject: Subject) -> nn.Module | None:
    """Return a network of the same modules with at least twice as many units, of fresh weights.

    Layers take as many inputs as they get. None where the network has weights outside of the usual layers,
    or its sizes do not fit together when they are changed.
    """
    denoiser = subject.denoiser
    assert isinstance(denoiser, Denoiser)
    level = subject.grid.levels.at(0)
    x = subject.x[:2].to(subject.device)
    units = [m.out_features for m in denoiser.network.modules() if isinstance(m, nn.Linear)]
    factor = min(_MOST_TIMES, max(2, math.ceil(_WIDE / max(units)))) if units else 0
    for keep_all in (False, True):  # layers of d units inside the network may, or may not, have to stay
        network = copy.deepcopy(denoiser.network).requires_grad_()
        last = _last_layer(denoiser, x, level)
        if last is None or not _widen(network, factor, last, subject.d if keep_all else None):
            return None
        try:
            with torch.no_grad():
                answer = with_network(denoiser, network.to(subject.device)).network_output(x, level)
        except Exception:  # sizes do not fit together
            continue
        if answer.shape == x.shape and answer.isfinite().all():
            return network
    return None


def _last_layer(denoiser: Denoiser, x: Tensor, level: NoiseLevel) -> str | None:
    """Return the name of the layer that is asked last: it makes the output."""
    order: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, module in denoiser.network.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.no_grad():
            denoiser.network_output(x, level)
    finally:
        for hook in hooks:
            hook.remove()
    return order[-1] if order else None


def _widen(network: nn.Module, factor: int, last: str, kept: int | None) -> bool:
    """Exchange layers of a network for wider ones; return whether all of its weights are in such layers."""
    usual = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.BatchNorm1d)
    modules = dict(network.named_modules())
    inside = {id(p) for m in modules.values() if isinstance(m, usual) for p in m.parameters(recurse=False)}
    if any(id(p) not in inside for p in network.parameters()):
        return False
    for name, module in modules.items():
        wider: nn.Module
        if isinstance(module, nn.Linear):
            stays = name == last or module.out_features == kept
            units = module.out_features * (1 if stays else factor)
            wider = nn.LazyLinear(units, module.bias is not None)
        elif isinstance(module, nn.Embedding):
            wider = nn.Embedding(module.num_embeddings, module.embedding_dim * factor)
        elif isinstance(module, nn.LayerNorm):
            wider = nn.LayerNorm([n * factor for n in module.normalized_shape])
        elif isinstance(module, nn.BatchNorm1d):
            wider = nn.LazyBatchNorm1d()
        else:
            continue
        parent, _, own = name.rpartition(".")
        setattr(modules[parent], own, wider)
    return True


def in_training_mode(denoiser: DenoiserLike) -> Denoiser | None:
    """Return a denoiser in training mode; None where dropout or batch norm do not make that another one."""
    if not isinstance(denoiser, Denoiser) or not _modes(denoiser):
        return None
    return copy.deepcopy(denoiser).train()


def is_in_training_mode(denoiser: DenoiserLike) -> bool:
    """Whether dropout or batch norm of a network are in training mode."""
    return isinstance(denoiser, Denoiser) and any(module.training for module in _modes(denoiser))


def _modes(denoiser: Denoiser) -> list[nn.Module]:
    """Return the modules that answer otherwise in training mode."""
    matter = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
    return [module for module in denoiser.network.modules() if isinstance(module, matter)]


def with_network(denoiser: Denoiser, network: nn.Module) -> Denoiser:
    """Return a denoiser, of the same kind, that differs in its network only."""
    other = copy.copy(denoiser)
    other._modules = {**denoiser._modules, "network": network}
    return other


def _train(
    subject: Subject,
    kind: str,
    denoiser: Denoiser,
    loss: LossLike,
    times: Times,
    rate: float,
    steps: int | None = None,
) -> list[Probe]:
    """Train for a moment; return the probe, or none where it blew up."""
    denoiser.to(subject.device)
    usual, batch = (_STEPS, _BATCH) if subject.probe else (_IMAGE_STEPS, _IMAGE_BATCH)
    steps = steps or usual
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
    error = mean_error(subject, denoiser)
    return [Probe(kind, rate, steps, denoiser, math.inf if math.isnan(error) else error)]
