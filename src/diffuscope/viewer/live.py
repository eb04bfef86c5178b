"""What does a notebook show while a model trains? Its samples among the data, their distance, the loss.

Where `anywidget <https://anywidget.dev>`_ is installed (``pip install 'diffuscope[notebook]'``), and the
data are points in the plane. The view is gone when the training ends: what stays is a line, and the run.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from diffuscope.data.base import Dataset
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.samplers import make_sampler, prior, trajectory
from diffuscope.metrics import sliced_wasserstein
from diffuscope.model import Model
from diffuscope.notebook import in_notebook
from diffuscope.seeds import stream
from diffuscope.training import Progress, Trainer
from diffuscope.translations import Language
from diffuscope.viewer.reports import SHOWN, Reports, few_steps

__all__ = ["LiveView", "live_view"]

_PAIRS = 6  # of clouds, of which the floor is the mean
_REAL = 3000
_FOLDER = Path(__file__).parent
_STEPS = 32767


def live_view(
    model: Model, data: Dataset, trainer: Trainer, perfect_loss: float | None, language: Language
) -> LiveView | None:
    """Return a view below the running cell; None where there is no notebook, or nothing that can show it."""
    if not in_notebook() or model.shape != (2,) or model.codec.affine is None:
        return None
    try:
        widget = _widget_class()
    except ImportError:
        return None
    return LiveView(widget, model, data, trainer, perfect_loss, language)


@cache
def _widget_class() -> Any:
    import anywidget
    import traitlets

    class TrainingWidget(anywidget.AnyWidget):
        _esm = (_FOLDER / "live.js").read_text("utf-8")
        _css = (_FOLDER / "live.css").read_text("utf-8")
        about = traitlets.Dict().tag(sync=True)

    return TrainingWidget


class LiveView:
    """A view of one training; :meth:`follow` is called after each chunk of its steps."""

    def __init__(
        self,
        widget: Any,
        model: Model,
        data: Dataset,
        trainer: Trainer,
        perfect_loss: float | None,
        language: Language,
    ) -> None:
        from IPython import display as ipython

        display: Any = ipython.display
        scaling = model.codec.affine
        assert scaling is not None
        self.scale, self.schedule, self.device = scaling.scale, model.denoiser.schedule, model.device
        shown = model.codec.encode(data.x[:_REAL])
        middle = shown.mean(0)
        spread = float((shown - middle).square().mean().sqrt()) or 1.0
        clouds = [model.codec.encode(cloud) for cloud in _clouds(data, 2 * _PAIRS)]
        self.real = self._in_data(clouds[0])
        pairs = zip(clouds[::2], clouds[1::2], strict=True)
        floors = [sliced_wasserstein(self._in_data(a), self._in_data(b)) for a, b in pairs]
        self.floor = float(np.mean(floors))
        self.widget = widget(
            about={
                "title": data.name,
                "language": language,
                "display": {"middle": middle.tolist(), "spread": spread},
                "least": perfect_loss,
                "real": shown.flatten().tolist(),
            }
        )
        self.reports = Reports(trainer, self._sample, self._ratio, self._send_loss, self._send_samples)
        self.place = display(self.widget, display_id=True)

    def follow(self, progress: Progress) -> None:
        """Show where the training is."""
        self.reports.follow(progress)

    def close(self) -> None:
        """Take the view away."""
        self.widget.close()
        if self.place is not None:
            self.place.update({"text/plain": ""}, raw=True)

    def _sample(self, denoiser: DenoiserLike) -> Tensor:
        grid = self.schedule.grid(few_steps(self.schedule), "karras", 7.0)
        generator = stream(3, "live view")
        start = prior(grid, (SHOWN, 2), generator).to(self.device)
        *_, last = trajectory(denoiser, start, grid, make_sampler("dpmpp_2m"), generator)
        return last.x.cpu()

    def _in_data(self, x: Tensor) -> Any:
        return x.double().numpy() * self.scale

    def _ratio(self, samples: Tensor) -> float:
        return sliced_wasserstein(self._in_data(samples), self.real) / self.floor

    def _send_loss(self, about: dict[str, Any]) -> None:
        self.widget.send({"loss": about})

    def _send_samples(self, about: dict[str, Any]) -> None:
        x = about.pop("samples").numpy()
        scale = float(np.abs(x).max(initial=0.0)) or 1.0
        places = np.round(x / scale * _STEPS).astype("<i2")
        self.widget.send({"samples": {**about, "scale": scale}}, buffers=[places.tobytes()])


def _clouds(data: Dataset, count: int) -> list[Any]:
    """Return clouds of real points: fresh ones, or parts of the data."""
    if data.draw is not None:
        return [data.draw(SHOWN, seed) for seed in range(count)]
    random = np.random.default_rng(0)
    n = max(2, min(SHOWN, len(data.x) // 2))
    found = []
    for _ in range(count // 2):
        order = random.permutation(len(data.x))
        found += [data.x[order[:n]], data.x[order[n : 2 * n]]]
    return found
