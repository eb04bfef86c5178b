"""How many frames of a GIF are drawn and written in a second?

The clouds go from noise to the S-curve by mixing, without a model: drawing is what is timed, and the
frames differ from one another as those of a real walk do.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np
from report import parser, publish, table, timed

from diffuscope.data.points import load_dataset
from diffuscope.plots import State
from diffuscope.plots.animation import save_animation


def trajectory(n: int, frames: int) -> list[State]:
    """Make clouds of n points on their way from noise to the S-curve."""
    x = load_dataset("s_curve", size=n).x
    eps = np.random.default_rng(0).standard_normal(x.shape)
    angles = np.linspace(np.pi / 2, 0, frames)
    return [State(np.cos(a) * x + np.sin(a) * eps, f"{i}", i / frames) for i, a in enumerate(angles)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--points", type=int, nargs="+", default=[10_000, 100_000])
    arguments.add_argument("--frames", type=int, default=30)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()

    rows = []
    for n in options.points:
        states = trajectory(n, options.frames)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "walk.gif"
            seconds = [
                timed(lambda states=states, path=path: save_animation(states, path))
                for _ in range(options.rounds)
            ]
            size = path.stat().st_size
        rate = [options.frames / s for s in seconds]
        rows.append(
            [
                f"{n:,}",
                f"{statistics.median(rate):.1f}",
                f"{min(rate):.1f}–{max(rate):.1f}",
                f"{size / options.frames / 1024:.0f} KiB",
            ]
        )
    publish(
        "rendering",
        table(["points", "frames a second, median", "range", "size of a frame"], rows),
        options.write,
    )


if __name__ == "__main__":
    main()
