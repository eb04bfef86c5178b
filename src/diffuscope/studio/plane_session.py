"""How is a model of points in the plane watched, asked and trained? The session of its page."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.schedules import Grid, NoiseLevel, make_schedule
from diffuscope.errors import InputError
from diffuscope.modalities.recognition import load_data, modality
from diffuscope.oracle import Oracle, oracle_for
from diffuscope.pages import png_address
from diffuscope.runs.keep import keep
from diffuscope.runs.plan import plan_new
from diffuscope.runs.run import Run
from diffuscope.runs.setup import Setup
from diffuscope.seeds import stream
from diffuscope.studio.drawing import drawn_data, drawn_law, laws_of_classes
from diffuscope.studio.frames import Positions
from diffuscope.studio.live_training import LiveTraining, Stopped, against_real
from diffuscope.studio.measures import Measures
from diffuscope.studio.plane import Plane, Points, Trained
from diffuscope.studio.recorded import recorded_run
from diffuscope.studio.requests import (
    OF_THE_PLANE,
    AdjustRequest,
    BudgetRequest,
    FieldRequest,
    ForwardRequest,
    HeartRequest,
    IrreducibleRequest,
    LevelsRequest,
    LoadRequest,
    OwnPoints,
    PathRequest,
    QualityRequest,
    RealRequest,
    SaveRequest,
    SetupRequest,
    Strokes,
    TrainRequest,
    WalkRequest,
)
from diffuscope.studio.session import Next, Send, Session
from diffuscope.viewer import View, payload

__all__ = ["PlaneSession", "is_builtin"]

_POSTERIOR, _POOL = 400, 100_000
_CPU = torch.device("cpu")


def is_builtin(name: str) -> bool:
    """Whether it is the name of a built-in set, which comes before a folder of that name."""
    try:
        oracle_for(name)
    except InputError:
        return False
    return True


class PlaneSession(Session):
    """Shows a model of points in the plane, and trains it."""

    requests = OF_THE_PLANE

    def __init__(self, send: Send, next_command: Next) -> None:
        super().__init__(send, next_command)
        self.waiting: list[int] = []  # questions that are answered at the end of the training
        self.training: LiveTraining | None = None
        self.strokes: Strokes | None = None

    def open(self, source: str, recipe: str | None) -> None:
        """Take data, and train on it at once."""
        planned, dataset, _ = plan_new(source, recipe, {}, "runs/studio")
        self._take(Setup(planned, dataset, _CPU))
        self.later = {"question": "train", "ask": {"recipe": self.payload["recipe"], "seed": planned.seed}}

    def open_run(self, run: Run) -> None:
        """Show a run; an InputError where a page cannot compute it."""
        content = payload(run.model, run.data, **run.results)
        self._take(Setup(run.recipe, run.data, _CPU, start=run.model), content)

    def _take(self, setup: Setup, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show a model, of the law that was drawn if one was; what was learned before is gone.

        ``content`` is what a page shows of it, where that is known already.
        """
        law: Oracle | None = None
        of_classes: list[Oracle] = []
        strokes = self.strokes
        if strokes is not None:
            law = drawn_law(strokes.strokes, strokes.noise)
            if strokes.classes is not None:
                of_classes = list(laws_of_classes(strokes.strokes, strokes.noise, strokes.classes))
        self.plane = Plane(setup, law, of_classes)
        self.pools: dict[int | None, Tensor] = {}
        self.against: tuple[Points, float] | None = None
        if content is None:
            self._describe()
        else:
            self.payload = content
        self.measures = Measures(self.plane, self.payload["recipe"]["sampling"])
        return self._ready()

    def _describe(self) -> None:
        """Say what data, network and recipe are now."""
        setup = self.plane.setup
        self.payload = payload(setup.model, setup.data)
        if self.strokes is not None:
            self.payload |= {"law": self.strokes.model_dump(), "data": None}

    def answer(self, command: dict[str, Any], request: Any) -> None:
        """Answer at once, or at the end of a training."""
        question, running = command["question"], self.training is not None
        if question == "train":
            if command.get("id") is not None:
                self.waiting.append(command["id"])
            if running:
                self.later = {**command, "id": None}
                raise Stopped
            self._train(request)
        elif question == "attach" and running:
            self.waiting.append(int(command["id"]))
        else:
            super().answer(command, request)
            if question == "stop" and running:
                raise Stopped

    # --- what there is --------------------------------------------------------------------------------------

    def _ready(self) -> dict[str, Any]:
        plane, labels = self.plane, self.plane.setup.data.labels
        return {
            "display": {"middle": plane.middle.tolist(), "spread": plane.spread},
            "scaling": {"shift": plane.codec.shift.tolist(), "scale": plane.codec.scale.tolist()},
            "real": plane.data[:4000].numpy().ravel(),
            "classes": len(plane.classes),
            "labels": [] if labels is None else labels[:4000].tolist(),
            "known": plane.known,
            "fast": True,
            "weights": sum(p.numel() for p in plane.shown.network.parameters()),
        }

    def on_setup(self, request: SetupRequest) -> dict[str, Any]:
        """Take other data, with an untrained network."""
        self._idle()
        recipe, law = self.plane.setup.recipe.changed({"seed": request.seed}), request.law
        if isinstance(law, Strokes):
            data = drawn_data(law.strokes, law.noise, request.size, request.seed, law.classes)
        elif isinstance(law, OwnPoints):
            data = load_data(np.array(law.points).reshape(-1, 2), recipe)
        else:
            if not is_builtin(law.name):
                raise InputError(f"There is no built-in set {law.name!r}.")
            recipe = recipe.changed({"data.size": request.size})
            data = load_data(law.name, recipe)
        self.strokes = law if isinstance(law, Strokes) else None
        recipe = recipe.changed(modality("points").describe(data, recipe.data))
        return self._take(Setup(recipe, data, _CPU))

    def on_standardise(self, _: Any) -> dict[str, Any]:
        """Bring the data to deviation 1, with an untrained network."""
        self._idle()
        recipe = self.plane.setup.recipe.changed({"data.scaling": "standard"})
        return self._take(Setup(recipe, self.plane.setup.data, _CPU))

    def on_load(self, request: LoadRequest) -> dict[str, Any]:
        """Show a recorded run."""
        self._idle()
        run = recorded_run(request.at)
        self.strokes = None
        metrics = [{"step": float(step), "loss": loss} for step, loss in run.losses]
        recorded = {"at": run.at, "ratios": run.ratios, "next": run.next_change}
        content = payload(run.setup.model, run.setup.data, metrics=metrics)
        self._take(run.setup, content | {"quality": run.quality, "recorded": recorded, "budget": run.budget})
        return self.on_hello(None)

    def on_hello(self, _: Any) -> dict[str, Any]:
        """Return what is shown and trained."""
        trained, running = self.plane.trained, self.training is not None
        return {
            "payload": {**self.payload, "tensors": None, "data": None},
            "ready": self._ready(),
            "running": running or self.later is not None,
            "trained": self._summary() if trained.steps and not running else None,
            "losses": {"x": [step for step, _ in trained.losses], "y": [loss for _, loss in trained.losses]},
        }

    def on_attach(self, _: Any) -> dict[str, Any] | None:
        """Return what came of the last training."""
        return self._summary() if self.plane.trained.steps else None

    def on_stop(self, _: Any) -> None:
        """Nothing more than the answer: the training ends with it."""

    def _summary(self) -> dict[str, Any]:
        return {"snapshots": self.plane.trained.steps, **self.plane.trained.summary}

    def _idle(self) -> None:
        if self.training is not None:
            raise InputError("A training runs.", "Stop it first.")

    # --- walks ----------------------------------------------------------------------------------------------

    def on_walk(self, request: WalkRequest) -> dict[str, Any]:
        """Sample, and return all states."""
        began = time.perf_counter()
        denoiser = self.plane.denoiser(request.which, request.snapshot, request.sampling)
        grid, states = self.plane.states(denoiser, request.n, request.sampling, request.seed)
        twice = request.sampling.fine or request.sampling.name == "heun"
        calls = 2 * grid.n_steps - 1 if twice else grid.n_steps
        return _walk(torch.stack(states), grid, calls * request.n, time.perf_counter() - began)

    def on_forward(self, request: ForwardRequest) -> dict[str, Any]:
        """Return real points at all levels, with one noise each."""
        other = None
        if request.schedule is not None:
            other = make_schedule(**request.schedule.model_dump(exclude_none=True))
        grid = self.plane.grid(request.sampling, other)
        x_0 = self.plane.draw(request.n, "forward", request.seed, label=request.sampling.label)
        eps = torch.randn(x_0.shape, generator=stream(request.seed, "studio forward"))
        states = [q_sample(x_0, grid.levels.at(i), eps) for i in range(grid.n_steps + 1)]
        return _walk(torch.stack(states), grid, 0, 0.0)

    def on_real(self, request: RealRequest) -> Points:
        """Return fresh real points."""
        return self.plane.draw(request.n, "real", request.seed).numpy()

    # --- denoisers ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def on_field(self, request: FieldRequest) -> dict[str, Any]:
        """Return what the denoisers answer at points, and the density there."""
        plane = self.plane
        x = torch.tensor(request.x[: len(request.x) // 2 * 2], dtype=torch.float32).reshape(-1, 2)
        numbers = (request.level.t, request.level.alpha, request.level.sigma)
        level = NoiseLevel(*(torch.tensor(v, dtype=torch.float64) for v in numbers))
        if not level.sigma > 0:
            raise InputError("A field needs a level with noise.")
        log = plane.exact.log_density(x.double(), level)
        if request.label is not None:  # the density whose score guidance follows, up to a factor
            log = log + request.guidance * (plane.law(request.label).log_density(x.double(), level) - log)
        return {
            "learned": plane.denoiser("learned", request.snapshot, request)(x, level).numpy(),
            "exact": plane.denoiser("exact", request.snapshot, request)(x, level).numpy(),
            "logDensity": log.numpy(),
        }

    @torch.no_grad()
    def on_path(self, request: PathRequest) -> dict[str, Any]:
        """Return where one point goes, and what it may have been."""
        plane, sampling = self.plane, request.sampling
        grid = plane.grid(sampling)
        grid = grid.after(min(request.start, grid.n_steps - 1))
        level, x = grid.levels.at(0), torch.tensor([request.x], dtype=torch.float32)
        name: Any = "ddim" if sampling.name == "ddpm" else sampling.name
        straight = sampling.model_copy(update={"name": name, "eta": 0.0})
        both = {which: plane.denoiser(which, request.snapshot, sampling) for which in ("learned", "exact")}
        paths = {
            which: torch.cat(plane.follow(one, x, grid, straight, stream(0, "studio path"))).numpy()
            for which, one in both.items()
        }
        return {
            **paths,
            "levels": _levels(grid.levels),
            "posterior": self._posterior(x[0].double(), level, sampling.label),
            "mean": both["exact"](x, level)[0].tolist(),
            "answer": both["learned"](x, level)[0].tolist(),
        }

    def _posterior(self, x: Tensor, level: NoiseLevel, label: int | None) -> Points:
        """Draw p(x_0 | x_t): real points, as often as they would have become x_t."""
        plane = self.plane
        if label not in self.pools:
            self.pools[label] = plane.law(label).draw(_POOL, 1) if plane.known else plane.data.double()
        pool = self.pools[label]
        logits = -(x - level.alpha * pool).square().sum(1) / (2 * level.sigma.square())
        chosen = torch.multinomial(
            torch.softmax(logits, 0), _POSTERIOR, replacement=True, generator=stream(1, "studio posterior")
        )
        return pool[chosen].float().numpy()

    # --- measures -------------------------------------------------------------------------------------------

    def on_quality(self, request: QualityRequest) -> dict[str, float | str]:
        """See :meth:`Measures.quality`."""
        return self.measures.quality(request)

    def on_budget(self, request: BudgetRequest) -> dict[str, Any]:
        """See :meth:`Measures.budget`."""
        return self.measures.budget(request)

    def on_heart(self, request: HeartRequest) -> float:
        """See :meth:`Measures.heart`."""
        return self.measures.heart(request)

    def on_irreducible(self, request: IrreducibleRequest) -> dict[str, float]:
        """See :meth:`Measures.irreducible`."""
        return self.measures.irreducible(request)

    def on_levels(self, request: LevelsRequest) -> dict[str, Any]:
        """See :meth:`Measures.levels`."""
        return self.measures.levels(request)

    # --- training -------------------------------------------------------------------------------------------

    def _train(self, request: TrainRequest) -> None:
        """Train from new weights; those who wait have their answer at the end, or at that of the next one."""
        own, setup, against = request.recipe, self.plane.setup, self.against
        changes: dict[str, Any] = {
            "network.width": own.network.width,
            "training.steps": own.training.steps,
            "training.learning_rate": own.training.learning_rate,
            "training.batch_size": own.training.batch_size,
            "seed": request.seed,
        }
        for key in ("ema_decay", "decay"):
            if (value := getattr(own.training, key)) is not None:
                changes[f"training.{key}"] = value
        if own.loss is not None and setup.recipe.loss.distance != "custom":
            changes["loss.distance"] = own.loss.distance
        if own.schedule is not None:
            changes |= own.schedule.changes
        self._take(Setup(setup.recipe.changed(changes), setup.data, _CPU))
        trained = self.plane.trained = Trained({"step": 0, "seconds": 0.0, "stopped": False})
        self.against = against or against_real(self.plane, self.measures)  # the data is the same
        self.training = LiveTraining(self.plane, self.against, self.send, self._answer_waiting)
        try:
            stopped = self.training.run()
            step, seconds = self.training.trainer.step, self.training.seconds
        finally:
            self.training = None
        self.measures.measured.clear()
        trained.summary = {"step": step, "seconds": seconds, "stopped": stopped}
        if self.later is None:
            for identity in self.waiting:
                self.send({"id": identity, "answer": self._summary()})
            self.waiting = []

    def _answer_waiting(self) -> None:
        while (command := self.next_command(False)) is not None:
            self.handle(command)

    def on_adjust(self, request: AdjustRequest) -> bool:
        """Change settings of the training that runs; False where none does."""
        if self.training is None:
            return False
        self.training.adjust(request)
        self._describe()
        return True

    # --- to take along --------------------------------------------------------------------------------------

    def _as_run(self) -> Run:
        """Return what is shown as a run, in no directory."""
        self.plane.denoiser("learned")
        setup = self.plane.setup
        return Run(Path("studio"), replace(setup.model, denoiser=self.plane.shown), setup.data)

    def on_save(self, request: SaveRequest) -> dict[str, Any]:
        """Return the page as one file."""
        run, trained = self._as_run(), self.plane.trained
        metrics = [{"step": step, "loss": loss} for step, loss in trained.losses]
        content = payload(run.model, run.data, metrics=metrics, language=request.language)
        if self.strokes is not None:
            content |= {"law": self.strokes.model_dump(), "data": None}
        if not trained.steps:  # a run that was opened, as it was measured
            content |= {key: self.payload[key] for key in ("quality", "loss")}
        return {"html": View(content, png_address(run.plot_samples(), dpi=75)).html, "tensors": None}

    def on_keep(self, _: Any) -> str:
        """Make a run directory of what was trained; return its path."""
        trained = self.plane.trained
        if self.training is not None or not trained.steps:
            raise InputError("There is no finished training to keep.")
        about = trained.summary
        return str(keep(self._as_run(), self.plane.setup, trained.losses, about["step"], about["seconds"]))


def _walk(states: Tensor, grid: Grid, evaluations: int, seconds: float) -> dict[str, Any]:
    return {
        "states": Positions(states.numpy()),
        "n": states.shape[1],
        "levels": _levels(grid.levels),
        "evaluations": evaluations,
        "seconds": seconds,
    }


def _levels(levels: NoiseLevel) -> list[dict[str, float]]:
    rows = zip(levels.t.tolist(), levels.alpha.tolist(), levels.sigma.tolist(), strict=True)
    return [{"t": float(t), "alpha": alpha, "sigma": sigma} for t, alpha, sigma in rows]
