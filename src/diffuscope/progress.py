"""How is progress shown? As a bar for training, and a line for each later stage.

Output goes to standard error, and only if that is a terminal; pipes stay clean. In a notebook it is one line
below the cell.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from diffuscope.notebook import NotebookLine, in_notebook

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

__all__ = ["Reporter"]


class Reporter:
    """Shows progress if ``show``; by default in a notebook, and where standard error is a terminal."""

    def __init__(self, show: bool | None = None) -> None:
        notebook = in_notebook()
        self.show = notebook or sys.stderr.isatty() if show is None else show
        self._line = NotebookLine() if notebook else None

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(stderr=True)

    def _progress(self, *columns: ProgressColumn) -> Progress:
        from rich.progress import Progress

        return Progress(*columns, console=self._console, transient=True)

    def say(self, text: str) -> None:
        """Show a line that stays."""
        if self.show and self._line is not None:
            NotebookLine().show(text)
        elif self.show:
            self._console.print(text, highlight=False, soft_wrap=True)

    def finish(self, text: str) -> None:
        """Show a last line that stays, in a notebook in place of the progress."""
        if self.show and self._line is not None:
            self._line.show(text)
        else:
            self.say(text)

    @contextlib.contextmanager
    def bar(self, what: str, total: int, unit: str, done: int = 0) -> Iterator[Bar]:
        """Show a bar from ``done`` to ``total`` while the block runs."""
        if not self.show:
            yield Bar(None, unit, done)
            return
        if self._line is not None:
            yield _NotebookBar(self._line, what, total, unit, done)
            self._line.clear()
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
        if self._line is not None:
            self._line.show(f"{what} …")
            yield
            self._line.clear()
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


class _NotebookBar(Bar):
    """A bar in the line below a cell of a notebook."""

    def __init__(self, line: NotebookLine, what: str, total: int, unit: str, start: int) -> None:
        super().__init__(None, unit, start)
        self._line, self._what, self._total = line, what, total
        self._begun = time.monotonic()
        line.show(f"{what} …", start / max(total, 1))

    def update(self, done: int, note: str = "") -> None:
        """Show that ``done`` are done, their rate, a ``note`` and how long the rest will take."""
        took = time.monotonic() - self._begun
        rate = (done - self._start) / took if took else 0.0
        text = f"{self._what}: {done:,} of {self._total:,} {self._unit}"
        left = f", {(self._total - done) / rate:,.0f} s left" if rate and done < self._total else ""
        self._line.follow(
            f"{text}{f', {note}' if note else ''}  ({rate:,.0f} {self._unit}/s{left})",
            done / max(self._total, 1),
        )
