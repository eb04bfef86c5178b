"""Does the command line say what there is, what was meant, and what it could not do?"""

from __future__ import annotations

import inspect
import json
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

import diffuscope
from diffuscope.cli import COMMANDS, app
from diffuscope.cli.common_options import _FILE_OPTIONS
from diffuscope.cli.parts import parts_and_settings
from diffuscope.data.columnar import Formulas, read_rows
from diffuscope.data.columnar.formulas import is_formula
from diffuscope.data.kinds import KINDS, section_of
from diffuscope.data.points import load_dataset
from diffuscope.diffusion.samplers import SAMPLERS
from diffuscope.diffusion.schedules import SCHEDULES
from diffuscope.errors import InputError, RunError, nearest, unknown_column, unknown_name
from diffuscope.files import check_writable_folder
from diffuscope.networks import NETWORKS
from diffuscope.recipes import RECIPES, load_recipe
from diffuscope.recipes.schema import Recipe
from diffuscope.runs.plan import claim_default_directory

# --- lists and help ----------------------------------------------------------------------------------------


def test_list_settings_names_every_setting_with_default_and_meaning(cli):
    code, out, err = cli("list", "settings")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert len(lines) == len(out.splitlines())
    for name in RECIPES:
        tree = load_recipe(name).model_dump()
        for section, values in tree.items():
            for key in values if isinstance(values, dict) else ():
                assert f"{section}.{key}" in lines, f"{section}.{key} of {name}"
    for kind in KINDS:
        for key in section_of(kind).model_fields:
            assert f"data.{key}" in lines
    for line in lines.values():
        assert len(line.split()) >= 4, line  # a name, a default, and words


def test_every_setting_and_part_has_its_line():
    told = parts_and_settings()
    for name, (default, about) in told["settings"].items():
        assert default, name
        assert about.endswith("."), f"{name}: {about}"
        assert "\n" not in about
    for listed, registry in (("samplers", SAMPLERS), ("schedules", SCHEDULES), ("networks", NETWORKS)):
        assert set(told[listed]) == set(registry)
        for about, _ in told[listed].values():
            assert len(about.split()) >= 5


@pytest.mark.parametrize("what", ["samplers", "schedules", "networks"])
def test_lists_of_parts_say_what_each_is_for(cli, what):
    code, out, _ = cli("list", what)
    assert code == 0
    for line in out.splitlines():
        name, rest = line.split(maxsplit=1)
        assert rest.startswith(parts_and_settings()[what][name][0])


