"""What can a model of images be asked for? Images of a class, the rest of one, variants, ways between two.

Everything goes through the model's own denoiser, told of what is asked, and any sampler.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffuscope.data.images import to_model, to_pixels
from diffuscope.diffusion.denoiser import DenoiserLike, eps_from_data
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.inpainting import InpaintingDenoiser, RePaintSampler
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.samplers import SamplingState, prior
from diffuscope.diffusion.schedules import Grid
from diffuscope.errors import InputError, RunError, unknown_name
from diffuscope.model import Model
from diffuscope.seeds import stream

__all__ = ["ImageModel"]

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
EACH = "each"
"""In place of a class: as many of each as of the others, in turn."""


class ImageModel:
    """Questions to a model of images. Images are uint8 of shape (n, channels, height, width).

    Parameters
    ----------
    model : Model

    Raises
    ------
    InputError
        When it is one of points or rows.
    """

    def __init__(self, model: Model) -> None:
        if not model.is_of_images:
            raise InputError(
                "This is a model of points, not of images.", "Train one: diffuscope train digits."
            )
        self.model = model
        self.classes: tuple[str, ...] = model.recipe.data.classes

    def labels(self, label: Any, n: int) -> Labels | None:
        """Return the classes of n images; None: none is asked for.

        Parameters
        ----------
        label : None, int, str, "each", or sequence of n of them
            Numbers from 0, or names. ``"each"`` takes all classes in turn.

        Raises
        ------
        InputError
            When the model was told of no classes, or of none such.
        """
        if label is None:
            return None
        if not self.classes:
            raise InputError(
                "This model was trained without classes, so none can be asked for.",
                "Leave the label out, or train it on images with labels: a folder for each class.",
            )
        if isinstance(label, str) and label == EACH:
            return np.arange(n) % len(self.classes)
        if isinstance(label, str) or np.ndim(label) == 0:
            return np.full(n, self._number(label))
        labels = np.array([self._number(one) for one in label], dtype=np.int64)
        if len(labels) != n:
            raise InputError(f"{len(labels)} labels do not go with {n} images.", "Give one for each, or one.")
        return labels

    def _number(self, label: Any) -> int:
        if isinstance(label, str):
            if label in self.classes:
                return self.classes.index(label)
            if not label.isdigit():
                raise unknown_name("class", label, self.classes)
            label = int(label)
        if not isinstance(label, int | np.integer) or not 0 <= label < len(self.classes):
            raise InputError(
                f"There is no class {label!r}: this model has {len(self.classes)}.",
                f"Choose 0 to {len(self.classes) - 1}, or a name: {', '.join(self.classes[:12])}.",
            )
        return int(label)

    def batches(
        self,
        n: int,
        *,
        label: Any = None,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        seed: int = 0,
        **wanted: Any,
    ) -> Iterator[Pixels]:
        """Sample as :meth:`sample` does, in pieces: memory stays flat for any n."""
        grid, sampler = self.model.plan(**wanted)
        labels = self.labels(label, n)
        told = self._told(labels, guidance, interval)
        for x in self.model.ends(n, grid, sampler, seed, told):
            yield _pixels(x)

    def sample(self, n: int, **wanted: Any) -> Pixels:
        """Draw images.

        Parameters
        ----------
        n : int
        label : int, str, "each" or sequence of n of them, optional
            The class that is asked for, by number or name; ``"each"`` takes all in turn. Without, images
            are as mixed as the data.
        guidance : float
            Scale of classifier-free guidance: 1 is the law itself, more makes images more typical of
            their class, at the price of variety. By default the recipe's.
        interval : (float, float)
            Ratios of noise to signal between which it is done. By default the recipe's.
        seed : int
        **wanted
            ``sampler``, ``steps``, ``spacing`` and settings of the sampler, see :meth:`Model.sample`.

        Returns
        -------
        ndarray of shape (n, channels, height, width), uint8

        Raises
        ------
        InputError
            When the model was told of no such class, or the sampling cannot be had.
        """
        return np.concatenate(list(self.batches(n, **wanted)))

    def trajectory(
        self, n: int, *, label: Any = None, guidance: float | None = None, seed: int = 0, **wanted: Any
    ) -> list[SamplingState]:
        """Sample as :meth:`sample` does, and return all states of the walk, in the units of the model."""
        labels = self.labels(label, n)
        told = self._told(labels, guidance)
        return self.model.trajectory(n, told=told, seed=seed, **wanted)

    def inpaint(
        self,
        images: ArrayLike,
        mask: ArrayLike,
        *,
        n: int = 1,
        resample: int = 1,
        label: Any = None,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        seed: int = 0,
        **wanted: Any,
    ) -> Pixels:
        """Draw what lies under a mask, given the rest.

        Parameters
        ----------
        images : array_like of shape (m, channels, height, width), uint8
        mask : array_like of shape (height, width) or (m, height, width), bool
            True where something is to be drawn; all else stays as it is, to the last byte.
        n : int
            Drawings of each image.
        resample : int
            How often each step is taken, see :mod:`diffuscope.diffusion.inpainting`: 5 to 10 fit edges
            better, at as many times the cost.
        label, guidance, interval, seed, **wanted
            Of :meth:`sample`; labels are those of the m images.

        Returns
        -------
        ndarray of shape (m * n, channels, height, width), uint8
            The n drawings of the first image first.
        """
        pixels = self._checked(images)
        holes = np.asarray(mask)
        if holes.dtype != bool or holes.shape[-2:] != pixels.shape[2:] or holes.ndim not in (2, 3):
            raise InputError(
                f"A mask of shape {holes.shape} and type {holes.dtype} does not go with images of "
                f"{pixels.shape[2]} × {pixels.shape[3]} pixels.",
                "Give truth values of shape (height, width): True where something is to be drawn.",
            )
        holes = np.broadcast_to(holes[..., None, :, :], pixels.shape)
        if not holes.any():
            raise InputError(
                "The mask is empty: nothing is to be drawn.", "Mark (white) what is to be drawn."
            )
        pixels, holes = pixels.repeat(n, axis=0), holes.repeat(n, axis=0)
        labels = self.labels(label, len(pixels) // n)
        inner = self._told(None if labels is None else labels.repeat(n), guidance, interval)
        grid, sampler = self.model.plan(**wanted)
        if resample != 1:
            sampler = RePaintSampler(sampler, resample)

        def told(start: int, stop: int) -> DenoiserLike:
            known = to_model(torch.from_numpy(pixels[start:stop])).to(self.model.device)
            unknown = torch.from_numpy(holes[start:stop]).to(self.model.device)
            return InpaintingDenoiser(inner(start, stop), known, unknown)

        made = np.concatenate([_pixels(x) for x in self.model.ends(len(pixels), grid, sampler, seed, told)])
        return np.where(holes, made, pixels)

    def vary(
        self,
        images: ArrayLike,
        strength: float = 0.5,
        *,
        n: int = 1,
        label: Any = None,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        seed: int = 0,
        **wanted: Any,
    ) -> Pixels:
        """Draw variants: images are noised, and the walk goes on from there (Meng et al. 2022, SDEdit).

        Parameters
        ----------
        images : array_like of shape (m, channels, height, width), uint8
        strength : float
            The share of the walk's steps that are taken: 0.2 redraws details, 0.8 all but the rough shape.
        n : int
            Variants of each image.
        label, guidance, interval, seed, **wanted
            Of :meth:`sample`.

        Returns
        -------
        ndarray of shape (m * n, channels, height, width), uint8
        """
        if not 0 < strength <= 1:
            raise InputError(
                f"A strength of {strength} cannot be.", "Give a share of the walk: above 0, to 1."
            )
        pixels = self._checked(images)
        grid, sampler = self.model.plan(**wanted)
        grid = grid.after(grid.n_steps - max(1, round(strength * grid.n_steps)))
        labels = self.labels(label, len(pixels))
        told = self._told(None if labels is None else labels.repeat(n), guidance, interval)
        pixels = pixels.repeat(n, axis=0)
        level = grid.levels.at(0)

        def begin(start: int, stop: int, noise: Tensor) -> Tensor:
            x_0 = to_model(torch.from_numpy(pixels[start:stop])).to(noise.device)
            return q_sample(x_0, level, noise / grid.prior_std)

        ends = self.model.ends(len(pixels), grid, sampler, seed, told, begin)
        return np.concatenate([_pixels(x) for x in ends])

    def interpolate(
        self,
        n: int,
        *,
        images: ArrayLike | None = None,
        label: Any = None,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        seed: int = 0,
        steps: int | None = None,
        **wanted: Any,
    ) -> Pixels:
        """Sample from one image to another by n images, through the noise that each comes from.

        Where walks are deterministic each image has one noise. Between two of them lies the great circle
        (Song et al. 2021, section 5.3), and every point of it leads to an image.

        Parameters
        ----------
        n : int
            With the first and the last.
        images : array_like of shape (2, channels, height, width), uint8, optional
            The ends, brought to their noise by :meth:`encode`; two samples by default.
        label, guidance, interval, seed
            Of :meth:`sample`; one class for all.
        steps, **wanted
            Of the walk; the sampler, "heun" by default, has to be deterministic.

        Returns
        -------
        ndarray of shape (n, channels, height, width), uint8
        """
        if n < 2:
            raise InputError(f"{n} images do not lead from one to another.", "Ask for at least 2.")
        wanted = {"sampler": "heun", **wanted}
        if wanted["sampler"] not in _DETERMINISTIC or wanted.get("eta"):
            raise InputError(
                f"Walks by {wanted['sampler']!r} are random: an image has no one noise.",
                f"Choose among {', '.join(_DETERMINISTIC)}, without eta.",
            )
        grid, sampler = self.model.plan(steps=steps, **wanted)
        labels = self.labels(label, n)
        if images is None:
            ends = prior(grid, (2, *self.model.shape), stream(seed, "sample", 0))
        else:
            pixels = self._checked(images)
            if len(pixels) != 2:
                raise InputError(f"{len(pixels)} images are not two ends.", "Give two.")
            own = None if labels is None else labels[:2]
            told = self._told(own, guidance, interval)(0, 2)
            ends = self._encoded(to_model(torch.from_numpy(pixels)).to(self.model.device), told, grid)
        between = _great_circle(ends[0], ends[1], n)

        def begin(start: int, stop: int, noise: Tensor) -> Tensor:
            return between[start:stop].to(noise.device)

        told_all = self._told(labels, guidance, interval)
        made = np.concatenate([_pixels(x) for x in self.model.ends(n, grid, sampler, seed, told_all, begin)])
        if images is not None:
            made[[0, -1]] = pixels
        return made

    def encode(self, images: ArrayLike, *, label: Any = None, steps: int | None = None) -> Tensor:
        """Return the noise that images come from by deterministic walks, (m, channels, height, width).

        It has the standard deviation from which walks start; "heun" leads back in as many steps.
        """
        pixels = self._checked(images)
        grid, _ = self.model.plan("heun", steps)
        told = self._told(self.labels(label, len(pixels)), 1.0)(0, len(pixels))
        return self._encoded(to_model(torch.from_numpy(pixels)).to(self.model.device), told, grid)

    @torch.no_grad()
    def _encoded(self, x_0: Tensor, denoiser: DenoiserLike, grid: Grid) -> Tensor:
        r"""Follow :math:`d(x/\alpha) / d(\sigma/\alpha) = \hat\epsilon` to the noise, by Heun's steps."""
        levels = grid.levels
        if levels.alpha[0] == 0:
            raise InputError(
                "Walks of this model start where no signal is left, and nothing leads back from there.",
                "Take samples in place of images of your own, or a schedule that ends before.",
            )
        last = grid.n_steps - (1 if levels.sigma[-1] == 0 else 0)
        at = levels.at(last)  # there is no slope at clean data itself: the first is that at the least noise
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

    def _told(
        self, labels: Labels | None, guidance: float | None, interval: tuple[float, float] | None = None
    ) -> Any:
        """Return what makes denoisers of pieces that are told of their classes."""
        denoiser = self.model.denoiser
        usual = self.model.recipe.sampling
        if guidance is None:
            guidance = 1.0 if labels is None else usual.guidance
        if guidance != 1 and labels is None:
            raise InputError(
                "Guidance makes more of a class, and none is asked for.",
                "Ask for one (label), or leave guidance at 1."
                if self.classes
                else "This model was trained without classes; leave guidance at 1.",
            )
        if guidance == 1 and interval is not None:
            raise InputError(
                "An interval says where to guide, and there is no guidance.", "Give guidance too."
            )
        low, high = interval or usual.guidance_interval

        def told(start: int, stop: int) -> DenoiserLike:
            if labels is None:
                return denoiser
            asked = denoiser.conditioned(torch.from_numpy(labels[start:stop]).to(self.model.device))
            return asked if guidance == 1 else ClassifierFreeGuidance(asked, denoiser, guidance, low, high)

        return told

    def _checked(self, images: ArrayLike) -> Pixels:
        pixels = np.asarray(images)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.model.shape or not len(pixels):
            c, h, w = self.model.shape
            raise InputError(
                f"Images of shape {pixels.shape} and type {pixels.dtype} do not fit this model.",
                f"Give bytes (uint8) of shape (n, {c}, {h}, {w}).",
            )
        return pixels


_DETERMINISTIC = ("heun", "ddim", "euler", "dpmpp_2m", "unipc")


def _pixels(x: Tensor) -> Pixels:
    if not x.isfinite().all():
        raise RunError(
            "The model's images are not finite.", "Try another sampler or more steps, or train it longer."
        )
    return to_pixels(x)


def _great_circle(a: Tensor, b: Tensor, n: int) -> Tensor:
    """Return n points from a to b at even angles, each as long as it would be on the way, (n, ...)."""
    cosine = (a.flatten() @ b.flatten() / (a.norm() * b.norm()).clamp_min(1e-12)).clamp(-1, 1)
    angle = torch.arccos(cosine)
    t = torch.linspace(0, 1, n, device=a.device).reshape(-1, *[1] * a.ndim)
    if angle < 1e-4:
        return a + t * (b - a)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
