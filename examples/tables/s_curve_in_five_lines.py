"""The S-curve as scikit-learn makes it, learned and drawn anew in five lines.

python examples/tables/s_curve_in_five_lines.py [DIRECTORY]
"""

import sys
from pathlib import Path

from sklearn.datasets import make_s_curve

from diffuscope import DiffusionModel

X, _ = make_s_curve(10_000, noise=0.05, random_state=0)
model = DiffusionModel(random_state=0).fit(X[:, [0, 2]])
new = model.sample(10_000)
figure = model.plot()
print(f"{new.shape[0]:,} new points; mean log-density of the data {model.score(X[:500, [0, 2]]):.2f} nats")

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/tables")
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "s_curve.png")