def test_every_command_has_an_example_that_is_a_command():
    group = typer.main.get_command(app)
    assert set(COMMANDS) == set(group.commands)
    for name, (_, example) in COMMANDS.items():
        for line in example.splitlines():
            words = shlex.split(line)
            assert words[:2] == ["diffuscope", name]
            group.commands[name].make_context(name, words[2:])  # an error where an option is none


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("command", [*COMMANDS, None])
def test_help_cuts_no_line(cli, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    words = ["--help"] if command is None else [command, "--help"]
    code, out, _ = cli(*words)
    assert code == 0
    assert command is not None or out.count("...") == 1  # of the usage
    if command is None:
        for one, (function, _) in COMMANDS.items():
            first = (inspect.getdoc(function) or "").split("\n\n")[0]
            assert " ".join(first.split()) in " ".join(out.split()), one
    else:
        assert "Example" in out
        for line in COMMANDS[command][1].splitlines():
            assert f"  {line}\n" in out


@pytest.mark.parametrize("command", ["train", "compare"])
def test_the_options_of_files_are_those_of_one_place(cli, command):
    _, out, _ = cli(command, "--help")
    for name in _FILE_OPTIONS:
        assert f"--{name.replace('_', '-')}" in out


def test_options_of_files_reach_train_and_compare(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a;b\n" + "\n".join(f"{i},5;{i * i % 7}" for i in range(60)))
    words = [
        "--sep",
        ";",
        "--decimal",
        ",",
        "--types",
        "b=category",
        "--missing",
        "x",
        "--encoding",
        "latin-1",
    ]
    tiny = ["--set", "training.steps=5", "--set", "sampling.steps=2", "--set", "network.width=8"]
    code, _, err = cli("train", "t.csv", *words, *tiny, "--no-pictures")
    assert code == 0, err
    data = load_recipe(tmp_path / "runs" / "t" / "recipe.toml").data
    assert (data.sep, data.decimal, data.types, data.missing) == (";", ",", {"b": "category"}, ("x",))
    assert data.encoding == "latin-1"


# --- what was meant ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "s_curve", "--set", "training.width=3"], "Did you mean network.width?"),
        (["train", "s_curve", "--set", "network.learning_rate=3"], "Did you mean training.learning_rate?"),
        (["train", "s_curve", "--set", "sampling.epochs=3"], "Did you mean training.epochs?"),
        (["train", "s_curve", "--set", "loss.eta=3", "--sampler", "ddim"], "Did you mean sampling.eta?"),
        (["train", "s_curve", "--set", "training.precison=auto"], "Did you mean 'precision'"),
        (["train", "s_curve", "--set", "lerning_rate=1"], "Did you mean training.learning_rate?"),
        (["train", "t.csv", "--target", "Klass"], "Did you mean 'klass'?"),
        (["train", "t.csv", "--types", "heigth=id"], "Did you mean 'height'?"),
        (["train", "t.csv", "--date-format", "wheN=%d/%m/%Y"], "Did you mean 'when'?"),
        (["train", "t.csv", "--constraint", "heigth > 0"], "Did you mean 'height'?"),
        (["train", "S_CURVE"], "Did you mean 's_curve'?"),
        (["list", "setings"], "Did you mean 'settings'?"),
        (["train", "s_curve", "--recipe", "artikle"], "Did you mean 'article'?"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else None,
)
def test_the_nearest_name_is_said(cli, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"height": rng.normal(size=50), "klass": rng.choice(["a", "b"], 50)})
    frame["when"] = pd.date_range("2020-01-01", periods=50)
    frame.to_csv("t.csv", index=False)
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("name", ["runs/mooms", "mooms", "moons", "./runs/moons2", "runs/Moons"])
def test_the_nearest_run_is_said(cli, run_dir, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_dir, "runs/moons")
    for words in (["sample", name, "-o", "x.csv"], ["evaluate", name], ["train", "--resume", "--out", name]):
        code, _, err = cli(*words)
        assert code == 2
        assert "Did you mean 'runs/moons'?" in err


def test_no_run_is_said_where_none_is_near(cli, run_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_dir, "runs/moons")
    (tmp_path / "runs" / "digits").mkdir()  # no run
    for name in ("runs/digitz", "patients"):
        _, _, err = cli("sample", name, "-o", "x.csv")
        assert "Did you mean" not in err


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("hun", ["heun", "ddim"], "Did you mean 'heun'? "),
        ("HEUN", ["heun"], "Did you mean 'heun'? "),
        ("xyz", ["heun"], ""),
        ("", ["heun"], ""),
        ("a" * 10**6, ["heun"], ""),
        ("x", [], ""),
    ],
)
def test_the_nearest_of_names(name, known, said):
    assert nearest(name, known) == said


def test_long_lists_of_names_are_cut_with_a_count():
    error = unknown_column("x", range(100))
    assert error.hint.endswith("'19' and 80 more.")
    assert unknown_name("thing", "y", map(str, range(200))).hint.endswith("and 100 more.")
    assert unknown_column("{x}", ["a"]).what == "There is no column '{x}'."


# --- what cannot be written --------------------------------------------------------------------------------


