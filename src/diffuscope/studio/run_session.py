"""How is a run of any kind of data watched? Its samples on their way from noise, under each condition."""

from __future__ import annotations

import time
from typing import Any

from diffuscope.errors import InputError
from diffuscope.pages import png_address
from diffuscope.runs.run import Run
from diffuscope.studio.requests import OF_A_RUN, RunWalkRequest, SaveRequest
from diffuscope.studio.session import Next, Send, Session
from diffuscope.viewer import View
from diffuscope.viewer.recording import Recorder

__all__ = ["RunSession"]

_EVERY = 0.15  # seconds between two reports of a walk


class RunSession(Session):
    """Shows a finished run."""

    requests = OF_A_RUN

    def __init__(self, send: Send, next_command: Next, run: Run) -> None:
        super().__init__(send, self._next)
        self.run, self.commands = run, next_command
        self.queue: list[dict[str, Any]] = []  # commands that came while it sampled
        self.last = 0.0
        self.shown: tuple[dict[str, Any], dict[str, str]] = {}, {}  # options and condition of the last walk
        self.recorder = Recorder(run.figures_of_samples, run.path.name)

    def _next(self, wait: bool) -> dict[str, Any] | None:
        return self.queue.pop(0) if self.queue else self.commands(wait)

    def on_hello(self, _: Any) -> dict[str, Any]:
        """Return what is known of the run."""
        return {"payload": {"look": "run", **self.recorder.about(**self.run.results)}}

    def on_attach(self, _: Any) -> None:
        """Nothing trains here."""

    def on_stop(self, _: Any) -> None:
        """Nothing more than the answer: a walk ends with it."""

    def on_walk(self, request: RunWalkRequest) -> dict[str, Any]:
        """Sample, and return moments of it."""
        began, recorder = time.perf_counter(), self.recorder
        steps = request.steps or self.run.recipe.sampling.steps
        most, moments = recorder.count(steps)
        n = min(request.n, most)
        options = {key: getattr(request, key) for key in ("seed", "sampler", "steps", "guidance")}
        asked = recorder.request(n, options, request.condition)
        walk = recorder.walk(
            n,
            asked,
            moments,
            condition=request.condition,
            estimates=request.estimates,
            advance=self._advance,
        )
        self.shown = options, request.condition
        return {**walk, "seconds": time.perf_counter() - began}

    def _advance(self, part: float) -> None:
        """Report how far a walk is, and see whether it is still needed."""
        now = time.perf_counter()
        if now - self.last < _EVERY:
            return
        self.last = now
        self.send({"work": {"part": part}})
        while (command := self.commands(False)) is not None:
            self.queue.append(command)
            if command.get("question") == "stop":
                raise InputError("Stopped.")

    def on_save(self, request: SaveRequest) -> dict[str, Any]:
        """Return the page as one file, with samples as they are drawn now."""
        content = self.recorder.file(*self.shown, language=request.language, **self.run.results)
        return {"html": View(content, png_address(self.run.plot_samples(), dpi=75)).html, "tensors": None}
