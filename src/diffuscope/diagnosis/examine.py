"""How is whatever a user wants diagnosed examined?

A run directory knows everything about itself. A denoiser or a torch network of one's own comes with its
schedule and its data, and with whatever else is known of it. The error budget says which part of the pipeline
costs what (:mod:`~diffuscope.diagnosis.budget`); the findings say why, and how it is fixed.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from diffuscope.diagnosis.budget import Budget, measure_budget, network_share
from diffuscope.diagnosis.claim import told_apart
from diffuscope.diagnosis.data_faults import data_findings, few_data, lattice_of
from diffuscope.diagnosis.distances import Clouds
from diffuscope.diagnosis.findings import Distance, Finding, in_order, judge, matters
from diffuscope.diagnosis.imitations import own_code
from diffuscope.diagnosis.levels import Band, LevelErrors, level_errors, measure_bands, perfect_loss
from diffuscope.diagnosis.network_faults import (
    WORTH_NETWORK,
    first_not_finite,
    network_suspects,
    training_mode,
)
from diffuscope.diagnosis.pictures import ErrorByLevel
from diffuscope.diagnosis.probes import is_in_training_mode
from diffuscope.diagnosis.report import Diagnosis
from diffuscope.diagnosis.sampling_faults import clipped_answers, sampling_suspects
from diffuscope.diagnosis.subject import Subject, Training, for_cloud
from diffuscope.diagnosis.training_faults import reported_loss, training_fault
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.diffusion.predictions import Prediction
from diffuscope.diffusion.samplers import Sampler, make_sampler, sampler_name
from diffuscope.diffusion.schedules import DiscreteSchedule, Schedule, Spacing
from diffuscope.errors import DiffuscopeError, FormatError, InputError
from diffuscope.files import read_text
from diffuscope.modalities.flattened import checked_points
from diffuscope.modalities.recognition import modality_of_network
from diffuscope.monitoring.asked import undisturbed
from diffuscope.monitoring.law import schedule_of
from diffuscope.progress import Reporter
from diffuscope.recipes import load_recipe
from diffuscope.request import Request
from diffuscope.runs.run import Run, load
from diffuscope.shares import is_first
from diffuscope.tensors import load_tensors

__all__ = ["diagnose"]

_LEAST_POINTS = 20
_USUAL_RATE, _TRIED_RATE = 0.05, 0.01  # beyond the first none of our recipes learns; the second is theirs
_FEWEST_SAMPLES = 500  # of a cloud, where there are so many at all
_EXACT_WALKS, _MORE_CLOUDS, _LOOPS, _PROBES = 2, 40, 90, 12.0  # walks, clouds, loops, seconds of a diagnosis


def diagnose(
    subject: Run | str | Path | nn.Module | DenoiserLike,
    schedule: Schedule | ArrayLike | Tensor | None = None,
    data: Any = None,
    *,
    prediction: Prediction | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    spacing: Spacing | None = None,
    start_std: float | None = None,
    samples: Any = None,
    held_out: Any = None,
    losses: Sequence[float] | None = None,
    learning_rate: float | None = None,
    trained_steps: int | None = None,
    raw: nn.Module | None = None,
    device: str = "auto",
    seed: int | None = None,
    progress: bool | None = None,
) -> Diagnosis:
    """Find out why samples are bad, or that they are not.

    Parameters
    ----------
    subject : Run, path, nn.Module or callable
        A run or its directory; a torch network ``(x, t) -> ε`` of shapes (n, d), (n,) -> (n, d), or of
        images (n, channels, height, width); or a
        denoiser ``(x_t, level) -> x_0`` with ``level.t``, ``level.alpha`` and ``level.sigma``.
    schedule : Schedule or array_like of shape (T,)
        The schedule, or β_1 ... β_T, of your own network or denoiser.
    data : str, path, array, DataFrame, Dataset or callable
        Its training data; for a run only if that was passed as an array. A name of a built-in set gives the
        exact distribution, a function ``(n, rng) -> (n, d)`` fresh draws.
    prediction : {"noise", "data", "velocity", "flow"}, optional
        What a network predicts; "noise" by default.
    scaling : (shift, scale), optional
        The network sees (data - shift) / scale, per column; by default points and rows as they are, and
        images from -1 to 1, whatever range they are stored in: ``scaling=(0, 1)`` for pixels as they are.
    sampler, steps, spacing : optional
        How samples are drawn: a name (``diffuscope list samplers``) or a step ``(context, x) -> x``. By
        default as the run does; otherwise DDPM in all steps of a discrete schedule, 40 steps of
        DPM-Solver++ under a continuous one.
    start_std : float, optional
        Deviation of the noise from which samples start.
    samples : array_like of shape (m, d), table or images, optional
        Samples of your own sampling code, in the units of ``data``; that code is then diagnosed too.
    held_out : array_like of shape (m, d), table, images or path, optional
        Held-out data: real data that was not used for training. Where the distribution is unknown,
        memorisation can hardly be detected without it.
    losses : sequence of float, optional
        Loss of each step of the training.
    learning_rate, trained_steps : optional
        Learning rate and number of steps of the training; not needed for a run.
    raw : nn.Module, optional
        The network with its last weights, where ``subject`` has averaged ones.
    device : str
        For a run given by its directory: auto, cpu, cuda or mps. A network stays where it is.
    seed : int, optional
        By default that of the run, so that the total is what ``train`` printed.
    progress : bool, optional
        By default where standard error is a terminal.

    Returns
    -------
    Diagnosis
        Print it; ``.findings`` and ``.budget`` hold the same as data.

    Raises
    ------
    InputError
        When an argument is missing or does not match.

    Examples
    --------
    >>> import diffuscope, torch
    >>> network = torch.nn.Linear(2, 2)
    >>> def answer(x, t):  # a network that was never trained
    ...     return network(x)
    >>> d = diffuscope.diagnose(answer, torch.linspace(1e-4, 0.02, 50), "moons")
    >>> len(d.findings) > 0  # as text it says which, and what to do
    True
    """
    if isinstance(subject, str | Path):
        folder, note = Path(subject), Path(subject) / "failure.json"
        if note.is_file() and not (folder / "model.safetensors").is_file():
            return _failed(note)
        subject = load(folder, device=device, data=data)
    reporter = Reporter(progress if is_first() else False)
    if isinstance(subject, Run):
        for name, value in (("schedule", schedule), ("prediction", prediction), ("scaling", scaling)):
            if value is not None:
                raise InputError(f"{name} cannot be set for a run, which has its own.", f"Omit {name}.")
        request = Request(sampler=sampler, steps=steps, spacing=spacing)
        made = _of_run(subject, request, held_out, seed, reporter)
    else:
        if schedule is None or data is None:
            raise InputError(
                "A network or denoiser needs its schedule and its data.",
                "Use diffuscope.diagnose(network, betas, data).",
            )
        made = _of_parts(
            subject,
            schedule,
            data,
            prediction,
            scaling,
            sampler,
            steps,
            spacing,
            held_out,
            seed or 0,
            reporter,
        )
    if samples is not None:
        samples = checked_points(made.rows(samples), "samples", made.d, finite=False)
    known: dict[str, Any] = {
        "learning_rate": learning_rate or None,
        "steps": trained_steps or None,
        "losses": None if losses is None else list(enumerate(losses)),
        "raw": None if raw is None else made.of_points(raw),
    }
    made = dataclasses.replace(
        made,
        start_std=start_std or made.grid.prior_std,
        training=dataclasses.replace(made.training, **{k: v for k, v in known.items() if v is not None}),
        samples=None
        if samples is None
        else checked_points(made.rows(samples), "samples", made.d, finite=False),
        in_training_mode=is_in_training_mode(made.denoiser),
    )
    _check(made)
    made, lost = _finite_samples(made)
    if made.samples is not None:  # clouds of samples are no larger than there are samples for
        m = len(made.samples)
        made = made.with_clouds(max(m // made.reference.count, min(m, _FEWEST_SAMPLES)))
    with undisturbed([made.denoiser, made.training.raw], made.device):
        return _examine(made, reporter, lost)


def _of_run(run: Run, request: Request, held_out: Any, seed: int | None, reporter: Reporter) -> Subject:
    model, recipe, own = run.model, run.recipe, run.modality
    seed = recipe.seed if seed is None else seed
    grid, sampler = model.plan(request)
    unseen = None if held_out is None else own.held_out(held_out, model, run.data)
    flattened = own.flatten(model, run.data, unseen, seed, reporter)
    training = Training(
        loss=Loss() if recipe.loss.distance == "custom" else recipe.make_loss(),
        times=recipe.times.make(),
        learning_rate=recipe.training.learning_rate,
        steps=run.summary.get("steps"),
        losses=[(int(line["step"]), float(line["loss"])) for line in run.metrics],
        raw=_last_weights(run) if flattened.denoiser is model.denoiser else None,
        recipe=recipe,
    )
    return Subject(
        **vars(flattened),
        schedule=model.denoiser.schedule,
        grid=grid,
        sampler=sampler,
        start_std=grid.prior_std,
        training=training,
        scaling=flattened.codec,
        device=model.device,
        seed=seed,
    )


def _of_parts(
    given: nn.Module | DenoiserLike,
    schedule: Schedule | ArrayLike | Tensor,
    source: Any,
    prediction: Prediction | None,
    scaling: tuple[ArrayLike, ArrayLike] | None,
    sampler: str | Sampler | None,
    steps: int | None,
    spacing: Spacing | None,
    held_out: Any,
    seed: int,
    reporter: Reporter,
) -> Subject:
    schedule = schedule_of(schedule)
    device, denoiser = torch.device("cpu"), given
    if isinstance(given, nn.Module):
        device = next((p.device for p in given.parameters()), device)
        if not isinstance(given, Denoiser):
            denoiser = Denoiser(given, schedule, prediction or "noise")
    elif not callable(given):
        raise InputError(
            f"A {type(given).__name__} cannot be diagnosed.",
            "Give a run directory, a torch network (x, t) -> ε, or a function (x_t, level) -> x_0.",
        )
    defaults: tuple[str, int, Spacing] = ("dpmpp_2m", 40, "karras")
    if isinstance(schedule, DiscreteSchedule):
        defaults = ("ddpm", schedule.T, "uniform")
    sampler = sampler or defaults[0]
    grid = schedule.grid(steps or defaults[1], spacing or defaults[2])
    own = modality_of_network(source)
    flattened = own.of_network(denoiser, scaling, source, held_out, seed, reporter)
    return Subject(
        **vars(flattened),
        schedule=schedule,
        grid=grid,
        sampler=make_sampler(sampler) if isinstance(sampler, str) else sampler,
        start_std=grid.prior_std,
        training=Training(Loss(), Times()),
        scaling=flattened.codec,
        device=device,
        seed=seed,
    )


def _last_weights(run: Run) -> nn.Module | None:
    """Return the network before averaging, where a checkpoint of the last step has it."""
    if not run.recipe.training.ema_decay:
        return None
    path = run.path / "checkpoints" / f"step_{run.summary.get('steps', 0):09d}.safetensors"
    if not path.is_file():  # the last checkpoint may be an older one
        return None
    network = copy.deepcopy(run.model.denoiser.network)
    try:
        tensors, _ = load_tensors(path, "diffuscope-checkpoint-1")
        torch.nn.utils.vector_to_parameters(tensors["weights"].to(run.model.device), network.parameters())
    except (FormatError, KeyError, RuntimeError):
        return None
    return network


def _failed(note: Path) -> Diagnosis:
    """Return the diagnosis of a training that failed, for a run directory without a model."""
    try:
        failure = json.loads(read_text(note, 2**20))
        what, hint = str(failure["what"]), str(failure["hint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{note} cannot be read: {error}.", "Train the run again.") from error
    finding = Finding("not_finite", "Training failed before there was a model", what, None, hint)
    rate = _learning_rate(note.with_name("recipe.toml"))
    if rate is not None and rate > _USUAL_RATE:
        title = f"A learning rate of {rate:.3g} is too high: training failed before there was a model"
        flag = f"--set training.learning_rate={_TRIED_RATE:g}"
        fix = f"Lower it to {_TRIED_RATE:g} ({flag}), and train again."
        finding = Finding("learning_rate_high", title, f"{what} {hint}", None, fix, "likely")
    return Diagnosis(Budget(()), (finding,), None, (), None, "Nothing was measured: there is no model.")


def _learning_rate(recipe: Path) -> float | None:
    """Return the learning rate of a recipe in a file; None where there is no such file."""
    try:
        return load_recipe(recipe).training.learning_rate
    except (OSError, DiffuscopeError):
        return None


def _check(subject: Subject) -> None:
    """Check that all parts match before anything is measured."""
    n, d = subject.data.x.shape
    if n < _LEAST_POINTS:
        raise InputError(f"{n} points are too few for a diagnosis.", f"Give at least {_LEAST_POINTS}.")
    if subject.held_out is not None:
        checked_points(subject.held_out, "held_out", d)
    level = subject.grid.levels.at(0)
    try:
        shape = tuple(subject.ask(subject.denoiser, torch.zeros(3, d), level).shape)
    except DiffuscopeError:
        raise
    except Exception as error:  # whatever the user's own parts may raise
        raise InputError(
            f"The denoiser fails for points of shape (3, {d}) at t = {level.t.item():g}: {error}",
            "Give a network (x, t) -> the shape of x, t of shape (n,), or a function (x_t, level) -> x_0.",
        ) from error
    if shape != (3, d):
        raise InputError(
            f"The denoiser must return the shape of its input, (3, {d}), but returned {shape}.",
            "Give a denoiser that keeps the shape of x.",
        )


def _finite_samples(subject: Subject) -> tuple[Subject, Finding | None]:
    """Leave out the given samples that are not finite, and say so."""
    samples = subject.samples
    if samples is None or np.isfinite(samples).all():
        return subject, None
    finite = np.isfinite(samples).all(axis=1)
    share = 1 - float(finite.mean())
    fault = Finding(
        "not_finite",
        f"{share:.1%} of the given samples are not finite",
        f"Of {len(samples):,} samples {int((~finite).sum()):,} contain NaN or infinity.",
        None,
        "Print the largest |x| after each step of your loop: the first step that makes it grow is wrong.",
    )
    rest = samples[finite] if finite.sum() >= _LEAST_POINTS else None
    return dataclasses.replace(subject, samples=rest), fault


def _plan(subject: Subject) -> str:
    """Say what will be looked at, and how long that takes at most, by the time of one step."""
    level = subject.grid.levels.at(subject.grid.n_steps // 2)
    _, x_t = subject.noised(level, k=0)

    def seconds(denoiser: DenoiserLike) -> float:
        subject.ask(denoiser, x_t[:8], level)  # what is built once is built
        begun = time.perf_counter()
        subject.ask(for_cloud(denoiser, 0), x_t, level)
        return (time.perf_counter() - begun) * subject.reference.n / len(x_t)

    count, own = subject.reference.count, subject.samples is not None
    exact = seconds(subject.perfect) * _EXACT_WALKS * count
    network = seconds(subject.denoiser) * (count + _MORE_CLOUDS + _LOOPS * own)
    total = subject.grid.n_steps * (exact + network) + _PROBES
    parts = ["data", "start", "steps", "network", "training", *(["your samples"] if own else [])]
    walk = f"{subject.grid.n_steps} steps of {sampler_name(subject.sampler)}"
    return (
        f"Diagnosing {', '.join(parts[:-1])} and {parts[-1]}: {subject.d} coordinates, {walk}; up to about "
        f"{max(5, 5 * round(total / 5))} s."
    )


def _examine(subject: Subject, reporter: Reporter, lost: Finding | None = None) -> Diagnosis:
    """Measure the budget of a subject, and try what may be wrong."""
    reporter.say(_plan(subject))
    clouds = Clouds(subject)
    broken = first_not_finite(subject)
    with reporter.stage("sampling with the network and with exact parts"):
        budget = measure_budget(clouds)
    bands: list[Band] = []
    errors, loss, findings = None, None, [broken, lost]
    with reporter.stage("checking data and losses"):
        findings += data_findings(clouds, budget)
        reported = reported_loss(subject) if broken is None else None
        findings.append(reported)
    with reporter.stage("trying what may be wrong"):
        suspects = sampling_suspects(clouds, budget)
        if broken is None:
            suspects += network_suspects(clouds, budget)
        found, mended = judge(Distance(clouds), suspects)
        findings += found
        if "total" not in budget and broken is None and not found:
            findings.append(training_fault(mended, bands, reported) or _DIVERGED)
    if broken is None and "total" in budget:
        with reporter.stage("measuring the network at each noise level"):
            errors = level_errors(subject, subject.denoiser)
            if matters(budget["network"]):
                bands = measure_bands(clouds.brief)
            loss = perfect_loss(subject)
        with reporter.stage("finding the cause of the network's errors"):
            clipped, few = clipped_answers(clouds), few_data(clouds, budget)
            findings += [few, None if clipped is None else clipped.finding(clipped.share)]
            codes = {one.code for one in findings if one is not None}
            own = None if codes & _MISREAD else own_code(clouds, budget)
            findings += [None if own is None else own.finding(own.share), training_mode(clouds)]
            if not codes & _EXPLAINED:
                share = network_share(clouds, budget, mended.clouds, WORTH_NETWORK)
                if matters(share, WORTH_NETWORK):
                    fault = training_fault(mended, bands, reported, share)
                    findings.append(fault and _by_level(fault, mended.clouds, clouds, errors, bands))
        with reporter.stage("telling samples from real rows"):
            if all(one is None or one.gain is None for one in findings):  # nothing that a distance shows
                training = partial(training_fault, bands=bands, reported=reported)
                findings += told_apart(clouds, suspects, training)
    ordered = in_order(one for one in findings if one is not None)
    return Diagnosis(budget, ordered, errors, tuple(bands), loss, _certainty(subject))


def _by_level(
    fault: Finding, mended: Clouds, clouds: Clouds, errors: LevelErrors, bands: Sequence[Band]
) -> Finding:
    """Return a finding about the network with its errors by noise level, once what surrounds it is mended."""
    picture = ErrorByLevel.of_network(errors, bands)
    if mended is not clouds:
        picture = ErrorByLevel.of_network(level_errors(mended.subject, mended.subject.denoiser))
    return dataclasses.replace(fault, picture=fault.picture or picture)


_MISREAD = {"prediction_type", "schedule_mismatch", "column_order", "units"}  # any loop has these
_EXPLAINED = {"few_data", "data_scale", "clipping", "outliers", "data_shift", "training_noise"}

_DIVERGED = Finding(
    "not_finite",
    "Samples are not finite, although the network's outputs for real data are",
    "The sampling trajectory leaves the region of the data, until its values overflow.",
    None,
    "Check the sampler's coefficients and the prediction type; use more sampling steps.",
)


def _certainty(subject: Subject) -> str:
    """Say what stands for the distribution of the data, and what that means."""
    lattice = lattice_of(subject) if len(subject.reference.middle) == subject.d else None
    whole = lattice is not None and lattice.is_whole
    rounded = (
        " Columns of whole numbers: samples were rounded so before trees looked at them." if whole else ""
    )
    if subject.is_exact:
        return "The distribution of this data is known: the denoiser is exact, and all real points are fresh."
    n = len(getattr(subject.oracle(0), "means", ()))
    if subject.data.draw is not None:
        where = f"{n:,} fresh draws"
        rest = "as it cannot generalise beyond them, the network's share may be too large."
    elif subject.held_out is not None:
        where = f"{n:,} of the training points"
        rest = "samples are compared with the held-out points, so memorisation shows as distance."
    else:
        where = f"{n:,} of the data's points"
        rest = (
            "samples are compared with the other half of the data, which the network has seen too: "
            "memorisation hardly shows, and the network's share is a lower bound. Held-out data detects it."
        )
    text = f"The distribution of this data is unknown. The exact denoiser of {where} replaces it; {rest}"
    return f"{text}{rounded} {subject.notes}".rstrip()
