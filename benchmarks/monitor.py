"""What does it cost to watch a training, and is what was planted in a loop of plain torch named?

Targets: the monitor takes at most 2% of the time, by its own count and by a clock around its calls;
each planted fault is warned of, and the sound training is not.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from report import parser, publish, table
from torch import Tensor, nn

import diffuscope
from diffuscope.data.points import load_dataset
from diffuscope.diffusion.schedules import cosine

T = 100
SCHEDULE = cosine(T)
ALPHA = SCHEDULE.sqrt_alpha_bar.float()
SIGMA = SCHEDULE.sqrt_one_minus_alpha_bar.float()
UNSEEN = load_dataset("moons", size=2_000, seed=7).x


class Network(nn.Module):
    """A perceptron with Fourier features of the time."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.register_buffer("frequency", torch.randn(8) * 3)
        self.layers = nn.Sequential(
            *(nn.Linear(18, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)),
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angle = t[:, None].float() / T * 6.28 * self.frequency
        return self.layers(torch.cat([x, angle.cos(), angle.sin()], 1))


def train(
    x: Tensor,
    steps: int,
    monitor: diffuscope.Monitor | None,
    rate: float = 1e-3,
    reuse: bool = False,
    divided: int = 1,
    ema: float = 0.0,
    average: nn.Module | None = None,
) -> tuple[float, float]:
    """Train a network; return the seconds, and the monitor's share of them."""
    torch.manual_seed(0)
    network = Network()
    if average is not None:
        average.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), rate)
    fixed_t, fixed_eps = torch.randint(T, (len(x),)), torch.randn(len(x), 2)
    begun, watched = time.perf_counter(), 0.0
    for step in range(1, steps + 1):
        which = torch.randint(len(x), (256,))
        t = fixed_t[which] if reuse else torch.randint(T, (256,))
        eps = fixed_eps[which] if reuse else torch.randn(256, 2)
        x_t = ALPHA[t, None] * x[which] + SIGMA[t, None] * eps
        loss = (network(x_t, t) - eps).square().mean() / divided
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if average is not None:
            with torch.no_grad():
                for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                    mean.lerp_(weight, 1 - ema)
        if monitor is not None:
            entered = time.perf_counter()
            monitor(network, step, loss)
            watched += time.perf_counter() - entered
    whole = time.perf_counter() - begun
    return whole, watched / whole


def cost(steps: int) -> list[list[str]]:
    """Train with a monitor that is called after each step."""
    data = load_dataset("moons", size=10_000)
    x, rows = torch.from_numpy(data.x).float(), []
    for _ in range(3):
        begun = time.perf_counter()
        monitor = diffuscope.Monitor(SCHEDULE, data, show=False)
        made = time.perf_counter() - begun
        seconds, share = train(x, steps, monitor)
        last = f"{monitor.history[-1]['excess']['value']:.4f}" if monitor.history else "–"
        rows.append(
            [
                f"{seconds:.1f} s",
                f"{share:.2%}",
                f"{monitor.share:.2%}",
                str(len(monitor.history)),
                last,
                f"{made:.1f} s",
            ]
        )
    return rows


FAULTS: list[tuple[str, str | None, dict[str, Any], int]] = [
    ("sound", None, {}, 10_000),
    ("30 rows, learned by heart", "memorising", {"rate": 3e-3}, 30),
    ("noise and times drawn once for each row", "reported_lower", {"reuse": True}, 2_000),
    ("the loss divided by 4, as for added gradients", "reported_lower", {"divided": 4}, 10_000),
    ("a learning rate of 0.1", "learning_rate_high", {"rate": 0.1}, 10_000),
    ("an average of weights with decay 0.9999", "ema_slow", {"ema": 0.9999}, 10_000),
]


def faults(steps: int) -> list[list[str]]:
    """Train with one fault each; return what the monitor warned of."""
    rows = []
    for name, planted, told, size in FAULTS:
        data = load_dataset("moons", size=size, seed=1)
        average = Network() if "ema" in told else None
        monitor = diffuscope.Monitor(
            SCHEDULE,
            data.x,
            held_out=UNSEEN,
            every=steps // 8,
            cost=float("inf"),
            average=average,
            show=False,
        )
        train(torch.from_numpy(data.x).float(), steps, monitor, average=average, **copy.copy(told))
        codes = list(dict.fromkeys(warning["code"] for warning in monitor.warnings))
        met = planted in codes if planted else not codes
        rows.append([name, planted or "nothing", ", ".join(codes) or "nothing", "yes" if met else "**no**"])
        print(" | ".join(rows[-1]), flush=True)
    return rows


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=8_000)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    head = ["training", "the monitor's share", "by its own count", "looks"]
    head += ["above the floor at last", "to prepare"]
    text = table(head, cost(options.steps))
    text += (
        f"\n\n{options.steps:,} steps of a small perceptron; the monitor is called after each. Target: 2%."
    )
    text += "\n\n" + table(["planted", "code", "warned of", "right"], faults(options.steps // 2))
    publish("monitor", text, options.write)


if __name__ == "__main__":
    main()
