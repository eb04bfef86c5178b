"""What may a page ask for? Requests with bounds on every number; none names a path, a module or code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from diffuscope.errors import InputError, unknown_name
from diffuscope.translations import Language

__all__ = [
    "OF_A_RUN",
    "OF_THE_PLANE",
    "AdjustRequest",
    "BudgetRequest",
    "FieldRequest",
    "ForwardRequest",
    "HeartRequest",
    "IrreducibleRequest",
    "LevelsRequest",
    "LoadRequest",
    "Nothing",
    "OwnPoints",
    "PageRequest",
    "PathRequest",
    "QualityRequest",
    "RealRequest",
    "RunWalkRequest",
    "Sampling",
    "SaveRequest",
    "ScheduleChoice",
    "SetupRequest",
    "Strokes",
    "TrainRequest",
    "WalkRequest",
    "read_request",
]

_Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
_Count = Annotated[int, Field(ge=1, le=20_000)]
_Seed = Annotated[int, Field(ge=0, le=2**31)]
_Snapshot = Annotated[int, Field(ge=0, le=1000)] | None
_Rate = Annotated[float, Field(gt=0, le=1)]
_Batch = Annotated[int, Field(ge=1, le=4096)]
_Decay = Annotated[float, Field(ge=0, lt=1)]
_Part = Annotated[float, Field(ge=0, le=1)]
_Label = Annotated[int, Field(ge=0, le=1)] | None
_Guidance = Annotated[float, Field(ge=0, le=100)]
Which = Literal["learned", "set", "exact"]
Distance = Literal["l2", "l1", "huber"]


class PageRequest(BaseModel):
    """A request of a page."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Sampling(PageRequest):
    """How to sample."""

    name: Literal["ddpm", "ddim", "euler", "heun", "dpmpp_2m"]
    steps: Annotated[int, Field(ge=1, le=1000)]
    spacing: Literal["uniform", "trailing", "karras"]
    rho: Annotated[float, Field(gt=0, le=100)] = 7.0
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    variance: Literal["posterior", "beta"] = "posterior"
    start: bool = False  # from noised data, as training has seen it, in the place of pure noise
    label: _Label = None  # a class
    guidance: _Guidance = 1.0
    fine: bool = False  # in many steps of Heun's method, in the place of its own


class ScheduleChoice(PageRequest):
    """A schedule by name, with its own settings."""

    name: Annotated[str, Field(max_length=40)]
    zero_terminal_snr: bool = False
    T: Annotated[int, Field(ge=2, le=4000)] | None = None
    start: _Part | None = None
    end: _Part | None = None
    offset: _Part | None = None
    beta_min: Annotated[float, Field(gt=0, le=1000)] | None = None
    beta_max: Annotated[float, Field(gt=0, le=1000)] | None = None
    sigma_min: Annotated[float, Field(gt=0, le=1000)] | None = None
    sigma_max: Annotated[float, Field(gt=0, le=1000)] | None = None
    t_min: _Part | None = None
    t_max: _Part | None = None
    log_snr: (
        Annotated[tuple[Annotated[float, Field(ge=-40, le=40)], ...], Field(min_length=2, max_length=20)]
        | None
    ) = None

    @property
    def changes(self) -> dict[str, Any]:
        """As changes of a recipe."""
        return {f"schedule.{key}": value for key, value in self.model_dump(exclude_none=True).items()}


class Level(PageRequest):
    """A noise level."""

    t: _Number
    alpha: _Number
    sigma: _Number


class Nothing(PageRequest):
    """A question that needs no more than its name."""


class WalkRequest(PageRequest):
    """Samples from noise to data."""

    n: _Count
    seed: _Seed
    which: Which
    sampling: Sampling
    snapshot: _Snapshot = None


class ForwardRequest(PageRequest):
    """Real points on their way to noise, by the network's schedule or another one."""

    n: _Count
    seed: _Seed
    sampling: Sampling
    schedule: ScheduleChoice | None = None


class FieldRequest(PageRequest):
    """What denoisers answer at points (n, 2) in the units of the model."""

    x: Annotated[list[_Number], Field(min_length=2, max_length=20_000)]
    level: Level
    snapshot: _Snapshot = None
    label: _Label = None
    guidance: _Guidance = 1.0


class PathRequest(PageRequest):
    """Where a point goes, and what it may have been."""

    x: Annotated[list[_Number], Field(min_length=2, max_length=2)]
    start: Annotated[int, Field(ge=0, le=1000, alias="from")]
    sampling: Sampling
    snapshot: _Snapshot = None


class RealRequest(PageRequest):
    """Fresh real points."""

    n: _Count
    seed: _Seed


class QualityRequest(PageRequest):
    """The distance of samples from data over that of data from data."""

    which: Which
    n: _Count
    draws: Annotated[int, Field(ge=2, le=20)]
    sampling: Sampling


class BudgetRequest(PageRequest):
    """What each part of the way from noise to samples costs."""

    n: _Count
    draws: Annotated[int, Field(ge=2, le=20)]
    sampling: Sampling


class AdjustRequest(PageRequest):
    """Other settings for the steps of a training that come."""

    learning_rate: _Rate
    batch_size: _Batch
    ema_decay: _Decay
    distance: Distance


