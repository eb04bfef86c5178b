"""How is a run gone on with? From its last checkpoint: all numbers that the next step depends on.

``checkpoints/step_000001000.safetensors`` holds the weights, Adam's two moments, the averaged weights
and the network's buffers, with the step and a fingerprint of data and recipe in its metadata. Random
streams need no state (:mod:`diffuscope.seeds`). Files are written whole or not at all; the last two
are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from diffuscope.errors import FormatError, RunError
from diffuscope.tensors import load_tensors, save_tensors

__all__ = ["Checkpoints"]

_NAME = re.compile(r"^step_(\d+)\.safetensors$")
_FORMAT = "diffuscope-checkpoint-1"


class Checkpoints:
    """The checkpoints of one run.

    Parameters
    ----------
    folder : Path
        Where they lie; made when the first is written.
    fingerprint : str
        Of everything that the weights depend on; a checkpoint with another one is refused.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def paths(self) -> dict[int, Path]:
        """Return the checkpoints that there are, by step, rising."""
        found = ((_NAME.match(path.name), path) for path in self.folder.glob("step_*.safetensors"))
        return dict(sorted((int(match[1]), path) for match, path in found if match))

    def save(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write the checkpoint of ``step``, then remove all but the last two."""
        path = self.folder / f"step_{step:09d}.safetensors"
        save_tensors(path, tensors, _FORMAT, {"step": str(step), "fingerprint": self.fingerprint})
        for old in list(self.paths().values())[:-2]:
            old.unlink(missing_ok=True)

    def load_last(self) -> tuple[int, dict[str, Tensor]] | None:
        """Return step and tensors of the last checkpoint, or None where there is none.

        Raises
        ------
        RunError
            When it belongs to other data, another recipe or another seed.
        FormatError
            When the file is damaged.
        """
        paths = self.paths()
        if not paths:
            return None
        step, path = list(paths.items())[-1]
        try:
            tensors, metadata = load_tensors(path, _FORMAT)
        except FormatError as error:
            raise FormatError(error.what, "Remove it, and the run goes on from the one before.") from error
        if metadata.get("fingerprint") != self.fingerprint:
            raise RunError(
                f"{path} was made with other data, another recipe or another seed.",
                "Resume with what the run was started with, or start a new one in another folder.",
            )
        if metadata.get("step") != str(step):
            raise FormatError(f"{path} says that it is of step {metadata.get('step')}.", "Remove it.")
        return step, tensors
