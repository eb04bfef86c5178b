"""What is in a page of a model? Its recipe, its weights, the law of its data: plain data, and nothing to run.

Arrays are float32, their bytes by place (all first bytes, then all second ones), deflated, as base64.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffuscope._version import __version__
from diffuscope.data.affine import Scaling
from diffuscope.data.base import Dataset
from diffuscope.diffusion.schedules import DiscreteSchedule
from diffuscope.errors import InputError, unknown_name
from diffuscope.metrics import Measured
from diffuscope.model import Model
from diffuscope.networks import ArticleMLP, ResMLP
from diffuscope.recipes import RECIPES, load_recipe
from diffuscope.translations import LANGUAGES, Language

__all__ = ["check_language", "losses_of", "numbers_of", "packed_arrays", "payload"]

_SAMPLERS = ("ddpm", "ddim", "euler", "heun", "dpmpp_2m")
_INSTEAD = "dpmpp_2m"
_MOST_POINTS = 10_000  # of a training set that is in the page
_MOST_LOSSES = 300  # on the curve
_MOST_WEIGHTS = 2**20
COUNTS = {
    "shown": 2000,  # samples in the picture
    "clouds": {"n": 2000, "draws": 8},  # whose distances are measured
    "errors": 1500,  # points at each noise level
    "batches": 40,  # of the irreducible loss
}


def payload(
    model: Model,
    data: Dataset,
    *,
    metrics: Sequence[dict[str, float]] = (),
    quality: Measured | None = None,
    language: Language = "en",
) -> dict[str, Any]:
    """Return what a page needs to show a model of points in two dimensions, and to train it again.

    Parameters
    ----------
    model : Model
        Of points (n, 2), with the network ``resmlp`` or ``article_mlp``.
    data : Dataset
        The data that it was trained on, in its own units. Of a built-in set the page has the law; of others
        the points themselves, at most 10,000 of them.
    metrics : sequence of dict
        The lines of ``metrics.jsonl``: step and loss.
    quality : Measured, optional
        How far samples are from data.
    language : {"en", "zh"}
        The language that the page opens in.

    Raises
    ------
    InputError
        When the page cannot compute such a model.
    """
    check_language(language)
    scaling = _checked(model, data)
    points, law = None, data.source
    if law.get("kind") == "builtin":
        law = {"kind": "builtin", "name": str(law["name"]), "noise": float(law["noise"])}
    else:
        law, points = {"kind": "points"}, _some(data.x, model.recipe.seed)
    columns = None if data.columns is None else list(map(str, data.columns))
    own = model.recipe.sampling.name
    return {
        "version": __version__,
        "title": data.name,
        "recipe_name": model.recipe.name,
        "columns": columns,
        "language": language,
        "quality": None if quality is None else numbers_of(quality),
        "loss": losses_of(metrics),
        "sampler_of_run": None if own in _SAMPLERS else own,
        "seed": model.recipe.seed,
        "call": _call(model, data),
        "size": data.n if points is None else len(points),
        "counts": COUNTS,
        "law": law,
        "scaling": {"shift": scaling.shift.tolist(), "scale": scaling.scale.tolist()},
        "recipe": _recipe(model, len(data.x)),
        "data": None if points is None else _packed(points),
        "tensors": _tensors(model),
    }


def check_language(language: str) -> None:
    """Raise an InputError unless pages speak a language."""
    if language not in LANGUAGES:
        raise unknown_name("language", language, LANGUAGES)


def _checked(model: Model, data: Dataset) -> Scaling:
    """Return the map to the units of the model, or say why the page cannot show it."""
    scaling, recipe = model.codec.affine, model.recipe
    if model.shape != (2,) or data.kind != "points" or scaling is None or recipe.denoiser.partial:
        raise InputError(
            "The viewer shows points in two dimensions, and this is a model of something else.",
            "Look at it with diffuscope evaluate, or animate.",
        )
    network = model.denoiser.network
    if not isinstance(network, ResMLP | ArticleMLP):
        raise InputError(
            f"The viewer has no network {recipe.network.name!r}.",
            "It computes resmlp and article_mlp in the page.",
        )
    if model.denoiser.conditioning != network.conditioning or recipe.schedule.name == "custom":
        raise InputError(
            "The viewer has no such conditioning on the noise level, or no such schedule.",
            "It shows models with a schedule by name and the network's own conditioning.",
        )
    widths = [int(recipe.network.settings.get(name, 4)) for name in _WIDTHS]
    if any(width % 4 for width in widths):
        raise InputError(
            "The viewer computes in fours, and a width of this network is no multiple of 4.",
            f"Choose multiples of 4 for {', '.join(_WIDTHS)}.",
        )
    if sum(tensor.numel() for tensor in network.state_dict().values()) > _MOST_WEIGHTS:
        raise InputError(
            f"This network has more than {_MOST_WEIGHTS:,} weights, too many for a page.",
            "Choose a smaller width.",
        )
    return scaling


_WIDTHS = ("width", "n_directions", "n_frequencies")


def _some(x: NDArray[Any], seed: int) -> NDArray[Any]:
    """Return the points (n, 2), or a random part of them where they are many."""
    if len(x) <= _MOST_POINTS:
        return x
    return x[np.random.default_rng(seed).permutation(len(x))[:_MOST_POINTS]]


def numbers_of(quality: Measured) -> dict[str, float] | None:
    """Return ratio and interval, where they are finite: JSON has no infinity."""
    found = {"ratio": quality.ratio, "low": quality.low, "high": quality.high}
    return found if all(map(math.isfinite, found.values())) else None


def losses_of(metrics: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return steps and losses, with neighbours averaged where there are many."""
    rows = [(float(line["step"]), float(line["loss"])) for line in metrics if "loss" in line]
    rows = [row for row in rows if all(map(math.isfinite, row))]
    if not rows:
        return {"step": [], "value": []}
    groups = np.array_split(np.array(rows), min(len(rows), _MOST_LOSSES))
    means = [group.mean(axis=0) for group in groups]
    return {"step": [float(m[0]) for m in means], "value": [float(f"{m[1]:.5g}") for m in means]}


