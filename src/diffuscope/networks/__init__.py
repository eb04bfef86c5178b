"""The networks: maps from (x, condition) to the shape of x, which know nothing of schedules."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from diffuscope.networks.article_mlp import ArticleMLP
from diffuscope.networks.resmlp import ResMLP

__all__ = ["NETWORKS", "ArticleMLP", "ResMLP"]

NETWORKS: dict[str, Callable[..., nn.Module]] = {"article_mlp": ArticleMLP, "resmlp": ResMLP}
