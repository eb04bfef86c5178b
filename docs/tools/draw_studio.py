"""How does the book get a studio? ``python docs/tools/draw_studio.py FOLDER`` writes a page of each run.

It is the page of the viewer, which computes in the browser. The languages share it: links say which one to
speak. What did not change is not written again.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from views import write_shared

import diffuscope.viewer

RUNS = sorted((Path(__file__).parents[1] / "runs").iterdir())
_PARTS = Path(diffuscope.viewer.__file__).parent


def digest_of(run: Path) -> str:
    """Return what the page of a run is known by."""
    digest = hashlib.sha256()
    for path in sorted([*run.iterdir(), *_PARTS.glob("*.*"), *Path(__file__).parent.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main(folder: Path) -> None:
    """Write the pages that changed."""
    for run in RUNS:
        page, stamp = folder / f"{run.name}.html", folder / ".stamps" / run.name
        digest = digest_of(run)
        if page.exists() and stamp.exists() and stamp.read_text() == digest:
            continue
        write_shared(diffuscope.load(run).view(language="en").html, folder, page.name)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
