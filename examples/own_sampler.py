"""A sampler of one's own: one step from noise to data, (context, x) -> x.

    python examples/own_sampler.py [DIRECTORY]

``context.now`` and ``context.target`` are the noise levels before and after the step, ``context.denoiser(x,
level)`` estimates the clean data. In y = x / alpha and r = sigma / alpha the probability
flow is dy = eps dr; this is the midpoint rule for it.
"""

import sys

import diffuscope
from diffuscope.diffusion.predictions import eps_from_data


# --- own part
def midpoint(context, x):
    middle = context.grid.at_ratio((context.now.ratio + context.target.ratio) / 2)
    halfway = move(x, noise_in(context, x, context.now), context.now, middle)
    return move(x, noise_in(context, halfway, middle), context.now, context.target)


def noise_in(context, x, level):
    return eps_from_data(context.denoiser(x, level), x, level)


def move(x, eps, now, to):
    return to.alpha * (x / now.alpha + (to.ratio - now.ratio) * eps)


# ---

out = sys.argv[1] if len(sys.argv) > 1 else "runs/own_sampler"
run = diffuscope.train("s_curve", sampler=midpoint, out=out, pictures=False)
run.plot_samples(3000).savefig(run.path / "samples.png")

again = diffuscope.load(out)  # any run, any sampler, whatever it was trained with
print(again.sample(3, seed=1, sampler=midpoint, steps=18))
print(f"{run.quality}; see {run.path / 'samples.png'}")
