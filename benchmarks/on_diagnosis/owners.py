"""Who asks about a pipeline, and what can they change about it? Owners of loops, of runs and of folders.

A change is what a person does who has read a finding: another argument, another line of the loop, another
training. What they did before to a trained network they do again to the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .foreign import imported, run_of
from .networks import Trained, trained
from .pipelines import Pipeline, Wrapped, question

__all__ = ["FolderOwner", "Owner", "RunOwner", "asked"]

Question = dict[str, Any]


@dataclass(frozen=True)
class Owner:
    """The owner of a pipeline of networks in plain torch, and how they asked."""

    pipeline: Pipeline
    way: str
    seed: int

    def asks(self) -> Question:
        return question(self.pipeline, self.way, self.seed)

    def changed(self, **parts: Any) -> Owner | None:
        """Return the owner of a changed pipeline; None where nothing is another."""
        same = all(getattr(self.pipeline, name) is value for name, value in parts.items())
        return None if same else replace(self, pipeline=replace(self.pipeline, **parts))

    def stepping(self, **parts: Any) -> Owner | None:
        """Return the owner of a loop with other steps."""
        steps = replace(self.pipeline.steps, **parts)
        return None if steps == self.pipeline.steps else self.changed(steps=steps)

    def retrained(self, **recipe: Any) -> Owner | None:
        """Return the owner after another training, who does again to the network what they did before."""
        pipeline = self.pipeline
        base = pipeline.base
        assert isinstance(base, Trained)
        new = replace(base.recipe, **recipe)
        if new == base.recipe or pipeline.wraps in ("rounded", "buffers"):
            return None  # weights would be rounded again, and buffers not copied
        made = trained(new)
        module = pipeline.module
        module = Wrapped(made.network, module.around) if isinstance(module, Wrapped) else made.network
        if pipeline.wraps == "mode":
            module.train()
        scales = {} if new.scaling == base.recipe.scaling and new.change == base.recipe.change else {
            "shift": made.shift, "scale": made.scale}  # fmt: skip
        betas = {} if new.schedule == base.recipe.schedule else {"betas": made.betas}
        known = {
            "losses": made.losses,
            "learning_rate": new.rate,
            "trained_steps": new.steps,
            "raw": made.raw,
        }
        more = pipeline.more | {name: known[name] for name in known if name in pipeline.more}
        data = {} if new.change == base.recipe.change else {"data": made.data}
        parts = {"base": made, "module": module, "more": more} | data | scales | betas
        return replace(self, pipeline=replace(pipeline, **parts))

    def unwrapped(self, kind: str) -> Owner | None:
        """Return the owner of a network without what was put around it, where that is of a kind."""
        pipeline = self.pipeline
        if pipeline.wraps != kind or not isinstance(pipeline.module, Wrapped):
            return None
        return replace(self, pipeline=replace(pipeline, module=pipeline.module.inner, wraps=""))


def asked(pipeline: Pipeline, way: str, seed: int) -> Question:
    """Return the question about a pipeline, with its owner."""
    owner = Owner(pipeline, way, seed)
    return owner.asks() | {"owner": owner}


@dataclass(frozen=True)
class RunOwner:
    """The owner of a run of our trainer: the text names flags, which they set, and train again."""

    data: str
    seed: int
    settings: dict[str, Any]

    def asks(self) -> Question:
        return run_of(self.data, self.seed, **self.settings)


@dataclass(frozen=True)
class FolderOwner:
    """The owner of a pipeline of diffusers: its training, and what its folder says otherwise."""

    seed: int
    steps: int
    betas: dict[str, Any]
    config: dict[str, Any]

    def asks(self) -> Question:
        return imported(self.seed, self.steps, 2e-3, self.betas, self.config)
