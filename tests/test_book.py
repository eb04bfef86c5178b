"""Do both languages of the book have the same pages, labels, cells and figures, and is everything in it?"""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl

import matplotlib.pyplot as plt
import pytest

import diffuscope
from diffuscope.cli import COMMANDS

DOCS = Path(__file__).parents[1] / "docs"
ENGLISH, CHINESE = DOCS / "en", DOCS / "zh"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(str(path.relative_to(ENGLISH)) for path in ENGLISH.rglob("*.md"))
# The pictures of the tutorial, in its order.
PICTURES = (
    "fig-tutorial-data",
    "fig-tutorial-forward",
    "fig-tutorial-batch",
    "fig-tutorial-epochs",
    "fig-tutorial-forward-gif",
    "fig-tutorial-reverse-gif",
)


@cache
def text_of(language: str, page: str) -> str:
    return (DOCS / language / page).read_text("utf-8")


def cells(text: str) -> list[tuple[str, str]]:
    """Return of each cell what stands above its code, and the code."""
    found = []
    for cell in CELL.findall(text):
        above = re.match(r"\A(?:---\n.*?^---\n|(?::\w+: [^\n]*\n)*)", cell, re.MULTILINE | re.DOTALL)
        assert above is not None
        found.append((above[0], cell[above.end() :]))
    return found


def without_strings(code: str) -> str:
    """Return a program as a tree in which all texts are the same; comments are no part of it."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = "text"
        if isinstance(node, ast.JoinedStr):  # where the words stand between the values may differ
            node.values = [one for one in node.values if isinstance(one, ast.FormattedValue)]
    return ast.dump(tree)


def labels(text: str) -> list[str]:
    """Return the names that a page gives to its places, figures and formulas."""
    return re.findall(r"^\(([\w-]+)\)=$|^:name: (\S+)$|^    name: (\S+)$", text, re.MULTILINE)


def test_both_languages_have_the_same_pages():
    assert sorted(str(path.relative_to(CHINESE)) for path in CHINESE.rglob("*.md")) == PAGES
    assert len(PAGES) > 30


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_cells(page):
    english, chinese = (cells(text_of(language, page)) for language in ("en", "zh"))
    assert [without_strings(code) for _, code in english] == [without_strings(code) for _, code in chinese]
    for (one, _), (other, _) in zip(english, chinese, strict=True):
        without_words = [
            re.sub(r"^    (?:caption|alt): .*$", "", above, flags=re.MULTILINE) for above in (one, other)
        ]
        assert without_words[0] == without_words[1]
        assert one.count("caption:") == other.count("caption:")


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_labels_and_figures(page):
    english, chinese = (text_of(language, page) for language in ("en", "zh"))
    assert labels(english) == labels(chinese)
    figures = [
        re.findall(r"^```\{(?:figure|image)\} (\S+)$|!\[[^]]*\]\(([^)]+)\)", text, re.MULTILINE)
        for text in (english, chinese)
    ]
    own = [[tuple(name.replace(".zh.", ".") for name in found) for found in one] for one in figures]
    assert own[0] == own[1]


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_show_the_same_commands(page):
    english, chinese = (
        [
            (kind, block)
            for kind, block in BLOCK.findall(text_of(language, page))
            if kind in ("bash", "python", "text")
        ]
        for language in ("en", "zh")
    )
    assert english == chinese


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_formulas(page):
    if page == "mathematics.md" or "reference" in page:
        return  # words in formulas
    found = [
        re.findall(r"^\$\$\n(.*?)^\$\$$", text_of(one, page), re.MULTILINE | re.DOTALL)
        for one in ("en", "zh")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_picture_of_the_tutorial_is_one_click_from_the_front_page(language):
    front = text_of(language, "index.md")
    all_pages = "\n".join(text_of(language, page) for page in PAGES)
    for picture in PICTURES:
        assert f"<{picture}>`" in front
        assert picture in {name for found in labels(all_pages) for name in found}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_public_name_is_in_the_reference(language):
    page = text_of(language, "reference/api.md")
    for name in diffuscope.__all__:
        assert re.search(rf"diffuscope\.{name}\b", page), name


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_reference_of_commands_and_settings_is_made_from_the_program(language):
    assert "{commands}" in text_of(language, "reference/commands.md")
    for which in ("settings", "recipes", "datasets", "schedules", "samplers", "networks"):
        assert f"{{parts}} {which}" in text_of(language, "reference/settings.md")
    assert COMMANDS


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("page", PAGES)
def test_links_of_pages_lead_somewhere(language, page):
    text = BLOCK.sub("", CELL.sub("", text_of(language, page)))
    folder = (DOCS / language / page).parent
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", text):
        assert (folder / target).exists(), target
    for target in re.findall(r"\{doc\}`(?:[^<`]*<)?([^`>]+)>?`", text):
        assert (folder / f"{target}.md").exists(), target
    for target in re.findall(r"^```\{(?:figure|image)\} (\S+)$", text, re.MULTILINE):
        assert (folder / target).exists(), target


@pytest.mark.parametrize("language", ["en", "zh"])
def test_references_name_figures_that_there_are(language):
    text = "\n".join(text_of(language, page) for page in PAGES)
    named = {name for found in labels(text) for name in found}
    asked = set(re.findall(r"\{ref\}`[^`<]*<(fig-[^`>]+)>`", text))
    assert asked
    assert asked <= named


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_has_an_alternative_text(page):
    for language in ("en", "zh"):
        for above, _ in cells(text_of(language, page)):
            assert "figure:" not in above or re.search(r"^    alt: .{8,}$", above, re.MULTILINE), above


def in_a_folder_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to an empty folder with the runs of the book, as cells find it."""
    (folder / "runs").mkdir()
    for run in (DOCS / "runs").iterdir():
        (folder / "runs" / run.name).symlink_to(run)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(plt, "show", lambda: None)


