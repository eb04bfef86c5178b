"""Data of one's own, as a function: (n, rng) -> n fresh points, shape (n, d).

    python examples/own_data.py [DIRECTORY]

With a function, fresh points can be drawn, so quality is measured against points that training has
not seen. An array (n, d), a DataFrame or a file goes in the same place.
"""

import sys

import numpy as np

import diffuscope


# --- own part
def heart(n, rng):
    t = rng.uniform(0, 2 * np.pi, n)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, y], axis=1) / 16 + 0.05 * rng.normal(size=(n, 2))


# ---

out = sys.argv[1] if len(sys.argv) > 1 else "runs/own_data"
run = diffuscope.train(heart, out=out, pictures=False)
run.plot_samples(3000).savefig(run.path / "samples.png")

again = diffuscope.load(out, data=heart)  # for pictures beside the data; samples alone need none
print(again.sample(3, seed=1))
print(f"{run.quality}; see {run.path / 'samples.png'}")
