r"""How are models exchanged with Hugging Face diffusers? As a folder of JSON and safetensors.

.. code-block:: text

    folder/
      model_index.json                                      the pipeline
      unet/config.json, diffusion_pytorch_model.safetensors  a UNet2DModel: our network "diffusers_unet"
      scheduler/scheduler_config.json                        a DDPM or DDIM scheduler: schedule and sampler
      diffuscope.json                                        the names of the classes

Supported settings, and their names here:

========================== =======================================================================
``beta_schedule``          ``linear``; ``scaled_linear``: quadratic; ``squaredcos_cap_v2``: cosine;
                           ``sigmoid``
``rescale_betas_zero_snr`` ``zero_terminal_snr``
``prediction_type``        ``epsilon``: noise; ``sample``: data; ``v_prediction``: velocity
``DDPMScheduler``          sampler ``ddpm``; ``fixed_small``: posterior, ``fixed_large``: beta
``DDIMScheduler``          sampler ``ddim``
========================== =======================================================================

Other settings are refused with an error that names them. Clipping of the data estimate is not imported: the
samplers here do not clip.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from diffuscope.data.conditions import Classes
from diffuscope.data.kinds import codec_from_json
from diffuscope.errors import FormatError, InputError, RunError
from diffuscope.files import atomic_folder, write_json, write_text
from diffuscope.model import Model, fill, pick_device
from diffuscope.networks import DiffusersUNet
from diffuscope.recipes import load_recipe
from diffuscope.recipes.settings import check_settings
from diffuscope.runs.run import Run, load
from diffuscope.tensors import read_tensors

__all__ = ["export_diffusers", "import_diffusers", "import_run"]

_SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "quadratic",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid",
}
_PREDICTIONS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity"}
_VARIANCES = {"fixed_small": "posterior", "fixed_large": "beta"}
_SPACINGS = {"linspace": "uniform", "trailing": "trailing"}
_SAMPLERS = {"DDPMScheduler": "ddpm", "DDIMScheduler": "ddim"}
_WEIGHTS = "diffusion_pytorch_model"
_NAMES = "diffuscope.json"
_DDIM_STEPS = 50
_GIVE = "Give a folder that save_pretrained of diffusers wrote."
_LARGEST_TEXT = 2**20  # bytes of a JSON file
_LARGEST_SIDE = 2**12
_TOLERANCE = 1e-4
# Of attention, in folders from before diffusers 0.15.
_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
_SHAPE_KEYS = ("sample_size", "in_channels", "out_channels", "num_class_embeds")
_UNUSED_KEYS: dict[str, tuple[Any, ...]] = {"class_embed_type": (None,), "skip_time_act": (False, None)}


def export_diffusers(model: Model, path: str | Path) -> Path:
    """Write a model as a folder for ``DDPMPipeline`` or ``DDIMPipeline`` of diffusers.

    The model is one of images with the network ``diffusers_unet`` and a discrete schedule; ``path`` a new
    folder, or an empty one, written completely or not at all. Equal noise gives equal images in diffusers and
    here, with equal numbers of steps. For DDIM the number of steps must divide the schedule's T, with
    ``trailing`` spacing here.

    Raises
    ------
    InputError
        When a part of the model is not supported by diffusers.
    RunError
        When the written folder does not reproduce the model's output, or cannot be written.
    """
    network, label_type = model.denoiser.network, model.recipe.data.label_type
    if not isinstance(network, DiffusersUNet):
        raise InputError(
            f"The network {model.recipe.network.name!r} cannot be exported to diffusers.",
            "Train with diffuscope train DATA --recipe diffusers, or export to ONNX (-o model.onnx).",
        )
    name, settings = _scheduler_of(model)
    import diffusers

    scheduler = getattr(diffusers, f"{name}Scheduler")(**settings)
    pipeline = getattr(diffusers, f"{name}Pipeline")(copy.deepcopy(network.model).cpu(), scheduler)
    with atomic_folder(path) as temporary:
        pipeline.save_pretrained(temporary, safe_serialization=True)
        if isinstance(label_type, Classes):
            write_json(temporary / _NAMES, {"format": 1, "classes": list(label_type.names)})
        _compare(import_diffusers(temporary, device="cpu"), model)
    return Path(path)


def _scheduler_of(model: Model) -> tuple[str, dict[str, Any]]:
    """Return kind and settings of the scheduler for the model's schedule and sampler."""
    recipe = model.recipe
    schedule, denoiser, sampling = recipe.schedule, recipe.denoiser, recipe.sampling
    ancestral = sampling.name == "ddpm"
    kind = "DDPM" if ancestral else "DDIM"
    names = {ours: theirs for theirs, ours in _SCHEDULES.items() if ancestral or theirs != "sigmoid"}
    predictions = {ours: theirs for theirs, ours in _PREDICTIONS.items()}
    variances = {ours: theirs for theirs, ours in _VARIANCES.items()}
    if schedule.name not in names:
        raise InputError(
            f"The {kind} scheduler of diffusers does not support the schedule {schedule.name!r}.",
            f"Train with schedule.name one of {', '.join(names)}.",
        )
    if denoiser.prediction not in predictions:
        raise InputError(
            f"The schedulers of diffusers do not support the prediction {denoiser.prediction!r}.",
            f"Train with denoiser.prediction one of {', '.join(predictions)}.",
        )
    settings: dict[str, Any] = {
        "num_train_timesteps": schedule.settings["T"],
        "beta_schedule": names[schedule.name],
        "prediction_type": predictions[denoiser.prediction],
        "rescale_betas_zero_snr": schedule.zero_terminal_snr,
        # DDIMScheduler always steps by T / steps; trailing timesteps agree with that.
        "timestep_spacing": "linspace" if ancestral and sampling.spacing == "uniform" else "trailing",
        "clip_sample": False,
    }
    if schedule.name == "cosine":
        if {**schedule.settings, "T": 0} != {"T": 0, "start": 0.0, "end": 0.999, "offset": 0.008}:
            raise InputError(
                "The cosine schedule of diffusers has fixed settings, and the model's differ.",
                "Train with the defaults start = 0, end = 0.999 and offset = 0.008.",
            )
    else:
        settings |= {"beta_start": schedule.settings["start"], "beta_end": schedule.settings["end"]}
    if ancestral:
        settings["variance_type"] = variances[sampling.settings.get("variance", "posterior")]
    else:
        settings["set_alpha_to_one"] = True
    return kind, settings


