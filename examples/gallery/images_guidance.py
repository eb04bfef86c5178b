"""Guidance on digits | 数字上的引导

The digit 8 with guidance 1 and 4: the second row is more alike.
数字 8，引导 1 和 4：第二行彼此更像。
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
figure, axs = plt.subplots(2, 8, figsize=(7, 2))
for row, guidance in zip(axs, (1, 4), strict=True):
    for ax, image in zip(row, run.sample(8, y=8, guidance=guidance, seed=2), strict=True):
        ax.imshow(image[0], cmap="gray")
        ax.axis("off")
