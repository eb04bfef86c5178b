"""A perfect network, a wrong start | 网络完美，起点不对

The tutorial's betas, an exact denoiser, 20% of the data on the right: what comes out there.
教程的 β，精确去噪器，数据的 20% 在右边：两种起点，右边各得到多少。
"""

import matplotlib.pyplot as plt
import torch

from diffuscope.diffusion.samplers import DDPM, trajectory
from diffuscope.diffusion.schedules import linear
from diffuscope.oracle import GaussianMixture

law = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], 0.03, weights=[0.8, 0.2])
schedule = linear(T=100, start=1e-5, end=0.5e-2)
normal = torch.randn(2000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
last = schedule(torch.tensor(99))
starts = {"N(0, 1)": normal, "q(x_T)": last.alpha * law.draw(2000, seed=1) + last.sigma * normal}
figure, axs = plt.subplots(1, 2, figsize=(7, 3), sharex=True, sharey=True)
for ax, (name, start) in zip(axs, starts.items(), strict=True):
    *_, end = trajectory(law, start, schedule.grid(100), DDPM("beta"), torch.Generator().manual_seed(0))
    ax.scatter(*end.x.T, s=2, color="#8b3fa8")
    ax.set(title=f"{name}: {float((end.x[:, 0] > 0).double().mean()):.0%}", xticks=[], yticks=[])
