"""A perfect network, a wrong start | 网络完美，起点不对

The tutorial's betas and an exact denoiser: from its own start, and from where training ended.
教程的 β 加上精确去噪器：从它自己的起点出发，和从训练结束的地方出发。
"""

import matplotlib.pyplot as plt
import torch

from diffuscope.diffusion.samplers import DDPM, trajectory
from diffuscope.diffusion.schedules import linear
from diffuscope.oracle import GaussianMixture

law = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], 0.03)
schedule = linear(T=100, start=1e-5, end=0.5e-2)
normal = torch.randn(2000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
last = schedule(torch.tensor(99))
starts = {"N(0, 1)": normal, "q(x_T)": last.alpha * law.draw(2000, seed=1) + last.sigma * normal}
figure, axs = plt.subplots(1, 2, figsize=(7, 3), sharex=True, sharey=True)
for ax, (name, start) in zip(axs, starts.items(), strict=True):
    *_, end = trajectory(law, start, schedule.grid(100), DDPM("beta"), torch.Generator().manual_seed(0))
    ax.scatter(*end.x.T, s=2, color="#8b3fa8")
    ax.set(title=name, xticks=[], yticks=[])