def _recipe(model: Model, n: int) -> dict[str, Any]:
    """Return the parts of the recipe that the page uses, with all defaults filled in."""
    recipe, schedule = model.recipe, model.denoiser.schedule
    training, sampling = recipe.training, recipe.sampling
    full = n // training.batch_size if training.batches == "stream" else math.ceil(n / training.batch_size)
    network = {"name": recipe.network.name, **recipe.network.settings}
    if isinstance(schedule, DiscreteSchedule):
        network["n_steps"] = schedule.T
    if _has_classes(model.denoiser.network):
        network["classes"] = model.denoiser.classes
    settings = sampling.settings if sampling.name in _SAMPLERS else {}
    return {
        "schedule": {
            "name": recipe.schedule.name,
            "zero_terminal_snr": recipe.schedule.zero_terminal_snr,
            **recipe.schedule.settings,
        },
        "network": network,
        "denoiser": {
            "prediction": recipe.denoiser.prediction,
            "sigma_data": recipe.denoiser.sigma_data,
        },
        "loss": recipe.loss.settings()
        | {"distance": "l2" if recipe.loss.distance == "custom" else recipe.loss.distance},
        "times": recipe.times.model_dump(),
        "training": {
            "steps": training.steps or (training.epochs or 1) * max(1, full),
            "batch_size": min(training.batch_size, n),
            "batches": training.batches,
            "learning_rate": training.learning_rate,
            "betas": list(training.betas),
            "warmup": training.warmup,
            "decay": training.decay,
            "ema_decay": training.ema_decay,
            "clip_norm": training.clip_norm,
        },
        "sampling": {
            "name": sampling.name if sampling.name in _SAMPLERS else _INSTEAD,
            "steps": sampling.steps,
            "spacing": sampling.spacing,
            "rho": sampling.rho,
            **{name: settings[name] for name in ("eta", "variance") if name in settings},
        },
    }


def _call(model: Model, data: Dataset) -> dict[str, Any] | None:
    """Return data and settings with which ``diffuscope.train`` gives this run, where both have names."""
    recipe = model.recipe
    if data.source.get("kind") != "builtin" or recipe.name not in RECIPES:
        return None
    own, base = recipe.model_dump(), load_recipe(recipe.name).model_dump()
    settings = {
        f"{section}.{key}": list(value) if isinstance(value, tuple) else value
        for section, values in own.items()
        if isinstance(values, dict) and section not in ("data", "pictures")
        for key, value in values.items()
        if value != base[section].get(key) and value is not None
    }
    settings = {key: value for key, value in settings.items() if _is_finite(value)}
    return {"data": str(data.source["name"]), "settings": settings}


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _tensors(model: Model) -> dict[str, Any]:
    """Return names and shapes of the weights, and the weights one after the other."""
    state = _state(model.denoiser.network)
    values = np.concatenate([tensor.float().numpy().ravel() for tensor in state.values()])
    names = [{"name": name, "shape": list(tensor.shape)} for name, tensor in state.items()]
    return {"names": names, **_packed(values)}


def _has_classes(network: nn.Module) -> bool:
    """Whether the page takes the classes of a network, too."""
    return isinstance(network, ResMLP) and network.classes > 0


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights; where the page does not have the labels, those of points without one."""
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    if getattr(network, "label", None) is None or _has_classes(network):
        return state
    assert isinstance(network, ResMLP | ArticleMLP)
    assert network.label is not None
    with torch.no_grad():
        none = network.label(None)[0].cpu()
    state = {name: tensor for name, tensor in state.items() if not name.startswith("label.")}
    biases = ["condition"] if isinstance(network, ResMLP) else [f"linears.{2 * i}" for i in range(3)]
    for name, part in zip(biases, none.chunk(len(biases)), strict=True):
        state[f"{name}.bias"] = state[f"{name}.bias"] + part
    return state


def packed_arrays(value: Any) -> Any:
    """Return plain data with its arrays of uint16 as text."""
    if isinstance(value, np.ndarray):
        return _text_of(np.ascontiguousarray(value, dtype="<u2"))
    if isinstance(value, dict):
        return {key: packed_arrays(part) for key, part in value.items()}
    return [packed_arrays(part) for part in value] if isinstance(value, list) else value


def _packed(x: NDArray[Any]) -> dict[str, Any]:
    """Return an array as text."""
    return _text_of(np.ascontiguousarray(x, dtype="<f4"))


def _text_of(values: NDArray[Any]) -> dict[str, Any]:
    """Return an array as text: all first bytes, then all second ones, deflated."""
    planes = np.ascontiguousarray(values.view(np.uint8).reshape(-1, values.itemsize).T)
    text = base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode("ascii")
    return {"shape": list(values.shape), "packed": text}
