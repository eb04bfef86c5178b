"""A digit appears | 数字浮现

States of three walks from noise.
从噪声出发的三段路，各个状态。
"""

import matplotlib.pyplot as plt

import diffuscope

run = diffuscope.train(
    "digits",
    steps=300,
    width=16,
    sampling_steps=12,
    settings={"training.batch_size": 64},
    out="runs/small_digits",
    exist_ok=True,
    pictures=False,
)
states = run.trajectory(3, y="each", seed=1)
figure, axs = plt.subplots(3, 7, figsize=(7, 3.2))
for row, k in zip(axs, range(3), strict=True):
    for ax, step in zip(row, (0, 2, 4, 6, 8, 10, 12), strict=True):
        ax.imshow(states[step][k][0], cmap="gray")
        ax.axis("off")