@pytest.fixture
def sealed(monkeypatch):
    """A folder in which nothing can be written, also for root."""
    folders = []
    whole = Path.write_bytes

    def write(self, data):
        if any(folder in self.parents for folder in folders):
            raise PermissionError(13, "Permission denied", str(self))
        return whole(self, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    return folders


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize(
    ("command", "how"),
    [
        pytest.param("diagnose", [], marks=pytest.mark.slow),
        ("diagnose", ["--json"]),
        pytest.param("evaluate", [], marks=pytest.mark.slow),
        pytest.param("evaluate", ["--json"], marks=pytest.mark.slow),
    ],
)
def test_numbers_are_printed_even_where_they_cannot_be_kept(
    cli, run_dir, tmp_path, sealed, monkeypatch, command, how
):
    run = shutil.copytree(run_dir, tmp_path / "run")
    sealed.append(run)
    order = []
    name = "diffuscope.runs.evaluate.evaluate" if command == "evaluate" else "diffuscope.diagnosis.diagnose"
    module, _, function = name.rpartition(".")
    measure = getattr(sys.modules.get(module) or __import__(module, fromlist=["x"]), function)
    monkeypatch.setattr(name, lambda *a, **k: order.append("measured") or measure(*a, **k))
    before = sorted(path.name for path in run.rglob("*"))
    code, out, err = cli(command, run, *how)
    assert code == 1
    assert order == ["measured"]
    assert err.startswith(f"Warning: No permission to write {run}. Results are printed, and not kept.\n")
    assert err.splitlines()[1].startswith("Error: No permission to write")
    if how:
        assert json.loads(out)
    else:
        assert "floor" in out
    assert sorted(path.name for path in run.rglob("*")) == before


def test_a_folder_that_can_be_written_to_is_left_as_it_was(tmp_path, sealed):
    check_writable_folder(tmp_path)
    assert not list(tmp_path.iterdir())
    sealed.append(tmp_path)
    with pytest.raises(RunError, match="No permission"):
        check_writable_folder(tmp_path)
    with pytest.raises(RunError):
        check_writable_folder(tmp_path / "none")


@pytest.mark.slow
def test_pictures_are_said_only_where_there_are_some(cli, tmp_path, monkeypatch, tiny_words):
    monkeypatch.chdir(tmp_path)
    code, out, _ = cli("train", "s_curve", *tiny_words)
    assert code == 0
    assert "pictures" not in out
    words = [word for word in tiny_words if word != "--no-pictures"]
    code, out, _ = cli("train", "s_curve", *words, "--set", "pictures.forward_frames=3")
    assert code == 0
    assert "pictures    runs/s_curve-2/figures/\n" in out


# --- names of runs -----------------------------------------------------------------------------------------


def test_many_at_once_take_as_many_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, taken = load_dataset("moons", size=10), []
    threads = [
        threading.Thread(target=lambda: taken.append(claim_default_directory(data))) for _ in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 32
    assert {path.name for path in taken} == {"moons", *(f"moons-{i}" for i in range(2, 33))}


def test_a_default_directory_that_cannot_be_made_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("nowhere")
    with pytest.raises(RunError, match="Cannot create the run directory"):
        claim_default_directory(load_dataset("moons", size=10))


@pytest.mark.slow
def test_eight_trainings_at_once_take_eight_names(tmp_path, tiny_words):
    words = [sys.executable, "-m", "diffuscope", "train", "moons", *tiny_words]
    started = [
        subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for process in started:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) == 8
    for run in runs:
        assert diffuscope.load(run).quality.value > 0


# --- the tutorial ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_tutorials_shapes_losses_and_first_batch(cli, tmp_path, little):
    words = ["--epochs", 5, "--set", "pictures.row_every=2", "--set", "data.size=300"]
    words += ["--set", "pictures.reverse_every=50", "--set", "pictures.forward_frames=2"]
    code, out, err = cli("train", "s_curve", "--recipe", "article", "--out", tmp_path / "run", *words)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "shapes      data (300, 2), batches (128, 2)"
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == ["0:", "2:", "4:"]
    losses = {
        round(json.loads(line)["epoch"]): json.loads(line)["loss"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    }
    for line in epochs:  # epoch 0 is the first
        assert float(line.split()[-1]) == pytest.approx(losses[int(line.split()[1][:-1]) + 1], abs=1e-6)
    assert (tmp_path / "run" / "figures" / "batch.png").is_file()


def test_other_recipes_print_no_epochs(cli, tmp_path, tiny_words):
    _, out, _ = cli("train", "s_curve", "--out", tmp_path / "run", *tiny_words)
    assert "epoch" not in out
    assert "shapes" not in out


# --- formulas ----------------------------------------------------------------------------------------------

DANGEROUS = ["=1+1", "+cmd", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1", "=HYPERLINK(1)"]
HARMLESS = ["-5", "+3", "-1e-5", "-.5", "", "plain", "a=b", "1-2", "-", "+", "=", " =1", "'=1"]


@pytest.mark.parametrize("text", DANGEROUS)
def test_what_a_spreadsheet_would_run_is_known(text):
    assert is_formula(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_a_spreadsheet_would_show_is_left(text):
    assert not is_formula(text)


@pytest.fixture(scope="module")
def with_formulas(tmp_path_factory, tiny_words):
    """A run on a table whose names and categories are formulas."""
    folder = tmp_path_factory.mktemp("formulas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "=height": rng.normal(size=200),
            "note": rng.choice(["=1+1", "@SUM(A1)", "plain"], 200),
            "id": rng.integers(-5, 5, 200),
        }
    )
    frame.loc[::7, "=height"] = np.nan
    frame.to_csv(folder / "t.csv", index=False)
    run = diffuscope.train(
        folder / "t.csv",
        out=folder / "run",
        settings={"training.steps": 20, "network.width": 8, "sampling.steps": 3},
        pictures=False,
    )
    return folder, run


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz"])
def test_formulas_are_said_and_made_text_on_request(cli, with_formulas, tmp_path, suffix):
    _, run = with_formulas
    plain, safe = tmp_path / f"plain{suffix}", tmp_path / f"safe{suffix}"
    code, _, err = cli("sample", run.path, "-n", 60, "-o", plain)
    assert code == 0
    assert "would be run as formulas by a spreadsheet; --safe-csv" in err
    code, _, err = cli("sample", run.path, "-n", 60, "-o", safe, "--safe-csv")
    assert code == 0
    assert "have an apostrophe before them" in err
    one, two = (pd.read_csv(path, sep="\t" if suffix == ".tsv" else ",") for path in (plain, safe))
    assert list(one.columns) == ["=height", "note", "id"]
    assert list(two.columns) == ["'=height", "note", "id"]
    assert (one["id"] == two["id"]).all()  # numbers below 0 are no formulas
    assert list(two["note"]) == [f"'{text}" if is_formula(text) else text for text in one["note"]]


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx"])
def test_files_that_know_text_from_formulas_are_left_alone(cli, with_formulas, tmp_path, suffix):
    _, run = with_formulas
    code, _, err = cli("sample", run.path, "-n", 40, "-o", tmp_path / f"x{suffix}", "--safe-csv")
    assert (code, err) == (0, "")
    assert set(read_rows(tmp_path / f"x{suffix}")["note"]) <= {"=1+1", "@SUM(A1)", "plain"}


def test_filled_tables_are_made_safe_as_well(cli, with_formulas, tmp_path):
    folder, run = with_formulas
    code, _, err = cli("impute", run.path, folder / "t.csv", "-o", tmp_path / "plain.csv")
    assert code == 0
    assert "--safe-csv" in err
    code, _, err = cli("impute", run.path, folder / "t.csv", "-o", tmp_path / "safe.csv", "--safe-csv")
    assert code == 0
    given, plain, safe = (
        pd.read_csv(p) for p in (folder / "t.csv", tmp_path / "plain.csv", tmp_path / "safe.csv")
    )
    assert list(plain["note"]) == list(given["note"])
    assert list(safe["note"]) == [f"'{text}" if is_formula(text) else text for text in given["note"]]
    assert list(safe.columns) == ["'=height", "note", "id"]
    assert not safe["'=height"].isna().any()


def test_harmless_tables_are_written_without_a_word(cli, run_dir, tmp_path):
    code, _, err = cli("sample", run_dir, "-n", 20, "-o", tmp_path / "x.csv", "--safe-csv", "--steps", 1)
    assert (code, err) == (0, "")


def test_cells_are_counted_by_column():
    formulas = Formulas()
    frame = pd.DataFrame(
        {"a": ["=1", "=1", None, "b"], "b": [1, 2, 3, 4], "c": pd.Categorical(["@x", "y"] * 2)}
    )
    assert formulas.frame(frame) is frame
    assert formulas.found == {"'a'": 2, "'c'": 2}
    made = Formulas(safe=True).frame(frame)
    assert made["a"].fillna("").tolist() == ["'=1", "'=1", "", "b"]
    assert made["c"].tolist() == ["'@x", "y", "'@x", "y"]
    assert frame["a"].tolist()[0] == "=1"
    assert Formulas().note() is None


def test_recipes_have_no_field_without_a_word_about_it():
    for section in Recipe.model_fields.values():
        for name, field in getattr(section.annotation, "model_fields", {}).items():
            assert field.description, name


def test_without_arguments_there_is_help(cli):
    code, out, err = cli()
    assert (code, err) == (0, "")
    assert out == cli("--help")[1]


def test_a_second_run_says_its_name_and_overwrite_replaces_the_first(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--size", "200", "--steps", "5", "--set", "width=8", "--no-pictures"]
    assert cli("train", "moons", *small)[0] == 0
    code, out, err = cli("train", "moons", *small)
    assert code == 0
    assert "runs/moons exists already, so this run is runs/moons-2" in out + err
    code, out, err = cli("train", "moons", *small, "--overwrite", "--seed", "7")
    assert code == 0
    assert sorted(folder.name for folder in (tmp_path / "runs").iterdir()) == ["moons", "moons-2"]
    assert diffuscope.load("runs/moons").recipe.seed == 7
    words = {"size": 200, "steps": 5, "width": 8, "seed": 7, "pictures": False, "progress": False}
    again = diffuscope.train("moons", exist_ok=True, **words)
    assert again.path == Path("runs/moons")


def test_a_function_that_cannot_be_called_so_is_refused_with_its_arguments():
    def points(n):
        return np.zeros((n, 2))

    with pytest.raises(InputError, match=r"points\(n, rng\)(.|\n)*numpy.random.Generator"):
        load_dataset(points)


def test_a_run_names_the_functions_that_take_it(run_dir):
    run = diffuscope.load(run_dir)
    with pytest.raises(AttributeError, match=r"diffuscope\.diagnose\(run\)"):
        run.diagnose()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = run.nothing
    assert not hasattr(run, "nothing")
