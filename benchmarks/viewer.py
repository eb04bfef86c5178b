"""How soon is a model seen, how fast does the page compute, and what does watching cost?

A page of the recipe `fast` and one of the tutorial's: their bytes, the time until the first picture from a
file, the training and the sampling of the page in Chromium, and how far its samples are from data over some
seeds. Then the studio: from the command to a picture of a network that trains, and what a training that is
watched takes over one that is not, in turns. It needs Chromium, and the extras `browser` and `studio`.
"""

from __future__ import annotations

import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from report import parser, publish, table, timed

import diffuscope
from diffuscope.runs.setup import Setup
from diffuscope.studio.plane_session import PlaneSession

FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run")


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield opened
        opened.close()


def until(page: Any, what: Callable[[], Any]) -> Any:
    while not (found := what()):
        page.wait_for_timeout(20)
    return found


def text(page: Any, selector: str) -> str:
    found = page.locator(selector)
    return str(found.text_content()) if found.count() else ""


def measured(page: Any) -> float:
    """Wait until the page has measured its samples; return their distance over the floor."""
    until(page, lambda: any(letter.isdigit() for letter in text(page, "#here")))
    return float(text(page, "#ratio"))


def of_a_file(path: Path, seeds: int) -> dict[str, Any]:
    """Return what a saved page takes, and how well it trains."""
    with browser() as opened:
        page = opened.new_page(reduced_motion="reduce")
        first = timed(lambda: (page.goto(path.as_uri()), page.wait_for_selector(".stage[data-frame]")))
        measured(page)
        drawn = page.locator(".card p", has_text="evaluations in").first.text_content()
        ratios, seconds = [], []
        page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
        for seed in range(seeds):
            page.get_by_label("Seed").fill(str(seed))
            page.click("#train")
            page.wait_for_timeout(300)
            until(page, lambda: "steps in" in text(page, "#train-note"))
            note = text(page, "#train-note")
            seconds.append(float(note.split(" in ")[1].split(" s")[0]))
            ratios.append(measured(page))
    return {"first": first, "drawn": drawn, "seconds": seconds, "ratios": ratios}


def of_the_studio() -> tuple[float, float]:
    """Return the seconds from the command to a page that shows a network in training, and to Python's."""
    with browser() as opened:
        page = opened.new_page(reduced_motion="reduce")
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "diffuscope", "studio", "--no-browser"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        page.goto(process.stdout.readline().strip())
        until(page, lambda: any(letter.isdigit() for letter in text(page, "#ratio")))
        seconds = time.perf_counter() - began
        until(page, lambda: "in Python" in text(page, "footer"))
        python = time.perf_counter() - began
        process.send_signal(signal.SIGINT)
        process.wait()
    return seconds, python


def cpu(work: Callable[[], object]) -> float:
    """Return the seconds of the CPU that ``work`` takes: other work on the machine does not count."""
    began = time.process_time()
    work()
    return time.process_time() - began


def cost_of_watching(rounds: int) -> list[float]:
    """Return what a watched training takes over one that is not, in time of the CPU, round by round."""
    session = PlaneSession(lambda message: None, lambda wait: None)
    session.open("s_curve", None)
    command, session.later = session.later, None
    found = []
    setup = session.plane.setup
    for _ in range(rounds):
        alone = cpu(lambda: Setup(setup.recipe, setup.data, torch.device("cpu")).trainer().run())
        session.later = command
        watched = cpu(session.serve)
        found.append(watched / alone)
    return found


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seeds", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for recipe, changes in (("fast", {}), ("article", {"training.epochs": 1})):
            run = diffuscope.train(
                "s_curve", recipe=recipe, out=Path(folder) / recipe, settings=changes, pictures=False
            )
            path = run.view().save(Path(folder) / f"{recipe}.html")
            sizes[recipe] = path.stat().st_size
        page = of_a_file(Path(folder) / "fast.html", options.seeds)
    studio, python = zip(*(of_the_studio() for _ in range(5)), strict=True)
    cost = cost_of_watching(options.rounds)
    ratios, seconds = page["ratios"], page["seconds"]
    rows = [
        ["the file, `fast`", f"{sizes['fast'] / 1000:.0f} KB", ""],
        ["the file, the tutorial's", f"{sizes['article'] / 1000:.0f} KB", ""],
        ["from the file to the first picture", f"{page['first']:.1f} s", ""],
        ["training of `fast` in the page", f"{statistics.median(seconds):.1f} s", spread(seconds, 1)],
        ["its samples, × floor", f"{statistics.mean(ratios):.2f}", spread(ratios, 2)],
        ["sampling in the page", str(page["drawn"]), ""],
        [
            "from the command to a network in training, in the page",
            f"{statistics.median(studio):.1f} s",
            spread(studio, 1),
        ],
        ["the same until Python has taken over", f"{statistics.median(python):.1f} s", spread(python, 1)],
        ["watched ÷ not watched", f"{statistics.median(cost):.2f}", spread(cost, 2)],
    ]
    note = f"{options.seeds} seeds, clouds of 2,000 points; {options.rounds} rounds of watching, in turns."
    publish("viewer", f"{table(['', '', 'range'], rows)}\n\n{note}", options.write)


def spread(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}f}–{max(values):.{digits}f}"


if __name__ == "__main__":
    main()