# What an address of the studio may say: web/src/view/choices.ts.
LINKED = {"mode", "field", "side", "exact", "level", "point", "law", "schedule", "distance", "decay"} | {
    "sampler",
    "samplerSteps",
    "seed",
    "size",
    "steps",
    "width",
    "rate",
    "batch",
    "ema",
}
WITH_CELLS = [page for page in PAGES if "{code-cell}" in text_of("en", page)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", WITH_CELLS)
def test_the_cells_of_a_page_run(page, tmp_path, monkeypatch):
    in_a_folder_of_its_own(tmp_path, monkeypatch)
    names: dict[str, object] = {}
    for _, code in cells(text_of("en", page)):
        exec(compile(code, page, "exec"), names)
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_pages_are_built_without_a_warning(language, tmp_path, monkeypatch):
    """As ``make book`` does, but that no cell is run: that takes minutes."""
    for needed in ("myst_nb", "furo", "mathjax"):
        pytest.importorskip(needed, reason="the book's extra is not installed: pip install '.[book]'")
    build = runpy.run_path(str(DOCS / "build.py"))
    words = build["words_for"](language, tmp_path / "html", tmp_path / "kept", "-t", "dry", "-b", "dummy")
    done = subprocess.run(words, env=os.environ | build["QUIET"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


STUDIO = re.compile(r"^```\{studio\} (\w+)\n(?::see: (.*)\n)?:command: (.*)\n", re.MULTILINE)
# Pages of a chapter that have nothing to be looked at.
WITHOUT = {"tutorial/preface.md"}


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_open_the_same_studio(page):
    english, chinese = (STUDIO.findall(text_of(language, page)) for language in ("en", "zh"))
    assert english == chinese
    assert len(english) == text_of("en", page).count("```{studio}")
    if page.split("/")[0] in ("tutorial", "beyond") and page not in WITHOUT:
        assert len(english) == 1
    for run, see, command in english:
        assert (DOCS / "runs" / run / "recipe.toml").exists()
        assert all(line.split()[0] == "diffuscope" for line in command.split(" && "))
        assert all(line.split()[1] in COMMANDS for line in command.split(" && "))
        for name, value in parse_qsl(see, strict_parsing=bool(see)):
            assert name in LINKED, name
            if name in ("law", "schedule"):
                assert json.loads(value)


@pytest.mark.parametrize("chapter", ["tutorial/", "beyond/", "own/", "mathematics", "develop/"])
def test_every_chapter_opens_the_studio_and_has_a_live_figure(chapter):
    text = "".join(text_of("en", page) for page in PAGES if page.startswith(chapter))
    assert "{studio}" in text
    assert ".view()\n```" in text


SCRIPTS = sorted((DOCS.parent / "examples" / "gallery").glob("*.py"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_of_the_gallery_draws_its_picture(script, tmp_path, monkeypatch):
    in_a_folder_of_its_own(tmp_path, monkeypatch)
    figure = runpy.run_path(str(script), run_name="__main__")["figure"]
    figure.savefig("picture.png")
    assert Path("picture.png").stat().st_size > 3000
    plt.close("all")


def test_the_gallery_has_themes_and_says_what_it_shows_in_both_languages():
    assert len(SCRIPTS) >= 25
    themes = {"points", "tables", "images", "truth", "speed", "scale", "exchange"}
    assert {path.stem.split("_")[0] for path in SCRIPTS} == themes
    for path in SCRIPTS:
        head, empty, *lines = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").splitlines()
        assert re.fullmatch(r"[^|]+ \| [^|]*[\u4e00-\u9fff][^|]*", head), path
        assert not empty
        assert len(lines) == 2
        assert not re.search(r"[\u4e00-\u9fff]", lines[0])
        assert re.search(r"[\u4e00-\u9fff]", lines[1])
    for language in ("en", "zh"):
        for theme in themes:
            assert f"{{gallery}} {theme}" in text_of(language, "gallery/index.md")


def test_chinese_is_found_by_pairs_of_characters(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "tools"))
    import chinese_search

    assert chinese_search.pieces("噪声调度 schedule") == ["噪声", "声调", "调度", "schedule"]
    sys.modules.pop("chinese_search")


def test_lines_of_chinese_are_joined_without_a_space(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "tools"))
    import chinese_lines

    assert chinese_lines.joined("树模型\n为 0.59") == "树模型为 0.59"
    assert chinese_lines.joined("以底线为单位，\nDDIM 与\nDDPM") == "以底线为单位，DDIM 与\nDDPM"
    assert chinese_lines.joined("two\nwords") == "two\nwords"
    sys.modules.pop("chinese_lines")
