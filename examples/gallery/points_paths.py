"""Paths of single points | 单个点走过的路

Twelve points on their way, without fresh noise: the paths never cross in time.
十二个点走过的路，不加新噪声；同一时刻，任意两点不会相遇。
"""

import matplotlib.pyplot as plt

import diffuscope

run = diffuscope.train("moons", exist_ok=True, pictures=False)
states = run.trajectory(12, sampler="heun", steps=40, seed=3)
figure, ax = plt.subplots(figsize=(5, 4))
ax.scatter(*run.data.x[:3000].T, s=1, color="#dcdcdc")
for k in range(12):
    ax.plot(*states[:, k].T, linewidth=0.9)
    ax.plot(*states[-1, k], "o", color="black", markersize=3)
ax.set(xlim=(-3, 4), ylim=(-2.5, 3), xticks=[], yticks=[])
