"""How is progress shown? As a bar for training, and a line for each later stage.

Output goes to standard error, and only if that is a terminal; pipes and notebooks stay clean.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

__all__ = ["Reporter"]


class Reporter:
    """Shows progress, if enabled.

    Parameters
    ----------
    show : bool, optional
        By default, whether standard error is a terminal.
    """

    def __init__(self, show: bool | None = None) -> None:
        self.show = sys.stderr.isatty() if show is None else show
        self._console = Console(stderr=True, quiet=not self.show)

    def say(self, text: str) -> None:
        """Print a permanent line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def bar(self, what: str, total: int, unit: str, done: int = 0) -> Iterator[Bar]:
        """Show a bar from ``done`` to ``total`` while the block runs."""
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
        ]
        with Progress(*columns, console=self._console, disable=not self.show, transient=True) as progress:
            yield Bar(progress, progress.add_task(what, total=total, completed=done, note=""), unit, done)

    @contextlib.contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Show a spinner with ``what`` while the block runs."""
        columns = [SpinnerColumn(), TextColumn("{task.description}")]
        with Progress(*columns, console=self._console, disable=not self.show, transient=True) as progress:
            progress.add_task(what, total=None)
            yield


class Bar:
    """A progress bar in use."""

    def __init__(self, progress: Progress, task: object, unit: str, start: int) -> None:
        self._progress, self._task, self._unit, self._start = progress, task, unit, start

    def update(self, done: int, note: str = "") -> None:
        """Set the number of finished units, and show the rate and a ``note``."""
        task = self._progress.tasks[0]
        rate = (done - self._start) / task.elapsed if task.elapsed else 0.0
        self._progress.update(task.id, completed=done, note=f"{note}  {rate:,.0f} {self._unit}/s")
