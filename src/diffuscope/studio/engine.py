"""How are a page's questions answered in Python? One session: data, a network, its training and its states.

The engine answers between the chunks of a training, which goes on meanwhile. Showing samples of a network in
training takes at most a twentieth of the time, however many pages watch.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike, output_coefficients
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.samplers import make_sampler, prior, trajectory
from diffuscope.diffusion.schedules import DiscreteSchedule, Grid, NoiseLevel, Schedule, make_schedule
from diffuscope.errors import DiffuscopeError, InputError
from diffuscope.metrics import half_interval, relate, sliced_wasserstein
from diffuscope.modalities.lookup import load_data, modality
from diffuscope.oracle import EmpiricalOracle, Oracle, oracle_for, oracle_of
from diffuscope.pages import png_address
from diffuscope.runs.keep import keep
from diffuscope.runs.plan import plan_new
from diffuscope.runs.run import Run, load
from diffuscope.runs.setup import Setup
from diffuscope.seeds import stream, stream_seed
from diffuscope.studio.drawing import drawn_data, drawn_law, laws_of_classes
from diffuscope.studio.frames import Positions
from diffuscope.studio.questions import (
    AdjustAsk,
    BudgetAsk,
    FieldAsk,
    ForwardAsk,
    HeartAsk,
    IrreducibleAsk,
    LevelsAsk,
    LoadAsk,
    PathAsk,
    PointsAsk,
    QualityAsk,
    RealAsk,
    Sampling,
    SaveAsk,
    SetupAsk,
    Strokes,
    TrainAsk,
    WalkAsk,
    read_question,
)
from diffuscope.studio.recorded import recorded_run
from diffuscope.training import Progress, Trainer
from diffuscope.viewer import View, payload

__all__ = ["Engine"]

Points = NDArray[Any]
Tell = Callable[[dict[str, Any]], None]
Next = Callable[[bool], "dict[str, Any] | None"]

_SHOWN = 600  # samples of a report
_PAIRS = 8  # of the floor of a report
_SHARE = 0.05  # of the time that reports may take
_EVERY = 0.05  # seconds between reports, at least
_SNAPSHOTS = 32
_POSTERIOR, _POOL = 400, 100_000
_LEVELS = 16
_ADJUSTED = ("learning_rate", "batch_size", "ema_decay")
_FINE = 50  # steps that stand for infinitely many


class _Stop(Exception):  # noqa: N818
    """A training is to end."""


class _Again(Exception):  # noqa: N818
    """A training is to go on with other batches."""


@dataclass
class _Training:
    """What a page that comes later has to know of the training."""

    settings: dict[str, Any]
    losses: list[tuple[int, float]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    adjusted: bool = False  # while it ran, so that no recipe gives it again


class Engine:
    """Answers questions with ``tell``; ``next_command(wait)`` gives the next command of the server."""

    def __init__(self, tell: Tell, next_command: Next) -> None:
        self.tell, self.next_command = tell, next_command
        self.waiting: list[int] = []  # questions that are answered at the end of the training
        self.running = False
        self.later: dict[str, Any] | None = None
        self.drawn: Oracle | None = None
        self.strokes: Strokes | None = None
        self.trainer: Trainer | None = None
        self.again = False  # whether the training that runs has to draw other batches

    def open(self, source: str, recipe: str | None) -> None:
        """Open a run directory, or data that is trained on at once."""
        self.trained = _Training({})
        if not _is_builtin(source) and (Path(source) / "model.safetensors").is_file():
            run = load(source, device="cpu")
            self.setup = Setup(run.recipe, run.data, torch.device("cpu"), start=run.model)
            quality, metrics = None, []
            with contextlib.suppress(DiffuscopeError):
                quality, metrics = run.quality, run.metrics
            self._prepare()
            self.payload = payload(run.model, run.data, metrics=metrics, quality=quality)
            return
        planned, dataset, _ = plan_new(source, recipe, {}, "runs/studio")
        self.setup = Setup(planned, dataset, torch.device("cpu"))
        self._prepare()
        self.payload = payload(self.setup.model, dataset)
        self.later = {"question": "train", "ask": {"recipe": self.payload["recipe"], "seed": planned.seed}}

    def _prepare(self) -> None:
        setup = self.setup
        codec, data = setup.model.codec.affine, setup.data
        assert codec is not None
        self.codec = codec
        law: Oracle | None = self.drawn
        if law is None and data.source.get("kind") == "builtin":
            law = oracle_of(data)
        self.known = law is not None
        self.empirical: Oracle = EmpiricalOracle(data.x).scaled(codec)
        self.exact: Oracle = law.scaled(codec) if law else self.empirical
        self.classes: list[Oracle] = []
        self.of_classes: list[Oracle] = []  # the training points of each
        strokes = self.strokes
        if strokes is not None and strokes.classes is not None and data.labels is not None:
            laws = laws_of_classes(strokes.strokes, strokes.noise, strokes.classes)
            self.classes = [own.scaled(codec) for own in laws]
            self.of_classes = [
                EmpiricalOracle(data.x[data.labels == k]).scaled(codec) for k in range(len(laws))
            ]
        self.measured: dict[str, Points] = {}
        self.data: Tensor = codec.encode(data.x)
        self.pools: dict[int | None, Tensor] = {}
        self.against: tuple[Points, float] | None = None
        self.shown = copy.deepcopy(setup.model.denoiser).eval()
        self.middle = self.data.mean(0)
        self.spread = float((self.data - self.middle).square().mean().sqrt()) or 1.0

    def serve(self) -> None:
        """Answer and train until there are no more commands."""
        while True:
            command = self.later or self.next_command(True)
            self.later = None
            if command is None:
                return
            self._do(command)

    def _do(self, command: dict[str, Any]) -> None:
        identity = command.get("id")
        try:
            question = command.get("question")
            ask = read_question(question, command.get("ask"))
            if question == "train":
                if identity is not None:
                    self.waiting.append(identity)
                if self.running:
                    self.later = {**command, "id": None}
                    raise _Stop
                self._train(ask)
            elif question == "attach" and self.running:
                self.waiting.append(int(command["id"]))
            else:
                answer = self.budget(ask) if question == "budget" else getattr(self, f"_{question}")(ask)
                self.tell({"id": identity, "answer": answer})
                if question == "stop" and self.running:
                    raise _Stop
        except DiffuscopeError as error:
            self.tell({"id": identity, "error": error.what})
        except (ValueError, RuntimeError, ArithmeticError) as error:
            self.tell({"id": identity, "error": f"{type(error).__name__}: {error}"})

    # -- what there is

    def _ready(self) -> dict[str, Any]:
        return {
            "display": {"middle": self.middle.tolist(), "spread": self.spread},
            "scaling": {"shift": self.codec.shift.tolist(), "scale": self.codec.scale.tolist()},
            "real": self.data[:4000].numpy().ravel(),
            "classes": len(self.classes),
            "labels": [] if self.setup.data.labels is None else self.setup.data.labels[:4000].tolist(),
            "known": self.known,
            "fast": True,
            "weights": sum(p.numel() for p in self.shown.network.parameters()),
        }

    def _setup(self, ask: SetupAsk) -> dict[str, Any]:
        """Take other data, with an untrained network; what was learned before is gone."""
        self._idle()
        recipe = self.setup.recipe.changed({"seed": ask.seed})
        self.strokes = ask.law if isinstance(ask.law, Strokes) else None
        if isinstance(ask.law, Strokes):
            law = ask.law
            self.drawn = drawn_law(law.strokes, law.noise)
            data = drawn_data(law.strokes, law.noise, ask.size, ask.seed, law.classes)
        elif isinstance(ask.law, PointsAsk):
            self.drawn = None
            data = load_data(np.array(ask.law.points).reshape(-1, 2), recipe)
        else:
            if not _is_builtin(ask.law.name):
                raise InputError(f"There is no built-in set {ask.law.name!r}.")
            self.drawn = None
            recipe = recipe.changed({"data.size": ask.size})
            data = load_data(ask.law.name, recipe)
        recipe = recipe.changed(modality("points").describe(data, recipe.data))
        self.setup = Setup(recipe, data, torch.device("cpu"))
        self.trained = _Training({})
        self._prepare()
        self._describe()
        return self._ready()

    def _describe(self) -> None:
        """Say what data, network and recipe are now."""
        self.payload = payload(self.setup.model, self.setup.data)
        if self.strokes is not None:
            self.payload |= {"law": self.strokes.model_dump(), "data": None}

    def _idle(self) -> None:
        if self.running:
            raise InputError("A training runs.", "Stop it first.")

    def _standardise(self, _: Any) -> dict[str, Any]:
        """Bring the data to deviation 1, with an untrained network."""
        self._idle()
        recipe = self.setup.recipe.changed({"data.scaling": "standard"})
        self.setup = Setup(recipe, self.setup.data, torch.device("cpu"))
        self.trained = _Training({})
        self._prepare()
        self._describe()
        return self._ready()

    def _load(self, ask: LoadAsk) -> dict[str, Any]:
        """Show a recorded run."""
        self._idle()
        run = recorded_run(ask.at)
        self.setup, self.drawn, self.strokes = run.setup, None, None
        self.trained = _Training({})
        self._prepare()
        metrics = [{"step": float(step), "loss": loss} for step, loss in run.losses]
        self.payload = payload(run.setup.model, run.setup.data, metrics=metrics)
        recorded = {"at": run.at, "ratios": run.ratios, "next": run.next_change}
        self.payload |= {"quality": run.quality, "recorded": recorded}
        self.payload["budget"] = run.budget
        return self._hello(None)

    def _hello(self, _: Any) -> dict[str, Any]:
        losses = self.trained.losses
        return {
            "payload": {**self.payload, "tensors": None, "data": None},
            "ready": self._ready(),
            "running": self.running or self.later is not None,
            "trained": self._told() if self.trained.steps and not self.running else None,
            "losses": {"x": [step for step, _ in losses], "y": [loss for _, loss in losses]},
        }

    def _attach(self, _: Any) -> dict[str, Any] | None:
        return self._told() if self.trained.steps else None

    def _stop(self, _: Any) -> None:
        return None

    def _told(self) -> dict[str, Any]:
        return {"snapshots": self.trained.steps, **self.trained.settings}

    # -- denoisers

    def _denoiser(
        self, which: str, snapshot: int | None, asked: Sampling | FieldAsk | None = None
    ) -> DenoiserLike:
        """Return a denoiser, of a class with guidance where one is asked for."""
        label = None if asked is None else asked.label
        free = self._of_class(which, snapshot, None)
        if asked is None or label is None:
            return free
        if not self.classes:
            raise InputError("There are no classes.")
        own = self._of_class(which, snapshot, label)
        return own if asked.guidance == 1 else ClassifierFreeGuidance(own, free, asked.guidance)

    def _of_class(self, which: str, snapshot: int | None, label: int | None) -> DenoiserLike:
        if which == "exact":
            return self._source(label)
        if which == "set":
            return self.empirical if label is None else self.of_classes[label]
        kept = self.trained.weights
        if kept:
            if snapshot is not None and snapshot >= len(kept):
                raise InputError("There is no such state of the training.")
            self._fill(kept[-1 if snapshot is None else snapshot])
        if label is None:
            return self.shown
        return lambda x, level: self.shown(x, level, torch.full((len(x),), label))

    def _source(self, label: int | None) -> Oracle:
        """Return the law of a class, or of all."""
        return self.exact if label is None or not self.classes else self.classes[label]

    def _fill(self, weights: Tensor) -> None:
        vector_to_parameters(weights, self.shown.network.parameters())

    def _grid(self, sampling: Sampling, schedule: Schedule | None = None) -> Grid:
        schedule = schedule or self.shown.schedule
        steps = _FINE if sampling.fine else sampling.steps
        steps = min(steps, schedule.T) if isinstance(schedule, DiscreteSchedule) else steps
        return schedule.grid(steps, "karras" if sampling.fine else sampling.spacing, sampling.rho)

    def _states(
        self, denoiser: DenoiserLike, n: int, sampling: Sampling, seed: int
    ) -> tuple[Grid, list[Tensor]]:
        grid, generator = self._grid(sampling), stream(seed, "studio")
        start = prior(grid, (n, 2), generator)
        if sampling.start:
            eps = torch.randn(start.shape, generator=generator)
            start = q_sample(self._draw(n, "start", seed, label=sampling.label), grid.levels.at(0), eps)
        return grid, self._follow(denoiser, start, grid, sampling, generator)

    def _follow(
        self,
        denoiser: DenoiserLike,
        start: Tensor,
        grid: Grid,
        sampling: Sampling,
        generator: torch.Generator,
    ) -> list[Tensor]:
        settings: dict[str, Any] = {}
        if sampling.name == "ddpm":
            settings = {"variance": sampling.variance}
        elif sampling.name == "ddim":
            settings = {"eta": sampling.eta}
        sampler = make_sampler("heun") if sampling.fine else make_sampler(sampling.name, **settings)
        return [state.x for state in trajectory(denoiser, start, grid, sampler, generator)]

    def _ends(self, denoiser: DenoiserLike, n: int, sampling: Sampling, seed: int) -> Points:
        return self._in_data(self._states(denoiser, n, sampling, seed)[1][-1])

    def _in_data(self, x: Tensor) -> Points:
        """Distances are measured in the units of the data."""
        return np.asarray(x.double().numpy() * self.codec.scale)

    def _draw(self, n: int, *place: str | int, label: int | None = None) -> Tensor:
        return self._source(label).draw(n, int(stream_seed(0, "studio", *place) % 2**32)).float()

    # -- answers

    def _walk(self, ask: WalkAsk) -> dict[str, Any]:
        began = time.perf_counter()
        denoiser = self._denoiser(ask.which, ask.snapshot, ask.sampling)
        grid, states = self._states(denoiser, ask.n, ask.sampling, ask.seed)
        twice = ask.sampling.fine or ask.sampling.name == "heun"
        calls = 2 * grid.n_steps - 1 if twice else grid.n_steps
        return self._walked(torch.stack(states), grid, calls * ask.n, time.perf_counter() - began)

    def _forward(self, ask: ForwardAsk) -> dict[str, Any]:
        other = None
        if ask.schedule is not None:
            settings = ask.schedule.model_dump(exclude_none=True)
            other = make_schedule(**settings)
        grid = self._grid(ask.sampling, other)
        x_0 = self._draw(ask.n, "forward", ask.seed, label=ask.sampling.label)
        eps = torch.randn(x_0.shape, generator=stream(ask.seed, "studio forward"))
        states = [q_sample(x_0, grid.levels.at(i), eps) for i in range(grid.n_steps + 1)]
        return self._walked(torch.stack(states), grid, 0, 0.0)

    def _walked(self, states: Tensor, grid: Grid, evaluations: int, seconds: float) -> dict[str, Any]:
        return {
            "states": Positions(states.numpy()),
            "n": states.shape[1],
            "levels": _told_levels(grid.levels),
            "evaluations": evaluations,
            "seconds": seconds,
        }

    @torch.no_grad()
    def _field(self, ask: FieldAsk) -> dict[str, Any]:
        x = torch.tensor(ask.x[: len(ask.x) // 2 * 2], dtype=torch.float32).reshape(-1, 2)
        level = NoiseLevel(
            *(torch.tensor(v, dtype=torch.float64) for v in (ask.level.t, ask.level.alpha, ask.level.sigma))
        )
        if not level.sigma > 0:
            raise InputError("A field needs a level with noise.")
        log = self.exact.log_density(x.double(), level)
        if ask.label is not None:  # the density whose score guidance follows, up to a factor
            log = log + ask.guidance * (self._source(ask.label).log_density(x.double(), level) - log)
        return {
            "learned": self._denoiser("learned", ask.snapshot, ask)(x, level).numpy(),
            "exact": self._denoiser("exact", ask.snapshot, ask)(x, level).numpy(),
            "logDensity": log.numpy(),
        }

    @torch.no_grad()
    def _path(self, ask: PathAsk) -> dict[str, Any]:
        grid = self._grid(ask.sampling)
        grid = grid.after(min(ask.start, grid.n_steps - 1))
        level, x = grid.levels.at(0), torch.tensor([ask.x], dtype=torch.float32)
        name: Any = "ddim" if ask.sampling.name == "ddpm" else ask.sampling.name
        sampling = ask.sampling.model_copy(update={"name": name, "eta": 0.0})
        learned = self._denoiser("learned", ask.snapshot, ask.sampling)
        exact = self._denoiser("exact", ask.snapshot, ask.sampling)
        paths = {
            key: torch.cat(self._follow(denoiser, x, grid, sampling, stream(0, "studio path"))).numpy()
            for key, denoiser in (("learned", learned), ("exact", exact))
        }
        return {
            **paths,
            "levels": _told_levels(grid.levels),
            "posterior": self._posterior(x[0].double(), level, ask.sampling.label),
            "mean": exact(x, level)[0].tolist(),
            "answer": learned(x, level)[0].tolist(),
        }

    def _posterior(self, x: Tensor, level: NoiseLevel, label: int | None) -> Points:
        """Draw p(x_0 | x_t): real points, as often as they would have become x_t."""
        if label not in self.pools:
            self.pools[label] = self._source(label).draw(_POOL, 1) if self.known else self.data.double()
        pool = self.pools[label]
        logits = -(x - level.alpha * pool).square().sum(1) / (2 * level.sigma.square())
        chosen = torch.multinomial(
            torch.softmax(logits, 0), _POSTERIOR, replacement=True, generator=stream(1, "studio posterior")
        )
        return pool[chosen].float().numpy()

    def _real(self, ask: RealAsk) -> Points:
        return self._draw(ask.n, "real", ask.seed).numpy()

    def _once(self, key: str, count: int, one: Callable[[int], float]) -> Points:
        """Return distances (count,), each measured once for a network."""
        if key not in self.measured:
            self.measured[key] = np.array([one(i) for i in range(count)])
        return self.measured[key]

    def _fresh(self, n: int, name: str, i: int, label: int | None = None) -> Points:
        return self._in_data(self._draw(n, name, i, label=label))

    def _distances(self, which: str, n: int, draws: int, sampling: Sampling) -> Points:
        """Return distances of samples from fresh data: always of the same noise and the same data."""
        denoiser = self._denoiser(which, None, sampling)

        def one(i: int) -> float:
            made = self._ends(denoiser, n, sampling, 1000 + i)
            return sliced_wasserstein(made, self._fresh(n, "quality", i, sampling.label))

        return self._once(f"{which} {n} {draws} {sampling}", draws, one)

    def _floors(self, n: int, draws: int, label: int | None) -> Points:
        return self._once(f"floors {n} {draws} {label}", 2 * draws, lambda i: self._floor(n, i, label))

    def _quality(self, ask: QualityAsk) -> dict[str, float | str]:
        values = self._distances(ask.which, ask.n, ask.draws, ask.sampling)
        return relate(values, self._floors(ask.n, ask.draws, ask.sampling.label)).to_json()

    def budget(self, ask: BudgetAsk) -> dict[str, Any]:
        """Exchange one part after the other for an exact one, as a diagnosis does, with all else the same."""
        n, draws, sampling = ask.n, ask.draws, ask.sampling
        label, labels = sampling.label, self.setup.data.labels
        floors = self._floors(n, draws, label)
        data = self.data if label is None or labels is None else self.data[torch.from_numpy(labels) == label]
        random = stream(0, "studio set")

        def real(i: int) -> Points:
            return self._fresh(n, "quality", i, label)

        def base(i: int) -> float:
            return sliced_wasserstein(self._fresh(n, "other", i, label), real(i))

        def remembered(i: int) -> float:
            chosen = torch.randint(len(data), (n,), generator=random)
            return sliced_wasserstein(self._in_data(data[chosen]), real(i))

        least = self._once(f"base {n} {draws} {label}", draws, base)
        memory = self._once(f"set {n} {draws} {label}", draws, remembered)
        given = self._distances("exact", n, draws, sampling.model_copy(update={"start": True}))
        exact = self._distances("exact", n, draws, sampling)
        own = self._distances("learned", n, draws, sampling)
        of_set = memory - least if self.known else np.zeros(draws)
        shares = {
            "steps": given - (least if self.known else memory),
            "start": exact - given,
            "set": of_set,
            "network": own - exact - of_set,
        }
        parts = [{"part": part, **_share(values, floors)} for part, values in shares.items()]
        total, best = relate(own, floors).to_json(), relate(exact, floors).to_json()
        return {"real": float(least.mean() / floors.mean()), "parts": parts, "total": total, "exact": best}

    def _floor(self, n: int, i: int, label: int | None = None) -> float:
        return sliced_wasserstein(self._fresh(n, "floor a", i, label), self._fresh(n, "floor b", i, label))

    def _heart(self, ask: HeartAsk) -> float:
        """Return which part of samples is nearer to a training point than half of all fresh points."""
        sampling = Sampling(**self.payload["recipe"]["sampling"])
        made = self._states(self._denoiser("learned", None), ask.n, sampling, 9)[1][-1]
        near = (torch.cdist(x, self.data).amin(1) for x in (self._draw(ask.n, "heart"), made))
        fresh, own = near
        return float((own < fresh.median()).double().mean())

    @torch.no_grad()
    def _irreducible(self, ask: IrreducibleAsk) -> dict[str, float]:
        loss, denoiser = self.setup.loss, self.setup.model.denoiser
        if not isinstance(loss, Loss):
            raise InputError("The least loss is known for the losses of recipes only.")
        losses: list[float] = []
        for chunk in self.setup.batches.chunks(0, ask.batches):
            examples = loss.examples(denoiser, chunk.x_0, chunk.level, chunk.eps, chunk.label)
            x_t = q_sample(chunk.x_0, chunk.level, chunk.eps)
            answers = self.exact(x_t.double(), chunk.level)
            for k, own in enumerate(self.classes if chunk.label is not None else []):
                rows = chunk.label == k
                answers[rows] = own(x_t[rows].double(), chunk.level.at(rows))
            output = self._as_output(denoiser, answers.float(), x_t, chunk.level)
            for start, stop in zip(chunk.bounds, chunk.bounds[1:], strict=False):
                part: Examples = examples.at(slice(start, stop))
                losses.append(float(loss.value(output[start:stop], part)))
        mean, half = float(np.mean(losses)), 1.96 * float(np.std(losses, ddof=1)) / math.sqrt(len(losses))
        return {"value": mean, "low": mean - half, "high": mean + half}

    @staticmethod
    def _as_output(denoiser: Denoiser, x_0: Tensor, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return what a network would have to put out to answer x_0."""
        skip, out = output_coefficients(denoiser.prediction, level, denoiser.sigma_data)
        return (x_0 - coefficient(skip, x_t) * x_t) / coefficient(out, x_t)

    @torch.no_grad()
    def _levels(self, ask: LevelsAsk) -> dict[str, Any]:
        denoiser = self._denoiser("learned", ask.snapshot)
        own = self.payload["recipe"]["sampling"]
        sampling = Sampling(**{**own, "steps": _LEVELS, "spacing": "karras"})
        grid = self._grid(sampling)
        x_0 = self._draw(ask.n, "levels")
        eps = torch.randn(x_0.shape, generator=stream(5, "studio levels"))
        told: dict[str, list[float]] = {"ratio": [], "learned": [], "exact": [], "excess": []}
        for i in range(grid.n_steps):
            level = grid.levels.at(i)
            if level.alpha == 0:
                continue
            x_t = q_sample(x_0, level, eps)
            made, best = denoiser(x_t, level), self.exact(x_t, level)
            told["ratio"].append(float(level.ratio))
            told["learned"].append(float((made - x_0).square().mean()))
            told["exact"].append(float((best - x_0).square().mean()))
            told["excess"].append(float((made - best).square().mean().sqrt()) / self.spread)
        return told

    def compared(self) -> tuple[Points, float]:
        """Return the real points that samples of a training are compared with, and the floor; made once."""
        if self.against is None:
            real = self._in_data(self._draw(_SHOWN, "progress"))
            self.against = real, float(np.mean([self._floor(_SHOWN, i) for i in range(_PAIRS)]))
        return self.against

    # -- training

    def _train(self, ask: TrainAsk) -> None:
        wanted = ask.recipe
        changes: dict[str, Any] = {
            "network.width": wanted.network.width,
            "training.steps": wanted.training.steps,
            "training.learning_rate": wanted.training.learning_rate,
            "training.batch_size": wanted.training.batch_size,
            "seed": ask.seed,
        }
        for key in ("ema_decay", "decay"):
            if (value := getattr(wanted.training, key)) is not None:
                changes[f"training.{key}"] = value
        if wanted.loss is not None and self.setup.recipe.loss.distance != "custom":
            changes["loss.distance"] = wanted.loss.distance
        if wanted.schedule is not None:
            changes |= wanted.schedule.changes
        data, against = self.setup.data, self.against
        self.setup = Setup(self.setup.recipe.changed(changes), data, torch.device("cpu"))
        self._prepare()
        self._describe()
        self.against = against  # the data is the same
        self.trained = _Training({"step": 0, "seconds": 0.0, "stopped": False})
        self.running = True
        stopped = False
        trainer = self.trainer = self.setup.trainer()
        self.compared()
        report = _Report(self, trainer)
        trainer.on_progress = report
        try:
            while self._runs_on(trainer):
                pass
        except _Stop:
            stopped = True
        finally:
            self.running = False
        self.trainer = None
        report.keep()
        self.trained.settings = {"step": trainer.step, "seconds": report.seconds, "stopped": stopped}
        for identity in self.waiting if self.later is None else []:
            self.tell({"id": identity, "answer": self._told()})
        if self.later is None:
            self.waiting = []

    @staticmethod
    def _runs_on(trainer: Trainer) -> bool:
        """Train to the end; whether it is to go on with other batches."""
        try:
            trainer.run()
        except _Again:
            return True
        return False

    def _adjust(self, ask: AdjustAsk) -> bool:
        """Change settings of the training that runs; the recipe says what was set last."""
        trainer = self.trainer
        if trainer is None:
            return False
        changes = {f"training.{key}": getattr(ask, key) for key in _ADJUSTED}
        recipe = self.setup.recipe.changed({**changes, "loss.distance": ask.distance})
        self.setup.recipe = self.setup.model.recipe = recipe
        trainer.settings = recipe.training
        trainer.average.decay = ask.ema_decay
        trainer.loss = self.setup.loss = recipe.make_loss()
        self.again = trainer.batches.batch_size != ask.batch_size
        self.setup.batches = trainer.batches = replace(trainer.batches, batch_size=ask.batch_size)
        self._describe()
        self.trained.adjusted = True
        return True

    # -- to take along

    def _as_run(self) -> Run:
        """Return what is shown as a run, in no directory."""
        self._denoiser("learned", None)
        model = replace(self.setup.model, denoiser=self.shown)
        return Run(Path("studio"), model, self.setup.data)

    def _save(self, ask: SaveAsk) -> dict[str, Any]:
        run = self._as_run()
        metrics = [{"step": step, "loss": loss} for step, loss in self.trained.losses]
        content = payload(run.model, run.data, metrics=metrics, language=ask.language)
        if self.strokes is not None:
            content |= {"law": self.strokes.model_dump(), "data": None}
        if not self.trained.steps:  # a run that was opened, as it was measured
            content |= {key: self.payload[key] for key in ("quality", "loss")}
        view = View(content, png_address(run.plot_samples(), dpi=75))
        return {"html": view.html, "tensors": None}

    def _keep(self, _: Any) -> str:
        if self.running or not self.trained.steps:
            raise InputError("There is no finished training to keep.")
        run = self._as_run()
        told = self.trained.settings
        return str(keep(run, self.setup, self.trained.losses, told["step"], told["seconds"]))


