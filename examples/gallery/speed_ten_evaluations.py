"""Ten evaluations of the network | 只调用十次网络

The same model and noise, four samplers.
同一个模型、同样的噪声，四种采样器。
"""

import matplotlib.pyplot as plt

import diffuscope

run = diffuscope.train("moons", exist_ok=True, pictures=False)
figure, axs = plt.subplots(1, 4, figsize=(12, 3))
for ax, (name, steps) in zip(axs, {"ddpm": 10, "ddim": 10, "heun": 5, "dpmpp_2m": 10}.items(), strict=True):
    ax.scatter(*run.sample(3000, sampler=name, steps=steps, seed=0).T, s=1, color="#8b3fa8")
    ax.set(title=name, xticks=[], yticks=[], xlim=(-1.8, 2.8), ylim=(-1.4, 1.9))
