"""The least possible loss | 损失的下限

No network can get below it; it follows from data and betas alone.
任何网络都不可能低于它；它只取决于数据和 β。
"""

import torch

import diffuscope

figure = diffuscope.loss_floor("s_curve", torch.linspace(1e-5, 0.5e-2, 100), scaling=(0, 10)).plot()
