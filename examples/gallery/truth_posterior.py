"""What a denoiser answers | 去噪器回答的是什么

The posterior of one noisy point, and its mean, which lies where no data is.
一个带噪声的点的后验，以及它的均值；均值落在没有数据的地方。
"""

import matplotlib.pyplot as plt
import torch

from diffuscope.oracle import oracle_for

x = oracle_for("moons").draw(4000, seed=0)
x_t, sigma = torch.tensor([0.5, 0.3]), 0.5
weight = torch.softmax(-(x_t - x).square().sum(1) / (2 * sigma**2), 0)
mean = weight @ x
figure, ax = plt.subplots(figsize=(5, 3.6))
ax.scatter(*x.T, s=3, c=weight, cmap="Blues", vmin=-float(weight.max()) / 5)
ax.plot(*x_t, "o", color="#d8442f")
ax.plot(*mean, "o", color="black")
ax.set(xticks=[], yticks=[], aspect="equal")