class SaveRequest(PageRequest):
    """The network as it is now, as a page."""

    language: Language


class LoadRequest(PageRequest):
    """One of the recorded runs, by its number."""

    at: Annotated[int, Field(ge=0, le=100)]


class HeartRequest(PageRequest):
    """How much was learned by heart."""

    n: Annotated[int, Field(ge=10, le=5000)]


class IrreducibleRequest(PageRequest):
    """The loss of the exact denoiser."""

    batches: Annotated[int, Field(ge=2, le=200)]


class LevelsRequest(PageRequest):
    """How wrong the network is at each level."""

    n: _Count
    snapshot: _Snapshot = None


_Place = Annotated[float, Field(allow_inf_nan=False, ge=-100, le=100)]


class Strokes(PageRequest):
    """Data that was drawn: strokes, and the deviation of their ink."""

    kind: Literal["strokes"]
    strokes: Annotated[
        list[Annotated[list[tuple[_Place, _Place]], Field(min_length=1, max_length=4000)]],
        Field(min_length=1, max_length=4000),
    ]
    noise: Annotated[float, Field(ge=0.005, le=10)]
    classes: Annotated[list[Annotated[int, Field(ge=0, le=1)]], Field(max_length=4000)] | None = None

    @model_validator(mode="after")
    def _few(self) -> Strokes:
        if self.classes is not None and (
            len(self.classes) != len(self.strokes) or len(set(self.classes)) != 2
        ):
            raise ValueError("each stroke needs a class, and there are two")
        if sum(map(len, self.strokes)) > 4000:
            raise ValueError("the strokes have more than 4,000 points")
        return self


class BuiltIn(PageRequest):
    """A built-in set."""

    kind: Literal["builtin"]
    name: Annotated[str, Field(max_length=40)]


class OwnPoints(PageRequest):
    """Points of one's own, (x, y) one after the other."""

    kind: Literal["points"]
    points: Annotated[list[_Number], Field(min_length=40, max_length=20_000)]

    @model_validator(mode="after")
    def _in_pairs(self) -> OwnPoints:
        if len(self.points) % 2:
            raise ValueError("points are pairs")
        return self


class SetupRequest(PageRequest):
    """Other data."""

    law: Annotated[Strokes | BuiltIn | OwnPoints, Field(discriminator="kind")]
    size: Annotated[int, Field(ge=20, le=20_000)]
    seed: _Seed


class _Network(PageRequest):
    width: Annotated[int, Field(ge=4, le=256, multiple_of=4)]


class _Loss(PageRequest):
    distance: Distance


class _Training(PageRequest):
    steps: Annotated[int, Field(ge=1, le=500_000)]
    learning_rate: _Rate
    batch_size: _Batch
    ema_decay: _Decay | None = None
    decay: Literal["none", "linear"] | None = None


class _Recipe(PageRequest):
    network: _Network
    training: _Training
    loss: _Loss | None = None
    schedule: ScheduleChoice | None = None


class TrainRequest(PageRequest):
    """A training from new weights, with these settings in the place of the recipe's."""

    recipe: _Recipe
    seed: _Seed


class RunWalkRequest(PageRequest):
    """Samples of a run from noise to data, perhaps under a condition: text by the names of choices."""

    n: Annotated[int, Field(ge=1, le=500)]
    seed: _Seed
    sampler: Annotated[str, Field(max_length=40)] | None = None
    steps: Annotated[int, Field(ge=1, le=4000)] | None = None
    condition: Annotated[
        dict[Annotated[str, Field(max_length=300)], Annotated[str, Field(max_length=300)]],
        Field(max_length=100),
    ] = {}
    guidance: _Guidance | None = None
    estimates: bool = False  # what the network takes each state for, in the place of the states


OF_A_RUN: Mapping[str, type[PageRequest]] = {
    "attach": Nothing,
    "hello": Nothing,
    "save": SaveRequest,
    "stop": Nothing,
    "walk": RunWalkRequest,
}

OF_THE_PLANE: Mapping[str, type[PageRequest]] = {
    "adjust": AdjustRequest,
    "attach": Nothing,
    "budget": BudgetRequest,
    "field": FieldRequest,
    "forward": ForwardRequest,
    "heart": HeartRequest,
    "hello": Nothing,
    "irreducible": IrreducibleRequest,
    "keep": Nothing,
    "levels": LevelsRequest,
    "load": LoadRequest,
    "path": PathRequest,
    "quality": QualityRequest,
    "real": RealRequest,
    "save": SaveRequest,
    "setup": SetupRequest,
    "standardise": Nothing,
    "stop": Nothing,
    "train": TrainRequest,
    "walk": WalkRequest,
}


def read_request(name: Any, values: Any, known: Mapping[str, type[PageRequest]]) -> Any:
    """Return a request as one of the known ones; an InputError where it is not one."""
    if not isinstance(name, str) or name not in known:
        raise unknown_name("question", str(name)[:40], known)
    try:
        return known[name].model_validate({} if values is None else values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"The question {name!r} is not valid: {where}: {first['msg']}.") from error
