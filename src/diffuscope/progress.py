"""How is progress shown? As a bar for training, and a line for each later stage.

Output goes to standard error, and only if that is a terminal; pipes and notebooks stay clean.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

__all__ = ["Reporter"]


class Reporter:
    """Shows progress if ``show``; by default where standard error is a terminal."""

    def __init__(self, show: bool | None = None) -> None:
        self.show = sys.stderr.isatty() if show is None else show

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(stderr=True)

    def _progress(self, *columns: ProgressColumn) -> Progress:
        from rich.progress import Progress

        return Progress(*columns, console=self._console, transient=True)

    def say(self, text: str) -> None:
        """Show a line that stays."""
        if self.show:
            self._console.print(text, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def bar(self, what: str, total: int, unit: str, done: int = 0) -> Iterator[Bar]:
        """Show a bar from ``done`` to ``total`` while the block runs."""
        if not self.show:
            yield Bar(None, unit, done)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        description, note = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
        remaining = TimeRemainingColumn(compact=True)
        with self._progress(description, BarColumn(), MofNCompleteColumn(), note, remaining) as progress:
            progress.add_task(what, total=total, completed=done, note="")
            yield Bar(progress, unit, done)

    @contextlib.contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Show a spinner with ``what`` while the block runs."""
        if not self.show:
            yield
            return
        from rich.progress import SpinnerColumn, TextColumn

        with self._progress(SpinnerColumn(), TextColumn("{task.description}")) as progress:
            progress.add_task(what, total=None)
            yield


class Bar:
    """A bar under way, or none."""

    def __init__(self, progress: Progress | None, unit: str, start: int) -> None:
        self._progress, self._unit, self._start = progress, unit, start

    def update(self, done: int, note: str = "") -> None:
        """Show that ``done`` are done, with their rate and a ``note``."""
        if self._progress is not None:
            task = self._progress.tasks[0]
            rate = (done - self._start) / task.elapsed if task.elapsed else 0.0
            self._progress.update(task.id, completed=done, note=f"{note}  {rate:,.0f} {self._unit}/s")
