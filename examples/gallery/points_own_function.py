"""Data from a function of one's own | 自己的函数所给的数据

A function that draws n points is enough; a heart, in 400 steps.
一个抽取 n 个点的函数就够；一颗心，400 步。
"""

import numpy as np

import diffuscope


def heart(n):
    rng = np.random.default_rng(0)
    t = rng.uniform(0, 2 * np.pi, n)
    x, y = 16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, y], 1) / 16 + 0.05 * rng.normal(size=(n, 2))


run = diffuscope.train(heart(2000), steps=400, out="runs/heart", exist_ok=True, pictures=False)
figure = run.plot_samples(2000)
