"""The networks: maps from (x, condition) to the shape of x, independent of the schedule."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from diffuscope.networks.annotated_unet import AnnotatedUNet
from diffuscope.networks.article_mlp import ArticleMLP
from diffuscope.networks.diffusers_unet import DiffusersUNet
from diffuscope.networks.dit import DiT
from diffuscope.networks.resmlp import ResMLP
from diffuscope.networks.unet import UNet

__all__ = ["NETWORKS", "AnnotatedUNet", "ArticleMLP", "DiT", "DiffusersUNet", "ResMLP", "UNet"]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "article_mlp": ArticleMLP,
    "resmlp": ResMLP,
    "unet": UNet,
    "dit": DiT,
    "annotated_unet": AnnotatedUNet,
    "diffusers_unet": DiffusersUNet,
}
