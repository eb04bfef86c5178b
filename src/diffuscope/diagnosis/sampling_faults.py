"""What may be wrong with sampling: its start, its number of steps, the steps themselves?

Steps are identified: what they do to a point is probed, compared with what the levels ask for, and looked up
among the loops with a mistake (:mod:`.loops`).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.data.spread import centre_and_scale
from diffuscope.diagnosis.budget import Budget
from diffuscope.diagnosis.data_faults import mostly_one_value
from diffuscope.diagnosis.distances import FIRST_CLOUDS, Clouds, Share
from diffuscope.diagnosis.findings import WORTH, Suspect, matters
from diffuscope.diagnosis.pictures import Steps, Values
from diffuscope.diagnosis.probes import probe_standardised
from diffuscope.diagnosis.steps import Step, mistake_of, probe_steps, reuses_noise
from diffuscope.diagnosis.subject import PerCloud, Points, Subject, for_cloud
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.samplers import DDIM, DDPM, DPMSolver, Sampler, sampler_name
from diffuscope.diffusion.schedules import DiscreteSchedule, Grid, Schedule, linear
from diffuscope.errors import DiffuscopeError
from diffuscope.metrics.floor import in_floors

__all__ = ["clipped_answers", "sampling_suspects"]

_FEW_CLOUDS = 6
_ROUNDING = 1e-4  # of the range of all answers
_VISIBLE = 0.02  # noise left on clean data, in deviations of the data
_SIGNAL_LEFT = (1e-2, 1e-3, 1e-4)  # signal-to-noise ratio at the end, for data of its own deviation
_LOW, _HIGH = 0.9, 1.1  # of the deviation of the noise that a schedule ends with
_UNLIKE = 10.0  # deviations of columns, from the least to the greatest
_NEARLY_ALWAYS = 0.9  # of the rows, as pixels at a border have
_PART = 0.1  # of what a network costs, the least that scaling has to bring


def sampling_suspects(clouds: Clouds, budget: Budget) -> list[Suspect]:
    """Return what may be wrong with start, steps and units."""
    start = _start(clouds)
    found = [_data_scale(clouds, budget), start, _guidance(clouds, budget)]
    if start is None and matters(budget["prior"]):
        found.append(_terminal_snr(clouds, budget))
    broken = _broken_step(clouds)
    found.append(broken)
    if broken is None and matters(budget["discretisation"]):
        found.append(_few_steps(clouds, budget["discretisation"].ratio))
    return [one for one in found if one is not None]


def _guidance(clouds: Clouds, budget: Budget) -> Suspect | None:
    """Return guidance that brings samples away from the data."""
    subject, share = clouds.subject, budget.get("guidance")
    if subject.unguided is None or (share is not None and not matters(share)):
        return None
    return Suspect(
        "guidance",
        f"Guidance of {subject.guidance:g} is too strong",
        "Guidance trades variety for typical samples: they come nearer to the middle of their classes.",
        f"Lower the guidance towards 1{subject.training.flag('--set sampling.guidance=1')}, or guide in the "
        "middle of the noise levels only.",
        parts={"conditioned": subject.unguided, "unguided": None, "guidance": 1.0},
    )


def _data_scale(clouds: Clouds, budget: Budget) -> Suspect | None:
    """Check whether the same sampling would suffice for standardised data, where the data is not."""
    subject = clouds.subject
    unit = float(getattr(subject.denoiser, "sigma_data", 1.0))  # the deviation that the schedule is made for
    seen = subject.x.double().numpy(force=True)
    _, deviations = centre_and_scale(seen)
    deviations = deviations[(deviations > 0) & ~mostly_one_value(seen, _NEARLY_ALWAYS)]
    unlike = bool(subject.probe and len(deviations) > 1 and deviations.max() > _UNLIKE * deviations.min())
    usual = unit / 3 < subject.spread < 3 * unit
    if usual and not unlike:
        return None
    x = subject.data.x
    middle, scale = centre_and_scale(x)
    standard = clouds.changed(scaling=Scaling(middle, np.where(scale > 0, scale, 1.0) / unit))

    def gained(values: Points) -> Share:
        return clouds.gain(clouds.own_start, values)

    gain = gained(standard.distances_until(standard.subject.perfect, _FEW_CLOUDS, gained, WORTH))
    network = budget.get("network")
    rest = ""
    if network is not None and network.is_certain and (subject.spread > unit or unlike):
        trials = probe_standardised(subject, standard.subject)
        if trials is not None:
            own = clouds.distances(trials[0].denoiser, _FEW_CLOUDS)
            learned = network
            if np.isfinite(own).all():
                trial = clouds.gain(own, standard.distances(trials[1].denoiser, _FEW_CLOUDS))
                learned = min(trial, network, key=lambda one: one.ratio)
            if learned.ratio > 0:
                gain = Share(*(a + b for a, b in zip(_values(gain), _values(learned), strict=True)))
            rest = (
                f", and those of a network that learns for {trials[0].steps} steps {learned} × floor, of the "
                f"{network} that yours costs"
            )
        if usual and gain.ratio < _PART * network.ratio:
            return None  # the network has another fault, which is much worse
    what = f"of root mean square {subject.spread:.3g}, but its schedule is made for about {unit:.3g}"
    if unlike:
        what = f"whose columns have deviations from {deviations.min():.3g} to {deviations.max():.3g}"
    return Suspect(
        "data_scale",
        "Columns of unlike size have one scale" if usual else "The data is not scaled",
        f"The model sees data {what}. Standardised, on the same noise levels, samples of a perfect denoiser "
        f"would be {gain} × floor nearer{rest}.",
        f"Standardise each column{subject.training.flag('--set data.scaling=standard')}, and train again.",
        "likely",
        share=gain,
        picture=Values.of(
            "the data as the model sees it",
            subject.x,
            [(-unit, f"the schedule is made for −{unit:.3g}"), (unit, f"to {unit:.3g}")],
        ),
    )


def _values(share: Share) -> tuple[float, float, float, float]:
    return share.value, share.ratio, share.low, share.high


def _start(clouds: Clouds) -> Suspect | None:
    """Check whether sampling starts from noise of another deviation than the schedule ends with."""
    subject = clouds.subject
    right = subject.grid.prior_std
    if _LOW * right < subject.start_std < _HIGH * right:
        return None
    return Suspect(
        "start",
        f"Sampling starts from noise of deviation {subject.start_std:.3g}, not {right:.3g}",
        f"At its first level the schedule has noise of deviation {right:.3g}.",
        f"Start from {right:.3g} · randn." if right != 1 else "Start from torch.randn.",
        parts={"start_std": right},
    )


def _terminal_snr(clouds: Clouds, budget: Budget) -> Suspect:
    subject, share, level = clouds.subject, budget["prior"], clouds.subject.grid.levels.at(0)
    sigma, start = level.sigma.item(), subject.start_std
    reached = math.hypot(level.alpha.item() * subject.spread, sigma)
    x_t = subject.noised(level, k=3000, n=2_000)[1].double()
    log_start = -0.5 * (x_t / start).square().sum(1) - subject.d * math.log(start * math.sqrt(2 * math.pi))
    divergence = float((subject.oracle(0).log_density(x_t, level) - log_start).mean())
    return Suspect(
        "terminal_snr",
        "Sampling does not start where training ended",
        f"Sampling starts from noise of std {start:.2f}, but training never saw noise above {sigma:.2f}, and "
        f"noised data only up to std {reached:.2f} (terminal SNR {level.snr.item():.3g}, KL {divergence:.2g} "
        f"nats). With a perfect denoiser this alone costs {share} × floor: no training removes it.",
        _fix_of_start(clouds, share.ratio),
        share=share,
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
            values = _exact(clouds, better, subject.sampler, subject.grid.n_steps, FIRST_CLOUDS)
            if values is not None:
                after = _cost(clouds, values)
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


def _exact(
    clouds: Clouds, schedule: Schedule, sampler: Sampler, n_steps: int, most: int = _FEW_CLOUDS
) -> Points | None:
    """Return the distances of a perfect denoiser under another schedule, sampler or number of steps."""
    try:
        grid = schedule.grid(n_steps, "uniform" if schedule.discrete else "karras")
    except DiffuscopeError:
        return None
    other = clouds.changed(schedule=schedule, grid=grid, sampler=sampler, start_std=grid.prior_std)
    return other.distances_until(
        clouds.subject.perfect,
        most,
        lambda values: other.share(values, clouds.baseline[: len(values)]),
        WORTH,
    )


def _cost(clouds: Clouds, values: Points) -> float:
    """Return what a perfect denoiser loses that ends at such distances."""
    return clouds.share(values, clouds.baseline[: len(values)]).ratio


def _few_steps(clouds: Clouds, cost: float) -> Suspect | None:
    subject = clouds.subject
    n, name = subject.grid.n_steps, sampler_name(subject.sampler)
    tried: list[tuple[float, Sampler, Grid, Points]] = []
    most = subject.schedule.T if isinstance(subject.schedule, DiscreteSchedule) else 1000
    solver = DPMSolver()
    options = ((solver, n), (subject.sampler, min(4 * n, most)), (solver, min(max(40, 2 * n), most)))
    for sampler, steps in options:
        values = _exact(clouds, subject.schedule, sampler, steps)
        if values is not None:
            after = _cost(clouds, values)
            grid = subject.schedule.grid(steps, "uniform" if subject.schedule.discrete else "karras")
            tried.append((after, sampler, grid, values))
            if after < WORTH:
                break
    if not tried:
        return None
    after, sampler, grid, values = min(tried, key=lambda one: one[0])
    flag = subject.training.flag(f"--sampler {sampler_name(sampler)} --steps {grid.n_steps}")
    better = f"{sampler_name(sampler)} in {grid.n_steps} steps{flag}"
    return Suspect(
        "few_steps",
        f"{n} steps are too few for this sampler",
        f"{n} steps of {name} cost {in_floors(cost)} × floor even with a perfect denoiser.",
        f"Sample with {better}: {max(after, 0):.2f} × floor remains. No new training is needed.",
        parts={"sampler": sampler, "grid": grid},
        most=clouds.gain(clouds.own_start, values),
    )


# --- single steps -------------------------------------------------------------------------------------------


def _broken_step(clouds: Clouds) -> Suspect | None:
    """Return what single steps do wrong; samples of a sound sampler on the same levels say what it costs."""
    subject = clouds.subject
    try:
        steps = probe_steps(subject.sampler, subject.grid, subject.spread)
        again = reuses_noise(subject.sampler, subject.grid)
    except Exception:  # a user's own sampler that does not support single steps
        return None
    inner = [step for step in steps if not step.is_last]
    sound: Sampler = DDPM() if again or any(s.noise > 0 for s in inner) else DDIM()
    fault = _fault_of(clouds, steps, inner, again)
    if fault is None:
        return None
    if fault.code in ("noise_missing", "noise_reused"):
        sound = DDPM()
    name = sampler_name(sound)
    evidence = f"{fault.evidence} The mended samples are those of {name} on the same levels."
    picture = fault.picture or Steps.of(steps)
    return dataclasses.replace(fault, evidence=evidence, parts={"sampler": sound}, picture=picture)


def _fault_of(clouds: Clouds, steps: list[Step], inner: list[Step], again: bool) -> Suspect | None:
    """Return what single steps do wrong."""
    subject = clouds.subject
    spread = subject.spread
    bounds = [s.clipped_at for s in steps if s.clipped_at is not None]
    if bounds:
        bound = min(bounds)
        return Suspect(
            "clipping",
            "The sampler clips the data estimate inside the range of the data",
            f"Estimates do not exceed {bound:.3g}; the root mean square of the data is {spread:.3g}.",
            f"Do not clip, or scale the data into [-{bound:.2g}, {bound:.2g}] first.",
            picture=_clipped(subject, -bound, bound),
        )
    if again:
        return Suspect(
            "noise_reused",
            "The noise of the steps is drawn once and reused",
            "Two steps, with other random numbers, add the same noise.",
            "Draw z = torch.randn_like(x) inside the loop, anew in each step.",
        )
    off = [s for s in inner if _is_off(s)]
    loud = [s.noise for s in steps if s.is_last and s.noise > _VISIBLE * spread]
    mistake = mistake_of(steps, subject.grid, subject.schedule)
    if mistake is None and len(off) < max(1, len(inner) / 2) and not loud:
        return None
    s = off[len(off) // 2] if off else inner[len(inner) // 2] if inner else steps[-1]
    measured = (
        f"At σ/α = {s.now.ratio.item():.3g} a step makes {s.signal:.4g} x_t + {s.data:.4g} x̂_0 + "
        f"{s.noise:.3g} z; by its levels, what goes with {s.signal:.4g} x_t is {s.due_data:.4g} x̂_0 + "
        f"{s.due_noise:.3g} z."
    )
    if mistake is not None:
        title = f"In the sampling loop {mistake.words}"
        return Suspect(mistake.code, title, f"{measured} Those are its coefficients.", mistake.fix)
    if loud and not off:
        return Suspect(
            "noise_last_step",
            "Noise is added in the last step",
            f"The step to clean data adds noise of std {loud[0]:.3g}, {loud[0] / spread:.0%} of the data's "
            "own.",
            "Return the mean in the step that leads to clean data: no z where t = 0.",
        )
    starved = [s for s in off if s.noise < 0.5 * s.due_noise and abs(s.data - s.due_data) < _off_data(s)]
    if len(starved) > len(off) / 2:
        return Suspect(
            "noise_missing",
            "Steps of the sampler add too little noise",
            f"{measured} Samples lose variance.",
            "Add sqrt(posterior variance) · z in every step but the last, or use ddim, which needs none.",
        )
    return Suspect(
        "step_coefficients",
        "Steps of the sampler do not match the schedule that the model was trained with",
        measured,
        "Use α and σ of the training schedule at the same t in the sampling loop, and √(posterior variance) "
        "z.",
    )


def _off_data(step: Step) -> float:
    return 0.1 * abs(step.due_data) + 1e-3


def _is_off(step: Step) -> bool:
    """Whether a step does not lead from the law at one level to that at the next."""
    if abs(step.data - step.due_data) > _off_data(step):
        return True
    little = step.noise < 0.5 * step.due_noise and step.due_noise > 0.01 * step.target.sigma
    return bool(little or step.noise > 1.2 * step.most_noise + 1e-6)


# --- answers ------------------------------------------------------------------------------------------------


def clipped_answers(clouds: Clouds) -> Suspect | None:
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
    return Suspect(
        "clipping",
        "The denoiser clips its output inside the range of the data",
        f"Outputs pile up at {bottom:.3g} and {top:.3g}, and {beyond:.1%} of the data's values lie beyond. A "
        f"perfect denoiser clipped there loses {loss} × floor.",
        "Do not clamp x_0, or scale the data into the bounds before training.",
        "likely",
        share=loss,
        picture=_clipped(subject, bottom, top),
    )


def _clipped(subject: Subject, bottom: float, top: float) -> Values:
    """Return the values of the data with the bounds at which estimates are clipped."""
    bounds = [(bound, f"clipped at {bound:.3g}") for bound in (bottom, top) if math.isfinite(bound)]
    return Values.of("the data, in the model's units", subject.x, bounds)


def _heap(values: Tensor) -> float:
    """Return the largest value if at least one number in 200 is that, but for rounding; else infinity."""
    most = values.max()
    same = values > most - _ROUNDING * (most - values.min())
    return most.item() if same.double().mean() > 0.005 else math.inf
