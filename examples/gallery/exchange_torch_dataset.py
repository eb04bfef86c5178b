"""A TensorDataset goes in | 直接用 TensorDataset

Containers of torch count as what they hold.
torch 的容器里装的是什么，就当作什么。
"""

import torch

import diffuscope

points = torch.randn(1500, 2, generator=torch.Generator().manual_seed(0))
points[:, 1] += points[:, 0] ** 2
data = torch.utils.data.TensorDataset(points)
run = diffuscope.train(data, steps=400, out="runs/banana", exist_ok=True, pictures=False)
figure = run.plot_samples(1500)
