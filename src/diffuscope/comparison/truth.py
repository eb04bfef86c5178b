"""What are samples held against? The reference of each run, kept on disk so that all its cells share it.

It is the reference by which ``train`` and ``evaluate`` measure (:mod:`diffuscope.modalities.reference`): real
clouds and floor of the run's own seed, so that the spread over seeds has that of the real draws in it. Cells
of a seed share them, and the noise that sampling starts from, so that cells differ by what they are and not
by luck. Where training sets of several sizes are compared, all are measured in clouds of the largest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from diffuscope.comparison.grid import Training
from diffuscope.data.base import Codec
from diffuscope.modalities.lookup import modality
from diffuscope.modalities.reference import DRAWS, PAIRS, Reference

__all__ = ["law_of", "prepare_references"]


def prepare_references(folder: Path, trainings: Sequence[Training]) -> dict[str, tuple[Path, Reference]]:
    """Return file and reference for each training, by its digest; draw and measure what is not there yet."""
    plain = {}
    for training in trainings:
        plain[training.digest] = modality(training.data.kind).reference(
            training.data, _codec(training), seed=training.recipe.seed
        )
    sizes: dict[str, int] = {}
    for training in trainings:
        law = law_of(training)
        sizes[law] = max(sizes.get(law, 0), plain[training.digest].n)
    found = {}
    for training in trainings:
        n, reference = sizes[law_of(training)], plain[training.digest]
        path = folder / f"{_digest(training, n)[:16]}.npz"
        if not path.is_file():
            if reference.n != n:
                reference = modality(training.data.kind).reference(
                    training.data, _codec(training), seed=training.recipe.seed, n=n
                )
            reference.save(path)
        found[training.digest] = path, Reference.load(path)
    return found


def _codec(training: Training) -> Codec:
    return modality(training.data.kind).codec(training.data, training.recipe.data)


def law_of(training: Training) -> str:
    """Return what training sets of one law have in common, whatever their size and seed."""
    source = {k: v for k, v in training.data.source.items() if k not in ("size", "seed", "path")}
    return json.dumps([training.data.kind, source], sort_keys=True)


def _digest(training: Training, n: int) -> str:
    """Return what a reference is known by: data, seed, and the size and number of its clouds."""
    data = training.data
    source = {**data.source, "path": None}
    content = data.digest()
    text = json.dumps([data.kind, source, content, training.recipe.seed, n, DRAWS, PAIRS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
