"""A loss of one's own: what a network's answers cost.

    python examples/own_loss.py [DIRECTORY]

A loss is an object with two methods. ``examples(denoiser, x_0, level, eps)`` noises the data and says
what the network should answer; ``value(output, examples)`` says what an answer costs. This one keeps
the first from ``Loss`` and changes the second: log cosh, square near 0 and linear far away.
"""

import math
import sys

from torch.nn.functional import softplus

import diffuscope
from diffuscope.diffusion.losses import Loss


# --- own part
class LogCosh(Loss):
    def value(self, output, examples):
        error = (output - examples.target).abs()
        return (error + softplus(-2 * error) - math.log(2)).mean()  # log cosh without overflow


# ---

out = sys.argv[1] if len(sys.argv) > 1 else "runs/own_loss"
run = diffuscope.train("s_curve", loss=LogCosh(target="posterior"), out=out, pictures=False)
run.plot_samples(3000).savefig(run.path / "samples.png")

again = diffuscope.load(out)  # a loss is needed for training only
print(again.sample(3, seed=1))
print(f"{run.quality}; see {run.path / 'samples.png'}")
