"""Learned by heart | 死记硬背

The best denoiser of 30 points gives back these 30 points.
三十个点的最佳去噪器，生成的就是这三十个点。
"""

import matplotlib.pyplot as plt
import torch

import diffuscope
from diffuscope.diffusion.samplers import make_sampler, trajectory
from diffuscope.diffusion.schedules import EDM
from diffuscope.oracle import EmpiricalOracle

x = diffuscope.load_dataset("moons", size=30, seed=0).x
grid = EDM(sigma_min=0.002, sigma_max=10.0).grid(40, "karras")
start = grid.prior_std * torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
walk = [s.x for s in trajectory(EmpiricalOracle(x), start, grid, make_sampler("dpmpp_2m"), torch.Generator())]
figure, ax = plt.subplots(figsize=(5, 3.6))
ax.scatter(*x.T, s=60, color="#2b6cb8", alpha=0.35)
ax.scatter(*walk[-1].T, s=4, color="#8b3fa8")
ax.set(xticks=[], yticks=[], aspect="equal")
