"""How do the gallery's pictures come about? ``python docs/tools/draw_gallery.py FOLDER`` runs what changed.

All scripts run in one folder, each in a process of its own that is forked from this one, so that the package
is loaded once. A script leaves its picture in the variable ``figure``.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import runpy
import shutil
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


def digest_of(script: Path) -> str:
    """Return what a script is known by."""
    return hashlib.sha256(script.read_bytes()).hexdigest()


def files_of(script: Path, folder: Path) -> tuple[Path, Path]:
    """Return where the picture of a script is, and what it was drawn from."""
    return folder / f"{script.stem}.png", folder / f"{script.stem}.txt"


def drawn(script: Path, folder: Path) -> bool:
    """Whether the picture of a script is there, as the script is now."""
    picture, stamp = files_of(script, folder)
    return picture.exists() and stamp.exists() and stamp.read_text().split()[0] == digest_of(script)


def main(folder: Path) -> None:
    """Draw all that changed; SystemExit where a script failed."""
    pending = [script for script in SCRIPTS if not drawn(script, folder)]
    if not pending:
        return
    for name in ("sklearn.datasets", "torch", "diffuscope.runs.train"):  # once, before the forks
        importlib.import_module(name)
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)  # runs of scripts as they were
    work.mkdir(parents=True)
    os.chdir(work)
    (work / "runs").mkdir(exist_ok=True)
    for run in (Path(__file__).parents[1] / "runs").iterdir():
        if not (work / "runs" / run.name).exists():
            (work / "runs" / run.name).symlink_to(run)
    for script in pending:
        picture, stamp = files_of(script, folder)
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
        stamp.write_text(f"{digest_of(script)} {time.monotonic() - start:.1f} s\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
