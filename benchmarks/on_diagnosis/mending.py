"""Does the printed finding mend the pipeline? Its owner does what the text of the first one says, no more.

``mended`` reads code and fix of a finding, as a person would, and returns the question about the changed
pipeline; None where the text names nothing that this owner could change. What is wrong and not named stays as
it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .networks import SCHEDULES, Recipe, Trained, alpha_bars, trained
from .owners import FolderOwner, Owner, Question, RunOwner
from .pipelines import Wrapped, eps_of, levels

__all__ = ["mended", "of_run"]

Finding = dict[str, Any]


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern + r"\s*([\d.,]+(?:e-?\d+)?)", text)
    return None if found is None else float(found[1].rstrip(".,").replace(",", ""))


# --- what the network is handed, and what it answers

_QUANTITIES = (
    ("the noise ε", "noise"),
    ("the data x_0", "data"),
    ("the velocity", "velocity"),
    ("the flow", "flow"),
    ("the score", "score"),
    ("the noise as it is added", "scaled noise"),
    ("the difference x_t − x_0", "residual"),
    ("the output F of EDM", "edm"),
)


def _reading(owner: Owner, fix: str) -> Owner | None:
    pipeline = owner.pipeline
    said = re.search(r'Set prediction="(\w+)"', fix)
    time = re.search(r"Give it (.+) as its time", fix)
    change = _time_map(owner, time[1]) if time else None
    if time and change is None:
        return None
    kind = said[1] if said else next((name for words, name in reversed(_QUANTITIES) if words in fix), None)
    if kind is None:
        return None
    numbers = re.search(r"Multiply its output by (\(.*?\)|[\d.e-]+)", fix)
    parts = re.findall(r"-?[\d.]+(?:e-?\d+)?", numbers[1].replace("−", "-")) if numbers else ["1"]
    each = torch.tensor([float(part) for part in parts])
    sign = -1.0 if "the negative of" in fix else 1.0
    betas = pipeline.betas

    def around(inner: nn.Module, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = levels(betas, t, x)
        y = sign * each.to(x) * inner(x, t if change is None else change(t))
        return _as_noise(kind, y, x, alpha, sigma)

    return owner.changed(module=Wrapped(pipeline.module, around), said="noise")


def _as_noise(kind: str, y: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    if kind == "score":
        return -sigma * y
    if kind == "scaled noise":
        return y / sigma
    if kind == "residual":
        return (x - alpha * (x - y)) / sigma
    if kind == "edm":
        s = sigma / alpha
        x_0 = x / alpha / (1 + s**2) + s / (1 + s**2).sqrt() * y
        return (x - alpha * x_0) / sigma
    return eps_of(y, x, alpha, sigma, kind)


def _time_map(owner: Owner, words: str) -> Callable[[Tensor], Tensor] | None:
    """Return times by a formula, or by the name of a schedule; None for words that are neither."""
    from diffuscope.diffusion.schedules import cosine, linear, quadratic, sigmoid

    betas = owner.pipeline.betas
    n = len(betas)
    bars = alpha_bars(betas)
    ratio = ((1 - bars) / bars).sqrt()

    def looked_up(values: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda t: values[t.long()]

    maps: dict[str, Callable[[Tensor], Tensor]] = {
        "t + 1": lambda t: t + 1,
        "t − 1": lambda t: (t - 1).clamp_min(0),
        "T − 1 − t": lambda t: n - 1 - t,
        "2 t": lambda t: 2 * t,
        "t / 2": lambda t: t // 2,
        "t / T": lambda t: t / n,
        "T · t": lambda t: n * t,
        "1000 t / T": lambda t: 1000 * t / n,
        "T t / 1000": lambda t: t * n / 1000,
        "σ": looked_up((1 - bars).sqrt().float()),
        "σ/α": looked_up(ratio.float()),
        "log σ": looked_up((1 - bars).sqrt().log().float()),
        "log(σ/α)": looked_up(ratio.log().float()),
        "log(σ/α)/4": looked_up((ratio.log() / 4).float()),
        "log SNR": looked_up((-2 * ratio.log()).clamp(-20, 20).float()),
        "log SNR / 4": looked_up((-ratio.log() / 2).clamp(-5, 5).float()),
        "ᾱ": looked_up(bars.float()),
    }
    if words in maps:
        return maps[words]
    found = re.search(
        r"the times of the schedule (cosine|quadratic|sigmoid|linear, ([\d.]+) to ([\d.]+))", words
    )
    if found is None:
        return None
    count = 1000 if "1,000 steps" in words else n
    made = {"cosine": cosine, "quadratic": quadratic, "sigmoid": sigmoid}.get(found[1])
    other = made(count) if made else linear(count, float(found[2]), float(found[3]))
    return looked_up(other.time_at_ratio(ratio.double()))


def _times(owner: Owner, fix: str) -> Owner | None:
    pipeline = owner.pipeline
    if "Noise the data in training" in fix:
        return owner.retrained(mistake="")
    if fix.startswith("Hand the network its times of training"):
        return owner.stepping(times="right")
    if fix.startswith(("Pass the time", "Hand the network")):
        blind = isinstance(pipeline.base, Trained) and pipeline.base.recipe.mistake == "no time"
        return owner.retrained(mistake="") if blind else owner.unwrapped("times")
    if fix.startswith("Hand it the times") and pipeline.wraps == "times":
        return owner.unwrapped("times")
    own = pipeline.base.betas if isinstance(pipeline.base, Trained) else pipeline.betas
    if "betas" in fix and (len(own) != len(pipeline.betas) or not torch.equal(own, pipeline.betas)):
        return owner.changed(betas=own)
    found = re.search(r"Give the network (.+), as in its training", fix)
    change = _time_map(owner, found[1]) if found else None
    if change is None:
        return None
    return owner.changed(module=Wrapped(pipeline.module, lambda inner, x, t: inner(x, change(t))))


def _columns(owner: Owner, fix: str) -> Owner | None:
    if "Return the columns" in fix:
        return owner.changed(back=None)
    order = [int(one) - 1 for one in re.findall(r"\d+", fix)]
    back = np.argsort(order).tolist()
    module = Wrapped(owner.pipeline.module, lambda inner, x, t: inner(x[:, order], t)[:, back])
    return owner.changed(module=module)


def _units(owner: Owner, fix: str) -> Owner | None:
    if "Return samples" in fix:
        return owner.changed(back=None)
    x = owner.pipeline.data.x
    low, high, one = x.min(0), x.max(0), np.ones(x.shape[1])
    found = {
        "the data as it is": (0 * one, one),
        "each column standardised": (x.mean(0), np.maximum(x.std(0), 1e-9)),
        "one mean and deviation for all columns": (x.mean() * one, x.std() * one),
        "each column from −1 to 1": ((low + high) / 2, np.maximum((high - low) / 2, 1e-9)),
        "all columns from −1 to 1 by one scale": (
            (x.min() + x.max()) / 2 * one,
            (x.max() - x.min()) / 2 * one,
        ),
        "all columns from 0 to 1 by one scale": (x.min() * one, (x.max() - x.min()) * one),
        "each column from 0 to 1": (low, np.maximum(high - low, 1e-9)),
    }
    name = next((name for name in found if f"({name})" in fix), None)
    return None if name is None else owner.changed(shift=found[name][0], scale=found[name][1])


# --- sampling


def _loop(owner: Owner, fix: str) -> Owner | None:
    steps = owner.pipeline.steps
    parts: dict[str, Any] = {}
    if fix.startswith("Use α and σ of the training schedule"):
        parts = {"mean": "right", "offset": 0, "betas_of_all": False, "noise": "posterior"}
    if "Write x = (x − β/√(1−ᾱ) · ε̂) / √α" in fix:
        parts["mean"] = "right"
    if "Index ᾱ" in fix:
        parts["offset"] = 0
    if "Where times are skipped" in fix:
        parts["betas_of_all"] = False
    if fix.startswith(("Add", "Draw z", "Return the mean")) and steps.noise != "extra":
        parts["noise"] = "right"
    if "set η = 0" in fix and steps.noise == "extra":
        parts |= {"noise": "none", "ddim": True}
    return owner.stepping(**parts)


def _start(owner: Owner, fix: str) -> Owner | None:
    more = {k: v for k, v in owner.pipeline.more.items() if k != "start_std"}
    other = (
        owner if more == owner.pipeline.more else replace(owner, pipeline=replace(owner.pipeline, more=more))
    )
    changed = other.stepping(start="normal", start_std=1.0)
    return changed or (None if other is owner else other)


def _clipping(owner: Owner, fix: str) -> Owner | None:
    return owner.stepping(clip=0.0) or owner.unwrapped("clip")


def _few_steps(owner: Owner, fix: str) -> Owner | None:
    named = re.search(r"Sample with (\w+) in ([\d,]+) steps", fix)
    if named is None:
        return owner.stepping(every=1)
    more = owner.pipeline.more | {"sampler": named[1], "steps": int(named[2].replace(",", ""))}
    way = "module" if owner.way == "sampler" else owner.way
    return replace(owner, way=way, pipeline=replace(owner.pipeline, more=more))


def _our_sampler(owner: Owner, fix: str) -> Owner | None:
    return replace(owner, way="module") if owner.way in ("samples", "sampler") else None


def _guidance(owner: Owner, fix: str) -> Owner | None:
    if owner.pipeline.guided is None:
        return None
    return owner.changed(looped=owner.pipeline.guided(1.0))


# --- training and data


def _recipe(owner: Owner) -> Recipe | None:
    return owner.pipeline.base.recipe if isinstance(owner.pipeline.base, Trained) else None


def _schedule(owner: Owner, fix: str) -> Owner | None:
    betas, end = owner.pipeline.betas, _number("Raise the last β to", fix)
    name = f"cosine {len(betas)}"
    if end is not None:
        name = f"linear to {end:g} in {len(betas)}, from {betas[0]:.3g}"
        SCHEDULES[name] = lambda: torch.linspace(float(betas[0]), end, len(betas), dtype=torch.float64)
    elif name not in SCHEDULES:
        return None
    changed = owner.retrained(schedule=name)
    return changed and replace(changed, pipeline=replace(changed.pipeline, betas=SCHEDULES[name]()))


def _standardised(owner: Owner, fix: str) -> Owner | None:
    return owner.retrained(scaling="standard")


def _average(owner: Owner, fix: str) -> Owner | None:
    recipe = _recipe(owner)
    if owner.pipeline.wraps == "buffers" and "buffers" in fix:
        owner = replace(owner, pipeline=replace(owner.pipeline, wraps=""))
        return owner.changed(module=trained(recipe).network) if recipe else None
    most = _number(r"\(here", fix)
    return owner.retrained(ema=min(0.995 if most is None else most, recipe.ema)) if recipe else None


def _rate(owner: Owner, fix: str) -> Owner | None:
    recipe = _recipe(owner)
    if recipe is None:
        return None
    rate = _number("Lower it to", fix) or _number("Raise it to", fix)
    decays = "decay" in fix and recipe.constant_rate
    if rate is None and not decays:
        rate = recipe.rate / 10
    return owner.retrained(rate=rate or recipe.rate, constant_rate=recipe.constant_rate and not decays)


def _longer(owner: Owner, fix: str) -> Owner | None:
    recipe = _recipe(owner)
    if recipe is None:
        return None
    steps = _number("Train longer, for", fix) or _number("Train for", fix) or 4 * recipe.steps
    mistake = "" if recipe.mistake == "noise once" and "anew" in fix else recipe.mistake
    return owner.retrained(steps=int(steps), mistake=mistake)


def _larger(owner: Owner, fix: str) -> Owner | None:
    recipe = _recipe(owner)
    return owner.retrained(width=4 * recipe.width, blocks=recipe.blocks + 1) if recipe else None


def _better(owner: Owner, fix: str) -> Owner | None:
    recipe = _recipe(owner)
    if recipe is None:
        return None
    parts: dict[str, Any] = {"steps": 3 * recipe.steps, "width": 2 * recipe.width, "constant_rate": False}
    if "anew" in fix and recipe.mistake == "noise once":
        parts["mistake"] = ""
    return owner.retrained(**parts)


def _sound_loop(owner: Owner, fix: str) -> Owner | None:
    recipe = _recipe(owner)
    wanted = {"against x_t": "x_t", "uniform noise": "randn", "noise once": "anew"}
    named = recipe is not None and wanted.get(recipe.mistake, "nothing") in fix
    return owner.retrained(mistake="") if named else None


def _whole_data(owner: Owner, fix: str) -> Owner | None:
    return owner.retrained(change="")


def _rounded(owner: Owner, fix: str) -> Owner | None:
    """Round samples of the own loop as the data is."""
    x, pipeline = owner.pipeline.data.x, owner.pipeline
    grids = [np.unique(column) for column in x.T]
    back = pipeline.back or (lambda z: z * pipeline.scale + pipeline.shift)

    def rounded(z: Any) -> Any:
        made = back(z)
        for j, grid in enumerate(grids):
            if len(grid) <= len(x) / 10:
                at = np.clip(np.searchsorted((grid[1:] + grid[:-1]) / 2, made[:, j]), 0, len(grid) - 1)
                made[:, j] = grid[at]
        return made

    return replace(owner, way="samples", pipeline=replace(pipeline, back=rounded))


def _transformed(owner: Owner, fix: str) -> Owner | None:
    recipe = _recipe(owner)
    return owner.retrained(change=f"{recipe.change}, by quantiles") if recipe else None


def _finite(owner: Owner, fix: str) -> Owner | None:
    recipe = _recipe(owner)
    if "tenth of the learning rate" in fix:
        return owner.retrained(rate=recipe.rate / 10) if recipe else None
    return owner.unwrapped("nan") if "Check divisions" in fix else None


_MENDS: dict[str, Callable[[Owner, str], Owner | None]] = {
    "prediction_type": _reading,
    "schedule_mismatch": _times,
    "column_order": _columns,
    "units": _units,
    "start": _start,
    "terminal_snr": _schedule,
    "data_scale": _standardised,
    "noise_missing noise_scale noise_reused noise_last_step step_coefficients skipped_betas": _loop,
    "clipping": _clipping,
    "few_steps": _few_steps,
    "steps_left_out": lambda owner, fix: owner.stepping(left_out=0),
    "sampling_code": _our_sampler,
    "guidance": _guidance,
    "training_mode": lambda owner, fix: _evaluating(owner),
    "ema_slow": _average,
    "learning_rate_high learning_rate_low": _rate,
    "undertrained": _longer,
    "small_network": _larger,
    "network_error differs": _better,
    "training_target training_noise loss_disagrees": _sound_loop,
    "few_data duplicates outliers data_shift left_out": _whole_data,
    "rounded": _rounded,
    "heavy_tails": _transformed,
    "not_finite": _finite,
}


def _evaluating(owner: Owner) -> Owner | None:
    if owner.pipeline.wraps != "mode":
        return None
    owner.pipeline.module.eval()
    return replace(owner, pipeline=replace(owner.pipeline, wraps=""))


# --- folders


def of_run(owner: RunOwner, finding: Finding) -> RunOwner | None:
    code, fix = finding["code"], finding["fix"]
    changed: dict[str, Any] = {}
    for name, value in re.findall(r"--set ([\w.]+)=([\w.e-]+?)(?=[)\s;,]|\.?$)", fix):
        changed[name.replace(".", "__")] = _typed(value)
    if code == "few_steps":
        named = re.search(r"--sampler (\w+) --steps (\d+)", fix)
        if named is not None:
            changed |= {"sampling__name": named[1], "sampling__steps": int(named[2])}
    elif steps := _number("--steps", fix):
        changed["training__steps"] = int(steps)
    if code == "terminal_snr" and "schedule__end" not in changed:
        changed = {"schedule__name": "cosine"}
    if code == "guidance":
        changed["sampling__guidance"] = 1.0
    if code == "ema_slow":
        changed["training__ema_decay"] = _number(r"\(here", fix) or 0.99
    if code == "not_finite" and "tenth" in fix:
        changed["training__learning_rate"] = owner.settings.get("training__learning_rate", 1e-3) / 10
    if code in ("few_data", "duplicates", "data_shift"):
        changed["change"] = ""
    settings = {k: v for k, v in (owner.settings | changed).items() if k != "change" or v}
    if "training__steps" in changed and "arguments" in settings:  # epochs say the same
        settings["arguments"] = {k: v for k, v in settings["arguments"].items() if k != "epochs"}
    return None if settings == owner.settings else replace(owner, settings=settings)


def _typed(value: str) -> Any:
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number == math.floor(number) and "." not in value and "e" not in value else number


def _of_folder(owner: FolderOwner, finding: Finding) -> FolderOwner | None:
    code, fix = finding["code"], finding["fix"]
    if code == "prediction_type" and ('"noise"' in fix or "the noise ε" in fix):
        return replace(owner, config={k: v for k, v in owner.config.items() if k != "prediction_type"})
    if code == "schedule_mismatch" and "betas" in fix:
        return replace(owner, config={k: v for k, v in owner.config.items() if not k.startswith("beta")})
    if code == "undertrained":
        return replace(owner, steps=4 * owner.steps)
    end = _number("Raise the last β to", fix)
    if code == "terminal_snr":
        changed = {"beta_end": end} if end else {"beta_schedule": "squaredcos_cap_v2"}
        return replace(owner, betas=owner.betas | changed)
    return None


def mended(owner: Owner | RunOwner | FolderOwner, finding: Finding) -> Question | None:
    """Return the question about a pipeline once its owner did what a finding says; None where they cannot."""
    changed: Owner | RunOwner | FolderOwner | None = None
    if isinstance(owner, RunOwner):
        changed = of_run(owner, finding)
    elif isinstance(owner, FolderOwner):
        changed = _of_folder(owner, finding)
    else:
        mends = (mend for codes, mend in _MENDS.items() if finding["code"] in codes.split())
        changed = next((mend(owner, finding["fix"]) for mend in mends), None)
    return None if changed is None else changed.asks()
