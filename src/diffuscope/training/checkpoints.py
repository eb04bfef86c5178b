"""How is a run resumed? From its last checkpoint, which holds the complete state of training.

``checkpoints/step_000001000.safetensors`` holds the weights, Adam's two moments, the averaged weights
and the network's buffers, with the step and a fingerprint of data and recipe in its metadata. Random streams
need no state (:mod:`diffuscope.seeds`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from diffuscope.errors import FormatError, RunError
from diffuscope.tensors import load_tensors, save_tensors

__all__ = ["Checkpoints"]

_NAME = re.compile(r"^step_(\d+)\.safetensors$")
_FORMAT = "diffuscope-checkpoint-1"


@dataclass
class Checkpoints:
    """The checkpoints of one run; those with another fingerprint of data, recipe and seed are refused.

    ``also`` are fingerprints that are accepted besides its own.
    """

    folder: Path
    fingerprint: str
    also: tuple[str, ...] = ()

    def paths(self) -> dict[int, Path]:
        """Return the paths of all checkpoints by step, in ascending order."""
        found = ((_NAME.match(path.name), path) for path in self.folder.glob("step_*.safetensors"))
        return dict(sorted((int(match[1]), path) for match, path in found if match))

    def save(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write the checkpoint of ``step``, and remove all but the last two."""
        path = self.folder / f"step_{step:09d}.safetensors"
        save_tensors(path, tensors, _FORMAT, {"step": str(step), "fingerprint": self.fingerprint})
        for old in list(self.paths().values())[:-2]:
            old.unlink(missing_ok=True)

    def load_last(self) -> tuple[int, dict[str, Tensor]] | None:
        """Return step and tensors of the last checkpoint, or None where there is none.

        Other data, another recipe or another seed are a RunError, a damaged file is a FormatError.
        """
        paths = self.paths()
        if not paths:
            return None
        step, path = max(paths.items())
        try:
            tensors, metadata = load_tensors(path, _FORMAT)
        except FormatError as error:
            hint = "Remove it; the run then resumes from the previous checkpoint."
            raise FormatError(error.what, hint) from error
        if metadata.get("fingerprint") not in (self.fingerprint, *self.also):
            raise RunError(
                f"{path} belongs to a run with other data, another recipe or another seed.",
                "Resume with the data, recipe and seed of that run, or start a new run in another folder.",
            )
        if metadata.get("step") != str(step):
            raise FormatError(
                f"{path} was renamed: it holds step {metadata.get('step')}.",
                "Restore its name, or remove it.",
            )
        return step, tensors
