"""A digit drowns in noise | 数字淹没在噪声里

Eight levels of the cosine schedule.
余弦调度的八个噪声水平。
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.schedules import cosine

x_0 = torch.as_tensor(load_digits().images[3] / 8 - 1)[None]
schedule = cosine(T=1000)
noise = torch.randn(x_0.shape, dtype=x_0.dtype, generator=torch.Generator().manual_seed(0))
figure, axs = plt.subplots(1, 8, figsize=(10, 1.6))
for ax, t in zip(axs, (0, 100, 200, 350, 500, 650, 800, 999), strict=True):
    ax.imshow(q_sample(x_0, schedule(torch.tensor(t)), noise)[0], cmap="gray", vmin=-1.5, vmax=1.5)
    ax.set(title=f"t = {t}", xticks=[], yticks=[])
