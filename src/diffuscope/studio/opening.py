"""What is opened? A run, or data that is trained on at once: the session that shows it."""

from __future__ import annotations

from pathlib import Path

from diffuscope.errors import InputError
from diffuscope.studio.plane_session import PlaneSession, is_builtin
from diffuscope.studio.session import Next, Send, Session

__all__ = ["open_session"]


def open_session(source: str, recipe: str | None, send: Send, next_command: Next) -> Session:
    """Open a run directory, or points in the plane to train on; InputError where it is neither."""
    session = PlaneSession(send, next_command)
    if is_builtin(source) or not (Path(source) / "model.safetensors").is_file():
        session.open(source, recipe)
        return session
    from diffuscope.runs.run import load

    run = load(source, device="cpu")
    try:
        session.open_run(run)
    except InputError:  # not points in the plane, or a network that pages do not have
        from diffuscope.studio.run_session import RunSession  # loads all that draws tables and images

        return RunSession(send, next_command, run)
    return session
