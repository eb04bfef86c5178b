"""Digits by class | 按类别生成数字

A small U-Net after 300 steps: five samples of each digit.
一个小 U-Net，训练 300 步：每个数字五个样本。
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
x = run.sample(50, y="each", seed=0)
figure, axs = plt.subplots(5, 10, figsize=(7, 3.6))
for ax, image in zip(axs.T.ravel(), [x[k] for c in range(10) for k in range(c, 50, 10)], strict=True):
    ax.imshow(image[0], cmap="gray")
    ax.axis("off")
