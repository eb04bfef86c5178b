"""Conditioned on an angle | 以角度为条件

Points on a circle, trained with their angle; drawn for four angles.
圆上的点，连同角度一起训练；按四个角度抽样。
"""

import matplotlib.pyplot as plt
import numpy as np

import diffuscope

rng = np.random.default_rng(1)
angle = rng.uniform(0, 2 * np.pi, 2000)
x = np.column_stack([np.cos(angle), np.sin(angle)]) + 0.05 * rng.normal(size=(2000, 2))
run = diffuscope.train(x, y=angle, steps=600, out="runs/angles", exist_ok=True, pictures=False)
figure, ax = plt.subplots(figsize=(4, 4))
ax.scatter(*x.T, s=1, color="#dcdcdc")
for value in (0.5, 2.0, 3.5, 5.0):
    ax.scatter(*run.sample(200, y=value, seed=0).T, s=4, label=f"{value}")
ax.legend(loc="center", frameon=False)
ax.set(xticks=[], yticks=[], aspect="equal")
