"""What do all benchmarks share? A Markdown table with the command and the machine that made it.

``--write`` puts it between the markers ``<!-- NAME -->`` and ``<!-- /NAME -->`` of README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

__all__ = ["interval", "machine", "parser", "publish", "table", "timed"]

_LOAD = os.getloadavg()[0]

README = Path(__file__).with_name("README.md")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a benchmark, with the option that all of them take."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--write", action="store_true", help="replace the benchmark's table in README.md")
    return made


def machine() -> str:
    """Say what the numbers were taken on, and how busy it was with them and with other work."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        model = found[1].strip() if found else model
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}; load average when it began {_LOAD:.1f}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interval(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean, and the least and the largest value."""
    mean = statistics.mean(values)
    return f"{mean:.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    from time import perf_counter

    begun = perf_counter()
    work()
    return perf_counter() - begun


def publish(section: str, text: str, write: bool) -> None:
    """Print a benchmark's result; with ``write``, put it into its section of README.md as well."""
    words = [word for word in sys.argv[1:] if word != "--write"]
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])
    text = f"`{command}` on {machine()}:\n\n{text}"
    print(text)
    if not write:
        return
    start, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    old = README.read_text("utf-8")
    before, found, rest = old.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        sys.exit(f"{README} has no section {start} ... {end}")
    README.write_text(f"{before}{start}\n{text}\n{end}{after}", "utf-8")
