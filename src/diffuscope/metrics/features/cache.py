"""Where does a classifier come from that was trained before? From a file that its data and settings name.

The name is a digest of the images, the labels and all else that the weights depend on, so that a file that
is found is the right one. It holds numbers and text, never code, and is read with suspicion: a file that is
damaged, of other shapes or too large in its numbers is trained again and replaced. Where nothing can be
written the classifier serves all the same, and it is said that the next one will take as long.

Files lie in ``features`` of :func:`~diffuscope.files.cache_folder`; they may be removed at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.errors import DiffuscopeError, FormatError, InputError, RunError
from diffuscope.files import cache_folder
from diffuscope.metrics.features.classifier import Classifier, Images, checked_images
from diffuscope.metrics.features.network import FeatureNetwork
from diffuscope.metrics.features.training import SETTINGS, train_classifier
from diffuscope.progress import Reporter
from diffuscope.tensors import load_tensors, save_tensors

__all__ = ["cached_classifier", "load_classifier", "save_classifier"]

_FORMAT = "diffuscope-classifier-1"
_LARGEST = 1e6  # weight of a classifier that says anything
_AT_ONCE = 2**24  # bytes of images that are read at a time


def cached_classifier(
    images: Images,
    labels: NDArray[np.integer] | None = None,
    classes: Sequence[str] | None = None,
    *,
    seed: int = 0,
    progress: Reporter | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Classifier:
    """Return the classifier of these images, trained only if it was not before.

    Parameters
    ----------
    images, labels, classes, seed, progress
        As :func:`~diffuscope.metrics.features.train_classifier` takes them.
    folder : str or Path, optional
        Where it is kept; ``features`` of :func:`~diffuscope.files.cache_folder` by default.

    Raises
    ------
    InputError, RunError
        As :func:`~diffuscope.metrics.features.train_classifier`.

    Warns
    -----
    UserWarning
        When it cannot be kept.
    """
    key = _key(checked_images(images), labels, classes, seed)
    path: Path | None = None
    reason = "there is no home folder"
    with contextlib.suppress(DiffuscopeError, OSError, RuntimeError):  # none there, or none to be trusted
        path = Path(cache_folder() / "features" if folder is None else folder) / f"{key[:32]}.safetensors"
        return load_classifier(path, key)
    classifier = train_classifier(images, labels, classes, seed=seed, progress=progress)
    if path is not None:
        try:
            save_classifier(classifier, path, key)
            return classifier
        except RunError as error:
            reason = error.what
    warnings.warn(
        f"The classifier that images are measured with could not be kept ({reason.rstrip('.')}); "
        "it will be trained again next time. Set XDG_CACHE_HOME to a folder that can be written to.",
        stacklevel=2,
    )
    return classifier


def save_classifier(classifier: Classifier, path: str | os.PathLike[str], key: str = "") -> None:
    """Write a classifier to a .safetensors file, whole or not at all.

    Raises
    ------
    RunError
        When the file cannot be written.
    """
    about = {"shape": classifier.shape, "classes": classifier.classes, "labelled": classifier.labelled}
    save_tensors(
        path, classifier.network.state_dict(), _FORMAT, {"classifier": json.dumps(about), "key": key}
    )


def load_classifier(path: str | os.PathLike[str], key: str = "") -> Classifier:
    """Read a classifier. Shapes are checked before any memory is taken for the network.

    Raises
    ------
    InputError
        When there is no such file.
    FormatError
        When it is damaged, of another kind, of other data than ``key`` says, or holds what no training
        makes.
    """
    tensors, text = load_tensors(path, _FORMAT)
    try:
        if text["key"] != key:
            raise ValueError("it was trained on something else")
        shape, classes, labelled = _about(json.loads(text["classifier"]))
        with torch.device("meta"):
            network = FeatureNetwork(shape, len(classes))
        _fit(network, tensors)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"{path} holds no classifier that can be used: {error}.", "Remove it.") from error
    # Copies: memory that is mapped from a file begins anywhere, fresh memory where products like it.
    network.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    return Classifier(network.eval().requires_grad_(False), shape, classes, labelled)


def _about(about: dict[str, object]) -> tuple[tuple[int, int, int], tuple[str, ...], bool]:
    shape, classes, labelled = about["shape"], about["classes"], about["labelled"]
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError("it says no shape of images")
    if not isinstance(classes, list) or len(classes) < 2 or not all(isinstance(c, str) for c in classes):
        raise ValueError("it names no classes")
    if not isinstance(labelled, bool):
        raise ValueError("it does not say what it learned from")
    return (shape[0], shape[1], shape[2]), tuple(classes), labelled


def _fit(network: FeatureNetwork, tensors: dict[str, torch.Tensor]) -> None:
    expected = network.state_dict()
    for name in sorted(set(expected) | set(tensors)):
        own, found = expected.get(name), tensors.get(name)
        if own is None or found is None or own.shape != found.shape or own.dtype != found.dtype:
            raise ValueError(f"its weights are those of another network ({name})")
        if not (found.abs() <= _LARGEST).all():
            raise ValueError(f"its numbers are not finite, or too large ({name})")
        if (name == "unit" or name.endswith("running_var")) and not (found >= 0).all():
            raise ValueError(f"a scale is negative ({name})")
    if not tensors["unit"] > 0:
        raise ValueError("its unit is 0")


def _key(images: Images, labels: NDArray[np.integer] | None, classes: Sequence[str] | None, seed: int) -> str:
    """Return a digest of all that the weights depend on."""
    about = {
        "format": _FORMAT,
        "settings": SETTINGS,
        "shape": images.shape,
        "classes": None if classes is None else list(classes),
        "seed": seed,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    per_image = max(1, images[:1].nbytes)
    for start in range(0, len(images), rows := max(1, _AT_ONCE // per_image)):
        digest.update(np.ascontiguousarray(images[start : start + rows]).data)
    if labels is not None:
        digest.update(b"labels")
        given = np.asarray(labels)
        if not np.issubdtype(given.dtype, np.integer):
            raise InputError(f"Labels of type {given.dtype} are no classes.", "Give whole numbers.")
        digest.update(np.ascontiguousarray(given, dtype="<i8").data)
    return digest.hexdigest()