def _compare(read: Model, model: Model) -> None:
    """Check that the written model reproduces the output of the original."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((3, *model.shape), generator=generator)
    level = model.denoiser.schedule(torch.linspace(0, model.denoiser.schedule.t_max, 3).long())
    label = torch.arange(3) % (model.denoiser.classes + 1) if model.denoiser.classes else None
    denoiser = model.denoiser.to("cpu").eval()
    with torch.no_grad():
        found, expected = (each(x, level, label) for each in (read.denoiser, denoiser))
    if not (found - expected).abs().max() <= _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise RunError(
            "The exported folder does not reproduce the output of the model, so it was not written.",
            "This is a bug: please report it with the version of diffusers.",
        )


def import_diffusers(
    path: str | Path, *, data: str | None = None, null_class: bool = False, device: str = "auto"
) -> Model:
    """Read a diffusers folder with a ``UNet2DModel`` and the config of a DDPM or DDIM scheduler.

    No code in it is executed; weights are read from safetensors only. The model is one of images with values
    0 to 255.

    Parameters
    ----------
    path : str or Path
        With subfolders ``unet`` and ``scheduler``, or with all files in one folder.
    data : str, optional
        Its training data: a folder of images or a name, for ``diagnose`` and ``evaluate``.
    null_class : bool
        Whether the last class embedding is the null class. Not needed for folders exported by Diffuscope.
    device : str

    Raises
    ------
    InputError, FormatError
        When files are missing, damaged or contain unsupported settings.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"There is no folder {path}.", _GIVE)
    unet = path / "unet" if (path / "unet").is_dir() else path
    config = _read(unet / "config.json")
    scheduler = path / "scheduler" / "scheduler_config.json"
    scheduler_config = _read(scheduler if scheduler.is_file() else path / "scheduler_config.json")
    shape = _shape(config, unet / "config.json")
    changes = {
        "name": "imported",
        "description": "Read from a folder of diffusers.",
        "data.source": data,
        **_schedule_and_sampler(scheduler_config),
        "data.classes": _classes(path, config, null_class),
        **{f"network.{name}": value for name, value in _network(config).items()},
    }
    recipe = load_recipe("diffusers").changed(changes)
    denoiser = recipe.make_denoiser(shape, empty=True)
    fill(denoiser.network, *_weights(unet))
    denoiser.to(pick_device(device)).eval()
    return Model(recipe, denoiser, codec_from_json({"kind": recipe.data.kind, "shape": list(shape)}))


