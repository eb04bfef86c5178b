"""How is a trained classifier cached? In a file named by a digest of its data and settings.

The digest covers images, labels and everything else that the weights depend on. Files contain numbers and
text, never code, and are validated: if one is damaged, of another shape or not plausible, the classifier is
trained again. If the cache cannot be written, the classifier is used anyway, with a warning.

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

__all__ = ["cached_classifier", "load_classifier"]

_FORMAT = "diffuscope-classifier-1"
_LARGEST = 1e6  # plausible weight
_AT_ONCE = 2**24  # bytes of images read at a time


def cached_classifier(
    images: Images,
    labels: NDArray[np.integer] | None = None,
    classes: Sequence[str] | None = None,
    *,
    seed: int = 0,
    progress: Reporter | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Classifier:
    """Return the classifier of these images, from the cache if it was trained before.

    Arguments and errors are those of :func:`~diffuscope.metrics.features.train_classifier`. ``folder`` is by
    default ``features`` of :func:`~diffuscope.files.cache_folder`. A UserWarning says if it cannot be cached.
    """
    key = _key(checked_images(images), labels, classes, seed)
    path: Path | None = None
    reason = "there is no home folder"
    with contextlib.suppress(DiffuscopeError, OSError, RuntimeError):  # none there, or none to be trusted
        path = Path(cache_folder() / "features" if folder is None else folder) / f"{key[:32]}.safetensors"
        return load_classifier(path, key)
    classifier = train_classifier(images, labels, classes, seed=seed, progress=progress)
    if path is not None:
        about = {"shape": classifier.shape, "classes": classifier.classes, "labelled": classifier.labelled}
        text = {"classifier": json.dumps(about), "key": key}
        try:
            save_tensors(path, classifier.network.state_dict(), _FORMAT, text)
            return classifier
        except RunError as error:
            reason = error.what
    warnings.warn(
        f"The classifier for image metrics could not be cached ({reason.rstrip('.')}); "
        "it will be trained again next time. Set XDG_CACHE_HOME to a writable folder.",
        stacklevel=2,
    )
    return classifier


def load_classifier(path: str | os.PathLike[str], key: str) -> Classifier:
    """Read a classifier; an InputError or a FormatError if it is not there, not valid or of other data."""
    tensors, text = load_tensors(path, _FORMAT)
    try:
        if text["key"] != key:
            raise ValueError("it was trained on other data")
        about = json.loads(text["classifier"])
        shape, classes, labelled = about["shape"], about["classes"], about["labelled"]
        if not isinstance(shape, list) or len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError("the shape of its images is not valid")
        if not isinstance(classes, list) or len(classes) < 2 or not all(isinstance(c, str) for c in classes):
            raise ValueError("its classes are not valid")
        if not isinstance(labelled, bool):
            raise ValueError("'labelled' must be true or false")
        with torch.device("meta"):  # shapes are checked before memory is allocated
            network = FeatureNetwork((shape[0], shape[1], shape[2]), len(classes))
        _fit(network, tensors)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"{path} is not a valid classifier: {error}.", "Remove it.") from error
    # Copies: memory mapped from a file may not be aligned.
    network.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    network.eval().requires_grad_(False)
    return Classifier(network, (shape[0], shape[1], shape[2]), tuple(classes), labelled)


def _fit(network: FeatureNetwork, tensors: dict[str, torch.Tensor]) -> None:
    """Check that weights are those of the network, and plausible."""
    expected = network.state_dict()
    for name in sorted(set(expected) | set(tensors)):
        own, found = expected.get(name), tensors.get(name)
        if own is None or found is None or own.shape != found.shape or own.dtype != found.dtype:
            raise ValueError(f"its weights belong to another network ({name})")
        if not (found.abs() <= _LARGEST).all():
            raise ValueError(f"its weights are not finite, or too large ({name})")
        if (name == "unit" or name.endswith("running_var")) and not (found >= 0).all():
            raise ValueError(f"a scale is negative ({name})")
    if not tensors["unit"] > 0:
        raise ValueError("its unit is 0")


def _key(images: Images, labels: NDArray[np.integer] | None, classes: Sequence[str] | None, seed: int) -> str:
    """Return a digest of everything that the weights depend on."""
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
        array = np.asarray(labels)
        if not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"Labels must be integers, got {array.dtype}.", "Give class numbers from 0.")
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()
