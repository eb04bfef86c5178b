"""How much information is lost by taking a model for the law, after so many seconds of training?

KL(law || model) in nats: the mean of log p - log q at fresh points, p the law's density and q the model's.
Each model trains on 10,000 points of a law whose density is known (``laws.py``), on one thread; a model of
this package is trained anew for each length, as its learning rate falls to zero at the end. Seconds are of a
processor's work, from the points in memory to the trained model. Beside them: a Gaussian mixture
(scikit-learn), the number of components by BIC, with the seconds of all fits; kernels, the bandwidth by
cross-validation; a neural spline flow (zuko), where it is installed.

The mean of log p/q + q/p - 1 has the same expectation, as q integrates to 1 where p is not 0, and a far
smaller variance: each of its terms is 0 where p = q. It is taken for all laws but those of which models have
much mass where p has none, or so little that no fresh point comes there.

Results go to ``--results`` as they come, a line of JSON each; what stands there is not measured again, and
``--write`` makes table and figure of a finished run.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from laws import LAWS, SHARP
from matplotlib.figure import Figure
from numpy.typing import NDArray
from report import parser, publish, table

import diffuscope
from diffuscope.data.base import Dataset
from diffuscope.plots import GENERATED, INK, save_figure
from diffuscope.plots.style import heading, new_figure
from diffuscope.runs.setup import Setup

RESULTS = Path(__file__).with_name("results") / "time_to_law.jsonl"
PICTURE = "../docs/images/time_to_law.png"

N = 10_000
TUNED_ON = ("s_curve", "pinwheel", "checkerboard", "helix")
COLUMNS = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
WITHIN = 5.0
HUES = {"law": GENERATED, "fast": "#c48bd6", "mixture": "#c9822b", "kernel": "#3f8f6b", "flow": "#5b7083"}
_FRESH = 1_000_000  # seeds of fresh points begin here

Points = NDArray[np.float64]
Density = Callable[[Points], Points]
Record = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How much is measured; a result counts only for the plan that it was made with.

    Attributes
    ----------
    points : int
        Fresh ones at which densities are compared.
    lengths : tuple of int
        Steps of the recipes' trainings.
    flow : tuple of float
        Seconds at which the flow is looked at.
    tolerance : float
        Of the densities of this package, see ``diffuscope.likelihood.log_density``: 0.0001 nats in the mean.
    """

    points: int = 2_000
    lengths: tuple[int, ...] = (200, 950, 3_000)
    flow: tuple[float, ...] = (1.0, 5.0)
    tolerance: float = 1e-3

    def to_json(self) -> dict[str, Any]:
        """Return what is read again from a line of the results."""
        return json.loads(json.dumps(asdict(self)))


QUICK = Plan(points=300, lengths=(40,), flow=(0.3,), tolerance=1e-2)


def recipe(name: str, x: Points, seed: int, plan: Plan) -> Iterator[tuple[float, Density]]:
    """Train a recipe of this package, once for each length."""
    for steps in plan.lengths:
        begun = time.process_time()
        chosen = diffuscope.load_recipe(name).changed({"seed": seed, "training.steps": steps})
        setup = Setup(chosen, Dataset("points", x, None, None, {"kind": "array"}), torch.device("cpu"))
        trainer = setup.trainer()
        trainer.run()
        trainer.finish()
        seconds, model = time.process_time() - begun, setup.model
        yield seconds, lambda at, model=model: model.log_density(at, tolerance=plan.tolerance)


def mixture(x: Points, seed: int, plan: Plan) -> Iterator[tuple[float, Density]]:
    """Fit Gaussian mixtures, and keep that of the lowest BIC."""
    from sklearn.mixture import GaussianMixture

    begun = time.process_time()
    best, kept = math.inf, None
    for k in (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128):
        made = GaussianMixture(k, random_state=seed).fit(x)
        score = made.bic(x)
        if score > best:
            break
        best, kept = score, made
    assert kept is not None
    yield time.process_time() - begun, kept.score_samples


