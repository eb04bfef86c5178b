"""How do the pictures of the gallery come about? ``python docs/tools/draw_gallery.py FOLDER`` runs each script that changed.

All scripts run in one folder, each in a process of its own that is forked from this one, so that the package is loaded
once. A script leaves its picture in the variable ``figure``.
"""

from __future__ import annotations

import hashlib
import os
import runpy
import sys
import time
import traceback
import warnings
from pathlib import Path

SCRIPTS = sorted((Path(__file__).parents[2] / "examples" / "gallery").glob("*.py"))


def draw(script: Path, picture: Path) -> None:
    """Run a script, and write its picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    warnings.simplefilter("ignore")
    names = runpy.run_path(str(script), run_name="__main__")
    names["figure"].savefig(picture, dpi=110, bbox_inches="tight")


def main(folder: Path) -> None:
    """Draw all that changed; SystemExit where a script failed."""
    import sklearn.datasets  # loaded once, before the forks
    import torch

    import diffuscope.runs.train
    import diffuscope.viewer

    assert sklearn.datasets and torch and diffuscope.viewer
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    (work / "runs").mkdir(exist_ok=True)
    for run in (Path(__file__).parents[1] / "runs").iterdir():
        if not (work / "runs" / run.name).exists():
            (work / "runs" / run.name).symlink_to(run)
    for script in SCRIPTS:
        digest = hashlib.sha256(script.read_bytes()).hexdigest()
        picture, stamp = folder / f"{script.stem}.png", folder / f"{script.stem}.txt"
        if picture.exists() and stamp.exists() and stamp.read_text().split()[0] == digest:
            continue
        start = time.monotonic()
        child = os.fork()
        if not child:
            try:
                draw(script, picture)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise SystemExit(f"{script} failed")
        stamp.write_text(f"{digest} {time.monotonic() - start:.1f} s\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
