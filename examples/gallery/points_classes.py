"""Two classes, and guidance | 两个类别，加上引导

The same class with guidance 1 and 4: the second is narrower, and further from the other class.
同一类，引导 1 和 4：后者更窄，离另一类更远。
"""

import matplotlib.pyplot as plt
import numpy as np

import diffuscope

rng = np.random.default_rng(0)
y = rng.integers(0, 2, 2000)
x = rng.normal(size=(2000, 2)) + 2 * y[:, None] * [1, 0]
run = diffuscope.train(x, y=y, steps=500, out="runs/classes", exist_ok=True, pictures=False)
figure, axs = plt.subplots(1, 2, figsize=(7, 3.4), sharex=True, sharey=True)
for ax, guidance in zip(axs, (1, 4), strict=True):
    ax.scatter(*x.T, s=1, color="#dcdcdc")
    ax.scatter(*run.sample(1500, y=1, guidance=guidance, seed=0).T, s=1, color="#8b3fa8")
    ax.set(xticks=[], yticks=[], title=f"w = {guidance}")
