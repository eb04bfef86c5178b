"""How is something shown in a notebook? As one line below the cell, which is rewritten while work goes on.

Jupyter, VS Code and Colab run a kernel of IPython; nothing of it is imported unless a kernel runs already.
"""

from __future__ import annotations

import html
import sys
import time
import uuid
from typing import Any

__all__ = ["NotebookLine", "in_notebook"]

_EVERY = 0.2  # seconds between two updates of a line: each is a message to the browser
_BAR = 160  # pixels


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    shell = None if shell is None else getattr(shell, "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class NotebookLine:
    """A line below the running cell. It appears with its first text, and the last text stays."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._shown = 0.0

    def show(self, text: str, share: float | None = None) -> None:
        """Show a text now, behind a bar of which a ``share`` is filled."""
        from IPython import display as ipython

        display: Any = ipython.display
        bar = "" if share is None else _bar(share)
        style = "font-variant-numeric: tabular-nums; white-space: pre-wrap"
        shown = f'<div style="{style}">{bar}{html.escape(text)}</div>'
        content: dict[str, Any] = {"text/plain": text, "text/html": shown}
        self._shown = time.monotonic()
        if self._id is None:
            self._id = uuid.uuid4().hex
            display(content, raw=True, display_id=self._id)
        else:
            display(content, raw=True, display_id=self._id, update=True)

    def follow(self, text: str, share: float) -> None:
        """Show a text and a bar, unless the last ones are newer than a fifth of a second."""
        if time.monotonic() - self._shown >= _EVERY:
            self.show(text, share)

    def clear(self) -> None:
        """Leave an empty line, if there is one."""
        if self._id is not None:
            self.show("")


def _bar(share: float) -> str:
    done = round(_BAR * min(max(share, 0.0), 1.0))
    return (
        f'<span style="display:inline-block;width:{_BAR}px;height:8px;margin-right:8px;border-radius:4px;'
        f"background:linear-gradient(to right,#2b6cb8 {done}px,rgba(128,128,128,.3) {done}px)"
        '"></span>'
    )
