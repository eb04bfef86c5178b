"""How exactly does the probability flow give a density, and how long does it take?

The oracle of each built-in set is taken for a model, so that its density is known: that of the set, noised to
the schedule's least level. Errors are those at points drawn from the set, and at the same points moved by
three standard deviations of the set's finest detail in each coordinate.
"""

from __future__ import annotations

import math
import statistics

import numpy as np
import torch
from report import parser, publish, table, timed

import diffuscope
from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.diffusion.schedules import EDM, VP, Flow, Schedule
from diffuscope.likelihood import LogDensity, log_density
from diffuscope.model import Model
from diffuscope.oracle import Oracle, oracle_for

SCHEDULES: dict[str, Schedule] = {"edm": EDM(), "vp": VP(), "flow": Flow()}
ASKED = 1e-3


def errors(
    law: Oracle, schedule: Schedule, x: torch.Tensor, tolerance: float
) -> tuple[LogDensity, torch.Tensor]:
    """Return what the flow says of points, and by how much it is wrong."""
    level = schedule(torch.tensor(schedule.t_min))
    found = log_density(law, schedule, x, prior=law, tolerance=tolerance)
    truth = law.log_density(level.alpha * x, level) + law.d * level.alpha.log()
    return found, (found.value - truth).abs()


def row(name: str, kind: str, n: int, tolerance: float) -> tuple[list[str], float]:
    """Return a line of the table, and the worst error in it."""
    law, schedule = oracle_for(name, resolution=2), SCHEDULES[kind]  # so that errors are the flow's
    least = schedule(torch.tensor(schedule.t_min)).ratio.item()
    width = math.hypot(POINT_SETS[name].noise, least)
    x = law.draw(n, 1)
    away = x + 3 * width * torch.from_numpy(np.random.default_rng(2).standard_normal(x.shape))
    results: list[tuple[LogDensity, torch.Tensor]] = []
    seconds = timed(lambda: results.append(errors(law, schedule, x, tolerance)))
    found, on = results[0]
    _, off = errors(law, schedule, away, tolerance)
    worst = max(on.max().item(), off.max().item())
    each = [f"{value:.1e}" for value in (on.mean(), on.max(), off.mean(), off.max())]
    return [name, kind, *each, str(found.evaluations), f"{seconds / n * 1000:.2f} s"], worst


def trained(rounds: int) -> str:
    """Time a network of the fast recipe; its cost is that of a trained one."""
    recipe = diffuscope.load_recipe("fast")
    data = load_dataset("s_curve")
    torch.manual_seed(0)
    model = Model(recipe, recipe.make_denoiser(2), PointsCodec.fit(data.x))
    torch.nn.init.normal_(model.denoiser.network.output.weight, std=0.05)
    seconds = [timed(lambda: model.log_density(data.x[:1000])) for _ in range(rounds + 1)][1:]
    return (
        f"A network of the `fast` recipe, 1,000 points of the S: {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f}–{max(seconds):.2f}, {torch.get_num_threads()} threads)."
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("-n", type=int, default=1000, help="points, on the set and off it")
    arguments.add_argument("--tolerance", type=float, default=1e-5)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    lines, worst = zip(
        *(row(name, kind, options.n, options.tolerance) for name in sorted(POINT_SETS) for kind in SCHEDULES),
        strict=True,
    )
    head = ["set", "schedule", "mean", "max", "mean, off", "max, off", "evaluations", "per 1,000 points"]
    verdict = "met" if max(worst) <= ASKED else "not met"
    text = (
        f"{table(head, lines)}\n\nErrors in nats, {options.n:,} points of each kind, tolerance "
        f"{options.tolerance:g}. Target: at most {ASKED:g} at every point: {verdict} "
        f"(worst: {max(worst):.1e}).\n\n{trained(options.rounds)}"
    )
    publish("likelihood", text, options.write)


if __name__ == "__main__":
    main()