def kernel(x: Points, seed: int, plan: Plan) -> Iterator[tuple[float, Density]]:
    """Put a Gaussian on each point; its width is the best of 8 by cross-validation in 3 parts."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KernelDensity

    begun = time.process_time()
    shift, scale = x.mean(axis=0), x.std(axis=0)
    z = np.random.default_rng(seed).permutation((x - shift) / scale)
    search = GridSearchCV(
        KernelDensity(rtol=1e-4), {"bandwidth": np.geomspace(0.02, 0.6, 8)}, cv=3, refit=True
    ).fit(z)
    best, volume = search.best_estimator_, np.log(scale).sum()
    yield time.process_time() - begun, lambda at: best.score_samples((at - shift) / scale) - volume


def flow(x: Points, seed: int, plan: Plan) -> Iterator[tuple[float, Density]]:
    """Train a neural spline flow of 3 transforms with networks of 64 × 64, by Adam at 1e-3."""
    import zuko

    torch.manual_seed(seed)
    begun = time.process_time()
    shift, scale = x.mean(axis=0), x.std(axis=0)
    z = torch.as_tensor((x - shift) / scale, dtype=torch.float32)
    made = zuko.flows.NSF(features=x.shape[1], transforms=3, hidden_features=(64, 64))
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-3)
    away, volume = 0.0, np.log(scale).sum()  # the clock stands while the flow is looked at

    @torch.no_grad()
    def density(at: Points) -> Points:
        rows = torch.as_tensor((at - shift) / scale, dtype=torch.float32)
        return made().log_prob(rows).double().numpy() - volume

    for goal in plan.flow:
        while (seconds := time.process_time() - begun - away) < goal:
            for _ in range(10):
                loss = -made().log_prob(z[torch.randint(len(z), (256,))]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        stopped = time.process_time()
        yield seconds, density
        away += time.process_time() - stopped


def law_of_the_package(x: Points, seed: int, plan: Plan) -> Iterator[tuple[float, Density]]:
    """Train the recipe ``law``."""
    return recipe("law", x, seed, plan)


def fast(x: Points, seed: int, plan: Plan) -> Iterator[tuple[float, Density]]:
    """Train the recipe ``fast``."""
    return recipe("fast", x, seed, plan)


CONTESTANTS = {
    "law": law_of_the_package,
    "fast": fast,
    "mixture": mixture,
    "kernel": kernel,
    "flow": flow,
}


def lost(name: str, density: Density, at: Points, log_p: Points) -> tuple[float, float]:
    """Return KL(law || model) in nats, and its standard error over the points."""
    each = log_p - np.maximum(density(at), -700.0)
    if name not in SHARP:
        each = each + np.expm1(np.minimum(-each, 50.0))
    return float(each.mean()), float(each.std() / len(each) ** 0.5)


def collect(
    plan: Plan, names: Sequence[str], who: Sequence[str], seeds: int, results: Path, more: bool
) -> list[Record]:
    """Return what the file holds; measure the rest, and add it there, if ``more`` is asked for."""
    results.parent.mkdir(parents=True, exist_ok=True)
    lines = results.read_text("utf-8").splitlines() if results.is_file() else []
    kept = [one for one in map(json.loads, lines) if one["plan"] == plan.to_json() and one["seed"] < seeds]
    kept = [one for one in kept if one["law"] in names and one["contestant"] in who]
    if not more:
        return kept
    done = {(one["law"], one["contestant"], one["seed"]) for one in kept}
    with results.open("a", encoding="utf-8") as file:
        for seed in range(seeds):
            for name in names:
                law = LAWS[name]()
                x, at = law.draw(N, seed), law.draw(plan.points, _FRESH + seed)
                log_p = law.log_density(at)
                for contestant in who:
                    if (name, contestant, seed) in done:
                        continue
                    try:
                        points = [
                            {"seconds": seconds, "lost": lost(name, density, at, log_p)}
                            for seconds, density in CONTESTANTS[contestant](x, seed, plan)
                        ]
                    except ModuleNotFoundError as error:
                        print(f"{contestant} cannot run here: {error}", flush=True)
                        continue
                    one = {
                        "law": name,
                        "contestant": contestant,
                        "seed": seed,
                        "points": points,
                        "plan": plan.to_json(),
                    }
                    kept.append(one)
                    file.write(json.dumps(one) + "\n")
                    file.flush()
                    said = ", ".join(f"{p['seconds']:.2f} s: {p['lost'][0]:.4f}" for p in points)
                    print(f"{name}, {contestant}, seed {seed}: {said}", flush=True)
    return kept


@dataclass(frozen=True)
class Curve:
    """What a contestant has lost on a law, the mean of its seeds.

    Attributes
    ----------
    seconds, lost, error : ndarray of shape (points,)
        ``error`` is the standard error over seeds and points.
    seeds : int
    """

    seconds: Points
    lost: Points
    error: Points
    seeds: int

    @classmethod
    def of(cls, runs: Sequence[Record]) -> Curve:
        """Read the runs of a contestant."""
        seconds = np.array([[point["seconds"] for point in run["points"]] for run in runs])
        values = np.array([[point["lost"] for point in run["points"]] for run in runs])
        of_points = values[:, :, 1].mean(axis=0) / len(runs) ** 0.5
        of_seeds = values[:, :, 0].std(axis=0, ddof=1) / len(runs) ** 0.5 if len(runs) > 1 else of_points
        return cls(
            np.median(seconds, axis=0),
            values[:, :, 0].mean(axis=0),
            np.maximum(of_points, of_seeds),
            len(runs),
        )

    def within(self, seconds: float) -> int | None:
        """Return the longest training that took no longer than so many seconds."""
        fit = np.flatnonzero(self.seconds <= seconds)
        return int(fit[-1]) if len(fit) else None

    def cell(self, place: int | None) -> str:
        """Write a value with its 95% interval."""
        return "" if place is None else f"{self.lost[place]:.4f} ± {1.96 * self.error[place]:.4f}"


Curves = dict[tuple[str, str], Curve]


def curves_of(records: Sequence[Record]) -> Curves:
    """Read the results: a curve for each law and contestant."""
    runs: dict[tuple[str, str], list[Record]] = {}
    for one in records:
        runs.setdefault((one["law"], one["contestant"]), []).append(one)
    return {key: Curve.of(those) for key, those in runs.items()}


def write_up(curves: Curves, names: Sequence[str], plan: Plan) -> str:
    """Return tables and judgement, as Markdown."""
    parts = []
    for contestant in ("law", "fast"):
        head = [contestant, *(f"{column:g} s" for column in COLUMNS)]
        rows = [
            [name, *(one.cell(one.within(column)) for column in COLUMNS)]
            for name in names
            if (one := curves.get((name, contestant))) is not None
        ]
        parts.append(table(head, rows))
    others = ("mixture", "kernel", "flow")
    rows = []
    for name in names:
        cells = []
        for other in others:
            one = curves.get((name, other))
            cells.append("" if one is None else f"{one.cell(len(one.lost) - 1)} ({one.seconds[-1]:.2g} s)")
        rows.append([name, *cells])
    parts.append(table(["others, at their end", *others], rows))
    return "\n\n".join([*parts, verdict(curves, names, plan)])


def verdict(curves: Curves, names: Sequence[str], plan: Plan) -> str:
    """Say how ``law`` stands against the best of mixture and kernels within 5 s."""
    better, said = [], 0
    for name in names:
        own = curves.get((name, "law"))
        rivals = [curves[name, other] for other in ("mixture", "kernel") if (name, other) in curves]
        place = None if own is None else own.within(WITHIN)
        if own is None or place is None or not rivals:
            continue
        said += 1
        if own.lost[place] < min(one.lost[-1] for one in rivals):
            better.append(name)
    untouched = [name for name in better if name not in TUNED_ON]
    seeds = {who: min(one.seeds for (_, own), one in curves.items() if own == who) for _, who in curves}
    of = ", ".join(f"{who} {count}" for who, count in seeds.items())
    return (
        f"KL(law || model) in nats, the mean of the seeds ({of}) on {plan.points:,} fresh points each, "
        "± 95%; seconds of a processor's work on one thread, each cell the longest training within them. "
        f"Settings of `law` were chosen on {', '.join(TUNED_ON)}. Within {WITHIN:g} s `law` loses less than "
        f"the better of mixture and kernels on {len(better)} of {said} laws ({', '.join(better)}), "
        f"{len(untouched)} of them not among those four."
    )


def draw(curves: Curves, names: Sequence[str]) -> Figure:
    """Draw what is lost over seconds, a panel for each law."""
    across = min(4, len(names))
    figure = new_figure(3.0 * across, 2.6 * math.ceil(len(names) / across))
    axes = np.atleast_1d(figure.subplots(math.ceil(len(names) / across), across, sharex=True)).ravel()
    for ax, name in zip(axes, names, strict=False):
        for contestant, hue in HUES.items():
            one = curves.get((name, contestant))
            if one is None:
                continue
            low = np.maximum(one.lost - 1.96 * one.error, one.lost / 3)
            ax.fill_between(one.seconds, low, one.lost + 1.96 * one.error, color=hue, alpha=0.15, linewidth=0)
            shape = "o" if len(one.lost) == 1 else None
            ax.plot(one.seconds, one.lost, color=hue, marker=shape, linewidth=2, label=contestant)
        ax.set(xscale="log", yscale="log", title=name)
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.supxlabel("seconds of a processor's work", color=INK)
    figure.supylabel("KL(law ‖ model), nats", color=INK)
    heading(figure, "How much information a model loses: 10,000 points of each law")
    return figure


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--results", type=Path, default=RESULTS, help="lines of JSON, read and added to")
    arguments.add_argument("--laws", nargs="+", default=list(LAWS), choices=list(LAWS))
    arguments.add_argument("--only", nargs="+", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--only-summary", action="store_true", help="measure nothing more")
    arguments.add_argument("--quick", action="store_true", help="does it all work? Nothing is kept")
    options = arguments.parse_args()
    if options.quick and options.write:
        arguments.error("--quick measures nothing that is worth writing")
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        plan, seeds, results, names = Plan(), options.seeds, options.results, options.laws
        if options.quick:
            plan, seeds, results, names = QUICK, 1, Path(scratch) / "quick.jsonl", options.laws[:2]
        records = collect(plan, names, options.only, seeds, results, not options.only_summary)
    curves = curves_of(records)
    text = f"{write_up(curves, names, plan)}\n\n![Nats over seconds]({PICTURE})"
    publish("time_to_law", text, options.write)
    figure = draw(curves, names)
    if options.write:
        save_figure(figure, Path(__file__).parent / PICTURE)


if __name__ == "__main__":
    main()
