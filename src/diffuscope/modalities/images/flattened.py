"""How is a model of images diagnosed? As one of rows of pixels, with the same weights."""

from __future__ import annotations

from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = ["FlatNetwork", "flat_denoiser", "flattened"]


class FlatNetwork(nn.Module):
    """A network of images of a shape (channels, height, width), which maps rows of their pixels."""

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map rows (n, d) to rows."""
        answer: Tensor = self.network(x.reshape(-1, *self.shape), condition)
        return answer.flatten(1)


def flat_denoiser(denoiser: Denoiser, shape: tuple[int, ...]) -> Denoiser:
    """Return a denoiser of images as one of rows of pixels, with the same weights."""
    return Denoiser(
        FlatNetwork(denoiser.network, shape),
        denoiser.schedule,
        denoiser.prediction,
        denoiser.sigma_data,
        denoiser.conditioning,
    )


def flattened(denoiser: DenoiserLike, shape: tuple[int, ...]) -> DenoiserLike:
    """Return any denoiser of images as one of rows of pixels."""

    def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
        return denoiser(x_t.reshape(-1, *shape), level).flatten(1)

    return denoise
