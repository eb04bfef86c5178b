"""What is a fault, or a sound pipeline, in the grid? How it is made, and what a right answer to it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .networks import Recipe, Trained, trained
from .pipelines import Wrapped, levels

__all__ = ["MOST", "PLANE", "SMALL", "SPLIT", "Case", "Make", "Question", "around", "half_of", "plain"]

Question = dict[str, Any]
Make = Callable[[str, str, int, str], Question]
"""(variant, data, seed, way) -> the arguments of ``diagnose``."""

PLANE = ("moons", "blobs")
SMALL = (*PLANE, "table5")
SPLIT = "third"  # another word makes other halves, and other cells of a round, once these are known
MOST = (*SMALL, "table12", "digits")


def half_of(name: str) -> str:
    """Return ``tuning`` or ``held-back``, by a hash of a name."""
    return ("tuning", "held-back")[hashlib.sha256(f"{SPLIT} {name}".encode()).digest()[0] % 2]


@dataclass(frozen=True)
class Case:
    """A fault, or a sound pipeline, in its variants.

    Attributes
    ----------
    name, kind : str
    make : callable
    accept : tuple of str
        A first finding is right if one of these stands in its code, title or fix; empty for sound pipelines.
    variants, data, ways : tuple of str
    """

    name: str
    kind: str
    make: Make
    accept: tuple[str, ...] = ()
    variants: tuple[str, ...] = ("",)
    data: tuple[str, ...] = SMALL
    ways: tuple[str, ...] = ("module",)

    @property
    def sound(self) -> bool:
        return self.kind == "sound"

    @property
    def half(self) -> str:
        return half_of(self.name)

    def is_right(self, finding: dict[str, Any] | None) -> bool:
        """Return whether a first finding is right; None stands for none."""
        if finding is None:
            return self.sound
        said = " ".join(str(finding[part]) for part in ("code", "title", "fix")).lower()
        return any(word in said for word in self.accept)


def plain(data: str, seed: int, **changes: Any) -> Trained:
    return trained(Recipe(data, seed, **changes))


def around(base: Trained, change: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> nn.Module:
    """Wrap a network of noise: ``change(eps, x, alpha, sigma)`` becomes its output."""
    betas = base.betas

    def changed(inner: nn.Module, x: Tensor, t: Tensor) -> Tensor:
        return change(inner(x, t), x, *levels(betas, t, x))

    return Wrapped(base.network, changed)
