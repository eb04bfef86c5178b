"""Orders of samplers | 采样器的阶数

The error against evaluations, with an exact denoiser: straight lines whose slope is the order.
用精确去噪器，误差随调用次数的变化：几条直线，斜率就是阶数。
"""

import math

import matplotlib.pyplot as plt
import torch

from diffuscope.diffusion.samplers import make_sampler, trajectory
from diffuscope.diffusion.schedules import EDM
from diffuscope.oracle import GaussianMixture

angles = torch.arange(8) * math.pi / 4
law = GaussianMixture(torch.stack([angles.cos(), angles.sin()], 1), 0.15**2)
schedule = EDM(sigma_min=0.002, sigma_max=10.0)
z = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def end(name, steps):
    grid = schedule.grid(steps, "karras")
    *_, last = trajectory(law, grid.prior_std * z, grid, make_sampler(name), torch.Generator())
    return last.x


true = end("heun", 400)
figure, ax = plt.subplots(figsize=(5, 3.6))
for name, calls in {"ddim": 1, "heun": 2, "dpmpp_2m": 1, "unipc": 1}.items():
    steps = [n // calls for n in (10, 20, 40, 80, 160)]
    ax.loglog(
        [n * calls for n in steps],
        [float((end(name, n) - true).norm(dim=1).mean()) for n in steps],
        "o-",
        label=name,
    )
ax.legend()
