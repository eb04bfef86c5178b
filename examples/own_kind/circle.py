"""A kind of data of one's own: directions on a circle, angles (n,) in radians.

The model's points are (cos, sin); an angle comes back by atan2. Whatever the package asks of a kind is
here, so that the rest of it need not know which kinds there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Dataset, describe_file
from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.data.kinds import Kind
from diffuscope.data.section import DataSection
from diffuscope.errors import FormatError, InputError
from diffuscope.files import write_json
from diffuscope.metrics import Measured
from diffuscope.modalities.base import Generator, Modality
from diffuscope.modalities.figures import SHOWN, Figures
from diffuscope.modalities.flattened import Flattened
from diffuscope.modalities.reference import draw_reference
from diffuscope.plots import plot_forward_grid, plot_walk_rows, save_figure
from diffuscope.plots.style import new_figure

KIND = Kind("circle:CircleSection", "circle:CircleCodec", "circle:CIRCLE")
SUFFIX = ".angles"  # a .npy file under a name of its own


@dataclass(frozen=True)
class Angles:
    """Angles in memory."""

    values: Any


class CircleSection(DataSection):
    """The section ``[data]``."""

    kind: Literal["circle"] = "circle"
    turn: float = 0.0
    """Added to angles that are read, in radians."""


@dataclass(frozen=True, eq=False)
class CircleData(Dataset):
    """Angles x (n,)."""

    kind: ClassVar[str] = "circle"


@dataclass(frozen=True)
class CircleCodec:
    """An angle is (cos, sin)."""

    kind: ClassVar[str] = "circle"
    columns: ClassVar[tuple[str, ...]] = ("angle",)
    shape: ClassVar[tuple[int, ...]] = (2,)
    affine: ClassVar[None] = None

    def encode(self, angles):
        """Return (cos, sin), shape (n, 2)."""
        return torch.from_numpy(on_circle(angles)).float()

    def decode(self, x):
        """Return angles (n,) from -π to π."""
        x = x.double().cpu().numpy()
        return np.arctan2(x[:, 1], x[:, 0])

    def log_abs_det_jacobian(self, angles):
        """Return zeros (n,): arcs keep their length."""
        return np.zeros(len(angles))

    def to_json(self) -> dict[str, Any]:
        """Return nothing: all circles are alike."""
        return {}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CircleCodec:
        """Read what :meth:`to_json` gave."""
        if data:
            raise ValueError("a circle has no settings")
        return cls()


def on_circle(angles):
    """Return angles (n,) as points (n, 2)."""
    angles = np.asarray(angles, dtype=np.float64)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def read_angles(source) -> np.ndarray:
    """Return angles (n,) from a file or an object."""
    values = source.values if isinstance(source, Angles) else source
    if isinstance(values, str | Path):
        try:
            with Path(values).open("rb") as file:
                values = np.load(file, allow_pickle=False)
        except FileNotFoundError:
            raise InputError(f"There is no file {values}.", "Check the path.") from None
        except (OSError, ValueError, EOFError) as error:
            raise FormatError(f"{values} holds no angles: {error}.", "Give a .npy file.") from error
    angles = np.asarray(values, dtype=np.float64)
    if angles.ndim != 1 or len(angles) < 2 or not np.isfinite(angles).all():
        raise InputError(f"Numbers of shape {angles.shape} are no angles.", "Give finite numbers (n,).")
    return angles


class CircleWriter(TableWriter):
    """Writes angles as one column."""

    def append(self, batch) -> None:
        """Write the next angles."""
        super().append(batch[:, None])


class CircleGenerator(Generator):
    """A model of directions."""

    unit: ClassVar[str] = "directions"

    def check_path(self, path, n):
        """Make sure that angles can be written there."""
        check_writable(path)

    def writer(self, path, n, first, request):
        """Return what writes n angles."""
        return CircleWriter(path, n, 1, self.model.columns)

    def log_density(self, data, **options):
        """Refuse."""
        raise InputError("Directions have no density here: the model's is of the plane.", "Leave it out.")


class CircleFigures(Figures):
    """Draws directions: data and samples as a histogram on a circle, trajectories in the plane."""

    @cached_property
    def shown(self):
        """Some of the angles."""
        assert self.data is not None
        return self.data.x[:SHOWN]

    def encoded(self, shown):
        """Return them as points."""
        return self.model.codec.encode(shown)

    def display(self, x):
        """Return points of the plane."""
        return x.double().cpu().numpy()

    @property
    def limits(self):
        """A square around the circle."""
        return np.array([[-1.5, -1.5], [1.5, 1.5]])

    def draw_data(self):
        """Draw a histogram."""
        return histogram(self.shown)

    def draw_states(self, states, label=""):
        """Draw ten moments from noise to directions."""
        return plot_walk_rows([(label, states)], reference=self.limits)

    def draw_forward(self, states):
        """Draw ten moments on the way into noise."""
        return plot_forward_grid(states, reference=self.limits)

    def draw_samples(self, samples, caption=None, request=None):
        """Draw a histogram, beside that of the data."""
        return histogram(samples, *([] if self.data is None else [self.shown]))


def histogram(*angles):
    """Draw angles on circles side by side, to one radius."""
    figure = new_figure(3 * len(angles), 3)
    first = None
    for i, some in enumerate(angles):
        first = figure.add_subplot(1, len(angles), i + 1, projection="polar", sharey=first)
        first.hist(np.mod(some, 2 * np.pi), np.linspace(0, 2 * np.pi, 37), density=True)
        first.set_yticklabels([])
    return figure


@dataclass(frozen=True)
class CircleEvaluation:
    """The distance of samples, and their mean direction beside that of the data."""

    overall: Measured
    mean: float
    real_mean: float

    def to_json(self) -> dict[str, Any]:
        """Return what was measured as plain data."""
        metrics = {"sliced_wasserstein": self.overall.to_json()}
        return {"metrics": metrics, "mean_direction": self.mean, "real_mean_direction": self.real_mean}

    def __str__(self) -> str:
        return f"{self.overall}; mean direction {self.mean:.2f} (real {self.real_mean:.2f})"

    def save(self, folder, report=False):
        """Write ``evaluation.json`` and a picture."""
        write_json(Path(folder) / "evaluation.json", self.to_json())
        picture = Path(folder) / "figures" / "mean.png"
        save_figure(histogram(np.array([self.mean]), np.array([self.real_mean])), picture)
        return [picture]


def mean_direction(points) -> float:
    """Return the angle of the mean of points (n, 2)."""
    x, y = points.mean(axis=0)
    return float(np.arctan2(y, x))


class Circle(Modality):
    """Directions on a circle."""

    name: ClassVar[str] = "circle"
    unit: ClassVar[str] = "directions"
    recipe_hint: ClassVar[str] = "circle.toml"

    def accepts(self, source):
        """Whether a source is a file of angles, or angles in memory."""
        return isinstance(source, Angles) or (
            isinstance(source, str | Path) and Path(source).suffix.lower() == SUFFIX
        )

    def default_recipe(self, source):
        """Return the recipe beside this file."""
        return str(Path(__file__).with_suffix(".toml"))

    def load(self, source, section, seed):
        """Load angles."""
        angles = read_angles(source) + section.turn
        if isinstance(source, str | Path):
            return CircleData(Path(source).stem, angles, None, None, describe_file(Path(source)))
        described = {"kind": "array", "shape": list(angles.shape)}
        return CircleData("angles", angles, None, None, described)

    def reload(self, source, model):
        """Load the angles of a trained model."""
        return self.load(source, model.recipe.data, model.recipe.seed)

    def restore(self, path, about, recipe):
        """Read what was kept."""
        return CircleData(about["name"], read_angles(path), None, None, dict(about["source"]))

    def codec(self, data, section):
        """Return the one there is."""
        return CircleCodec()

    def generator(self, model):
        """Return what draws directions."""
        return CircleGenerator(model)

    def measurable(self, data, codec, reporter=None):
        """Return points on the circle."""
        return lambda x: on_circle(codec.decode(x))

    def reference(self, data, codec, held_out=None, seed=0, n=None):
        """Return halves of the data, or of held-out directions."""
        unseen = None if held_out is None else on_circle(held_out)
        return draw_reference(on_circle(data.x), held_out=unseen, seed=seed, n=n)

    def figures(self, model, data):
        """Return what draws circles."""
        return CircleFigures(model, self.generator(model), data)

    def evaluate(self, model, data, reference, clouds, held_out, seed, reporter, **options):
        """Measure mean directions."""
        real = data.x if held_out is None else held_out
        back = [reference.middle + reference.unit * cloud for cloud in clouds]
        return CircleEvaluation(
            reference.ratio(clouds), mean_direction(np.concatenate(back)), mean_direction(on_circle(real))
        )

    def flatten(self, model, data, held_out, seed, reporter):
        """Return the model of points of the plane."""
        reference = self.reference(data, model.codec, held_out, seed)
        points = replace(data, x=on_circle(data.x))
        return Flattened(
            denoiser=model.denoiser,
            codec=Scaling(np.zeros(2), np.ones(2)),
            data=points,
            reference=reference,
            points=reference.points,
            measure=self.measurable(data, model.codec),
            rows=on_circle,
            held_out=None if held_out is None else on_circle(held_out),
            piece=model.piece,
        )


CIRCLE = Circle()