def import_run(
    path: str | Path, out: str | Path, *, data: str | None = None, null_class: bool = False
) -> Run:
    """Write a diffusers folder as a run directory ``out``, to be sampled, evaluated and diagnosed.

    ``out`` is a new folder, or an empty one; the other arguments are those of :func:`import_diffusers`.
    """
    model = import_diffusers(path, data=data, null_class=null_class, device="cpu")
    with atomic_folder(out) as temporary:
        write_text(temporary / "recipe.toml", model.recipe.to_toml())
        model.save(temporary / "model.safetensors")
        parameters = sum(p.numel() for p in model.denoiser.network.parameters())
        write_json(temporary / "summary.json", {"recipe": model.recipe.name, "parameters": parameters})
        write_text(temporary / "metrics.jsonl", "")  # its training is unknown
    return load(out)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"There is no file {path}.", _GIVE)
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            raise ValueError("the file is too large for a config")
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("expected a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} cannot be read: {error}.", "Get a new copy of the folder.") from error
    return value


def _shape(config: Mapping[str, Any], path: Path) -> tuple[int, int, int]:
    kind = config.get("_class_name")
    if kind != "UNet2DModel":
        raise InputError(f"{path} is the config of a {kind!r}.", "Only UNet2DModel is supported.")
    size, channels = config.get("sample_size"), config.get("in_channels", 3)
    sides = [size, size] if type(size) is int else size
    if not isinstance(sides, list) or list(map(type, sides)) != [int, int]:
        raise InputError(f"{path} has no valid image size.", "Set its sample_size to [height, width].")
    if not all(1 <= side <= _LARGEST_SIDE for side in sides):
        hint = f"Each side must be from 1 to {_LARGEST_SIDE} pixels."
        raise InputError(f"{path} has sample_size {sides}.", hint)
    if channels not in (1, 3) or config.get("out_channels", 3) != channels:
        raise InputError(
            f"{path} has in_channels = {channels!r} and out_channels = {config.get('out_channels', 3)!r}.",
            "Only models with equal numbers are supported: 1 (grey) or 3 (colour).",
        )
    return int(channels), sides[0], sides[1]


