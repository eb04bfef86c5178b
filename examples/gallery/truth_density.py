"""Learned and exact density | 学到的密度与精确的密度

The probability-flow ODE gives the density of a trained model.
概率流 ODE 给出训练好的模型的密度。
"""

import matplotlib.pyplot as plt
import numpy as np

import diffuscope
from diffuscope.oracle import oracle_for

run = diffuscope.train("moons", exist_ok=True, pictures=False)
side = np.linspace(-1.6, 2.6, 40), np.linspace(-1.2, 1.7, 28)
grid = np.stack(np.meshgrid(*side), -1).reshape(-1, 2)
figure, axs = plt.subplots(1, 2, figsize=(8, 3))
for ax, values in zip(
    axs, (run.log_density(grid), oracle_for("moons").log_density(grid).numpy()), strict=True
):
    ax.pcolormesh(*side, np.exp(values).reshape(28, 40), cmap="Blues", vmin=0)
    ax.set(xticks=[], yticks=[], aspect="equal")
