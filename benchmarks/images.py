"""How fast, and how good, is a model of images beside others, on Fashion-MNIST?

``speed``: a training step and a walk of the annotated diffusion model's own code path re-made
(``on_images/annotated.py``), denoising-diffusion-pytorch, diffusers and Diffuscope, at about 3.0 million
parameters each, in 32 bits and in 16 where the device has them in hardware; a process each, in turns. Target:
at least 1.5 times the images/s of the best of them, at a peak of memory that is not above theirs.

``quality``: two runs beside each other, one of the recipe ``annotated_fashion`` (``--reference``) and one of
``fashion_fast`` (``--fast``), in the features of a classifier of real Fashion-MNIST. Target: the same quality
after at most 12 minutes of training.

``sampling``: samplers and steps on the run of ``fashion_fast`` (``--fast``). Target: 64 images within 5 s on
two cores, at a quality within 10% of a walk of 200 steps.

Each part has a section of its own in README.md; with ``--device cuda`` speed and sampling have others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import report
from on_images.jobs import do

PARTS = ("speed", "quality", "sampling")


def main() -> None:
    if sys.argv[1:2] == ["--job"]:  # one of its own processes
        do(sys.argv[2])
        return
    options = _options()
    from on_images.runs import measure_quality, measure_sampling
    from on_images.speed import measure_speed

    suffix = "_cuda" if options.device == "cuda" else ""
    if "speed" in options.only:
        report.publish(f"images_speed{suffix}", measure_speed(options), options.write)
    if "quality" in options.only:
        report.publish("images_quality", measure_quality(options), options.write)
    if "sampling" in options.only:
        report.publish(f"images_sampling{suffix}", measure_sampling(options), options.write)


def _options() -> argparse.Namespace:
    arguments = report.parser(__doc__)
    arguments.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    speed = arguments.add_argument_group("speed")
    speed.add_argument("--compile", action="store_true", help="compile networks for training")
    speed.add_argument("--rounds", type=int, default=5)
    speed.add_argument("--steps", type=int, default=5, help="steps of training that are timed")
    speed.add_argument("--warm-up", type=int, default=1, help="steps of training before")
    speed.add_argument("--evaluations", type=int, default=20, help="of a long walk that are timed")
    speed.add_argument("--images", type=int, default=64, help="that are sampled")
    speed.add_argument("--batch", type=int, default=128)
    speed.add_argument("--threads", type=int, default=0, help="torch's; as many as it takes by itself")
    runs = arguments.add_argument_group("quality and sampling")
    runs.add_argument("--reference", type=Path, help="run directory of annotated_fashion")
    runs.add_argument("--fast", type=Path, help="run directory of fashion_fast")
    runs.add_argument("--n", type=int, default=5_000, help="images of each run, for quality")
    runs.add_argument("--sampling-n", type=int, default=2_000, help="images of each walk, for sampling")
    runs.add_argument("--sampling-rounds", type=int, default=3, help="in which walks are timed")
    options = arguments.parse_args()
    if "quality" in options.only and options.reference is None:
        arguments.error("quality needs a run of annotated_fashion: --reference")
    if options.fast is None and options.only != ["speed"]:
        arguments.error("quality and sampling need a run of fashion_fast: --fast")
    return options


if __name__ == "__main__":
    main()
