"""Schedules side by side | 各种噪声调度

The log signal-to-noise ratio over time; the tutorial's stops early.
对数信噪比随时间的变化；教程的停得太早。
"""

import matplotlib.pyplot as plt
import torch

from diffuscope.diffusion.schedules import linear, make_schedule

schedules = {name: make_schedule(name) for name in ("linear", "cosine", "edm", "flow")}
schedules["article"] = linear(T=100, start=1e-5, end=0.5e-2)
figure, ax = plt.subplots(figsize=(5.5, 3.6))
for name, schedule in schedules.items():
    t = torch.linspace(schedule.t_min, schedule.t_max, 100, dtype=torch.float64)
    t = t.round() if schedule.discrete else t
    ax.plot(t / schedule.t_max, schedule(t).snr.log(), label=name)
ax.set(xlabel="t / T", ylabel="log SNR", ylim=(-12, 14))
ax.legend()
