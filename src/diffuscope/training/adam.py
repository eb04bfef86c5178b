r"""How does a gradient become a step? Adam (Kingma and Ba 2015, Algorithm 1), of one vector in one operation.

.. math::

   m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \qquad
   w \leftarrow w - \eta \, \frac{m / (1 - \beta_1^k)}{\sqrt{v / (1 - \beta_2^k)} + \epsilon}

``torch.optim.Adam`` takes the same steps, bit for bit. Making one loads torch's compiler, which takes longer
than a short training.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Adam"]

_EPS = 1e-8


class Adam:
    """Takes steps of a vector of all weights in place; ``learning_rate`` may be set between steps.

    On CPUs and GPUs of CUDA it may be a tensor of shape (), too.
    ``exp_avg`` and ``exp_avg_sq`` are the averages m and v, ``steps`` the number of steps so far.
    """

    found_inf: Tensor | None = None  # GradScaler sets it for a step: 1 where a gradient is not finite

    def __init__(self, vector: nn.Parameter, learning_rate: float, betas: tuple[float, float]) -> None:
        self.vector, self.betas = vector, betas
        self.learning_rate: Any = learning_rate
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(vector.data), torch.zeros_like(vector.data)
        self._fused = vector.device.type in ("cpu", "cuda")
        self.steps = torch.zeros((), device=vector.device if self._fused else "cpu")
        self.param_groups: list[dict[str, Any]] = [{"params": [vector]}]  # where GradScaler looks
        self._step_supports_amp_scaling = self._fused  # elsewhere GradScaler leaves such a step out itself

    @torch.no_grad()
    def step(self) -> None:
        """Take a step; none where ``found_inf`` is 1."""
        grad, (first, second) = self.vector.grad, self.betas
        assert grad is not None
        self.steps += 1
        if not self._fused:
            k = self.steps.item()
            self.exp_avg.lerp_(grad, 1 - first)
            self.exp_avg_sq.mul_(second).addcmul_(grad, grad, value=1 - second)
            root = (self.exp_avg_sq.sqrt() / math.sqrt(1 - second**k)).add_(_EPS)
            self.vector.addcdiv_(self.exp_avg, root, value=-self.learning_rate / (1 - first**k))
            return
        torch._fused_adam_(
            [self.vector],
            [grad],
            [self.exp_avg],
            [self.exp_avg_sq],
            [],
            [self.steps],
            lr=self.learning_rate,
            beta1=first,
            beta2=second,
            weight_decay=0.0,
            eps=_EPS,
            amsgrad=False,
            maximize=False,
            found_inf=self.found_inf,
        )
        if self.found_inf is not None:
            self.steps -= self.found_inf