def _network(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the network; raise for unsupported ones."""
    parameters = inspect.signature(DiffusersUNet).parameters
    settings = dict(_DIFFUSERS_DEFAULTS)
    for key, value in config.items():
        if key.startswith("_") or key in _SHAPE_KEYS:
            continue
        unused = key in _UNUSED_KEYS and value in _UNUSED_KEYS[key]
        if unused or (value is None and key in parameters and parameters[key].default is None):
            continue
        if value is None or key in _UNUSED_KEYS:
            raise InputError(f"{key} = {json.dumps(value)} of a UNet2DModel is not supported.")
        settings[key] = value
    return check_settings("network", "diffusers_unet", DiffusersUNet, settings, ("shape", "classes"))


_DIFFUSERS_DEFAULTS: dict[str, Any] = {
    "block_out_channels": (224, 448, 672, 896),
    "down_block_types": ("DownBlock2D", *["AttnDownBlock2D"] * 3),
    "up_block_types": (*["AttnUpBlock2D"] * 3, "UpBlock2D"),
    "layers_per_block": 2,
    "attention_head_dim": 8,
}


def _schedule_and_sampler(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes to a recipe for the config of a scheduler."""

    def one_of(key: str, known: Mapping[str, str], default: str) -> str:
        value = config.get(key, default)
        if value not in known:
            what = f"The scheduler's {key} = {value!r} is not supported."
            raise InputError(what, f"Supported: {', '.join(known)}.")
        return known[value]

    sampler = one_of("_class_name", _SAMPLERS, "")
    for key in ("trained_betas", "thresholding"):
        if config.get(key):
            what = f"The scheduler's {key} is not supported."
            raise InputError(what, "Only schedulers without it can be imported.")
    steps = config.get("num_train_timesteps", 1000)
    name = one_of("beta_schedule", _SCHEDULES, "linear")
    changes: dict[str, Any] = {
        "schedule.name": name,
        "schedule.T": steps,
        "schedule.zero_terminal_snr": config.get("rescale_betas_zero_snr", False),
        "denoiser.prediction": one_of("prediction_type", _PREDICTIONS, "epsilon"),
        "sampling.name": sampler,
        "sampling.spacing": _SPACINGS.get(config.get("timestep_spacing", "leading"), "trailing"),
    }
    if name != "cosine":
        changes["schedule.start"] = config.get("beta_start", 1e-4)
        changes["schedule.end"] = config.get("beta_end", 0.02)
    if sampler == "ddpm":
        changes["sampling.variance"] = one_of("variance_type", _VARIANCES, "fixed_small")
    elif type(steps) is int:
        steps = min(_DDIM_STEPS, steps)
    return {**changes, "sampling.steps": steps}


def _classes(path: Path, config: Mapping[str, Any], null_class: bool) -> list[str]:
    """Return the names of the classes; empty for an unconditional network."""
    embeddings = config.get("num_class_embeds")
    if embeddings is None:
        return []
    if type(embeddings) is not int or not 2 <= embeddings <= 2**16:
        what = f"num_class_embeds = {embeddings!r} is not valid."
        raise InputError(what, "It must be null, or at least 2.")
    if (path / _NAMES).is_file():
        names = _read(path / _NAMES).get("classes")
        if not isinstance(names, list) or len(names) != embeddings - 1:
            what = f"{path / _NAMES} must name {embeddings - 1} classes."
            raise FormatError(what, "Remove it, or export the model again.")
        return [str(name) for name in names]
    if not null_class:
        raise InputError(
            f"The model has {embeddings} class embeddings; whether the last is the null class is unknown.",
            "If it is, add --null-class. Models without a null class are not supported.",
        )
    return [str(i) for i in range(embeddings - 1)]


def _weights(folder: Path) -> tuple[dict[str, Tensor], Path]:
    """Read the weights in float32, with the current names of diffusers; return them and their file."""
    path = folder / f"{_WEIGHTS}.safetensors"
    if not path.is_file():
        others = sorted(other.name for other in folder.glob(f"{_WEIGHTS}*"))
        raise InputError(
            f"There is no {path}" + (f", only {', '.join(others[:3])}." if others else "."),
            "Save the model again with save_pretrained(folder, safe_serialization=True), in one file. Files "
            ".bin can execute code when they are opened, so they are not read.",
        )
    try:
        tensors, _ = read_tensors(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, RecursionError) as error:
        what = f"{path} is damaged or cut short: {error}."
        raise FormatError(what, "Get a new copy of the file.") from error
    named = {}
    for name, tensor in tensors.items():
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new) if ".attentions." in name else name
        named[f"model.{name}"] = tensor.float() if tensor.is_floating_point() else tensor
    return named, path
