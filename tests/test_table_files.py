"""Is a table as strangers have it trained on, sampled, filled and measured in the form in which it came?"""

from __future__ import annotations

import csv
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diffuscope
from diffuscope.data.columnar import read_rows
from diffuscope.data.tables import load_table
from diffuscope.errors import InputError
from diffuscope.modalities.recognition import modality

N = 240
ZIPS = ["02116", "02139", "00501", "10001", "94105"]


def people() -> pd.DataFrame:
    """Return the cells of a table with a column of each form."""
    r = np.random.default_rng(0)
    day = pd.to_datetime("2024-01-01") + pd.to_timedelta(r.integers(0, 300, N), unit="D")
    frame = pd.DataFrame(
        {
            "id": [f"K-{i:05d}" for i in r.choice(99_999, N, replace=False)],
            "zip": r.choice(ZIPS, N),
            "age": r.integers(18, 90, N).astype(str),
            "income": [f"{int(x):,}" for x in np.exp(r.normal(10.5, 0.6, N))],
            "price": [f"${x:.2f}" for x in r.gamma(2, 5, N)],
            "rate": [f"{x:.2f}".replace(".", ",") for x in r.uniform(0, 9, N)],
            "share": [f"{x}%" for x in r.integers(0, 100, N)],
            "seen": day.strftime("%d/%m/%Y"),
            "iso": day.strftime("%Y-%m-%d"),
            "smoker": r.choice(["None", "light", "heavy"], N),
            "code": r.choice(["1", "2", "#hole"], N, p=[0.5, 0.4, 0.1]),
            "ok": r.choice(["TRUE", "FALSE"], N),
            "note, long": r.choice(["a, b", 'say "x"', "ß"], N),
        }
    )
    for name, word in (("zip", ""), ("age", "NA"), ("income", "N/A"), ("iso", "NA"), ("code", "?")):
        frame.loc[r.random(N) < 0.1, name] = word
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("people")
    people().to_csv(path / "people.csv", index=False)
    return path


SMALL = ("--no-pictures", "--steps", 30, "--set", "network.width=16", "--set", "sampling.steps=5")


@pytest.fixture
def train(cli, tmp_path):
    """Train on a file, briefly; return the run and what was printed."""

    def call(file: Path, *words: object) -> tuple[Path, str]:
        out = tmp_path / "run"
        code, told, err = cli("train", file, "--out", out, *SMALL, *words)
        assert (code, err) == (0, "")
        return out, told

    return call


def cells(path: Path, separator: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=separator))


FORM = {
    "id": r"K-\d{5,}",
    "zip": "|".join(ZIPS),
    "age": r"\d\d",
    "income": r"\d{1,3},\d{3}",
    "price": r"\$\d+\.\d\d",
    "rate": r"\d,\d\d",
    "share": r"\d{1,2}%",
    "seen": r"\d\d/\d\d/2024",
    "iso": r"2024-\d\d-\d\d",
    "smoker": "None|light|heavy",
    "code": "1|2|#hole",
    "ok": "TRUE|FALSE",
    "note, long": 'a, b|say "x"|ß',
}


def test_a_table_goes_all_the_way_in_its_own_form(folder, train, cli, tmp_path, little):
    run, told = train(folder / "people.csv", "--missing", "NA,N/A,?")
    lines = dict(re.findall(r"^  (\S.*?)  +(.*)$", told, re.MULTILINE))
    assert "people.csv: 240 rows, 13 columns" in told
    assert list(lines) == list(FORM)
    assert "not modelled: samples have made-up ones" in lines["id"]
    assert "--types id=ignored" in lines["id"]
    assert "codes with leading zeros" in lines["zip"]
    assert re.search(r"^integer, .* to .*; \d+ missing \('N/A'\); .*--decimal", lines["income"])
    assert re.search(r"^number, \$0\.\d\d to \$\d\d\.\d\d", lines["price"])
    assert re.search(r"^number, \d,\d\d to \d,\d\d", lines["rate"])
    assert re.search(r"^date, \d\d/01/2024 to \d\d/10/2024", lines["seen"])
    assert lines["smoker"] == "category, 3: None, heavy, light"
    recipe = tomllib.loads((run / "recipe.toml").read_text("utf-8"))
    assert {one["name"]: one["about"] for one in recipe["data"]["columns"]} == lines

    new = tmp_path / "new.csv"
    assert cli("sample", run, "-n", 150, "-o", new)[0] == 0
    header, *rows = cells(new)
    assert header == list(FORM)
    for name, column in zip(header, zip(*rows, strict=True), strict=True):
        real = people()[name].tolist()
        gaps = {"", "NA", "N/A", "?"} & set(real)
        assert all(re.fullmatch(FORM[name], cell) or (gaps and cell in ("", *gaps)) for cell in column), name
    made = [row[0] for row in rows]
    assert len(set(made)) == 150
    assert not set(made) & set(people()["id"])

    filled = tmp_path / "filled.csv"
    assert cli("impute", run, folder / "people.csv", "-o", filled)[0] == 0
    before, after = cells(folder / "people.csv"), cells(filled)
    assert len(before) == len(after)
    for old, now in zip(before[1:], after[1:], strict=True):
        for name, one, other in zip(header, old, now, strict=True):
            if one in ("", "NA", "N/A", "?"):
                assert re.fullmatch(FORM[name], other), name
            else:
                assert one == other

    code, told, err = cli("evaluate", run, "--held-out", new)
    assert (code, err) == (0, "")
    assert "income" in told
    assert not re.search(r"\bid\b", told)


