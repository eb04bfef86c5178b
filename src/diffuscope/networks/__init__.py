"""The networks: maps from (x, condition) to the shape of x, independent of the schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

from diffuscope.networks.annotated_unet import AnnotatedUNet
from diffuscope.networks.article_mlp import ArticleMLP
from diffuscope.networks.diffusers_unet import DiffusersUNet
from diffuscope.networks.dit import DiT
from diffuscope.networks.resmlp import ResMLP
from diffuscope.networks.unet import UNet

__all__ = [
    "NETWORKS",
    "AnnotatedUNet",
    "ArticleMLP",
    "DiT",
    "DiffusersUNet",
    "ResMLP",
    "UNet",
    "network_kind",
]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "article_mlp": ArticleMLP,
    "resmlp": ResMLP,
    "unet": UNet,
    "dit": DiT,
    "annotated_unet": AnnotatedUNet,
    "diffusers_unet": DiffusersUNet,
}


def network_kind(factory: Callable[..., nn.Module]) -> Literal["vector", "image"]:
    """Return what a network takes: vectors (n, d) or images (n, channels, height, width).

    A network in the registry says it by its attribute ``kind``; without one it takes vectors.
    """
    kind: Literal["vector", "image"] = getattr(factory, "kind", "vector")
    return kind
