"""Where a network errs | 网络错在哪里

The error of a network against the exact denoiser, at each noise level.
网络与精确去噪器之差，逐个噪声水平。
"""

import matplotlib.pyplot as plt
import torch

import diffuscope
from diffuscope.diffusion.process import q_sample
from diffuscope.oracle import oracle_for

run = diffuscope.train("moons", exist_ok=True, pictures=False)
denoiser, levels = run.model.denoiser, run.levels()
law = oracle_for("moons").scaled(run.model.codec)
x_0 = law.draw(2000, seed=5).float()
noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
errors, ratios = [], []
for k in range(0, 40, 2):
    level = levels.at(k)
    x_t = q_sample(x_0, level, noise)
    with torch.no_grad():
        errors.append(float((denoiser(x_t, level) - law(x_t, level)).square().mean().sqrt()))
    ratios.append(float(level.ratio))
figure, ax = plt.subplots(figsize=(5, 3.4))
ax.loglog(ratios, errors, "o-", color="#8b3fa8")
ax.set(xlabel="σ / α", ylabel="RMS")