def test_cells_that_need_nothing_stay_as_they_are_and_new_ones_are_written_like_them(train, cli, tmp_path):
    r = np.random.default_rng(1)
    times = pd.to_datetime("2024-01-01") + pd.to_timedelta(r.integers(0, 9000, N), unit="h")
    frame = pd.DataFrame(
        {
            "word": [f" {word} " for word in r.choice(["x", "y", "z"], N)],
            "size": [f"{x:.2E}" for x in np.exp(r.normal(-11, 2, N))],
            "time": times.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "note": r.choice(['"x"', "y"], N),
        }
    )
    frame = frame.mask(r.random(frame.shape) < 0.1, "")
    lines = [",".join(frame.columns), *map(",".join, frame.to_numpy().tolist())]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    run, _ = train(tmp_path / "t.csv")
    assert cli("impute", run, tmp_path / "t.csv", "-o", tmp_path / "f.csv")[0] == 0
    assert cli("sample", run, "-n", 50, "-o", tmp_path / "s.csv")[0] == 0
    filled = [line.split(",") for line in (tmp_path / "f.csv").read_text().splitlines()]
    forms = [" [xyz] ", r"\d\.\d\dE[+-]\d\d", r"202\d-\d\d-\d\dT\d\d:00:00Z", '"x"|x|y']
    for line, now in zip(lines[1:], filled[1:], strict=True):
        for old, new, form in zip(line.split(","), now, forms, strict=True):
            assert new == old if old else re.fullmatch(form, new)
    for line in (tmp_path / "s.csv").read_text().splitlines()[1:]:
        assert all(re.fullmatch(form + "|", new) for form, new in zip(forms, line.split(","), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "command"), [(12, "sample"), (20, "evaluate")])
def test_what_to_type_after_a_training_works_for_so_few_rows(cli, tmp_path, monkeypatch, n, command):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(n, 2))
    pd.DataFrame(x, columns=["a", "b"]).to_csv("t.csv", index=False)
    words = ("train", "t.csv", "--out", "run", "--no-pictures", "--steps", 30)
    if n < 20:
        with pytest.warns(UserWarning, match=f"has {n} rows.*not private.*at least 20 rows"):
            code, told, _ = cli(*words)
    else:
        code, told, _ = cli(*words)
    assert code == 0
    advice = re.search(r"^next +diffuscope (.*)$", told, re.MULTILINE)[1].split()
    assert advice[0] == command
    assert cli(*advice)[0] == 0


