"""A schedule of one's own: signal alpha and noise sigma as functions of time.

    python examples/own_schedule.py [DIRECTORY]

Here log(sigma / alpha) grows in a straight line, and alpha^2 + sigma^2 = 1. Two methods are needed:
the level at times t of any shape, and the time at which sigma / alpha has a given value.
"""

import math
import sys

import diffuscope
from diffuscope.diffusion.schedules import NoiseLevel, Schedule


# --- own part
class LogLinear(Schedule):
    t_min, t_max = 0.0, 1.0
    least, most = 0.002, 10.0  # sigma / alpha at both ends

    def __call__(self, t):
        ratio = self.least * (self.most / self.least) ** t.double()
        alpha = (1 + ratio.square()).rsqrt()
        return NoiseLevel(t, alpha, ratio * alpha)

    def time_at_ratio(self, ratio):
        t = (ratio.double() / self.least).log() / math.log(self.most / self.least)
        return t.clamp(self.t_min, self.t_max)


# ---

out = sys.argv[1] if len(sys.argv) > 1 else "runs/own_schedule"
run = diffuscope.train("s_curve", schedule=LogLinear(), out=out, pictures=False)
run.plot_samples(3000).savefig(run.path / "samples.png")

again = diffuscope.load(out, schedule=LogLinear())  # a run keeps weights, not code
print(again.sample(3, seed=1))
print(f"{run.quality}; see {run.path / 'samples.png'}")
