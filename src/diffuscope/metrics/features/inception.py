"""How are published FID and KID values computed? In the features of InceptionV3, if they are installed.

Published Fréchet and kernel distances use 2,048 features of a network trained on ImageNet (Heusel et al.
2017). The package ``torch-fidelity`` computes them; its weights are a file of 95 MB. Nothing is downloaded
here, and the digest of the file is checked: another pickle could execute code.
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
    """The 2,048 features of InceptionV3, as in published distances.

    The Fréchet distance needs many thousand images; the kernel distance fewer.

    Parameters
    ----------
    weights : str or Path, optional
        The file ``weights-inception-2015-12-05-6726825d.pth``; in torch's download folder by default.
    device : str
        Device of the network.

    Raises
    ------
    InputError
        When the package is not installed, or the file is missing or another one.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None, device: str = "cpu") -> None:
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise InputError(
                f"Features of InceptionV3 need the package torch-fidelity, which is not installed ({error}).",
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
                f"{path} is not the weights file of published distances (wrong digest), and was not read.",
                f"Download {_FILE} from the releases of torch-fidelity; its SHA-256 is {_SHA256}.",
            )
        self._network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        ).to(device)
        self._device = device

    def features(self, images: Images) -> NDArray[np.float32]:
        """Return the features (n, 2048) of images (n, C, H, W), RGB or grey."""
        images = checked_images(images)
        if images.shape[1] not in (1, 3):
            raise InputError(
                f"Images must have 1 or 3 channels; these have {images.shape[1]} channels.",
                "Give grey or RGB images.",
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