def test_one_row_is_refused(cli, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1.5,x\n")
    code, _, err = cli("train", tmp_path / "t.csv", "--out", tmp_path / "run")
    assert code == 2
    assert "n_samples = 1" in err
    assert not (tmp_path / "run").exists()


def test_samples_given_values_in_the_form_of_the_file(folder, train, cli, tmp_path):
    run, _ = train(folder / "people.csv")
    given = {"zip": "02116", "income": "50,000", "price": "$9.87", "seen": "03/04/2024", "ok": "TRUE"}
    words = [word for name, value in given.items() for word in ("--given", f"{name}={value}")]
    code, _, err = cli("sample", run, "-n", 9, "-o", tmp_path / "x.csv", *words)
    assert (code, err) == (0, "")
    header, *rows = cells(tmp_path / "x.csv")
    for name, value in given.items():
        assert {row[header.index(name)] for row in rows} == {value}


@pytest.mark.slow
def test_a_column_that_is_left_out_stays_in_what_is_filled(folder, train, cli, tmp_path):
    run, told = train(folder / "people.csv", "--types", "id=ignored,note, long=text,age=category")
    assert re.search(r"^  id +left out$", told, re.MULTILINE)
    assert cli("sample", run, "-n", 5, "-o", tmp_path / "x.csv")[0] == 0
    assert cells(tmp_path / "x.csv")[0] == [name for name in FORM if name not in ("id", "note, long")]
    assert cli("impute", run, folder / "people.csv", "-o", tmp_path / "f.csv")[0] == 0
    before, after = cells(folder / "people.csv"), cells(tmp_path / "f.csv")
    assert [(row[0], row[-1]) for row in before] == [(row[0], row[-1]) for row in after]
    assert {row[2] for row in after[1:]} <= {row[2] for row in before[1:]} - {"NA"}


@pytest.mark.slow
def test_identifiers_that_are_missing_are_said_to_be_left_so(train, cli, tmp_path):
    frame = people()
    frame.loc[::9, "id"] = ""
    frame.to_csv(tmp_path / "t.csv", index=False)
    run, _ = train(tmp_path / "t.csv")
    code, told, _ = cli("impute", run, tmp_path / "t.csv", "-o", tmp_path / "f.csv")
    assert code == 0
    assert "27 values of 'id' left missing" in told
    assert read_rows(tmp_path / "f.csv")["id"].isna().sum() == 27


@pytest.mark.slow
def test_a_file_with_few_rows_is_read_as_the_training_data_was(folder, train, cli, tmp_path):
    run, _ = train(folder / "people.csv")
    frame = people().head(3).astype(object)
    frame["zip"], frame["code"] = ["10001", "94105", ""], ["1", "", "2"]  # alone these would be integers
    frame["smoker"] = "heavy"
    frame.to_csv(tmp_path / "few.csv", index=False)
    code, _, err = cli("impute", run, tmp_path / "few.csv", "-o", tmp_path / "f.csv")
    assert (code, err) == (0, "")
    filled = read_rows(tmp_path / "f.csv", known=diffuscope.load(run).recipe.data.columns)
    assert filled["zip"].tolist()[:2] == ["10001", "94105"]
    assert set(filled["zip"]) <= set(ZIPS)


def test_options_of_the_file_are_kept_and_used_again(train, cli, tmp_path):
    r = np.random.default_rng(0)
    rows = [
        f"{x:.2f}".replace(".", ",") + f";{w}"
        for x, w in zip(r.normal(5, 1, 99), r.choice(["ä", "ö"], 99), strict=True)
    ]
    rows[7] = "weiß nicht;ä"
    text = "preis;art\n" + "\n".join(rows) + "\n"
    path = tmp_path / "preise.csv"
    path.write_bytes(text.encode("latin-1"))
    run, _ = train(path, "--sep", ";", "--encoding", "latin-1", "--missing", "weiß nicht", "--decimal", ",")
    assert cli("sample", run, "-n", 20, "-o", tmp_path / "new.csv")[0] == 0
    made = (tmp_path / "new.csv").read_bytes().decode("latin-1").splitlines()
    assert made[0] == "preis;art"
    assert all(re.fullmatch(r"\d,\d\d;[äö]", line) for line in made[1:])
    assert cli("impute", run, path, "-o", tmp_path / "f.csv")[0] == 0
    filled = (tmp_path / "f.csv").read_bytes().decode("latin-1").splitlines()
    assert [i for i, (a, b) in enumerate(zip(text.splitlines(), filled, strict=True)) if a != b] == [8]
    again = ["--recipe", run / "recipe.toml", "--out", tmp_path / "again", "--no-pictures"]
    assert cli("train", *again)[0] == 0
    weights = [(folder / "model.safetensors").read_bytes() for folder in (run, tmp_path / "again")]
    assert weights[0] == weights[1]
    assert cli("train", "--out", tmp_path / "again", "--resume")[0] == 0


@pytest.mark.slow
def test_compare_takes_the_same_options(cli, tmp_path):
    r = np.random.default_rng(0)
    lines = "".join(f'"{x:.3f}"\n'.replace(".", ",") for x in r.uniform(1, 9, 80))
    (tmp_path / "t.csv").write_text('"x"\n' + lines)
    options = ["--decimal", ",", "--types", "x=number", "--missing", "NA,-9", "--seeds", 1, "--jobs", 1]
    training = ["--set", "training.steps=5", "--set", "network.width=8", "--sampling-steps", "2,3"]
    code, _, err = cli("compare", tmp_path / "t.csv", *options, *training, "--out", tmp_path / "c")
    assert code == 0, err
    recipe = next((tmp_path / "c" / "runs").glob("*/recipe.toml"))
    data = tomllib.loads(recipe.read_text("utf-8"))["data"]
    assert (data["decimal"], data["types"], data["missing"]) == (",", {"x": "number"}, ["NA", "-9"])
    assert "decimals" in data["columns"][0]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("openpyxl") is None, reason="openpyxl is not installed")
