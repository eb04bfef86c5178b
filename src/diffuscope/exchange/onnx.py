r"""How is a model exported to run without torch? As an ONNX file with all that sampling needs.

The graph is the denoiser, :math:`\hat x_0 = D(x, \alpha, \sigma)`, for use with any sampler. The metadata
hold the schedule, the noise levels of the recipe's sampler and the scaling of the data.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffuscope.data.conditions import Classes, Numbers
from diffuscope.data.kinds import codec_to_json
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.masked import MaskedDenoiser
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError, RunError
from diffuscope.files import atomic_write
from diffuscope.model import Model

__all__ = ["export_onnx"]

_FORMAT = 1
_BATCH = 3  # of the traced example; any but 1, the exported batch size is dynamic
_TOLERANCE = 1e-4


class _Graph(nn.Module):
    """A denoiser with plain tensors for inputs."""

    def __init__(self, denoiser: Denoiser, names: tuple[str, ...]) -> None:
        super().__init__()
        self.denoiser, self.names = denoiser, names

    def forward(self, *inputs: Tensor) -> Tensor:
        named = dict(zip(self.names, inputs, strict=True))
        alpha, sigma = named["alpha"].double(), named["sigma"].double()
        level = NoiseLevel(named.get("t", torch.zeros_like(alpha)), alpha, sigma)
        return self.denoiser(named["x"], level, named.get("label"))  # type: ignore[no-any-return]


def export_onnx(model: Model, path: str | Path) -> Path:
    """Write a model's denoiser as an ONNX file, and check that it reproduces the model's output.

    Inputs of the graph, for any batch size n, are ``x`` of shape (n, d) or (n, channels, height, width), in
    the units of the model, ``alpha`` and ``sigma`` (n,), all float32; for networks conditioned on the time
    also ``t`` (n,), int64 for discrete schedules, else float32; for models with classes also ``label`` (n,),
    int64, where the number of classes is the null class; for models with k numbers ``label`` (n, k), float32,
    where NaN is no label. The output ``x_0`` has the shape of ``x``.

    The metadata's entry ``diffuscope`` is JSON: ``shape``; ``grid``, the levels [t, alpha, sigma] of the
    recipe's walk, noisiest first; ``prior_std``, the deviation of the noise that it starts from; ``shift``
    and ``scale``, by which points come back to the units of the data (null for a table, whose ``codec`` says
    what coordinates mean); ``schedule``, ``classes``, ``any_label``, ``columns`` and ``codec``; of models
    with numbers also their names, ``numbers``, and ``label_shift`` and ``label_scale``: a label is that of
    the data less the one, over the other.

    Raises
    ------
    InputError
        When the network takes masks, the suffix is not .onnx, or packages are missing.
    RunError
        When the graph does not reproduce the model's output, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise InputError(f"{path.name!r} is no name for an ONNX file.", "Choose one that ends in .onnx.")
    if isinstance(model.denoiser, MaskedDenoiser):
        raise InputError(
            "A network that takes masks of known and absent columns cannot be exported: the graph has no "
            "inputs for them.",
            "Train with denoiser.partial = 0 (and denoiser.factors = 0) to export a model of a table.",
        )
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch needs it
    except ImportError as error:
        raise InputError(
            f"The export to ONNX needs packages that are not installed ({error}).",
            "Install them: pip install 'diffuscope[onnx]'",
        ) from error
    denoiser = model.denoiser.to("cpu").eval()
    inputs = _inputs(model, _BATCH, seed=0)
    names = tuple(inputs)
    batch = torch.export.Dim("n", min=1)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            _Graph(denoiser, names),
            tuple(inputs.values()),
            input_names=list(names),
            output_names=["x_0"],
            dynamic_shapes=(tuple({0: batch} for _ in names),),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["diffuscope"] = json.dumps(_about(model))
    with atomic_write(path) as temporary:
        program.save(str(temporary))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # for a few points more threads only wait, and keep cores busy
        session = onnxruntime.InferenceSession(str(temporary), options, providers=["CPUExecutionProvider"])
        _compare(session, model)
    return path


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence a logger below errors, such as the note that torchvision is not installed."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _inputs(model: Model, n: int, seed: int) -> dict[str, Tensor]:
    """Return n noisy points at levels of the recipe's sampler."""
    generator = torch.Generator().manual_seed(seed)
    grid, _ = model.plan()
    level = grid.levels.at(torch.linspace(0, grid.n_steps - 1, n).long())
    scale = (level.alpha.square() + level.sigma.square()).sqrt().reshape(-1, *[1] * len(model.shape))
    x = (scale * torch.randn((n, *model.shape), generator=generator)).float()
    inputs = {"x": x, "alpha": level.alpha.float(), "sigma": level.sigma.float()}
    if model.denoiser.conditioning == "time":
        inputs["t"] = level.t.long() if model.denoiser.schedule.discrete else level.t.float()
    if model.denoiser.classes:
        inputs["label"] = torch.arange(n) % (model.denoiser.classes + 1)
    if k := model.denoiser.conditions:
        label = torch.randn((n, k), generator=generator)
        inputs["label"] = torch.where(torch.arange(n)[:, None] % 3 == 2, math.nan, label)
    return inputs


def _compare(session: Any, model: Model) -> None:
    """Check that the graph reproduces the model's output, at other batch sizes than that of the export."""
    for n in (1, 2, 7):
        inputs = _inputs(model, n, seed=n)
        (found,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        with torch.no_grad():
            expected = _Graph(model.denoiser, tuple(inputs))(*inputs.values()).numpy()
        worst = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
        if not worst <= _TOLERANCE:
            raise RunError(
                f"The exported graph does not reproduce the output of the model: it differs by {worst:.2g}.",
                "This is a bug: please report it with the versions of torch, onnxscript and onnxruntime.",
            )


def _about(model: Model) -> dict[str, Any]:
    grid, _ = model.plan()
    levels, affine, label_type = grid.levels, model.codec.affine, model.recipe.data.label_type
    numbers: dict[str, Any] = {}
    if isinstance(label_type, Numbers):
        units = {"label_shift": list(label_type.mean), "label_scale": list(label_type.deviation)}
        numbers = {"numbers": list(label_type.names), **units}

    def plain(values: Any) -> Any:
        """Return an array as nested lists, or as one number where all are equal."""
        return float(values.flat[0]) if (values == values.flat[0]).all() else values.tolist()

    return {
        "format": _FORMAT,
        "shape": list(model.shape),
        "grid": torch.stack([levels.t.double(), levels.alpha, levels.sigma], 1).tolist(),
        "prior_std": grid.prior_std,
        "shift": None if affine is None else plain(affine.shift),
        "scale": None if affine is None else plain(affine.scale),
        "schedule": {"name": model.recipe.schedule.name, **model.recipe.schedule.settings},
        "classes": list(label_type.names) if isinstance(label_type, Classes) else [],
        "any_label": None if numbers else model.denoiser.classes,
        **numbers,
        "columns": None if model.columns is None else list(model.columns),
        "codec": codec_to_json(model.codec),
    }
