r"""The article's "small U-Net": three hidden layers, each with its own embedding of the step.

.. math::  h_{i+1} = \mathrm{relu}(W_i h_i + b_i + E_i[t]), \qquad F = W_3 h_3 + b_3
"""

from __future__ import annotations

from torch import Tensor, nn

from diffuscope.networks.embeddings import label_embedding, shared
from diffuscope.networks.perceptron_pass import article_output, is_written_out

__all__ = ["ArticleMLP"]


class ArticleMLP(nn.Module):
    """The article's network; modules and parameters have its names, so its state dicts load.

    Parameters
    ----------
    dimension : int
        Coordinates of a point.
    n_steps : int
        T of the discrete schedule: rows of the embedding tables.
    width : int
        Units of a hidden layer.
    classes : int
        Classes to condition on, whose embeddings are added in each layer; 0: none.
    conditions : int
        Numbers to condition on in place of classes, in the same way; 0: none.
    """

    conditioning = "time"

    def __init__(
        self, dimension: int = 2, n_steps: int = 100, width: int = 128, classes: int = 0, conditions: int = 0
    ) -> None:
        super().__init__()
        self.linears = nn.ModuleList()
        for inputs in (dimension, width, width):
            self.linears.extend([nn.Linear(inputs, width), nn.ReLU()])
        self.linears.append(nn.Linear(width, dimension))
        self.step_embeddings = nn.ModuleList([nn.Embedding(n_steps, width) for _ in range(3)])
        self.classes, self.conditions = classes, conditions
        self.label = label_embedding(classes, conditions, 3 * width)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Map points (n, d) and integer steps (n,) to a prediction (n, d).

        ``label`` are their classes (n,), int64, or numbers (n, k), by default none.
        """
        t = shared(t)
        added = [embedding(t) for embedding in self.step_embeddings]
        if self.label is not None:
            of_label = self.label(label).chunk(3, dim=1)
            added = [one + more for one, more in zip(added, of_label, strict=True)]
        if is_written_out(self, ArticleMLP, x, self.linears[::2]):
            return article_output(self, x, added)
        for i, more in enumerate(added):
            x = self.linears[2 * i + 1](self.linears[2 * i](x) + more)
        return self.linears[-1](x)  # type: ignore[no-any-return]
