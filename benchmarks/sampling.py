"""How long does it take to sample 10,000 points in the tutorial's 100 steps?

The tutorial's sampling loop as it is printed, which keeps gradients and every state, beside Diffuscope's
sampler of the same steps; both with the same untrained network, whose cost is that of a trained one. Beside
them the same loop without gradients, which is what most of the difference is. All have the same threads.
"""

from __future__ import annotations

import statistics

import torch
from report import parser, publish, table, timed

import diffuscope
from diffuscope.data.points import load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.model import Model

N = 10_000


def tutorial(network: torch.nn.Module) -> list[torch.Tensor]:
    """Sample as printed: 100 steps, gradients on, all states kept."""
    beta = torch.linspace(1e-5, 0.5e-2, 100)
    noise = (1 - torch.cumprod(1 - beta, 0)).sqrt()
    x = torch.randn(N, 2)
    states = [x]
    for i in reversed(range(100)):
        t = torch.tensor([i])
        mean = (x - beta[t] / noise[t] * network(x, t)) / (1 - beta[t]).sqrt()
        x = mean + beta[t].sqrt() * torch.randn_like(x)
        states.append(x)
    return states


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()

    recipe = diffuscope.load_recipe("article")
    data = load_dataset("s_curve")
    model = Model(recipe, recipe.make_denoiser(2), PointsCodec.fit(data.x, "divide", 10.0))
    ways = {
        "the tutorial's loop, as printed": lambda: tutorial(model.denoiser.network),
        "the tutorial's loop, without gradients": torch.no_grad()(lambda: tutorial(model.denoiser.network)),
        "Diffuscope": lambda: model.sample(N),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(options.rounds + 1):
        for name, way in ways.items():
            took = timed(way)
            if round_:  # the first round warms up
                seconds[name].append(took)
    rows = [
        [name, f"{statistics.median(values):.2f} s", f"{min(values):.2f}–{max(values):.2f} s"]
        for name, values in seconds.items()
    ]
    printed, *_, ours = seconds.values()
    ratios = [b / a for a, b in zip(printed, ours, strict=True)]
    rows.append(
        [
            "Diffuscope ÷ as printed, round by round",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}–{max(ratios):.2f}",
        ]
    )
    text = f"\n\n{options.rounds} rounds, in turns, {torch.get_num_threads()} threads each."
    publish("sampling", table(["10,000 points × 100 steps", "median", "range"], rows) + text, options.write)


if __name__ == "__main__":
    main()