def test_a_spreadsheet_is_trained_on_and_written(folder, train, cli, tmp_path):
    import openpyxl

    frame = read_rows(folder / "people.csv")
    frame.to_excel(tmp_path / "people.xlsx", index=False)
    run, told = train(tmp_path / "people.xlsx")
    assert "people.xlsx: 240 rows, 13 columns" in told
    for suffix in (".xlsx", ".csv.gz", ".parquet"):
        assert cli("sample", run, "-n", 20, "-o", tmp_path / f"new{suffix}")[0] == 0
        made = read_rows(tmp_path / f"new{suffix}", known=diffuscope.load(run).recipe.data.columns)
        assert set(made["zip"].dropna()) <= set(ZIPS)
        assert made["seen"].dt.year.eq(2024).all()
        assert len(made) == 20
    assert cli("impute", run, tmp_path / "people.xlsx", "-o", tmp_path / "f.xlsx")[0] == 0
    old, new = (openpyxl.load_workbook(tmp_path / name).active for name in ("people.xlsx", "f.xlsx"))
    for before, after in zip(old.iter_rows(values_only=True), new.iter_rows(values_only=True), strict=True):
        assert [b for a, b in zip(before, after, strict=True) if a is not None] == [
            a for a in before if a is not None
        ]


@pytest.mark.parametrize("target", [pytest.param("smoker", marks=pytest.mark.slow), "code"])
def test_a_frame_is_described_too(folder, target, tmp_path):
    frame = read_rows(folder / "people.csv")
    notes: list[str] = []
    run = diffuscope.train(
        frame,
        target=target,
        out=tmp_path / "run",
        steps=20,
        width=16,
        settings={"data.refine": False},
        pictures=False,
        announce=notes.extend,
        types={"id": "ignored"},
    )
    assert notes[0] == "table: 240 rows, 13 columns"
    assert "id" not in run.sample(3).columns
    columns = {one.name: one for one in run.recipe.data.columns}
    kinds = {"smoker": "category, 2: heavy, light; ", "code": "category, 3: #hole, 1, 2"}
    assert columns[target].about.startswith(kinds[target])
    assert columns["age"].about.startswith("integer, 1")
    with pytest.raises(InputError, match="no column 'ident'"):
        diffuscope.train(frame, out=tmp_path / "x", steps=20, types={"ident": "id"})


def test_made_up_identifiers_are_distinct_over_pieces_of_a_large_sample(train, cli, tmp_path):
    frame = pd.DataFrame({"id": [f"A{i}" for i in range(100, 200)], "x": np.arange(100.0)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    run, _ = train(tmp_path / "t.csv")
    code, _, err = cli(
        "sample", run, "-n", 20_000, "-o", tmp_path / "new.parquet", "--steps", 1, "--sampler", "ddim"
    )
    assert (code, err) == (0, "")
    made = pd.read_parquet(tmp_path / "new.parquet")["id"]
    assert made.is_unique
    assert not set(made) & set(frame["id"])


@pytest.mark.parametrize(("names", "said"), [("0.5,b", True), ("x,kind", False), ("0.5,kind", False)])
def test_a_file_without_a_line_of_names_is_said_to_be_one(tmp_path, names, said):
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([names, *(f"{i / 7:.3f},{'abc'[i % 3]}" for i in range(30))]))
    tables = modality("table")
    notes = tables.training_notes(load_table(path))
    assert any("Add a line of names" in note for note in notes) == said
