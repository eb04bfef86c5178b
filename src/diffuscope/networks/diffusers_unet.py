"""The U-Net of Hugging Face diffusers, ``UNet2DModel``, for models to import and to export.

The network is that of the package, imported only when it is used; its settings are checked here. They have
the names of its ``config.json``; other keys of that file are not supported.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from diffuscope.errors import InputError
from diffuscope.networks.blocks import ImageNetwork
from diffuscope.networks.unet import Shape, check_channels

__all__ = ["DiffusersUNet"]

_Positive = Annotated[int, Field(ge=1, le=2**13)]
_Down = Literal["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]
_Up = Literal["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"]


class DiffusersUNet(ImageNetwork):
    """``diffusers.UNet2DModel``, conditioned on the time and, if there are classes, on the class.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of the images.
    classes : int
        Number of classes; 0: unconditional. ``num_class_embeds`` has one row more, for the null class.
    conditioning : {"time"}
        The step, from 0.
    **settings
        Those of ``UNet2DModel``, with its names.
    """

    def __init__(
        self,
        shape: Shape,
        classes: int = 0,
        block_out_channels: tuple[_Positive, ...] = (64, 128),
        down_block_types: tuple[_Down, ...] = ("DownBlock2D", "AttnDownBlock2D"),
        up_block_types: tuple[_Up, ...] = ("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block: Annotated[int, Field(ge=1, le=16)] = 1,
        mid_block_type: Literal["UNetMidBlock2D"] = "UNetMidBlock2D",
        add_attention: bool = True,
        attention_head_dim: _Positive | None = 8,
        norm_num_groups: _Positive = 32,
        attn_norm_num_groups: _Positive | None = None,
        norm_eps: Annotated[float, Field(gt=0, lt=1)] = 1e-5,
        act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu",
        resnet_time_scale_shift: Literal["default", "scale_shift"] = "default",
        mid_block_scale_factor: Annotated[float, Field(gt=0, le=1e3)] = 1.0,
        downsample_padding: Annotated[int, Field(ge=0, le=1)] = 1,
        downsample_type: Literal["conv", "resnet"] = "conv",
        upsample_type: Literal["conv", "resnet"] = "conv",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        center_input_sample: bool = False,
        time_embedding_type: Literal["positional", "learned"] = "positional",
        time_embedding_dim: _Positive | None = None,
        num_train_timesteps: Annotated[int, Field(ge=1, le=100_000)] | None = None,
        flip_sin_to_cos: bool = True,
        freq_shift: Annotated[int, Field(ge=0, le=1)] = 0,
        conditioning: Literal["time"] = "time",
    ) -> None:
        settings = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "shape", "classes", "conditioning", "__class__")
        }
        super().__init__()
        self.conditioning, self.classes = conditioning, classes
        check_channels(block_out_channels)
        stride = 2 ** (len(block_out_channels) - 1)
        if shape[1] % stride or shape[2] % stride:
            raise InputError(
                f"Images of {shape[1]} × {shape[2]} cannot be halved {len(block_out_channels) - 1} times.",
                f"Give fewer block_out_channels, or images whose height and width are multiples of {stride}; "
                "the network 'unet' accepts any size.",
            )
        if time_embedding_type == "learned" and num_train_timesteps is None:
            raise InputError(
                "time_embedding_type = 'learned' needs the number of steps.",
                "Set num_train_timesteps to the T of the schedule.",
            )
        kinds = zip(block_out_channels, down_block_types, strict=False)
        attended = [channels for channels, kind in kinds if "Attn" in kind]
        attended += [block_out_channels[-1]] * add_attention
        if attention_head_dim is not None and attended and min(attended) < attention_head_dim:
            raise InputError(
                f"attention_head_dim = {attention_head_dim} is larger than the {min(attended)} channels.",
                "Choose a divisor of the channels.",
            )
        try:
            from diffusers.models.unets.unet_2d import UNet2DModel
        except ImportError as error:
            raise InputError(
                "The network 'diffusers_unet' needs the package diffusers, which is not installed.",
                "Install it: pip install 'diffuscope[diffusers]'",
            ) from error
        try:
            self.model: nn.Module = UNet2DModel(
                sample_size=shape[1:],
                in_channels=shape[0],
                out_channels=shape[0],
                num_class_embeds=classes + 1 if classes else None,
                **settings,
            )
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise InputError(
                f"These settings are not valid for diffusers' UNet2DModel: {error}",
                "Channels must be multiples of norm_num_groups and of attention_head_dim, and there must be "
                "as many down_block_types and up_block_types as block_out_channels.",
            ) from error

    def forward(self, x: Tensor, condition: Tensor, label: Tensor | None = None) -> Tensor:
        """Map images (n, c, h, w) at times (n,), with labels (n,) or without, to the same shape."""
        if self.classes and label is None:
            label = condition.new_full((len(x),), self.classes).long()
        (output,) = self.model(x, condition, label, return_dict=False)
        return output  # type: ignore[no-any-return]
