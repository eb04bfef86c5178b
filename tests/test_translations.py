"""Does the program speak Chinese wherever it speaks, and is everything else left as it is?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffuscope
from diffuscope.cli import COMMANDS, main
from diffuscope.errors import InputError
from diffuscope.languages import language_of, set_language
from diffuscope.metrics.floor import Measured
from diffuscope.translations import choose, chosen, language, term, translate
from diffuscope.translations.catalogue import CATALOGUES, Catalogue, Hole, parse, read_catalogue
from diffuscope.translations.display import fill, ljust, rjust, width, wrap
from diffuscope.translations.extract import extract, needed

KNOWN = read_catalogue(CATALOGUES / "zh.po")
CHINESE = re.compile("[\u4e00-\u9fff]")
# Three words of English one after the other, which are neither a path, a command, an option nor in quotes.
ENGLISH = re.compile(r"(?<![\w/.\-])[A-Za-z][a-z]{2,} [a-z]{2,} [a-z]{2,}(?![\w/=])")
NAMES = re.compile(
    r"""diffuscope\ [^。；，）\n]*   # a command
    | pip\ install\ \S+
    | 'The\ Annotated\ Diffusion\ Model'|“The\ Annotated\ Diffusion\ Model”|The\ Annotated\ Diffusion\ Model
    | `[^`]*` | '[^']*' | "[^"]*" | “[^”]*”
    """,
    re.VERBOSE,
)


@pytest.fixture
def chinese():
    """Speak Chinese while the test runs."""
    before = chosen()
    set_language("zh")
    yield
    choose(before)


def english_in(text):
    """Return the lines of a text in which there is a run of English words."""
    return [line for line in text.splitlines() if ENGLISH.search(NAMES.sub("", line))]


def said(capfd, *arguments):
    """Run a command in Chinese; return its exit code, and what it says."""
    with pytest.raises(SystemExit) as end:
        main(["--lang", "zh", *map(str, arguments)])
    out, err = capfd.readouterr()
    return end.value.code, out + err


# --- the catalogue


@cache
def all_needed():
    """Return the texts of the package, which are looked for once."""
    return needed()


def test_no_text_lacks_its_translation():
    missing = [text for text in all_needed() if not KNOWN.get(text)]
    assert not missing, "python -m diffuscope.translations.extract writes them into zh.po"


def test_no_translation_is_of_a_text_that_there_is_not():
    texts = all_needed()
    assert not [text for text in KNOWN if text not in texts]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            'raise InputError(f"{n:,} weeks in {name!r} are {more} too many.")',
            "{0:n} weeks in {1:r} are {2} too many.",
        ),
        ('say("It has " + str(n) + " weeks.")', "It has {0} weeks."),
        (
            "say(f\"{n} week{'s' * (n > 1)} or {'no' if x else 'one'} more\")",
            "{0} week{1=s|} or {2=no|one} more",
        ),
        ('_ALL = "all of it"\nsay(f"Take {_ALL}.")', "Take all of it."),
        ('say("First this. Then that.")', "Then that."),
        ('x = "There is no {} in it.".format(y)', "There is no {0} in it."),
        ('with reporter.stage("baking"): pass', "baking"),
    ],
)
def test_a_new_text_is_found_in_the_source(tmp_path, code, text):
    (tmp_path / "new.py").write_text(code)
    assert text in extract(tmp_path)


@pytest.mark.parametrize(
    "code",
    [
        'x = re.compile("two words or more")',
        'x = y["two words or more"]',
        'x == "two words or more"',
        'def f():\n    """Two words or more."""',
        'x.startswith("two words or more")',
        'x: "dict of two words" = 1',
        'x = "data.key"',
        'x = f"{a}.{b}"',
    ],
)
def test_what_is_not_for_people_is_not_taken_for_a_text(tmp_path, code):
    (tmp_path / "new.py").write_text(code)
    assert not extract(tmp_path)


def holes_of(text):
    return {part.number: part for part in parse(text) if isinstance(part, Hole)}


def test_a_translation_has_the_holes_of_its_text():
    for text, translation in KNOWN.items():
        given, used = holes_of(text), holes_of(translation)
        grammar = {number for number, hole in given.items() if hole.words}  # a plural may be left out
        assert set(given) - grammar <= set(used) <= set(given), text
        for number, hole in used.items():
            assert not hole.words or len(hole.words) == len(given[number].words), text


def test_translations_are_chinese_and_have_its_signs():
    for text, translation in KNOWN.items():
        words = re.sub(r"\{[^{}]*\}", "", text)
        assert CHINESE.search(translation) or not re.search("[a-z]{3,} [a-z]{3,}", words), text
        assert not re.search("[\u4e00-\u9fff][,;:!?]( |$|[\u4e00-\u9fff])", translation), translation
        assert not english_in(translation), translation


# These say the same in more than one way, or with holes side by side.
ALIKE = {"Known: {0}.", "{0:n} cell{1=s|}", "sliced Wasserstein distance {0}{1:n} = {2}"}


def test_every_text_finds_its_translation_with_something_in_its_holes():
    catalogue, wrong = Catalogue(KNOWN), []
    for text in KNOWN:
        holes = holes_of(text)
        kinds = {"n": "{}", "r": "'q{}'"}
        values = {
            number: hole.words[0] if hole.words else kinds.get(hole.kind, "x{}7").format(number + 2)
            for number, hole in holes.items()
        }
        source = "".join(p if isinstance(p, str) else values[p.number] for p in parse(text))
        if " " not in source.strip() or text in ALIKE or source.endswith(" "):
            continue
        meant = ""
        for part in parse(KNOWN[text]):
            if isinstance(part, str):
                meant += part
            elif part.words:
                meant += part.words[holes[part.number].words.index(values[part.number])]
            else:
                meant += catalogue.term(values[part.number])
        if catalogue.translate(source).replace(" ", "") != meant.replace(" ", ""):
            wrong.append((source, catalogue.translate(source), meant))
    assert not wrong


def test_the_catalogue_is_read_in_a_moment():
    best = min(_seconds(lambda: Catalogue(read_catalogue(CATALOGUES / "zh.po"))) for _ in range(5))
    assert best < 0.15  # 0.04 s on a machine that has nothing else to do


def _seconds(call):
    begun = time.process_time()
    call()
    return time.process_time() - begun


# --- what is translated, and what is not


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("There is no column 'age'.", "没有列 'age'。"),
        (
            "There is no column 'age'. Did you mean 'ages'? Columns: 'ages'.",
            "没有列 'age'。是不是想写 'ages'？可用的列：'ages'。",
        ),
        ("runs/a b.csv already exists.", "runs/a b.csv 已经存在。"),
        ("Error: There is no file a.csv.", "错误：没有文件 a.csv。"),
        ("Number of samples.  [default: 3]", "样本数。  [默认：3]"),
        (
            "5 trainings of 1.6 s, 10 cells of 1.4 s: about 14 s on 2 cores",
            "5 次训练，每个 1.6 s，10 个格子，每个 1.4 s：在 2 个核上约需 14 s",
        ),
        (
            "They differ in this: age is higher by 0.32 deviations; the correlation of bmi and age is 0.31, "
            "not 0.52.",
            "区别在于：age 偏高 0.32 个标准差；bmi 与 age 的相关系数是 0.31，而不是 0.52。",
        ),
    ],
)
def test_a_text_is_translated_with_all_that_is_in_it(chinese, text, translation):
    assert translate(text) == translation


@pytest.mark.parametrize(
    "text",
    [
        "",
        "loss",
        "age",
        "Date of birth",
        "terms and conditions",
        "age, bmi and sex",
        "runs/s_curve",
        "0.5",
        "\n",
        "{",
        "中文 列",
    ],
)
def test_names_and_unknown_texts_stay_as_they_are(chinese, text):
    assert translate(text) == text


def test_a_name_in_a_message_stays_as_it_is_even_if_it_is_a_word_of_the_program(chinese):
    assert translate("There is no column 'loss'.") == "没有列 'loss'。"
    assert term("loss") == "损失"


def test_what_is_translated_is_not_translated_again(chinese):
    for text in ("There is no column 'age'.", "Error: There is no file a.csv.", "Number of samples."):
        assert translate(translate(text)) == translate(text)


SCRAPS = st.sampled_from(
    [*KNOWN, "a of b", "There is no ", "; ", ", ", ": ", ". ", "(", ")", "'", "{0}", "模型", "\n"]
)


@given(st.lists(SCRAPS | st.text(), max_size=30).map(" ".join))
@settings(max_examples=200, deadline=2000)
def test_no_text_is_an_error_or_takes_long(text):
    choose("zh")
    try:
        assert isinstance(translate(text), str)
    finally:
        choose(None)


@pytest.mark.parametrize(
    "scrap", ["a of b ", "x: ", "There is no ", "x is y. ", "(a b ", "a; b c; ", "column 'a' in row 3 "]
)
def test_a_long_text_that_says_the_same_again_and_again_is_given_up(chinese, scrap):
    for times in (3, 40, 900):
        assert _seconds(lambda times=times: translate(scrap * times)) < 2


def test_english_is_left_as_it_is():
    assert language() == "en"
    for text in KNOWN:
        assert translate(text) == text
        assert term(text) == text


# --- the language


@pytest.mark.parametrize(
    ("environment", "meant"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_MESSAGES": "zh_TW.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        ({"DIFFUSCOPE_LANG": "en", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        ({"DIFFUSCOPE_LANG": "zh", "LC_ALL": "C"}, "zh"),
    ],
)
def test_the_language_is_that_of_the_variable_or_of_the_locale(environment, meant):
    assert language_of(environment) == meant


def test_a_language_that_there_is_not_is_an_error(capfd, monkeypatch):
    with pytest.raises(InputError, match="There is no language 'fr'"):
        set_language("fr")
    with pytest.raises(SystemExit) as end:
        main(["--lang", "fr", "list", "recipes"])
    assert end.value.code == 2
    assert "There is no language 'fr'" in capfd.readouterr().err
    monkeypatch.setenv("DIFFUSCOPE_LANG", "fr")
    with pytest.raises(SystemExit) as end:
        main(["list", "recipes"])
    assert end.value.code == 2


def test_python_speaks_the_language_that_is_set(chinese):
    with pytest.raises(InputError, match="没有名为 'nothing' 的配方"):
        diffuscope.load_recipe("nothing")
    diffuscope.set_language("en")
    with pytest.raises(InputError, match="There is no recipe named 'nothing'"):
        diffuscope.load_recipe("nothing")


def test_the_locale_decides_what_the_command_line_speaks():
    import os

    own = {k: v for k, v in os.environ.items() if k not in ("DIFFUSCOPE_LANG", "LC_ALL", "LC_MESSAGES")}
    command = [sys.executable, "-m", "diffuscope", "list", "recipes"]
    for locale, speaks in (("zh_CN.UTF-8", True), ("C.UTF-8", False)):
        ran = subprocess.run(
            command,
            env={**own, "LANG": locale, "PYTHONUTF8": "1"},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert bool(CHINESE.search(ran.stdout)) is speaks


def test_a_command_leaves_the_language_as_it_was(capfd):
    said(capfd, "list", "recipes")
    assert language() == "en"


# --- the command line


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_chinese(capfd, command):
    code, text = said(capfd, *command.split(), "--help")
    assert code == 0
    assert CHINESE.search(text)
    assert not english_in(text)
    assert all(width(line) <= 100 for line in text.splitlines() if "diffuscope " not in line)


@pytest.mark.parametrize("what", ["datasets", "recipes", "schedules", "samplers", "networks", "settings"])
def test_lists_are_chinese(capfd, what):
    code, text = said(capfd, "list", what)
    assert code == 0
    assert CHINESE.search(text)
    assert not english_in(text)


BAD = {
    "no file": ("train", "nothere.csv"),
    "no set": ("train", "moon"),
    "no data": ("train",),
    "no recipe": ("train", "moons", "--recipe", "fastest"),
    "no option": ("train", "moons", "--nonsense"),
    "no command": ("trian", "moons"),
    "no argument": ("sample",),
    "no run": ("sample", "nowhere"),
    "no number": ("train", "moons", "--steps", "many"),
    "no setting": ("train", "moons", "--set", "training.stepz=3"),
    "no value": ("train", "moons", "--set", "training.steps"),
    "bad value": ("train", "moons", "--set", "training.steps=-3"),
    "bad type": ("train", "moons", "--set", "training.batch_size=many"),
    "no schedule": ("train", "moons", "--schedule", "linaer"),
    "no sampler": ("train", "moons", "--sampler", "heum"),
    "two lengths": ("train", "moons", "--epochs", "3", "--steps", "3"),
    "no resume": ("train", "moons", "--resume", "--out", "nowhere"),
    "no list": ("list", "things"),
    "no image": ("inpaint", "nowhere", "a.png", "--mask", "b.png"),
    "empty axis": ("compare", "moons", "--sampler", "ddim,,heun"),
    "no columns": ("train", "empty.csv"),
    "bad range": ("train", "moons", "--range", "1"),
    "bad types": ("train", "table.csv", "--types", "a"),
    "no column": ("train", "table.csv", "--types", "c=number"),
    "no target": ("train", "table.csv", "--target", "c"),
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD)
def test_errors_are_chinese(capfd, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    pd.DataFrame({"a": range(5), "b": range(5)}).to_csv("table.csv", index=False)
    code, text = said(capfd, *arguments)
    assert code == 2
    assert CHINESE.search(text)
    assert not english_in(text)


def test_a_training_and_what_is_measured_of_it_are_chinese(capfd, tmp_path, little):
    run = tmp_path / "run"
    small = ["--set", "training.steps=20", "--set", "width=8", "--set", "data.size=300", "--no-pictures"]
    code, text = said(capfd, "train", "moons", "--out", run, *small)
    assert code == 0
    assert not english_in(text)
    code, text = said(capfd, "evaluate", run, "--no-baselines")
    assert code == 0
    assert CHINESE.search(text)
    assert not english_in(text)
    stored = json.loads((run / "evaluation.json").read_text("utf-8"))
    assert "sliced_wasserstein" in stored["metrics"]
    for file in (run / "run.json", run / "recipe.toml", run / "evaluation.json"):
        if file.exists():
            assert not CHINESE.search(file.read_text("utf-8"))


@pytest.mark.slow
def test_json_stays_english(capfd, tmp_path, tiny, little):
    run = tiny(out="run")
    code, text = said(capfd, "evaluate", run.path, "--no-baselines", "--json")
    assert code == 0
    found = next(line for line in text.splitlines() if line.startswith("{"))
    assert "sliced_wasserstein" in json.loads(found)["metrics"]
    assert not CHINESE.search(found)


# --- texts of some width


def test_a_chinese_character_is_two_columns_wide():
    assert width("abc") == 3
    assert width("模型 a") == 6
    assert width("é") == width("e\u0301") == 1
    assert ljust("模型", 6) == "模型  "
    assert rjust("模型", 6) == "  模型"


def test_lines_are_no_wider_than_asked_and_begin_with_no_full_stop(chinese):
    text = "样本与训练数据的两半比较，各 100 行。" * 5
    lines = wrap(text, 30, "  ")
    assert "".join(line.strip() for line in lines).replace(" ", "") == text.replace(" ", "")
    assert max(map(width, lines)) <= 32  # a full stop may stand beyond the edge
    assert not any(line.strip()[0] in "，。" for line in lines)


def test_english_is_wrapped_as_ever():
    import textwrap

    for text in ("A perfect network reports a loss of 0.08, not 0. " * 7, "", "σ/α from 0.1 to 3 — " * 9):
        assert fill(text, 40) == textwrap.fill(text, 40)
        assert wrap(text, 40, "  ") == textwrap.wrap(text, 40, initial_indent="  ", subsequent_indent="  ")


# --- figures and pages


def texts_of(figure):
    from matplotlib.text import Text

    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


def loss_curve():
    from diffuscope.plots.style import chart

    figure, ax = chart(4, 3)
    ax.plot([1, 2], [3, 4], label="the least possible")
    ax.set_xlabel("the network's error by noise level")
    ax.set_ylabel(r"$\sigma$")
    ax.set_yticks([3, 4], ["real rows", "age"])
    ax.legend()
    return figure


def test_a_figure_is_chinese_and_every_character_has_a_glyph(chinese, tmp_path):
    from diffuscope.plots import save_figure
    from diffuscope.plots.fonts import can_draw, look_again

    look_again()
    if not can_draw("图像"):
        pytest.skip("no font with Chinese characters is installed")
    figure = loss_curve()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that is missing is a warning
        save_figure(figure, tmp_path / "a.png")
        save_figure(figure, tmp_path / "a.svg")
    texts = texts_of(figure)
    assert {"网络在各个噪声水平上的误差", "最小可能值", "真实行", "age", r"$\sigma$"} <= set(texts)


def test_without_a_font_figures_are_english_and_that_is_said_once(chinese, monkeypatch, tmp_path):
    from diffuscope.plots import save_figure, speech

    monkeypatch.setattr(speech, "can_draw", lambda text: False)
    speech._has_font.cache_clear()
    with pytest.warns(UserWarning, match="Noto Sans CJK SC"):
        save_figure(loss_curve(), tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(loss_curve(), tmp_path / "b.png")
    speech._has_font.cache_clear()


def test_a_figure_in_english_is_as_it_was(tmp_path):
    from diffuscope.plots import save_figure

    figure = loss_curve()
    save_figure(figure, tmp_path / "a.png")
    assert "real rows" in texts_of(figure)


def test_a_page_is_chinese_and_its_names_are_not(chinese):
    from diffuscope.pages import card, page

    shown = card(
        "Evaluation", [("quality", "1.20 × floor (0.90 to 1.50)")], ["metric", "real data"], [["loss", "1"]]
    )
    assert "1.20 × 底线（0.90 到 1.50）" in shown
    measured = Measured(1.2, 1.0, 1.2, 0.9, 1.5)
    assert str(measured) == "1.20 × 底线（0.90 到 1.50）"
    assert f"{measured}" == "1.20 × floor (0.90 to 1.50)"  # a part of a text that is translated as a whole
    assert "指标" in shown
    assert "真实数据" in shown
    assert "<td>loss</td>" in shown  # it may be the name of a column
    report = page(
        "diffuscope.monitoring",
        "report.html",
        "x",
        verdict="No warnings.",
        picture=None,
        rows=[],
        looks=[],
        warnings=[],
        notes=["<b> & 'a'"],
    )
    assert '<html lang="zh-CN">' in report
    assert "没有警告。" in report
    assert "&lt;b&gt; &amp; &#39;a&#39;" in report


def test_a_page_in_english_is_as_it_was():
    from diffuscope.pages import page

    values = {"verdict": "x", "picture": None, "rows": [], "looks": [], "warnings": [], "notes": []}
    report = page("diffuscope.monitoring", "report.html", "x", **values)
    assert '<html lang="en">' in report
    assert "<p>No warnings.</p>" in report


@pytest.mark.slow
def test_the_report_of_a_table_is_chinese(chinese, tmp_path, little):
    from diffuscope.metrics.tabular import measure_table
    from diffuscope.modalities.tables.report import write_report

    rng = np.random.default_rng(0)

    def rows(n, shift):
        x = rng.normal(size=n) + shift
        kind = np.where(rng.random(n) < 0.5, "a", "b").astype(object)
        kind[rng.random(n) < 0.1 + 0.2 * shift] = None
        return pd.DataFrame({"loss": x, "Date of birth": 2 * x + rng.normal(size=n), "kind": kind})

    train, unseen, made = rows(300, 0), rows(300, 0), rows(300, 0.5)
    quality = measure_table(train, unseen, made, "kind", 0)
    write_report(
        tmp_path / "r.html", title="t", train=train, held_out=unseen, synthetic=made, quality=quality
    )
    text = (tmp_path / "r.html").read_text("utf-8")
    text = re.sub(r"<(style|script)\b.*?</\1>|data:image[^\"]*", "", text, flags=re.DOTALL)
    assert "<h3>loss</h3>" in text
    assert "Date of birth" in text
    shown = re.sub(r"<[^>]*>", "\n", text).replace("Date of birth", "")
    assert not english_in(shown)
    assert not english_in(str(quality).replace("Date of birth", ""))


def test_errors_have_the_words_of_python_in_chinese(tmp_path, chinese):
    array = np.random.default_rng(0).normal(size=(50, 2))
    array[3, 1] = np.nan
    with pytest.raises(InputError) as found:
        diffuscope.train(array, out=tmp_path / "run")
    assert "1 个缺失（NaN）的值" in str(found.value)
    assert not english_in(str(found.value).replace("NaN", ""))
    with pytest.raises(InputError) as found:
        diffuscope.train("moons", settings={"training.stepz": 5})
    assert "、steps、warmup" in str(found.value)
    with pytest.raises(InputError) as found:
        raise InputError("There is no run directory x.", "Train one: diffuscope train s_curve.")
    assert 'diffuscope.train("s_curve")' in str(found.value)
    assert "训练一个" in str(found.value)
