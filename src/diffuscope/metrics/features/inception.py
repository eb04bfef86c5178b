"""How are images compared in the features that papers use? In those of InceptionV3, where they are at hand.

Published Fréchet and kernel distances are of the 2,048 features of a network that was trained on ImageNet
(Heusel et al. 2017). Package ``torch-fidelity`` computes them as published; its weights are a file of 95 MB.
Nothing is downloaded here, and the package is given no file but that very one, told by its digest: it would
run what another holds.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.metrics.features.classifier import Images, checked_images

__all__ = ["InceptionFeatures"]

_FILE = "weights-inception-2015-12-05-6726825d.pth"
_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_BATCH = 32


class InceptionFeatures:
    """The 2,048 features of InceptionV3, as published distances use them.

    Their Fréchet distance wants many thousand images; the kernel distance does with fewer.

    Parameters
    ----------
    weights : str or Path, optional
        The file ``weights-inception-2015-12-05-6726825d.pth``; where torch keeps what was downloaded by
        default.
    device : str
        Where the network runs.

    Raises
    ------
    InputError
        When the package is not installed, or the file is not there or not the right one.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None, device: str = "cpu") -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise InputError(
                f"Features of InceptionV3 need the package torch-fidelity, which is not to be had ({error}).",
                "Install it (pip install torch-fidelity), or use the built-in classifier.",
            ) from error
        path = Path(torch.hub.get_dir()) / "checkpoints" / _FILE if weights is None else Path(weights)
        if not path.is_file():
            raise InputError(
                f"The weights of InceptionV3 are not at {path}.",
                f"Download {_FILE} from the releases of torch-fidelity, or use the built-in classifier.",
            )
        if _digest(path) != _SHA256:
            raise InputError(
                f"{path} is not the file of weights that published distances use, and was not read.",
                f"Download {_FILE} from the releases of torch-fidelity; its SHA-256 is {_SHA256}.",
            )
        self._network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        ).to(device)
        self._device = device

    def features(self, images: Images) -> NDArray[np.float32]:
        """Return the features (n, 2048) of images (n, C, H, W), grey ones taken for colour ones.

        Raises
        ------
        InputError
            When images have neither one channel nor three.
        """
        images = checked_images(images)
        if images.shape[1] not in (1, 3):
            raise InputError(
                f"Images of {images.shape[1]} channels are neither grey nor in colour.",
                "Give one channel or three.",
            )
        rows = [np.empty((0, 2048), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                part = torch.from_numpy(np.array(images[start : start + _BATCH])).to(self._device)
                found = self._network(part.expand(-1, 3, -1, -1))[0]
                rows.append(found.float().cpu().numpy())
        return np.concatenate(rows)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