def _share(values: Points, floors: Points) -> dict[str, float]:
    """Return the mean of differences of distances in floors, with its 95% interval."""
    floor = float(floors.mean())
    ratio = float(values.mean()) / floor
    spread = math.hypot(half_interval(values) / floor, ratio * half_interval(floors) / floor)
    return {"ratio": ratio, "low": ratio - spread, "high": ratio + spread}


def _is_builtin(name: str) -> bool:
    """Whether it is the name of a built-in set, which comes before a folder of that name."""
    try:
        oracle_for(name)
    except InputError:
        return False
    return True


class _Report:
    """What is told of a training, and what it is asked, after each chunk of steps."""

    def __init__(self, engine: Engine, trainer: Any) -> None:
        self.engine, self.trainer = engine, trainer
        self.began = time.perf_counter()
        self.sum, self.count, self.cost = 0.0, 0, 0.0
        self.last = self.said = -math.inf
        steps = trainer.total_steps
        schedule = trainer.denoiser.schedule
        few = min(14, schedule.T) if isinstance(schedule, DiscreteSchedule) else 14
        self.quick = Sampling(name="dpmpp_2m", steps=few, spacing="karras")
        self.total = steps

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def __call__(self, progress: Progress) -> None:
        self.sum, self.count = self.sum + progress.loss, self.count + 1
        now, ends = self.seconds, progress.step == self.total
        if now - self.said >= _EVERY or ends:
            self._tell_loss(progress)
            self.said = now
        if now - self.last >= max(_EVERY, self.cost / _SHARE) or ends:
            self._tell_picture(progress)
            self.cost, self.last = self.seconds - now, self.seconds
        place = math.floor(_SNAPSHOTS * math.sqrt(progress.step / self.total))
        if place > len(self.engine.trained.steps):
            self.keep()
        engine = self.engine
        engine.again = False
        while (command := engine.next_command(False)) is not None:
            engine._do(command)
        if engine.again:
            raise _Again

    def _tell_loss(self, progress: Progress) -> None:
        loss = self.sum / self.count
        self.sum, self.count = 0.0, 0
        self.engine.trained.losses.append((progress.step, loss))
        told = {"step": progress.step, "steps": self.total, "loss": loss, "seconds": self.seconds}
        self.engine.tell({"loss": told})

    def _tell_picture(self, progress: Progress) -> None:
        engine = self.engine
        real, floor = engine.compared()
        with self.trainer.averaged() as denoiser:
            samples = engine._states(denoiser, _SHOWN, self.quick, 3)[1][-1]
        ratio = sliced_wasserstein(engine._in_data(samples), real) / floor
        engine.tell(
            {
                "progress": {
                    "step": progress.step,
                    "steps": self.total,
                    "seconds": self.seconds,
                    "samples": Positions(samples.numpy()),
                    "ratio": ratio,
                }
            }
        )

    def keep(self) -> None:
        """Keep a state of the network."""
        trained = self.engine.trained
        if trained.steps and trained.steps[-1] == self.trainer.step:
            return
        with self.trainer.averaged() as denoiser:
            trained.weights.append(parameters_to_vector(denoiser.network.parameters()).detach().clone())
        trained.steps.append(self.trainer.step)


def _told_levels(levels: NoiseLevel) -> list[dict[str, float]]:
    rows = zip(levels.t.tolist(), levels.alpha.tolist(), levels.sigma.tolist(), strict=True)
    return [{"t": float(t), "alpha": alpha, "sigma": sigma} for t, alpha, sigma in rows]
