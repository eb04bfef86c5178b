"""A sampler of one's own, with any run | 自己的采样器，用于任何运行

One step as a function; here Euler's method, written out.
一步就是一个函数；这里把欧拉法写了出来。
"""

import matplotlib.pyplot as plt

import diffuscope
from diffuscope.diffusion.predictions import eps_from_data


def euler(context, x):
    x_0 = context.denoiser(x, context.now)
    return context.target.alpha * x_0 + context.target.sigma * eps_from_data(x_0, x, context.now)


run = diffuscope.train("moons", exist_ok=True, pictures=False)
figure, axs = plt.subplots(1, 2, figsize=(8, 3.2))
for ax, steps in zip(axs, (10, 80), strict=True):
    ax.scatter(*run.sample(3000, sampler=euler, steps=steps, seed=0).T, s=1, color="#8b3fa8")
    ax.set(xticks=[], yticks=[], title=f"n = {steps}")
