"""Does everything that the READMEs and the pages of the book tell a reader to type work?"""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import diffuscope
from diffuscope.cli import main
from diffuscope.data.points import POINT_SETS

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = (ROOT / name for name in ("README.md", "README.zh-CN.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What a machine is set up with. Running these inside a test would install the package that is being
# tested, or run this test again.
SETS_UP = ("make demo", "make test")
# What takes long is done on a small budget here: the words are the same, the numbers are not looked at.
SHORTENED = {
    "diffuscope train s_curve": "--steps 300 --set pictures.forward_frames=4",
    "diffuscope train patients.csv --target diagnosis --no-pictures": (
        "--steps 100 --set network.width=16 --set sampling.steps=5"
    ),
    "diffuscope train digits": (
        "--steps 10 --set network.width=8 --set sampling.steps=4 --set pictures.forward_frames=4"
    ),
    "diffuscope evaluate runs/digits": "--samples 200",
    "diffuscope evaluate runs/moons": "--no-baselines",
    "diffuscope train digits --recipe diffusers --steps 300 --out runs/ours --no-pictures": (
        "--steps 10 --set sampling.steps=5"
        " --set network.block_out_channels=[8,16] --set network.norm_num_groups=4"
    ),
    "diffuscope train moons --recipe flow --origin eight_gaussians --out runs/flow --no-pictures": (
        "--steps 20"
    ),
    "diffuscope reflow runs/flow --out runs/reflow --no-pictures": "--training-steps 20 --pairs 300",
    "diffuscope distill runs/moons --steps 4 --out runs/student --no-pictures": "--training-steps 20",
    "diffuscope train s_curve --recipe article --epochs 20 --out runs/article --no-pictures": (
        "--set data.size=1000"
    ),
}
# The same of tables that are made in Python: fewer rows.
FEWER = {
    "rng, n = np.random.default_rng(0), 2000": "rng, n = np.random.default_rng(0), 400",
    "X = np.random.default_rng(0).normal(size=(2000, 2))": (
        "X = np.random.default_rng(0).normal(size=(300, 2))"
    ),
    "angle = np.random.default_rng(1).uniform(0, 6.28, 2000)": (
        "angle = np.random.default_rng(1).uniform(0, 6.28, 300)"
    ),
}
SMALL = 600  # points of the built-in sets
PAGES = ROOT / "docs" / "en"
# Pages that are read one after the other: what one leaves in runs/ the next one uses.
IN_ORDER = ("start.md", "own/points.md", "own/recipes.md", "own/diagnosis.md", "own/quality.md")
# What can be read without the rest is tried by itself, so that several processes share the work.
ALONE = ("own/tables.md", "own/images.md", "own/exchange.md")


def blocks(path: Path) -> list[tuple[str, str]]:
    """Return language and text of every fenced block, in order."""
    return BLOCK.findall(path.read_text("utf-8"))


def prose(path: Path) -> str:
    return BLOCK.sub("", path.read_text("utf-8"))


def run_command(line: str) -> None:
    """Run one line of a shell; ours in this process, which saves loading torch each time."""
    words = shlex.split(line)
    if words[0] != "diffuscope":
        subprocess.run(words, check=True, timeout=20)
        return
    with pytest.raises(SystemExit) as stop:
        main(words[1:])
    assert stop.value.code in (None, 0), line


def run_all(some: list[tuple[str, str]]) -> None:
    names: dict[str, object] = {}
    for language, text in some:
        if language == "python":
            for line, shorter in FEWER.items():
                text = text.replace(line, shorter)
            exec(compile(text, "README.md", "exec"), names)
        elif language == "bash":
            for line in text.splitlines():
                if line not in SETS_UP:
                    run_command(f"{line} {SHORTENED.get(line, '')}")
    plt.close("all")


@pytest.mark.slow  # what they show runs in order, below
@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("page", ALONE)
def test_all_that_a_page_shows_runs_by_itself(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(diffuscope, "DiffusionModel", partial(diffuscope.DiffusionModel, steps=100, width=16))
    run_all(blocks(PAGES / page))


@pytest.mark.usefixtures("little", "quick")
def test_all_that_the_readme_shows_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("s_curve", "moons"):
        monkeypatch.setitem(POINT_SETS, name, dataclasses.replace(POINT_SETS[name], size=SMALL))
    monkeypatch.setattr(diffuscope, "train", partial(diffuscope.train, steps=150))
    run_all(blocks(ENGLISH))
    assert "Error budget" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("little", "in_this_process")
def test_all_that_pages_show_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("s_curve", "moons"):
        monkeypatch.setitem(POINT_SETS, name, dataclasses.replace(POINT_SETS[name], size=SMALL))
    monkeypatch.setattr(diffuscope, "train", partial(diffuscope.train, steps=150))
    for page in IN_ORDER:
        run_all(blocks(PAGES / page))
    told = capsys.readouterr().out
    output, listing = (text for language, text in blocks(PAGES / "start.md") if language == "text")
    without_figures = re.compile(r"[\d.,]+")  # seconds and quality are the machine's
    for line in output.splitlines():
        assert without_figures.sub("#", line) in without_figures.sub("#", told), line
    named = set(re.findall(r"[\w.]+\.(?:toml|safetensors|jsonl|json|png|gif)", listing))
    made = {p.name for p in (tmp_path / "runs" / "s_curve").rglob("*") if p.parent.name != "checkpoints"}
    assert named == made - {"checkpoints", "figures"}


def test_what_is_shortened_is_shown():
    pages = [ENGLISH, *(PAGES / page for page in (*IN_ORDER, *ALONE))]
    shown = {line for page in pages for _, text in blocks(page) for line in text.splitlines()}
    assert {*SHORTENED, *FEWER} <= shown


def test_every_block_is_of_a_kind_that_is_looked_at():
    assert {language for language, _ in blocks(ENGLISH)} == {"bash", "python", "text"}
    assert prose(ENGLISH).count("```") == 0


def test_both_readmes_have_the_same_blocks():
    assert blocks(ENGLISH) == blocks(CHINESE)


def test_both_readmes_have_the_same_headings():
    levels = [re.findall(r"^(#+) ", prose(path), re.MULTILINE) for path in (ENGLISH, CHINESE)]
    assert levels[0] == levels[1]


def test_both_readmes_have_the_same_figures_in_their_tables():
    figures = [
        [re.findall(r"\d[\d.,]*", line) for line in prose(path).splitlines() if line.startswith("|")]
        for path in (ENGLISH, CHINESE)
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_a_readme_is_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= 150


def test_both_readmes_lead_to_the_same_pages():
    found = [re.findall(r"\]\(([^)#]+)", path.read_text("utf-8")) for path in (ENGLISH, CHINESE)]
    own = [[re.sub(r"docs/(?:en|zh)/|\.zh-CN\b|\.zh\b", "", target) for target in one] for one in found]
    assert own[0] == own[1]


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(path)):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_no_figure_is_left_open(path):
    assert "TO BE MEASURED" not in path.read_text("utf-8")
