"""How long does a training step of the tutorial take, beside the tutorial's own loop?

The loop is written here from the tutorial's text and shares nothing with the package. Both train a network
of the same shape on the same data with the same batch size and the same number of threads, in one process,
in turns: a round is so many steps of the one, then of the other. Target: at most 0.35 of the loop's time.
"""

from __future__ import annotations

import statistics
from itertools import islice

import torch
from report import parser, publish, table, timed
from torch import nn

import diffuscope
from diffuscope.data.points import load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.training import Batches, Resident, Trainer

ASKED = 0.35


class PlainNetwork(nn.Module):
    """The tutorial's network: three hidden layers of 128, an embedding of the step added to each."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(2, 128), nn.Linear(128, 128), nn.Linear(128, 128)])
        self.steps = nn.ModuleList([nn.Embedding(100, 128) for _ in range(3)])
        self.last = nn.Linear(128, 2)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Map points (n, 2) at steps (n,) to their noise (n, 2)."""
        for layer, embedding in zip(self.hidden, self.steps, strict=True):
            in_step = embedding(t)
            x = layer(x)
            x += in_step
            x = torch.relu(x)
        return self.last(x)


class PlainLoop:
    """The tutorial's loop: a DataLoader, noise and times drawn in every step, Adam over a list of tensors."""

    def __init__(self, x: torch.Tensor, device: torch.device | str = "cpu") -> None:
        self.device = device
        self.network = PlainNetwork().to(device)
        self.loader = torch.utils.data.DataLoader(x, batch_size=128, shuffle=True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=5e-4)
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-5, 0.5e-2, 100), 0)
        self.signal, self.noise = alpha_bar.sqrt().to(device), (1 - alpha_bar).sqrt().to(device)

    def run(self, steps: int) -> None:
        """Take so many steps, over as many epochs as that takes."""
        while steps > 0:
            for x_0 in islice(self.loader, steps):
                self.step(x_0.to(self.device))
                steps -= 1

    def step(self, x_0: torch.Tensor) -> None:
        """Take one step on a batch (n, 2)."""
        half = torch.randint(0, 100, (len(x_0) // 2,), device=self.device)
        t = torch.cat([half, 99 - half]).unsqueeze(-1)
        eps = torch.randn_like(x_0)
        noisy = x_0 * self.signal[t] + eps * self.noise[t]
        loss = (eps - self.network(noisy, t.squeeze(-1))).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()


class Ours:
    """Diffuscope's trainer, with the recipe that reproduces the tutorial."""

    def __init__(self, x: torch.Tensor) -> None:
        recipe = diffuscope.load_recipe("article")
        denoiser = recipe.make_denoiser(2)
        self.settings = recipe.training
        batches = Batches(
            Resident(x), denoiser.schedule, recipe.times.make(), 128, recipe.training.batches, seed=0
        )
        self.trainer = Trainer(denoiser, batches, recipe.loss.make(), recipe.training)

    def run(self, steps: int) -> None:
        """Take so many steps more."""
        goal = self.trainer.step + steps
        # The length is the recipe's; a round ends earlier.
        self.trainer.settings = self.settings.model_copy(update={"steps": goal, "epochs": None})
        self.trainer.run()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--steps", type=int, default=316, help="steps a round; 79 are an epoch")
    arguments.add_argument("--threads", type=int, default=1, help="torch's threads, for both")
    options = arguments.parse_args()
    # The trainer goes down to one thread for a network as small as this: so does the loop, by default.
    torch.set_num_threads(options.threads)

    data = load_dataset("s_curve", size=10_000).x
    x = PointsCodec.fit(data, "divide", 10.0).encode(data)
    plain, ours = PlainLoop(x), Ours(x)
    plain.run(79)
    ours.run(79)
    times = [
        [timed(lambda loop=loop: loop.run(options.steps)) / options.steps * 1e3 for loop in (plain, ours)]
        for _ in range(options.rounds)
    ]
    ratios = [b / a for a, b in times]
    rows = [
        [name, f"{statistics.median(values):.3f} ms", f"{min(values):.3f}–{max(values):.3f} ms"]
        for name, values in (
            ("the tutorial's loop", [a for a, _ in times]),
            ("Diffuscope", [b for _, b in times]),
        )
    ]
    rows.append(
        ["ratio, round by round", f"{statistics.median(ratios):.3f}", f"{min(ratios):.3f}–{max(ratios):.3f}"]
    )
    verdict = "met" if statistics.median(ratios) <= ASKED else "NOT met"
    text = (
        f"\n\n{options.rounds} rounds of {options.steps} steps each, in turns; the loop on {options.threads} "
        f"thread(s), Diffuscope's trainer on 1. Target: a ratio of at most {ASKED}: {verdict}."
    )
    publish("training_step", table(["one step", "median", "range"], rows) + text, options.write)


if __name__ == "__main__":
    main()
