"""How is progress shown? As a bar for training and a spinner for each stage; without a terminal by lines.

Output goes to standard error. Bars are drawn only if that is a terminal. To a pipe or a log file the command
line says how far it is in a line every so often; from Python nothing is printed there. In a notebook progress
is one line below the cell.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from diffuscope.notebook import NotebookLine, in_notebook
from diffuscope.terminal import echo, one_line, plain
from diffuscope.translations import joined, term, translate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

__all__ = ["Reporter", "lines_without_terminal"]

_FIRST, _EVERY = 10.0, 30.0  # seconds until the first line, and between the others
_lines = False


@contextlib.contextmanager
def lines_without_terminal() -> Iterator[None]:
    """Have reporters print lines where they cannot draw bars, while the block runs."""
    global _lines
    before, _lines = _lines, True
    try:
        yield
    finally:
        _lines = before


class Reporter:
    """Shows progress if ``show``; by default in a notebook, on a terminal, or where lines are wanted."""

    def __init__(self, show: bool | None = None) -> None:
        notebook = in_notebook()
        self.show = notebook or sys.stderr.isatty() if show is None else show
        self._by_lines = show is None and not self.show and _lines
        self._line = NotebookLine() if notebook else None

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(stderr=True, markup=False, highlight=False)

    def _progress(self, *columns: ProgressColumn) -> Progress:
        from rich.progress import Progress

        return Progress(*columns, console=self._console, transient=True)

    def say(self, text: str) -> None:
        """Show a line that stays."""
        if self.show and self._line is not None:
            NotebookLine().show(translate(text))
        elif self.show:
            self._console.print(plain(translate(text)), soft_wrap=True)

    def finish(self, text: str) -> None:
        """Show a last line that stays, in a notebook in place of the progress."""
        if self.show and self._line is not None:
            self._line.show(translate(text))
        else:
            self.say(text)

    @contextlib.contextmanager
    def bar(self, what: str, total: int, unit: str, done: int = 0) -> Iterator[Bar]:
        """Show a bar from ``done`` to ``total`` while the block runs."""
        if not self.show:
            bar = Bar(None, what, total, unit, done)
            with _saying(bar.line) if self._by_lines else contextlib.nullcontext():
                yield bar
            return
        if self._line is not None:
            yield _NotebookBar(self._line, what, total, unit, done)
            self._line.clear()
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        description = TextColumn("{task.description}", markup=False)
        note = TextColumn("{task.fields[note]}", markup=False)
        remaining = TimeRemainingColumn(compact=True)
        with self._progress(description, BarColumn(), MofNCompleteColumn(), note, remaining) as progress:
            progress.add_task(one_line(term(what)), total=total, completed=done, note="")
            yield Bar(progress, what, total, unit, done)

    @contextlib.contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Show a spinner with ``what`` while the block runs."""
        if not self.show:
            begun = time.monotonic()
            state = _saying(lambda: f"{one_line(what)}, {_so_far(time.monotonic() - begun)}")
            with state if self._by_lines else contextlib.nullcontext():
                yield
            return
        if self._line is not None:
            self._line.show(f"{term(what)} …")
            yield
            self._line.clear()
            return
        from rich.progress import SpinnerColumn, TextColumn

        with self._progress(SpinnerColumn(), TextColumn("{task.description}", markup=False)) as progress:
            progress.add_task(one_line(term(what)), total=None)
            yield


class Bar:
    """A bar under way, or none."""

    def __init__(self, progress: Progress | None, what: str, total: int, unit: str, start: int) -> None:
        self._progress, self._what, self._total, self._unit = progress, one_line(what), total, unit
        self._begun, self._start, self._done, self._note = time.monotonic(), start, start, ""

    def update(self, done: int, note: str = "") -> None:
        """Show that ``done`` are done, with their rate and a ``note``."""
        self._done, self._note = done, one_line(note)
        if self._progress is not None:
            task = self._progress.tasks[0]
            rate = translate(f"{self._rate:,.0f} {self._unit}/s")
            self._progress.update(task.id, completed=done, note=f"{translate(self._note)}  {rate}")

    @property
    def _rate(self) -> float:
        """How many are done in a second."""
        took = time.monotonic() - self._begun
        return (self._done - self._start) / took if took else 0.0

    def line(self) -> str:
        """Return, in the chosen language, how far it is, and how long the rest will take at this rate."""
        done = f"{self._done:,} of {self._total:,} {self._unit}"
        parts = [joined([term(self._what), done], ": "), self._note]
        if rate := self._rate:
            parts.append(f"{rate:,.0f} {self._unit}/s" if rate >= 1 else "")
            parts.append(_left((self._total - self._done) / rate) if self._done < self._total else "")
        return joined(filter(None, parts), ", ")


class _NotebookBar(Bar):
    """A bar in the line below a cell of a notebook."""

    def __init__(self, line: NotebookLine, what: str, total: int, unit: str, start: int) -> None:
        super().__init__(None, what, total, unit, start)
        self._line = line
        line.show(f"{term(what)} …", start / max(total, 1))

    def update(self, done: int, note: str = "") -> None:
        """Show that ``done`` are done, their rate, a ``note`` and how long the rest will take."""
        super().update(done, note)
        self._line.follow(self.line(), done / max(self._total, 1))


@contextlib.contextmanager
def _saying(line: Callable[[], str]) -> Iterator[None]:
    """Print a line to standard error every so often while the block runs; none if it is short."""
    ended = threading.Event()

    def speak() -> None:
        pause = _FIRST
        while not ended.wait(pause):
            echo(line(), err=True)
            pause = _EVERY

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _so_far(seconds: float) -> str:
    """Return how long it has taken, in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s so far"
    return f"{seconds / 60:.0f} min so far" if seconds < 5400 else f"{seconds / 3600:.1f} h so far"


def _left(seconds: float) -> str:
    """Return how long it will take, in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"
