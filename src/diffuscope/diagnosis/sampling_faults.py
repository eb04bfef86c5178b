"""What is wrong with the walk: its start, its number of steps, the steps themselves?

Everything here is measured with the exact denoiser in the network's place: no training removes it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.diagnosis.budget import Budget, Walks
from diffuscope.diagnosis.clouds import Clouds, Configuration
from diffuscope.diagnosis.findings import WORTH, Finding, matters
from diffuscope.diagnosis.steps import Step, probe_steps
from diffuscope.diagnosis.subject import PerCloud, Subject, for_cloud
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import q_posterior
from diffuscope.diffusion.samplers import DDIM, DDPM, DPMSolver, Sampler, SamplingContext, sampler_name
from diffuscope.diffusion.schedules import DiscreteSchedule, Grid, Schedule, linear
from diffuscope.errors import DiffuscopeError
from diffuscope.metrics import sliced_wasserstein

__all__ = ["clipped_answers", "own_code", "sampling_faults", "start_divergence"]

_FEW_CLOUDS = 6
_VISIBLE = 0.02  # noise left on clean data, in deviations of the data
_SIGNAL_LEFT = (1e-2, 1e-3, 1e-4)  # signal-to-noise ratio at the end, for data of its own deviation


def sampling_faults(subject: Subject, clouds: Clouds, walks: Walks, budget: Budget) -> Iterator[Finding]:
    """Yield what is wrong with start, grid and sampler."""
    scale = _data_scale(subject, clouds, walks, budget)
    if scale is not None:
        yield scale
        return  # start and steps are judged once the data is scaled
    if matters(budget["prior"]):
        yield _terminal_snr(subject, clouds, budget)
    if matters(budget["discretisation"]):
        yield _steps(subject, clouds, walks, budget)


def start_divergence(subject: Subject) -> float:
    """Return KL(q(x_T) ‖ start) in nats, over noised data."""
    level = subject.grid.levels.at(0)
    _, x_t = subject.noised(level, k=3000, n=2_000)
    log_q = subject.oracle.log_density(x_t.double(), level)
    scaled = x_t.double() / subject.start_std
    log_p = -0.5 * scaled.square().sum(1) - subject.d * math.log(subject.start_std * math.sqrt(2 * math.pi))
    return float((log_q - log_p).mean())


def _terminal_snr(subject: Subject, clouds: Clouds, budget: Budget) -> Finding:
    level = subject.grid.levels.at(0)
    sigma = level.sigma.item()
    reached = math.hypot(level.alpha.item() * subject.spread, sigma)
    snr = level.snr.item()
    share = budget["prior"]
    evidence = (
        f"Sampling starts from noise of std {subject.start_std:.2f}, but training never saw noise above "
        f"{sigma:.2f}, and noised data only up to std {reached:.2f} (terminal SNR {snr:.3g}, "
        f"KL {start_divergence(subject):.2g} nats). With a perfect denoiser this alone costs "
        f"{_interval(share.ratio, share.low, share.high)} × floor: no training removes it."
    )
    return Finding(
        "terminal_snr",
        "Sampling does not start where training ended",
        evidence,
        share.ratio,
        _fix_of_start(subject, clouds, share.ratio),
    )


def _fix_of_start(subject: Subject, clouds: Clouds, cost: float) -> str:
    """Return how to make the schedule end in noise, and what a perfect denoiser then reaches."""
    schedule = subject.schedule
    if not isinstance(schedule, DiscreteSchedule):
        return "Extend the schedule to more noise (t_max, sigma_max), or start from noised data, q(x_T)."
    first = schedule.beta[0].item()
    tried = []
    for left in _SIGNAL_LEFT:  # less signal at the end leaves less to the start, but makes every step longer
        snr = left / subject.spread**2
        end = 2 * math.log1p(snr) / schedule.T - 2 * math.log(snr) / schedule.T - first
        if schedule.beta[-1] < end < 1:
            end = float(f"{end:.1g}")
            better = linear(schedule.T, first, end)
            after = _exact_cost(subject, clouds, better, subject.sampler, subject.grid.n_steps)
            if after is not None:
                tried.append((after, end))
                if after < WORTH / 2:
                    break
    after, end = min(tried, default=(cost, 0.0))
    flag = subject.training.flag
    others = (
        f"a cosine schedule{flag('--schedule cosine')}, or zero terminal SNR with velocity "
        f"prediction{flag('--zero-terminal-snr --set denoiser.prediction=velocity')}."
    )
    if after > cost / 2:
        return f"Train with {others}"
    return (
        f"Raise the last β to {end:g}{flag(f'--set schedule.end={end:g}')} and train again: a perfect "
        f"denoiser then loses {max(after, 0):.2f} × floor to start and steps together, but the network has "
        f"more noise levels to learn: diagnose the new run too. Or use {others}"
    )


def _exact_cost(
    subject: Subject, clouds: Clouds, schedule: Schedule, sampler: Sampler, n_steps: int
) -> float | None:
    """Return what a perfect denoiser loses under another schedule, sampler or number of steps."""
    try:
        grid = schedule.grid(n_steps, "uniform" if schedule.discrete else "karras")
    except DiffuscopeError:
        return None
    other = Clouds(dataclasses.replace(subject, schedule=schedule, grid=grid, start_std=grid.prior_std))
    values = other.distances(Configuration(subject.perfect, sampler=sampler), _FEW_CLOUDS)
    return clouds.share(values, clouds.baseline[:_FEW_CLOUDS]).ratio


def _steps(subject: Subject, clouds: Clouds, walks: Walks, budget: Budget) -> Finding:
    share = budget["discretisation"]
    return _broken_step(subject, clouds, walks) or _few_steps(subject, clouds, share.ratio)


def _broken_step(subject: Subject, clouds: Clouds, walks: Walks) -> Finding | None:
    """Look at single steps, where a sound sampler on the same levels does better."""
    try:
        steps = probe_steps(subject.sampler, subject.grid, subject.spread)
    except Exception:  # a user's own sampler that does not support single steps
        return None
    inner = [step for step in steps if not step.is_last]
    starved = [s for s in inner if s.noise < 0.5 * s.wanted_noise and s.wanted_noise > 0.01 * s.target.sigma]
    sound: Sampler = DDPM() if starved or any(s.noise > 0 for s in inner) else DDIM()
    mended = clouds.distances(Configuration(subject.perfect, true_start=True, sampler=sound))
    gain = clouds.share(walks.true_start, mended)
    if not matters(gain, WORTH / 2):
        return None
    nearer = _interval(gain.ratio, gain.low, gain.high)
    found = _fault_of(steps, inner, starved, subject.spread)
    if found is None:
        return None
    code, title, evidence, fix = found
    return Finding(
        code,
        title,
        f"{evidence} With a perfect denoiser, "
        f"{sampler_name(sound)} on the same levels ends {nearer} × floor nearer.",
        gain.ratio,
        fix,
    )


def _fault_of(
    steps: list[Step], inner: list[Step], starved: list[Step], spread: float
) -> tuple[str, str, str, str] | None:
    clipped = [s for s in steps if s.clipped_at is not None]
    if clipped:
        bound = min(s.clipped_at for s in clipped if s.clipped_at is not None)
        return (
            "clipping",
            "The sampler clips the data estimate inside the range of the data",
            f"Estimates do not exceed {bound:.3g}; the root mean square of the data is {spread:.3g}.",
            f"Do not clip, or scale the data into [-{bound:.2g}, {bound:.2g}] first.",
        )
    loud = [s for s in steps if s.is_last and s.noise > _VISIBLE * spread]
    if loud:
        noise = loud[0].noise
        return (
            "noise_last_step",
            "Noise is added in the last step",
            f"The step to clean data adds noise of std {noise:.3g}, {noise / spread:.0%} of the data's own.",
            "Return the mean in the step that leads to clean data: no z where t = 0.",
        )
    wrong = [s for s in inner if abs(s.data - s.wanted_data) > 0.1 * abs(s.wanted_data) + 1e-3]
    if len(wrong) > len(inner) / 2:
        s = wrong[len(wrong) // 2]
        return (
            "step_coefficients",
            "Steps of the sampler do not match the schedule that the model was trained with",
            f"At σ/α = {s.now.ratio.item():.3g} a step keeps {s.signal:.3f} of the point and adds "
            f"{s.data:.4f} of the data estimate; by the schedule it should add {s.wanted_data:.4f}.",
            "Use α and σ of the training schedule at the same t in the sampling loop.",
        )
    if len(starved) >= max(1, len(inner) / 2):
        s = starved[len(starved) // 2]
        return (
            "noise_missing",
            "Steps of the sampler add too little noise",
            f"{len(starved)} of {len(inner)} probed steps add noise of std {s.noise:.3g}, but their mean "
            f"needs {s.wanted_noise:.3g}; samples lose variance.",
            "Add sqrt(posterior variance) · z in every step but the last, or use ddim, which needs none.",
        )
    flooded = [s for s in inner if s.noise > 1.2 * s.most_noise]
    if len(flooded) > len(inner) / 2:
        s = flooded[0]
        return (
            "step_coefficients",
            "Steps of the sampler add too much noise",
            f"A step adds noise of std {s.noise:.3g}; the maximum is {s.most_noise:.3g}.",
            "Add sqrt(posterior variance) · z.",
        )
    return None


def _few_steps(subject: Subject, clouds: Clouds, cost: float) -> Finding:
    n, name = subject.grid.n_steps, sampler_name(subject.sampler)
    share = f"{n} steps of {name} cost {cost:.2f} × floor even with a perfect denoiser."
    tried = []
    most = subject.schedule.T if isinstance(subject.schedule, DiscreteSchedule) else 1000
    solver, longer = DPMSolver(), min(max(40, 2 * n), most)
    options: list[tuple[Sampler, int]] = [(solver, n), (subject.sampler, min(4 * n, most)), (solver, longer)]
    for sampler, steps in options:
        after = _exact_cost(subject, clouds, subject.schedule, sampler, steps)
        if after is not None:
            flag = subject.training.flag(f"--sampler {sampler_name(sampler)} --steps {steps}")
            tried.append((after, f"{sampler_name(sampler)} in {steps} steps{flag}"))
            if after < WORTH:
                break
    after, better = min(tried, default=(cost, "more steps"))
    fix = f"Sample with {better}: {max(after, 0):.2f} × floor remains. No new training is needed."
    return Finding("few_steps", f"{n} steps are too few for this sampler", share, cost - max(after, 0), fix)


def _data_scale(subject: Subject, clouds: Clouds, walks: Walks, budget: Budget) -> Finding | None:
    """Check whether the same sampling would suffice for standardised data, where the data is not."""
    unit = _unit(subject)
    if unit / 3 < subject.spread < 3 * unit:
        return None
    shift, scale = subject.data.x.mean(axis=0), subject.data.x.std(axis=0)
    standard = dataclasses.replace(subject, scaling=Scaling(shift, scale / unit))
    own = walks.own_start[:_FEW_CLOUDS]
    values = Clouds(standard).distances(Configuration(standard.perfect), len(own))
    gain = clouds.share(own, values)
    network = budget.get("network")
    counted = gain.ratio
    if network is not None and network.is_certain and subject.spread > unit:
        counted += network.ratio
    if counted < WORTH or not (gain.is_certain or counted > gain.ratio):
        return None
    evidence = (
        f"The model sees data of root mean square {subject.spread:.3g}, but its schedule is made for "
        f"about {unit:.3g}. A perfect denoiser of standardised data, on the same noise levels, would be "
        f"{_interval(gain.ratio, gain.low, gain.high)} × floor nearer"
    )
    if counted > gain.ratio:
        evidence += f", and most of the network's own {counted - gain.ratio:.2f} × floor should vanish too"
    fix = f"Standardise each column{subject.training.flag('--set data.scaling=standard')}, and train again."
    return Finding("data_scale", "The data is not scaled", evidence + ".", counted, fix)


def _unit(subject: Subject) -> float:
    """The standard deviation of the data that the schedule is made for."""
    return float(getattr(subject.denoiser, "sigma_data", 1.0))


def own_code(subject: Subject, clouds: Clouds, walks: Walks, budget: Budget) -> Finding | None:
    """Find the fault of the user's sampling code, where its samples are worse than ours of the same network.

    Common mistakes are made on purpose with the same network; the one with samples nearest to the user's is
    named.
    """
    if walks.given is None or subject.samples is None or "rest" not in budget:
        return None
    share = budget["rest"]
    if not matters(share):
        return None
    given = subject.shown(subject.samples[: subject.cloud_size])
    grid, denoiser = subject.grid, subject.denoiser
    silent = Configuration(denoiser, sampler=_without_noise)
    clamped = Configuration(lambda x_t, level: subject.ask(denoiser, x_t, level).clamp(-1.0, 1.0))
    narrow = Configuration(denoiser, grid=_half(grid))
    loud = Configuration(denoiser, sampler=_noise_to_the_end)
    suspects = [
        (
            "noise_missing",
            "no noise is added in its steps",
            silent,
            "Add sqrt(posterior variance) · z in each.",
        ),
        ("noise_last_step", "noise is added in its last step", loud, "Return the mean where t = 0."),
        ("clipping", "its data estimate is clipped to [−1, 1]", clamped, "Do not clip, or scale the data."),
        (
            "step_coefficients",
            "it skips every other step",
            narrow,
            "Use all times of the schedule.",
        ),
    ]
    ours = sliced_wasserstein(given, clouds.generate(Configuration(denoiser), 1)[0])
    distances = [sliced_wasserstein(given, clouds.generate(one, 1)[0]) for _, _, one, _ in suspects]
    best = int(np.argmin(distances))
    evidence = (
        "Samples of the same network with our sampler are "
        f"{_interval(share.ratio, share.low, share.high)} × floor nearer to real data than the given samples."
    )
    if distances[best] < 0.5 * ours and distances[best] < 3 * clouds.floor:
        code, what, _, fix = suspects[best]
        evidence += f" They resemble ours if {what}: {distances[best] / clouds.floor:.1f} × floor apart."
        return Finding(code, f"In your sampling code {what}", evidence, share.ratio, fix)
    return Finding(
        "sampling_code",
        "Your sampling code makes worse samples than the network allows",
        evidence,
        share.ratio,
        "Compare its start, α, σ and noise with diffuscope.diffusion.samplers, or sample with those.",
    )


def _without_noise(context: SamplingContext, x: Tensor) -> Tensor:
    return q_posterior(context.estimate(x), x, context.now, context.target)[0]


def _noise_to_the_end(context: SamplingContext, x: Tensor) -> Tensor:
    mean, variance = q_posterior(context.estimate(x), x, context.now, context.target)
    if context.is_last:
        variance = context.grid.levels.sigma[-2].square()
    return mean + variance.sqrt().to(x.dtype) * context.noise(x)


def _half(grid: Grid) -> Grid:
    kept = sorted({*range(0, grid.n_steps, 2), grid.n_steps})
    return Grid(grid.levels.at(torch.tensor(kept)), grid.at_ratio)


def clipped_answers(subject: Subject, clouds: Clouds, walks: Walks) -> Finding | None:
    """Find outputs of the denoiser that are clipped at a bound, where data lies beyond it."""
    grid = subject.grid
    level = grid.levels.at(grid.n_steps - 1 - grid.n_steps // 8)
    _, x_t = subject.noised(level, k=4000)
    answers = subject.ask(subject.denoiser, x_t, level).double()
    top, bottom = _heap(answers), -_heap(-answers)
    inside_top, inside_bottom = (
        float((subject.x > top).double().mean()),
        float((subject.x < bottom).double().mean()),
    )
    share = inside_top + inside_bottom
    if share < 1e-3:
        return None
    exact = subject.perfect

    def of_cloud(k: int) -> DenoiserLike:
        own = for_cloud(exact, k)
        return lambda x_t, level: own(x_t, level).clamp(bottom, top)

    clipped = PerCloud(of_cloud)

    count = min(_FEW_CLOUDS, clouds.count)
    values: NDArray[np.float64] = clouds.distances(Configuration(clipped), count)
    gain = clouds.share(values, walks.own_start[:count])
    if not matters(gain):
        return None
    return Finding(
        "clipping",
        "The denoiser clips its output inside the range of the data",
        f"Outputs pile up at {bottom:.3g} and {top:.3g}, and {share:.1%} of the data's values lie beyond. A "
        f"perfect denoiser clipped there loses {_interval(gain.ratio, gain.low, gain.high)} × floor.",
        gain.ratio,
        "Do not clamp x_0, or scale the data into the bounds before training.",
    )


def _heap(values: Tensor) -> float:
    """Return the largest value if at least one number in 200 is exactly that; else infinity."""
    most = values.max()
    return most.item() if (values == most).double().mean() > 0.005 else math.inf


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"
