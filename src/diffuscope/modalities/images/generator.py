"""What can a model of images do? Sample images of a class, inpaint, vary and interpolate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffuscope.data.images import ImageWriter, check_image_target, to_model, to_pixels
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.inpainting import InpaintingDenoiser, RePaintSampler
from diffuscope.diffusion.predictions import eps_from_data
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.samplers import prior
from diffuscope.diffusion.schedules import Grid
from diffuscope.errors import InputError
from diffuscope.modalities.generator import EACH, LabelGenerator, Writer
from diffuscope.model import Conditioned, Rows, rows_per_block
from diffuscope.request import Request
from diffuscope.seeds import RowStreams

__all__ = ["EACH", "ImageGenerator"]

Pixels = NDArray[np.uint8]
_DETERMINISTIC = ("heun", "ddim", "euler", "dpmpp_2m", "unipc")


class ImageGenerator(LabelGenerator):
    """A model of images, uint8 of shape (n, channels, height, width)."""

    unit: ClassVar[str] = "images"
    usual: ClassVar[int] = 64
    labels_hint: ClassVar[str] = "a folder for each class"
    drawn_suffixes: ClassVar[tuple[str, ...]] = ()

    def _denoisers(self, request: Request, n: int) -> Conditioned:
        """Return what gives the denoisers of pieces of n images, conditional or not."""
        return self.conditioned(request, n) or (lambda rows: self.model.denoiser)

    # --- images ---------------------------------------------------------------------------------------------

    def check_path(self, path: Path, n: int) -> None:
        """Make sure that n images can be written there."""
        check_image_target(path, (n, *self.model.shape))

    def writer(self, path: Path, n: int, first: Any, request: Request) -> Writer:
        """Return what writes n images: one sheet, an array, or a file for each."""
        labels = request.condition
        if labels is None or self.classes:
            return ImageWriter(path, n, labels, self.classes)
        return ImageWriter(path, n, numbers=self._label_type.columns(labels, "y"))

    def frame(self, n: int, request: Request) -> Any:
        """Refuse: images are not rows of a table."""
        raise InputError(
            "This is a run of images, so samples cannot be returned as a table.",
            "Use sample for an array, or sample_to for files.",
        )

    def inpaint(
        self, images: ArrayLike, mask: ArrayLike, *, n: int = 1, resample: int = 1, **options: Any
    ) -> Pixels:
        """Generate the masked pixels of images (m, channels, height, width), uint8, given the others.

        Returns (m * n, ...): n results for each image, those of the first one first. The mask, booleans of
        shape (height, width) or (m, height, width), is True for the pixels to generate. Steps are repeated
        ``resample`` times (RePaint), see :mod:`diffuscope.diffusion.inpainting`: 5 to 10 blend edges better.
        Options are those of :meth:`diffuscope.Run.sample`; a class for all, or one for each of the m images.
        """
        pixels = self._checked(images)
        holes = np.asarray(mask)
        if holes.dtype != bool or holes.shape[-2:] != pixels.shape[2:] or holes.ndim not in (2, 3):
            raise InputError(
                f"The mask has shape {holes.shape} and type {holes.dtype}; expected booleans of shape "
                f"{pixels.shape[2:]}.",
                "True marks the pixels to generate.",
            )
        holes = np.broadcast_to(holes[..., None, :, :], pixels.shape)
        if not holes.any():
            raise InputError(
                "The mask is empty: no pixel is marked.", "Mark the pixels to generate in white."
            )
        pixels, holes = pixels.repeat(n, axis=0), holes.repeat(n, axis=0)
        request = self._repeated(self.request(options, len(pixels) // n), n)
        inner = self._denoisers(request, len(pixels))
        grid, sampler = self.model.plan(request)
        if resample != 1:
            sampler = RePaintSampler(sampler, resample)

        def of_images(rows: Rows) -> DenoiserLike:
            unknown = torch.from_numpy(holes[rows]).to(self.model.device)
            return InpaintingDenoiser(inner(rows), self._points(pixels[rows]), unknown)

        ends = self.model.ends(len(pixels), grid, sampler, request.seed, of_images)
        return np.where(holes, self._pixels(ends), pixels)

    def _repeated(self, request: Request, n: int) -> Request:
        """Return the request for n images of each."""
        labels = request.condition
        return request if labels is None else dataclasses.replace(request, condition=labels.repeat(n, axis=0))

    def _points(self, pixels: Pixels) -> Tensor:
        return to_model(torch.from_numpy(pixels)).to(self.model.device)

    def _pixels(self, ends: Iterator[Tensor]) -> Pixels:
        return np.concatenate([to_pixels(self.finite(x)) for x in ends])

    def vary(self, images: ArrayLike, strength: float = 0.5, *, n: int = 1, **options: Any) -> Pixels:
        """Generate n variants of each image: it is noised, and sampled from there (SDEdit, Meng et al. 2022).

        Images are (m, channels, height, width), uint8, results (m * n, ...). ``strength`` is the fraction of
        the sampling steps, above 0 to 1: 0.2 changes details, 0.8 all but the rough shape. Options are as for
        :meth:`inpaint`.
        """
        if not 0 < strength <= 1:
            raise InputError(
                f"strength must be above 0 and at most 1, not {strength}.", "Use 0.5, for example."
            )
        pixels = self._checked(images)
        request = self._repeated(self.request(options, len(pixels)), n)
        grid, sampler = self.model.plan(request)
        grid = grid.after(grid.n_steps - max(1, round(strength * grid.n_steps)))
        pixels = pixels.repeat(n, axis=0)
        level = grid.levels.at(0)

        def begin(rows: Rows, noise: Tensor) -> Tensor:
            return q_sample(self._points(pixels[rows]), level, noise / grid.prior_std)

        of_images = self._denoisers(request, len(pixels))
        return self._pixels(self.model.ends(len(pixels), grid, sampler, request.seed, of_images, begin))

    def interpolate(self, n: int, *, images: ArrayLike | None = None, **options: Any) -> Pixels:
        """Interpolate between two images, uint8 (2, channels, height, width), or two samples; return n.

        With a deterministic sampler ("heun" by default) each image comes from one noise, see :meth:`encode`.
        These are interpolated on a great circle (Song et al. 2021, section 5.3), and each of its points is
        sampled to an image. Options are those of :meth:`diffuscope.Run.sample`; one class for all.
        """
        if n < 2:
            raise InputError(f"An interpolation needs at least 2 images, not {n}.", "Use 9, for example.")
        request = self.request({"sampler": "heun", **options}, n)
        if request.sampler not in _DETERMINISTIC or request.settings.get("eta"):
            raise InputError(
                f"Interpolation needs a deterministic sampler, and {request.sampler!r} is random.",
                f"Choose {', '.join(_DETERMINISTIC)}, without eta.",
            )
        grid, sampler = self.model.plan(request)
        of_images = self._denoisers(request, n)
        if images is None:
            block = rows_per_block(self.model.shape)
            streams = RowStreams(request.seed, 0, 2, block, self.model.device)
            ends = prior(grid, (2, *self.model.shape), streams)
        else:
            pixels = self._checked(images)
            if len(pixels) != 2:
                raise InputError(
                    f"Got {len(pixels)} images; expected 2, the start and the end of the interpolation.",
                    "Give two images.",
                )
            ends = self._encoded(self._points(pixels), of_images(np.arange(2)), grid)
        between = _great_circle(ends[0], ends[1], n)

        def begin(rows: Rows, noise: Tensor) -> Tensor:
            return between[torch.from_numpy(rows).to(between.device)].to(noise.device)

        made = self._pixels(self.model.ends(n, grid, sampler, request.seed, of_images, begin))
        if images is not None:
            made[[0, -1]] = pixels
        return made

    def encode(self, images: ArrayLike, **options: Any) -> Tensor:
        """Return the noise of images under deterministic sampling, (m, channels, height, width).

        It has the standard deviation of the prior; "heun" samples the images again in as many steps.
        """
        pixels = self._checked(images)
        request = self.request({"sampler": "heun", **options}, len(pixels))
        request = dataclasses.replace(request, guidance=1.0)
        grid, _ = self.model.plan(request)
        denoiser = self._denoisers(request, len(pixels))(np.arange(len(pixels)))
        return self._encoded(self._points(pixels), denoiser, grid)

    @torch.no_grad()
    def _encoded(self, x_0: Tensor, denoiser: DenoiserLike, grid: Grid) -> Tensor:
        r"""Follow :math:`d(x/\alpha) / d(\sigma/\alpha) = \hat\epsilon` to the noise, by Heun's steps."""
        levels = grid.levels
        if levels.alpha[0] == 0:
            raise InputError(
                "Images cannot be inverted to noise with a schedule of zero terminal SNR.",
                "Interpolate between samples, or train with another schedule.",
            )
        last = grid.n_steps - (1 if levels.sigma[-1] == 0 else 0)
        at = levels.at(last)  # the slope is undefined at clean data: start at the least noise
        x = coefficient(at.alpha, x_0) * x_0
        x = x + coefficient(at.sigma, x) * eps_from_data(denoiser(x, at), x, at)
        for step in reversed(range(last)):
            now, to = levels.at(step + 1), levels.at(step)
            slope = eps_from_data(denoiser(x, now), x, now)
            y, width = x / coefficient(now.alpha, x), coefficient(to.ratio - now.ratio, x)
            there = coefficient(to.alpha, x) * (y + width * slope)
            other = eps_from_data(denoiser(there, to), there, to)
            x = coefficient(to.alpha, x) * (y + width * (slope + other) / 2)
        return x

    def _checked(self, images: ArrayLike) -> Pixels:
        pixels = np.require(images, requirements="W")  # those of a file are read-only, which torch warns of
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.model.shape or not len(pixels):
            c, h, w = self.model.shape
            raise InputError(
                f"Images have shape {pixels.shape} and type {pixels.dtype}; expected uint8 of shape "
                f"(n, {c}, {h}, {w}).",
                "Resize and convert the images.",
            )
        return pixels


def _great_circle(a: Tensor, b: Tensor, n: int) -> Tensor:
    """Return n points from a to b at even angles, each as long as it would be on the way, (n, ...)."""
    cosine = (a.flatten() @ b.flatten() / (a.norm() * b.norm()).clamp_min(1e-12)).clamp(-1, 1)
    angle = torch.arccos(cosine)
    t = torch.linspace(0, 1, n, device=a.device).reshape(-1, *[1] * a.ndim)
    if angle < 1e-4:
        return a + t * (b - a)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
