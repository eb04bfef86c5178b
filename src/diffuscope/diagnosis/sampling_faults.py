"""What is wrong with the walk: its start, its number of steps, the steps themselves?

Everything here is measured with the exact denoiser in the network's place: no training removes it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.diagnosis.budget import Budget
from diffuscope.diagnosis.distances import Clouds
from diffuscope.diagnosis.findings import WORTH, Finding, matters
from diffuscope.diagnosis.steps import Step, probe_steps
from diffuscope.diagnosis.subject import PerCloud, for_cloud
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import q_posterior
from diffuscope.diffusion.samplers import DDIM, DDPM, DPMSolver, Sampler, SamplingContext, sampler_name
from diffuscope.diffusion.schedules import DiscreteSchedule, Grid, NoiseLevel, Schedule, linear
from diffuscope.errors import DiffuscopeError

__all__ = ["clipped_answers", "own_code", "sampling_faults"]

_FEW_CLOUDS = 6
_VISIBLE = 0.02  # noise left on clean data, in deviations of the data
_SIGNAL_LEFT = (1e-2, 1e-3, 1e-4)  # signal-to-noise ratio at the end, for data of its own deviation


def sampling_faults(clouds: Clouds, budget: Budget) -> list[Finding]:
    """Return what is wrong with start, grid and sampler."""
    scale = _data_scale(clouds, budget)
    if scale is not None:
        return [scale]  # start and steps are judged once the data is scaled
    found = []
    if matters(budget["prior"]):
        found.append(_terminal_snr(clouds, budget))
    if matters(budget["discretisation"]):
        found.append(_broken_step(clouds) or _few_steps(clouds, budget["discretisation"].ratio))
    return found


def _data_scale(clouds: Clouds, budget: Budget) -> Finding | None:
    """Check whether the same sampling would suffice for standardised data, where the data is not."""
    subject = clouds.subject
    unit = float(getattr(subject.denoiser, "sigma_data", 1.0))  # the deviation that the schedule is made for
    if unit / 3 < subject.spread < 3 * unit:
        return None
    x = subject.data.x
    standard = clouds.changed(scaling=Scaling(x.mean(axis=0), x.std(axis=0) / unit))
    gain = clouds.gain(clouds.own_start, standard.distances(standard.subject.perfect, _FEW_CLOUDS))
    network = budget.get("network")
    counted = gain.ratio
    if network is not None and network.is_certain and subject.spread > unit:
        counted += network.ratio
    if counted < WORTH or not (gain.is_certain or counted > gain.ratio):
        return None
    evidence = (
        f"The model sees data of root mean square {subject.spread:.3g}, but its schedule is made for "
        f"about {unit:.3g}. A perfect denoiser of standardised data, on the same noise levels, would be "
        f"{gain} × floor nearer"
    )
    if counted > gain.ratio:
        evidence += f", and most of the network's own {counted - gain.ratio:.2f} × floor should vanish too"
    fix = f"Standardise each column{subject.training.flag('--set data.scaling=standard')}, and train again."
    return Finding("data_scale", "The data is not scaled", evidence + ".", counted, fix)


def _terminal_snr(clouds: Clouds, budget: Budget) -> Finding:
    subject, share, level = clouds.subject, budget["prior"], clouds.subject.grid.levels.at(0)
    sigma, start = level.sigma.item(), subject.start_std
    reached = math.hypot(level.alpha.item() * subject.spread, sigma)
    x_t = subject.noised(level, k=3000, n=2_000)[1].double()
    log_start = -0.5 * (x_t / start).square().sum(1) - subject.d * math.log(start * math.sqrt(2 * math.pi))
    divergence = float((subject.oracle(0).log_density(x_t, level) - log_start).mean())
    return Finding(
        "terminal_snr",
        "Sampling does not start where training ended",
        f"Sampling starts from noise of std {start:.2f}, but training never saw noise above {sigma:.2f}, and "
        f"noised data only up to std {reached:.2f} (terminal SNR {level.snr.item():.3g}, KL {divergence:.2g} "
        f"nats). With a perfect denoiser this alone costs {share} × floor: no training removes it.",
        share.ratio,
        _fix_of_start(clouds, share.ratio),
    )


def _fix_of_start(clouds: Clouds, cost: float) -> str:
    """Return how to make the schedule end in noise, and what a perfect denoiser then reaches."""
    subject, schedule = clouds.subject, clouds.subject.schedule
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
            after = _exact_cost(clouds, better, subject.sampler, subject.grid.n_steps)
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


def _exact_cost(clouds: Clouds, schedule: Schedule, sampler: Sampler, n_steps: int) -> float | None:
    """Return what a perfect denoiser loses under another schedule, sampler or number of steps."""
    try:
        grid = schedule.grid(n_steps, "uniform" if schedule.discrete else "karras")
    except DiffuscopeError:
        return None
    other = clouds.changed(schedule=schedule, grid=grid, sampler=sampler, start_std=grid.prior_std)
    values = other.distances(clouds.subject.perfect, _FEW_CLOUDS)
    return clouds.share(values, clouds.baseline[: len(values)]).ratio


def _few_steps(clouds: Clouds, cost: float) -> Finding:
    subject = clouds.subject
    n, name = subject.grid.n_steps, sampler_name(subject.sampler)
    tried = []
    most = subject.schedule.T if isinstance(subject.schedule, DiscreteSchedule) else 1000
    solver = DPMSolver()
    options = ((solver, n), (subject.sampler, min(4 * n, most)), (solver, min(max(40, 2 * n), most)))
    for sampler, steps in options:
        after = _exact_cost(clouds, subject.schedule, sampler, steps)
        if after is not None:
            flag = subject.training.flag(f"--sampler {sampler_name(sampler)} --steps {steps}")
            tried.append((after, f"{sampler_name(sampler)} in {steps} steps{flag}"))
            if after < WORTH:
                break
    after, better = min(tried, default=(cost, "more steps"))
    return Finding(
        "few_steps",
        f"{n} steps are too few for this sampler",
        f"{n} steps of {name} cost {cost:.2f} × floor even with a perfect denoiser.",
        cost - max(after, 0),
        f"Sample with {better}: {max(after, 0):.2f} × floor remains. No new training is needed.",
    )


def _broken_step(clouds: Clouds) -> Finding | None:
    """Look at single steps, where a sound sampler on the same levels does better."""
    subject = clouds.subject
    try:
        steps = probe_steps(subject.sampler, subject.grid, subject.spread)
    except Exception:  # a user's own sampler that does not support single steps
        return None
    inner = [step for step in steps if not step.is_last]
    starved = [s for s in inner if s.noise < 0.5 * s.due_noise and s.due_noise > 0.01 * s.target.sigma]
    sound: Sampler = DDPM() if starved or any(s.noise > 0 for s in inner) else DDIM()
    fault = _fault_of(steps, inner, starved, subject.spread)
    if fault is None:
        return None
    other = clouds.changed(sampler=sound)
    gain = clouds.gain(clouds.true_start, other.distances(subject.perfect, true_start=True))
    if not matters(gain, WORTH / 2):
        return None
    code, title, evidence, fix = fault
    name = sampler_name(sound)
    evidence += f" With a perfect denoiser, {name} on the same levels ends {gain} × floor nearer."
    return Finding(code, title, evidence, gain.ratio, fix)


def _fault_of(
    steps: list[Step], inner: list[Step], starved: list[Step], spread: float
) -> tuple[str, str, str, str] | None:
    """Return code, title, evidence and fix of what single steps do wrong."""
    bounds = [s.clipped_at for s in steps if s.clipped_at is not None]
    if bounds:
        bound = min(bounds)
        return (
            "clipping",
            "The sampler clips the data estimate inside the range of the data",
            f"Estimates do not exceed {bound:.3g}; the root mean square of the data is {spread:.3g}.",
            f"Do not clip, or scale the data into [-{bound:.2g}, {bound:.2g}] first.",
        )
    loud = [s.noise for s in steps if s.is_last and s.noise > _VISIBLE * spread]
    if loud:
        return (
            "noise_last_step",
            "Noise is added in the last step",
            f"The step to clean data adds noise of std {loud[0]:.3g}, {loud[0] / spread:.0%} of the data's "
            "own.",
            "Return the mean in the step that leads to clean data: no z where t = 0.",
        )
    wrong = [s for s in inner if abs(s.data - s.due_data) > 0.1 * abs(s.due_data) + 1e-3]
    if len(wrong) > len(inner) / 2:
        s = wrong[len(wrong) // 2]
        return (
            "step_coefficients",
            "Steps of the sampler do not match the schedule that the model was trained with",
            f"At σ/α = {s.now.ratio.item():.3g} a step keeps {s.signal:.3f} of the point and adds "
            f"{s.data:.4f} of the data estimate; by the schedule it should add {s.due_data:.4f}.",
            "Use α and σ of the training schedule at the same t in the sampling loop.",
        )
    if len(starved) >= max(1, len(inner) / 2):
        s = starved[len(starved) // 2]
        return (
            "noise_missing",
            "Steps of the sampler add too little noise",
            f"{len(starved)} of {len(inner)} probed steps add noise of std {s.noise:.3g}, but their mean "
            f"needs {s.due_noise:.3g}; samples lose variance.",
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


def own_code(clouds: Clouds, budget: Budget) -> Finding | None:
    """Find the fault of the user's sampling code, where its samples are worse than ours of the same network.

    Common mistakes are made on purpose with the same network; the one with samples nearest to the user's is
    named.
    """
    subject, share = clouds.subject, budget.get("rest")
    if subject.samples is None or share is None or not matters(share):
        return None
    given = subject.shown(subject.samples[: subject.reference.n])
    grid, denoiser = subject.grid, subject.denoiser

    def apart(clouds: Clouds, denoiser: DenoiserLike = denoiser) -> float:
        return subject.reference.distance(given, clouds.generate(denoiser, 1)[0])

    def clamped(x_t: Tensor, level: NoiseLevel) -> Tensor:
        return subject.ask(denoiser, x_t, level).clamp(-1.0, 1.0)

    halved = torch.tensor(sorted({*range(0, grid.n_steps, 2), grid.n_steps}))
    distance, code, what, fix = min(
        (
            apart(clouds.changed(sampler=_without_noise)),
            "noise_missing",
            "no noise is added in its steps",
            "Add sqrt(posterior variance) · z in each.",
        ),
        (
            apart(clouds.changed(sampler=_noise_to_the_end)),
            "noise_last_step",
            "noise is added in its last step",
            "Return the mean where t = 0.",
        ),
        (
            apart(clouds, clamped),
            "clipping",
            "its data estimate is clipped to [−1, 1]",
            "Do not clip, or scale the data.",
        ),
        (
            apart(clouds.changed(grid=Grid(grid.levels.at(halved), grid.at_ratio))),
            "step_coefficients",
            "it skips every other step",
            "Use all times of the schedule.",
        ),
        key=lambda suspect: suspect[0],
    )
    evidence = (
        f"Samples of the same network with our sampler are {share} × floor nearer to real data than the "
        "given samples."
    )
    if distance < min(0.5 * apart(clouds), 3 * clouds.floor):
        evidence += f" They resemble ours if {what}: {distance / clouds.floor:.1f} × floor apart."
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


def clipped_answers(clouds: Clouds) -> Finding | None:
    """Find outputs of the denoiser that are clipped at a bound, where data lies beyond it."""
    subject, grid, exact = clouds.subject, clouds.subject.grid, clouds.subject.perfect
    level = grid.levels.at(grid.n_steps - 1 - grid.n_steps // 8)
    _, x_t = subject.noised(level, k=4000)
    answers = subject.ask(subject.denoiser, x_t, level).double()
    top, bottom = _heap(answers), -_heap(-answers)
    beyond = sum(float(outside.double().mean()) for outside in (subject.x > top, subject.x < bottom))
    if beyond < 1e-3:
        return None

    def of_cloud(k: int) -> DenoiserLike:
        own = for_cloud(exact, k)
        return lambda x_t, level: own(x_t, level).clamp(bottom, top)

    values = clouds.distances(PerCloud(of_cloud), _FEW_CLOUDS)
    loss = clouds.share(values, clouds.own_start[: len(values)])
    if not matters(loss):
        return None
    return Finding(
        "clipping",
        "The denoiser clips its output inside the range of the data",
        f"Outputs pile up at {bottom:.3g} and {top:.3g}, and {beyond:.1%} of the data's values lie beyond. A "
        f"perfect denoiser clipped there loses {loss} × floor.",
        loss.ratio,
        "Do not clamp x_0, or scale the data into the bounds before training.",
    )


def _heap(values: Tensor) -> float:
    """Return the largest value if at least one number in 200 is exactly that; else infinity."""
    most = values.max()
    return most.item() if (values == most).double().mean() > 0.005 else math.inf
