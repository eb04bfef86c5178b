r"""What is the best that the annotated diffusion model's own settings can reach on Fashion-MNIST?

A perfect denoiser, that of a part of the training images (:class:`diffuscope.oracle.EmpiricalOracle`), takes
the place of the network. Its 200 steps from N(0, I), as in the original, stand beside 200 steps from the
q(x_T) that training ends with: real images, noised to the last level. Distances are Fréchet distances from
the test images, in the features of a classifier of the real ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from report import parser, publish, table
from torch import Tensor

import diffuscope
from diffuscope.data.images import load_images, to_model, to_pixels
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.samplers import make_sampler, trajectory
from diffuscope.metrics import frechet_distance
from diffuscope.metrics.features import cached_classifier
from diffuscope.oracle import EmpiricalOracle
from diffuscope.recipes import load_recipe
from diffuscope.threads import side_by_side

RARE = 0.02
AT_ONCE = 125


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--run", type=Path, help="a finished run of the recipe 'annotated_fashion'")
    arguments.add_argument("--n", type=int, default=1000, help="images of a row")
    arguments.add_argument("--known", type=int, default=10_000, help="images that the perfect denoiser knows")
    options = arguments.parse_args()

    recipe = load_recipe("annotated_fashion")
    schedule, way = recipe.schedule.make(), recipe.sampling
    grid, sampler = schedule.grid(way.steps, way.spacing), make_sampler(way.name, **way.settings)
    data = load_images("fashion_mnist")
    assert data.held_out is not None
    classifier = cached_classifier(data.pixels, data.labels, data.classes)
    real = classifier.features(data.held_out.pixels)
    random = np.random.default_rng(0)
    known = data.pixels[random.choice(len(data.x), options.known, replace=False)]
    x_0 = to_model(torch.from_numpy(known)).double()
    drawn = x_0[random.integers(len(x_0), size=options.n)]

    def perfect(oracle: EmpiricalOracle) -> DenoiserLike:
        return lambda x, level: oracle(x.flatten(1), level).reshape(x.shape)

    denoisers = {f"perfect, of {options.known:,} training images": perfect(EmpiricalOracle(x_0.flatten(1)))}
    if options.run is not None:
        run = diffuscope.load(options.run, device="cpu")
        network = run.model.denoiser
        denoisers[f"trained, {run.summary['steps']:,} steps"] = lambda x, level: network(x.float(), level)

    def walked(denoiser: DenoiserLike, true_start: bool) -> Tensor:
        def piece(start: int) -> Tensor:
            generator = torch.Generator().manual_seed(start)
            part = drawn[start : start + AT_ONCE]
            x = torch.randn(part.shape, generator=generator, dtype=part.dtype)
            if true_start:
                x = q_sample(part, grid.levels.at(0), x)
            *_, last = trajectory(denoiser, x, grid, sampler, generator)
            return last.x

        return torch.cat(list(side_by_side(piece, range(0, options.n, AT_ONCE))))

    def row(name: str, place: str, images: np.ndarray) -> list[str]:
        shares = np.bincount(classifier.probabilities(images).argmax(1), minlength=10) / len(images)
        rare = [data.classes[i] for i in np.flatnonzero(shares < RARE)]
        distance = frechet_distance(classifier.features(images), real)
        print(f"{name}, {place}: {distance:.2f}", flush=True)
        return [name, place, f"{distance:.2f}", ", ".join(rare) or "–"]

    rows = []
    starts = {"N(0, I), as in the original": False, "q(x_T), where training ends": True}
    for name, denoiser in denoisers.items():
        for place, true_start in starts.items():
            rows.append(row(name, place, to_pixels(walked(denoiser, true_start))))
    rows.append(row("none: those training images", "–", to_pixels(drawn)))
    end = schedule(torch.tensor(schedule.t_max))
    said = (
        f"The schedule ends at ᾱ_T = {end.alpha.square():.3f}: terminal signal-to-noise ratio {end.snr:.3f}. "
        f"{options.n:,} images in each row, against {len(real):,} test images."
    )
    head = ["denoiser", "start", "Fréchet distance", f"classes of less than {RARE:.0%} of the images"]
    publish("annotated_error_budget", f"{said}\n\n{table(head, rows)}", options.write)


if __name__ == "__main__":
    main()
