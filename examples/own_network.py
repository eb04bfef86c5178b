"""A network of one's own: any torch module (x, t) -> the shape of x.

    python examples/own_network.py [DIRECTORY]

x has shape (n, d), t shape (n,). t is the schedule's time (with a discrete schedule the step, 0 ... T - 1),
or log(alpha^2 / sigma^2) for a network that says ``conditioning = "log_snr"``; that fits any schedule.
"""

import sys

import torch
from torch import nn

import diffuscope


# --- own part
class Network(nn.Module):
    conditioning = "log_snr"

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(11, 96)
        self.inner = nn.ModuleList([nn.Linear(96, 96), nn.Linear(96, 96)])
        self.last = nn.Linear(96, 2)

    def forward(self, x, t):
        waves = [wave(k * x) for k in (2, 4) for wave in (torch.sin, torch.cos)]
        h = self.first(torch.cat([x, *waves, t[:, None] / 8], dim=1))
        for layer in self.inner:
            h = h + layer(nn.functional.silu(h))
        return self.last(h)


# ---

out = sys.argv[1] if len(sys.argv) > 1 else "runs/own_network"
run = diffuscope.train("s_curve", network=Network(), out=out, pictures=False)
run.plot_samples(3000).savefig(run.path / "samples.png")

again = diffuscope.load(out, network=Network())  # a run keeps weights, not code: hand the network over again
print(again.sample(3, seed=1))
print(f"{run.quality}; see {run.path / 'samples.png'}")
