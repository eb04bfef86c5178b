"""How is the book made? ``python docs/build.py [FOLDER]`` builds both languages and follows their links.

Cells that did not change are not run again: what they gave is kept in ``build/book/.cells``. Warnings are
errors. The two languages are built side by side, each by one process, and each page runs in a kernel of its
own with one thread.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).parent
LANGUAGES = ("en", "zh")
_NO_PICTURES = shutil.ignore_patterns("work", "*.txt")
# Threads of two kernels on two cores would wait for each other, and kernels need no debugger.
QUIET = {"OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONWARNINGS": "ignore"}
# Kernels that start at the same moment may choose one port, and one of them never answers. What ran is kept.
_NO_KERNEL, _TRIES = "Kernel didn't respond", 3
# Each page starts in a folder with examples/, and with runs/ of docs/runs, which take minutes to train.
# Figures of pyplot get a font that has Chinese, as those of the package do, and a missing glyph is an error.
STARTUP = """
import os
import warnings

import matplotlib

from diffuscope.plots.fonts import families, look_again

warnings.filterwarnings("error", message="Glyph .* missing")
look_again()
os.makedirs("runs", exist_ok=True)
for name in os.listdir({runs!r}):
    if not os.path.lexists("runs/" + name):
        os.symlink(os.path.join({runs!r}, name), "runs/" + name)
if not os.path.lexists("examples"):
    os.symlink({examples!r}, "examples")


def _fonts(*_):
    matplotlib.rcParams["font.family"] = list(families())


_fonts()
get_ipython().events.register("pre_run_cell", _fonts)
"""


def words_for(language: str, to: Path, kept: Path, *more: str) -> list[str]:
    """Return the command that builds one language to a folder; what was read is kept in another one."""
    words = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-t", language, *more]
    return [*words, "-c", str(DOCS), "-d", str(kept), str(DOCS / language), str(to)]


def build(language: str, folder: Path) -> str:
    """Build one language; return what is to be said of it. SystemExit where a page is wrong."""
    start = time.monotonic()
    words = words_for(language, folder / language, folder / ".doctrees" / language)
    own = {"IPYTHONDIR": str(folder / ".ipython")}
    for _ in range(_TRIES):
        done = subprocess.run(
            words, env=os.environ | QUIET | own, check=False, capture_output=True, text=True
        )
        output = f"{done.stdout}{done.stderr}"
        if not done.returncode or _NO_KERNEL not in output:
            break
    if done.returncode:
        said = [line for line in output.splitlines() if "[IPKernelApp]" not in line]
        raise SystemExit("\n".join([*said, f"{language}: the book was not built."]))
    pages = sum(1 for _ in pages_of(folder / language))
    return (
        f"{language}: {pages} pages in {time.monotonic() - start:.0f} s, {folder / language / 'index.html'}"
    )


def draw(folder: Path) -> Path:
    """Write what changed of the studio, and of the gallery; return where the pictures of the latter are."""
    kept = folder / ".cells" / "gallery"
    for tool, to in (("draw_gallery.py", kept), ("draw_studio.py", folder / "studio")):
        subprocess.run(
            [sys.executable, str(DOCS / "tools" / tool), str(to)], env=os.environ | QUIET, check=True
        )
    return kept


def pages_of(folder: Path) -> list[Path]:
    """Return the pages of a folder that are to be read; those of live figures have no links."""
    return [
        path
        for path in sorted(folder.rglob("*.html"))
        if not {"_views", "mathjax", "studio"} & set(path.parts)
    ]


class _Anchors(HTMLParser):
    """What a page leads to, and what in it can be led to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.names: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take addresses and names out of a tag."""
        for key, value in attrs:
            if key in ("href", "src") and value:
                self.links.add(value)
            elif key in ("id", "name") and value:
                self.names.add(value)


def broken(folder: Path) -> list[str]:
    """Return the links between pages, figures and scripts of the book that lead nowhere."""
    pages = {page: _Anchors(page) for page in pages_of(folder)}
    found = []
    for page, anchors in pages.items():
        for link in sorted(anchors.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.exists():
                found.append(f"{page}: {link} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
                found.append(f"{page}: {link} has no such place")
    return found


def main(folder: Path) -> None:
    """Build both languages and the page that leads to them, and follow the links."""
    startup = folder / ".ipython" / "profile_default" / "startup" / "runs.py"
    startup.parent.mkdir(parents=True, exist_ok=True)
    links = {"runs": str(DOCS / "runs"), "examples": str(DOCS.parent / "examples")}
    startup.write_text(STARTUP.format(**links), "utf-8")
    with ThreadPoolExecutor() as pool:
        drawing = pool.submit(draw, folder)
        for said in pool.map(lambda language: build(language, folder), LANGUAGES):
            print(said)
        for language in LANGUAGES:
            shutil.copytree(
                drawing.result(), folder / language / "_gallery", dirs_exist_ok=True, ignore=_NO_PICTURES
            )
    shutil.copyfile(DOCS / "templates" / "front.html", folder / "index.html")
    shutil.copyfile(DOCS / "images" / "reverse.gif", folder / "reverse.gif")
    if wrong := broken(folder.resolve()):
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS.parent / "build" / "book")
