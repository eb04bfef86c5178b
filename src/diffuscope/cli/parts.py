"""What parts and settings are there, and what are their defaults?

``diffuscope list`` shows them from parts.json, so that it need not load torch. A test holds that file to this
module; ``python -m diffuscope.cli.parts`` writes it anew.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffuscope.data.kinds import KINDS, section_of
from diffuscope.diffusion.samplers import SAMPLERS
from diffuscope.diffusion.schedules import SCHEDULES
from diffuscope.networks import NETWORKS
from diffuscope.recipes import Recipe

__all__ = ["parts_and_settings"]

_Rows = dict[str, str]


def parts_and_settings() -> dict[str, _Rows]:
    """Return of each list the names, with their settings or defaults."""
    return {
        "schedules": _parts(SCHEDULES),
        "samplers": _parts(SAMPLERS),
        "networks": _parts(NETWORKS),
        "settings": _settings(),
    }


def _settings() -> _Rows:
    rows = {"seed": _default_of(Recipe.model_fields["seed"])}
    for kind in KINDS:
        for key, field in section_of(kind).model_fields.items():
            rows.setdefault(f"data.{key}", _default_of(field) if key != "kind" else ", ".join(KINDS))
    for name, section in Recipe.model_fields.items():
        fields = getattr(section.annotation, "model_fields", {})
        rows |= {f"{name}.{key}": _default_of(field) for key, field in fields.items() if name != "data"}
    more = "settings of the chosen one, see diffuscope list"
    parts = {"schedule": "schedules", "network": "networks", "sampling": "samplers"}
    return rows | {f"{name}.*": f"{more} {listed}" for name, listed in parts.items()}


def _parts(registry: Mapping[str, Callable[..., Any]]) -> _Rows:
    rows = {}
    for name, factory in registry.items():
        free = [p for p in inspect.signature(factory).parameters.values() if p.default is not p.empty]
        rows[name] = ", ".join(f"{p.name} = {p.default}" for p in free) or "no settings"
    return rows


def _default_of(field: Any) -> str:
    return "required" if field.is_required() else field.description or f"{field.default}"


if __name__ == "__main__":
    text = json.dumps(parts_and_settings(), indent=1) + "\n"
    (Path(__file__).parent / "parts.json").write_text(text, "utf-8")
