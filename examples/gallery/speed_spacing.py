"""Where the steps are | 步子落在哪里

Eighteen levels of EDM, spaced in three ways.
EDM 的十八个噪声水平，三种间隔。
"""

import matplotlib.pyplot as plt

from diffuscope.diffusion.schedules import EDM

figure, ax = plt.subplots(figsize=(6, 2.6))
for height, spacing in enumerate(("uniform", "trailing", "karras")):
    ratio = EDM(sigma_min=0.002, sigma_max=80.0).grid(18, spacing).levels.ratio[:-1]
    ax.plot(ratio, [height] * len(ratio), "|", markersize=14)
ax.set(
    xscale="log",
    yticks=[0, 1, 2],
    yticklabels=["uniform", "trailing", "karras"],
    xlabel="σ / α",
    ylim=(-0.6, 2.6),
)
