"""What is printed of a training? How the data was read, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffuscope.terminal import echo, one_line
from diffuscope.translations import term, translate
from diffuscope.translations.display import ljust

if TYPE_CHECKING:
    from diffuscope.runs.run import Run

__all__ = ["announce", "line", "report", "written"]


def announce(notes: Sequence[str]) -> None:
    """Print how the data was read."""
    for i, note in enumerate(notes):
        if i:
            echo(f"  {one_line(note)}")
        else:
            line("reading", note)


def line(name: str, text: object, columns: int = 11) -> None:
    """Print a line that begins with its name, in so many columns."""
    echo(f"{ljust(term(name), columns)} {translate(one_line(text))}", as_is=True)


def written(path: Path) -> None:
    """Print the file or the folder that was written, and how large it is."""
    files = path.rglob("*") if path.is_dir() else [path]
    size = sum(one.stat().st_size for one in files if one.is_file()) / 1000
    shown = f"{size / 1000:,.0f} MB" if size >= 10_000 else f"{size:,.{int(size < 10)}f} KB"
    echo(f"{one_line(path)}{'/' * path.is_dir()} ({shown})", as_is=True)


def _folder(path: Path) -> str:
    """Return a folder as it is printed; "" where there is nothing in it."""
    return f"{path}/" if path.is_dir() and any(path.iterdir()) else ""


def report(run: Run, seconds: float) -> None:
    """Print the paths of the results, the time taken and the quality."""
    summary = run.summary
    of = f"{run.modality.measured_in} " if run.modality.measured_in else ""
    said = run.modality.unmeasurable(run.data)
    if said is None:
        said = f"sliced Wasserstein distance {of}{run.quality.value:.4g} = {run.quality}"
    lost = run.nats_lost
    trained = summary["train_seconds"]  # in all commands, where it was resumed
    whole = "in all" if seconds >= trained else "since it was resumed"
    lines = [
        ("run", f"{run.path}/"),
        ("model", f"{run.path / 'model.safetensors'}"),
        ("pictures", _folder(run.path / "figures")),
        ("animations", ", ".join(str(path) for path in sorted(run.path.glob("*.gif")))),
        ("training", f"{trained:.1f} s, {summary['steps']:,} steps; {whole} {seconds:.1f} s"),
        ("quality", said),
        ("law", "" if lost is None else f"{lost}"),
        ("next", f"diffuscope {run.modality.next_command(run.path, run.model, run.data.n)}"),
    ]
    for name, text in lines:
        if text:
            line(name, text)
