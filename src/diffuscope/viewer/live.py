"""What does a notebook show while a model trains? Its samples among the data, their distance, the loss.

Where `anywidget <https://anywidget.dev>`_ is installed (``pip install 'diffuscope[notebook]'``), and the
data are points in the plane. The view is gone when the training ends: what stays is a line, and the run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from diffuscope.data.base import Dataset
from diffuscope.metrics import sliced_wasserstein
from diffuscope.model import Model
from diffuscope.notebook import in_notebook
from diffuscope.training import Progress, Trainer
from diffuscope.translations import Language
from diffuscope.viewer.positions import middle_and_spread, quantised
from diffuscope.viewer.reports import SHOWN, Reports

__all__ = ["LiveView", "live_view"]

_PAIRS = 6  # of clouds, of which the floor is the mean
_REAL = 3000
_FOLDER = Path(__file__).parent


def live_view(
    model: Model,
    data: Dataset,
    trainer: Trainer,
    perfect_loss: Callable[[], float | None],
    language: Language,
) -> LiveView | None:
    """Return a view below the running cell; None where there is no notebook, or nothing that can show it.

    ``perfect_loss`` returns the least possible loss, if it is known; it is called only for a view.
    """
    if not in_notebook() or model.shape != (2,) or model.codec.affine is None:
        return None
    try:
        widget = _widget_class()
    except ImportError:
        return None
    return LiveView(widget, model, data, trainer, perfect_loss(), language)


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
        shown = model.codec.encode(data.x[:_REAL])
        middle, spread = middle_and_spread(shown)
        clouds = [
            model.codec.encode(cloud).double().numpy() * scaling.scale for cloud in _clouds(data, 2 * _PAIRS)
        ]
        pairs = zip(clouds[::2], clouds[1::2], strict=True)
        floor = float(np.mean([sliced_wasserstein(one, other) for one, other in pairs]))
        self.widget = widget(
            about={
                "title": data.name,
                "language": language,
                "display": {"middle": middle.tolist(), "spread": spread},
                "least": perfect_loss,
                "real": shown.flatten().tolist(),
            }
        )
        self.reports = Reports(trainer, clouds[0], floor, scaling.scale, self._send_loss, self._send_samples)
        self.place = display(self.widget, display_id=True)

    def follow(self, progress: Progress) -> None:
        """Show where the training is."""
        self.reports.follow(progress)

    def close(self) -> None:
        """Take the view away."""
        self.widget.close()
        if self.place is not None:
            self.place.update({"text/html": "", "text/plain": ""}, raw=True)  # html: no empty box

    def _send_loss(self, about: dict[str, Any]) -> None:
        self.widget.send({"loss": about})

    def _send_samples(self, about: dict[str, Any]) -> None:
        places, scale = quantised(about.pop("samples"))
        self.widget.send({"samples": {**about, "scale": scale}}, buffers=[places])


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
