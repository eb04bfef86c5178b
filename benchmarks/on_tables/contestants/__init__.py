"""Which methods take part? Each a file and a class, and the environment that it runs in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from on_tables.contestants.base import Contestant

__all__ = ["CONTESTANTS", "Entry"]


@dataclass(frozen=True)
class Entry:
    """A method.

    Attributes
    ----------
    place : str
        "module:class" within this folder; nothing of it is imported before ``make``.
    environment : str or None
        Which environment it runs in, by the name of its requirements; None is the package's own.
    does : str
        "rows", "holes", "densities": what it is asked for.
    """

    place: str
    environment: str | None
    does: tuple[str, ...]

    def make(self) -> Contestant:
        """Import the method and make one."""
        module, name = self.place.split(":")
        made: Contestant = getattr(import_module(f"on_tables.contestants.{module}"), name)()
        return made


CONTESTANTS = {
    "ours": Entry("ours:Diffusion", None, ("rows", "holes", "densities")),
    "trees": Entry("trees:Trees", None, ("rows",)),
    "arf": Entry("arf:Arf", "arfpy", ("rows",)),
    "argn": Entry("argn:Argn", "mostlyai", ("rows", "holes")),
    "copula": Entry("sdv:Copula", "sdv", ("rows",)),
    "tvae": Entry("sdv:Tvae", "sdv", ("rows",)),
    "ctgan": Entry("sdv:Ctgan", "sdv", ("rows",)),
    "mixture": Entry("mixture:GaussianMixture", None, ("rows", "holes", "densities")),
    "flow": Entry("flow:Flow", "zuko", ("densities",)),
    "missforest": Entry("forest:MissForest", None, ("holes",)),
    "miceforest": Entry("mice:MiceForest", "miceforest", ("holes",)),
    "memory": Entry("simple:Memory", None, ("rows",)),
    "means": Entry("simple:Means", None, ("holes",)),
}
"""The methods, by name."""
