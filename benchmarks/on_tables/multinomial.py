r"""What would categories be without coordinates? Multinomial diffusion beside Gaussian diffusion.

A category is forgotten with probability :math:`\beta_t` at each of T steps, and then drawn anew among all K
(Hoogeboom et al. 2021, equations 10 to 13),

.. math::
    q(c_t \mid c_0) &= \bar\alpha_t\, e_{c_0} + (1 - \bar\alpha_t) / K \\
    q(c_{t-1} \mid c_t, c_0) &\propto [\alpha_t e_{c_t} + (1 - \alpha_t)/K]\,
                                      [\bar\alpha_{t-1} e_{c_0} + (1 - \bar\alpha_{t-1})/K],

and a network answers :math:`\hat p(c_0)`, from which the second line is averaged. Numbers, as normal scores
of their ranks, go by DDPM with the noise as target. One network does both, trained on the sum of the mean
squared error and of T times the mean over columns of the Kullback-Leibler divergences: TabDDPM (Kotelnikov
et al. 2023, equation 6), here with the network and the number of steps that the estimator has for such a
table, and T = 100 of its grid, with the cosine schedule.

Of rows of categories alone, the sum of all divergences bounds -log p.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from diffuscope.data.tables import RowCodec
from diffuscope.modalities.tables.tuning import sizes_for
from diffuscope.networks import ResMLP
from on_tables.contestant import Contestant, Design
from on_tables.laws import Floats

__all__ = ["Multinomial"]

_T = 100
_LEARNING_RATE = 2e-3
_SMALL = 1e-30


class Multinomial(Contestant):
    """See the file's first lines.

    Attributes
    ----------
    steps : int or None
        Of training, in place of the estimator's.
    """

    steps: int | None = None

    def __init__(self) -> None:
        t = torch.arange(_T + 1, dtype=torch.float64) / _T
        cosine = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        alpha = (cosine[1:] / cosine[:-1]).clamp_min(1e-3)
        self.alpha = torch.cat([torch.ones(1), alpha]).float()
        self.alpha_bar = self.alpha.double().cumprod(0).float()

    # --- the two processes --------------------------------------------------------------------------------

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        from sklearn.preprocessing import QuantileTransformer

        self.design = Design(train)
        x, c = self.design.encode(train, np.random.default_rng(seed))
        self.p, self.sizes = x.shape[1], self.design.sizes
        self.scores = QuantileTransformer(
            n_quantiles=min(1_000, len(x)), output_distribution="normal", random_state=seed
        )
        z = torch.from_numpy(self.scores.fit_transform(x)).float() if self.p else torch.empty(len(x), 0)
        codes, d = torch.from_numpy(c), self.p + sum(self.sizes)
        own = sizes_for(len(x), RowCodec.fit(train))
        torch.manual_seed(seed)
        self.network = ResMLP(d, width=own["network.width"], depth=3, n_directions=0)
        steps = self.steps or own["training.steps"]
        optimiser = torch.optim.AdamW(self.network.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.99))
        fall = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: 1 - i / steps)
        for _ in range(steps):
            rows = torch.randint(len(z), (min(256, len(z)),))
            loss = self._loss(z[rows], codes[rows], torch.randint(1, _T + 1, (len(rows),)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            fall.step()
        self.network.eval()

    def _answers(self, z: Tensor, c: Tensor, t: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the noise in z (n, p), and log-probabilities (n, K) of each column's categories."""
        hot = [one_hot(c[:, j], k) * 2.0 - 1.0 for j, k in enumerate(self.sizes)]
        alpha_bar = self.alpha_bar[t]
        output = self.network(torch.cat([z, *hot], 1), torch.log(alpha_bar / (1 - alpha_bar)))
        eps, *logits = output.split([self.p, *self.sizes], 1)
        return eps, [log_softmax(part, 1) for part in logits]

    def _noised(self, c: Tensor, t: Tensor) -> Tensor:
        """Draw c_t (n, q) given c_0."""
        kept = torch.rand(c.shape) < self.alpha_bar[t][:, None]
        others = [torch.randint(k, (len(c),)) for k in self.sizes]
        return torch.where(kept, c, torch.stack(others, 1)) if others else c

    def _posterior(self, c_t: Tensor, k: int, p_0: Tensor, t: Tensor) -> Tensor:
        """Return q(c_{t-1} | c_t) (n, k) if c_0 has probabilities p_0 (n, k)."""
        alpha, before = self.alpha[t][:, None], self.alpha_bar[t - 1][:, None]
        here = alpha * one_hot(c_t, k) + (1 - alpha) / k
        product = here * (before * p_0 + (1 - before) / k)
        return product / product.sum(1, keepdim=True)

    def _divergences(self, c: Tensor, c_t: Tensor, log_p: list[Tensor], t: Tensor) -> Tensor:
        """Return the divergence (n, q) of each column's step; at t = 1 it is -log p(c_0 | c_1)."""
        found = []
        for j, k in enumerate(self.sizes):
            truth = self._posterior(c_t[:, j], k, one_hot(c[:, j], k).float(), t)
            guess = self._posterior(c_t[:, j], k, log_p[j].exp(), t)
            found.append((truth * ((truth + _SMALL).log() - (guess + _SMALL).log())).sum(1))
        return torch.stack(found, 1) if found else torch.zeros(len(c), 0)

    def _loss(self, z: Tensor, c: Tensor, t: Tensor) -> Tensor:
        eps, alpha_bar = torch.randn_like(z), self.alpha_bar[t][:, None]
        c_t = self._noised(c, t)
        guess, log_p = self._answers(alpha_bar.sqrt() * z + (1 - alpha_bar).sqrt() * eps, c_t, t)
        loss = torch.zeros(())
        if self.p:
            loss = loss + (guess - eps).square().mean()
        if self.sizes:
            loss = loss + _T * self._divergences(c, c_t, log_p, t).mean()
        return loss

    # --- what it can do -----------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> pd.DataFrame:
        torch.manual_seed(seed)
        z = torch.randn(n, self.p)
        c = torch.stack([torch.randint(k, (n,)) for k in self.sizes], 1) if self.sizes else None
        c = torch.empty(n, 0, dtype=torch.long) if c is None else c
        for step in range(_T, 0, -1):
            t = torch.full((n,), step)
            eps, log_p = self._answers(z, c, t)
            alpha, bar, before = self.alpha[step], self.alpha_bar[step], self.alpha_bar[step - 1]
            z = (z - (1 - alpha) / (1 - bar).sqrt() * eps) / alpha.sqrt()
            z = z + ((1 - alpha) * (1 - before) / (1 - bar)).sqrt() * torch.randn_like(z)
            columns = [
                torch.multinomial(self._posterior(c[:, j], k, log_p[j].exp(), t), 1)
                for j, k in enumerate(self.sizes)
            ]
            c = torch.cat(columns, 1) if columns else c
        x = self.scores.inverse_transform(z.numpy().astype(np.float64)) if self.p else np.empty((n, 0))
        return self.design.decode(x, c.numpy())

    @torch.no_grad()
    def log_density(self, frame: pd.DataFrame) -> Floats | None:
        """Return a lower bound, where there are no numbers."""
        if self.p:
            return None
        c = torch.from_numpy(self.design.encode(frame)[1])
        torch.manual_seed(0)
        bound = torch.zeros(len(c))
        for step in range(1, _T + 1):
            t = torch.full((len(c),), step)
            c_t = self._noised(c, t)
            bound += self._divergences(c, c_t, self._answers(torch.empty(len(c), 0), c_t, t)[1], t).sum(1)
        for k in self.sizes:
            kept = self.alpha_bar[_T] + (1 - self.alpha_bar[_T]) / k
            lost = (1 - self.alpha_bar[_T]) / k
            bound += kept * torch.log(k * kept) + (k - 1) * lost * torch.log(k * lost)
        return -bound.double().numpy()
