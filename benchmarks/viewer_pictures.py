"""Draws the pictures of the viewer: the page of the S-curve in two languages, of patients, of digits.

It trains the S-curve, the README's patients and the digits where ``--runs`` has them not, opens their pages
in Chromium, and writes docs/images/viewer*.png. It needs Chromium, and the extra ``browser``.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

import diffuscope

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run")
COLOURS = 160


def patients(folder: Path) -> Path:
    """Write the README's patients."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = next(block for block in blocks if "patients.to_csv" in block)
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder / "patients.csv"


def run_of(folder: Path, name: str, **options: Any) -> diffuscope.Run:
    """Open a run, or train it."""
    if (folder / name / "model.safetensors").is_file():
        return diffuscope.load(folder / name)
    data = patients(folder) if name == "patients" else name
    return diffuscope.train(data, out=folder / name, pictures=False, **options)


def picture(browser: Any, run: diffuscope.Run, name: str, steps: list[Any], language: str = "en") -> None:
    """Open the page of a run, do some steps, and keep what is seen."""
    file = run.path / f"{name}.html"
    run.view(language=language).save(file)  # type: ignore[arg-type]
    page = browser.new_page(
        viewport={"width": 1180, "height": 830}, reduced_motion="reduce", device_scale_factor=1.5
    )
    page.goto(file.as_uri())
    page.wait_for_selector(".stage[data-frame]")
    for step in steps:
        step(page)
    page.wait_for_timeout(600)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    small = shot.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(IMAGES / f"{name}.png", optimize=True)
    page.close()
    print(IMAGES / f"{name}.png", f"{(IMAGES / f'{name}.png').stat().st_size / 1000:.0f} KB")


def measured(page: Any) -> None:
    """Wait until a page has measured what each part costs."""
    ready = "() => /[.。]$/.test(document.querySelector('#budget-note').textContent.trim())"
    page.wait_for_function(ready, timeout=120_000)


def at(part: float) -> Any:
    """Return a step that moves the ruler to a part of the way."""
    move = """part => {
      const ruler = document.querySelector('#time');
      ruler.value = part * ruler.max;
      ruler.dispatchEvent(new Event('input'));
    }"""
    return lambda page: page.evaluate(move, part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        ask = [
            measured,
            at(0.45),
            lambda page: page.keyboard.press("2"),
            lambda page: page.click(".stage", position={"x": 150, "y": 330}),
            lambda page: page.wait_for_timeout(1500),
        ]
        curve = run_of(options.runs, "s_curve")
        picture(browser, curve, "viewer", ask)
        picture(browser, curve, "viewer.zh", ask, "zh")
        rows = [
            lambda page: page.select_option("#column-x", label="age"),
            lambda page: page.select_option("#column-y", label="bmi"),
            lambda page: page.click(".stage", position={"x": 330, "y": 300}),
        ]
        picture(browser, run_of(options.runs, "patients", target="diagnosis"), "viewer_rows", rows)
        digits = [at(0.62), lambda page: page.click(".stage", position={"x": 200, "y": 160})]
        picture(browser, run_of(options.runs, "digits"), "viewer_images", digits)
        browser.close()


if __name__ == "__main__":
    main()
