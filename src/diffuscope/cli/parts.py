"""What parts and settings are there, what is each for, and what are their defaults?

``diffuscope list`` shows them from parts.json, so that it need not load torch. A test holds that file to this
module; ``python -m diffuscope.cli.parts`` writes it anew.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffuscope.data.kinds import KINDS, section_of
from diffuscope.diffusion.samplers import SAMPLERS
from diffuscope.diffusion.schedules import SCHEDULES
from diffuscope.networks import NETWORKS
from diffuscope.recipes import Recipe
from diffuscope.recipes.sections import BY_DATA

__all__ = ["parts_and_settings"]

_Registry = Mapping[str, Callable[..., Any]]
_Rows = dict[str, list[str]]  # of each name the columns behind it

_FOR = {
    "linear": "betas in equal steps, as in DDPM: the classic choice with many steps",
    "quadratic": "betas that rise slowly at first: more steps at low noise than linear",
    "sigmoid": "betas that rise in the middle: gentle at both ends",
    "cosine": "signal falls evenly: images, and whenever linear ends with signal left",
    "vp": "linear in continuous time: any number of sampling steps, and likelihoods",
    "edm": "noise is added to unscaled data: the default for points and tables, few sampling steps",
    "flow": "straight paths from data to noise, as in rectified flow: few sampling steps",
    "continuous_cosine": "cosine in continuous time: velocity prediction, and no signal at the end",
    "piecewise": "a curve of one's own: log_snr, its log signal-to-noise ratio at equal times, falls",
    "ddpm": "ancestral sampling, random at every step: the classic choice with as many steps as T",
    "ddim": "deterministic: tens of steps, interpolation; eta = 1 makes it random",
    "euler": "the simplest step, equal to ddim without churn: for comparison",
    "heun": "second order, two evaluations a step: the best with about 18 steps of edm",
    "dpmpp_2m": "second order, one evaluation a step: good samples from about 20 evaluations",
    "dpmpp_2m_sde": "the same with noise at every step, which corrects errors of the network",
    "unipc": "up to third order, one evaluation a step: 5 to 10 evaluations",
    "predictor_corrector": "ddpm with Langevin steps at each level: slow, mends errors of large steps",
    "article_mlp": "points: the tutorial's three hidden layers, for a discrete schedule",
    "resmlp": "points and tables: residual layers with Fourier features, the default",
    "unet": "images: the default, conditioned on classes",
    "dit": "images: a diffusion transformer, for more data and time",
    "annotated_unet": "images: that of The Annotated Diffusion Model, as a baseline",
    "diffusers_unet": "images: UNet2DModel of Hugging Face diffusers, to export and to import",
}
_SETTINGS = {
    "T": "Number of steps of a discrete schedule.",
    "start": "The first beta, or its lower bound.",
    "end": "The last beta, or its upper bound.",
    "offset": "Noise at the first step, s of Nichol & Dhariwal.",
    "beta_min": "The rate of noise at time 0.",
    "beta_max": "The rate of noise at time 1.",
    "t_min": "The first time, above 0.",
    "t_max": "The last time, at most 1.",
    "sigma_min": "The least standard deviation of the noise.",
    "sigma_max": "The largest standard deviation of the noise.",
    "variance": "Of the noise of a step: posterior or beta.",
    "eta": "Noise of a step, as a share of that of ddpm; 0: deterministic.",
    "churn": "Noise that is added before each step and removed by it; 0: deterministic.",
    "churn_min": "The least noise-to-signal ratio at which noise is added.",
    "churn_max": "The largest noise-to-signal ratio at which noise is added.",
    "churn_noise": "Standard deviation of the added noise, relative to what is removed.",
    "stochastic": "Whether noise is added at every step.",
    "order": "Order of the predictor, 1 to 3.",
    "snr": "Signal-to-noise ratio of a Langevin step.",
    "corrections": "Langevin steps at each level.",
    "width": "Units of a hidden layer, or channels at the highest resolution.",
    "depth": "Residual layers, or blocks.",
    "heads": "Attention heads in each block.",
    "patch": "Side of the squares of pixels that are folded into channels, or are tokens.",
    "embedding": "Width of the embedding of level and class; 0: as the network sets it.",
    "block": "The residual block: resnet or convnext.",
    "dropout": "Dropout probability, against memorising small data sets.",
    "conditioning": "How the noise level is given to the network: log_snr or time.",
}
_OF_DIFFUSERS = "Setting of UNet2DModel of that name."


def parts_and_settings() -> dict[str, _Rows]:
    """Return of each list the names, with what they are for and their settings, or defaults and meaning."""
    return {
        "schedules": _parts(SCHEDULES),
        "samplers": _parts(SAMPLERS),
        "networks": _parts(NETWORKS),
        "settings": _settings(),
    }


def _settings() -> _Rows:
    rows = {"seed": _row(Recipe.model_fields["seed"])}
    for kind in KINDS:
        for key, field in section_of(kind).model_fields.items():
            default, about = _row(field)
            if key == "kind":
                default, about = ", ".join(KINDS), "The kind of data."
            rows.setdefault(f"data.{key}", [default, about])
    registries: dict[str, _Registry] = {"schedule": SCHEDULES, "network": NETWORKS, "sampling": SAMPLERS}
    for name, section in Recipe.model_fields.items():
        fields = getattr(section.annotation, "model_fields", {})
        rows |= {f"{name}.{key}": _row(field) for key, field in fields.items() if name != "data"}
        if name in registries:
            rows |= _own_settings(name, registries[name])
    return rows


def _own_settings(section: str, registry: _Registry) -> _Rows:
    """Return the settings that only some parts of a section have, each with these parts."""
    owners: dict[str, dict[str, list[str]]] = {}  # setting -> default -> parts
    about: dict[str, str] = {}
    for name, factory in registry.items():
        documented = _documented(factory)
        for key, default in _free(factory).items():
            owners.setdefault(key, {}).setdefault(default, []).append(name)
            fallback = _OF_DIFFUSERS if name == "diffusers_unet" else ""
            about.setdefault(key, _SETTINGS.get(key) or documented.get(key) or fallback)
    rows = {}
    for key, defaults in owners.items():
        of = "; ".join(
            f"{default} ({', '.join(names)})" if len(defaults) > 1 else default
            for default, names in defaults.items()
        )
        parts = sorted({name for names in defaults.values() for name in names}, key=list(registry).index)
        own = "" if len(defaults) > 1 else f" Of {', '.join(parts)}."
        rows[f"{section}.{key}"] = [of, about[key] + own]
    return rows


def _documented(factory: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstring of a part says of its parameters."""
    text = inspect.getdoc(factory) or ""
    found = {}
    for names, about in re.findall(r"^(\w[\w, ]*) : [^\n]+\n((?:    [^\n]+\n?)+)", text, re.MULTILINE):
        line = " ".join(about.split()).replace("``", "")
        found.update(dict.fromkeys(re.split(r", ", names), line))
    return found


def _free(factory: Callable[..., Any]) -> dict[str, str]:
    """Return the settings of a part with their defaults, as text."""
    parameters = inspect.signature(factory).parameters.values()
    free = [one for one in parameters if one.default is not one.empty and one.name not in BY_DATA]
    return {one.name: f"{one.default}" for one in free}


def _parts(registry: _Registry) -> _Rows:
    return {
        name: [_FOR[name], ", ".join(f"{key} = {default}" for key, default in _free(factory).items())]
        for name, factory in registry.items()
    }


def _row(field: Any) -> list[str]:
    """Return the default of a field and the first sentences about it, on one line."""
    default = "required" if field.is_required() else f"{field.default}"
    return [default, " ".join((field.description or "").split()).replace("``", "")]


if __name__ == "__main__":
    text = json.dumps(parts_and_settings(), indent=1) + "\n"
    (Path(__file__).parent / "parts.json").write_text(text, "utf-8")
