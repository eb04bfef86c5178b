"""Can a file, a name or a number of a stranger hang a command, take all memory, or be answered by a fault?"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffuscope
from diffuscope.data import bounds
from diffuscope.data.columnar import read_rows
from diffuscope.errors import DiffuscopeError, FormatError, InputError, RunError, foreseen
from diffuscope.files import atomic_write, read_text
from diffuscope.recipes.toml import MOST_DEPTH, check_tree, parse_toml, read_value

TABLE_RUN = Path(__file__).parent / "formats" / "0.1.0" / "table"
MEMORY = 3_000_000_000  # of address space for a whole process with torch in it
GOOD = "a,b\n" + "\n".join(f"{i},{i * i % 7}" for i in range(20)) + "\n"


def assert_refused(code, out, err, expected=(1, 2)):
    assert code in expected, err
    assert out == ""
    assert err.startswith(("Error: ", "Usage: ")), err
    assert "This is a bug" not in err
    assert len(err.rstrip("\n").split("\n")) >= 2  # what is wrong, then what to do


# --- recipes -----------------------------------------------------------------------------------------------

RECIPES = {
    "dotted keys": "a" + ".a" * 30_000 + " = 1\n",
    "many dotted keys": "".join(f"k{i}" + ".a" * 900 + " = 1\n" for i in range(100)),
    "dotted keys in a table": "[" + "a." * 5_000 + "a]\n",
    "dotted keys in quotes": '"a"' + '."a"' * 5_000 + " = 1\n",
    "dotted keys with blanks": "a" + " . a" * 5_000 + " = 1\n",
    "dotted keys inside a table": "x = {" + "a." * 5_000 + "a = 1}\n",
    "lists in lists": "q = " + "[" * 20_000 + "]" * 20_000 + "\n",
    "tables in tables": "q = " + "{a=" * 20_000 + "1" + "}" * 20_000 + "\n",
    "5,000 digits": "seed = " + "9" * 5_000 + "\n",
    "100 digits": "seed = " + "9" * 100 + "\n",
    "a hexadecimal number": "seed = 0x" + "f" * 4_000 + "\n",
    "a long name": "n" * 100_000 + " = 1\n",
    "a long text": 'name = "' + "x" * 5_000_000 + '"\n',
    "lines": "\n" * 5_000_000,
    "tables": "".join(f"[t{i}]\n" for i in range(300_000)),
    "empty lists": "q = [" + "[]," * 300_000 + "]\n",
    "quotes": '"' * 1_000_000,
    "an open text with escapes": 'a = "' + '\\"' * 500_000,
    "an open long text": 'a = """' + '"" ' * 300_000,
    "nothing": "",
    "a number": "1",
    "control characters": "\x1b[2J = 1\n",
    "a null": 'name = "\\u0000"\n',
}


@pytest.mark.parametrize("kind", RECIPES)
def test_a_foreign_recipe_is_refused_in_words_and_little_memory(cli, tmp_path, kind):
    (tmp_path / "r.toml").write_text(RECIPES[kind])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code, out, err = cli("train", "s_curve", "--recipe", tmp_path / "r.toml", "--out", tmp_path / "run")
    assert_refused(code, out, err, expected=(2,))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", 10**10),
        ("training.steps", 10**10),
        ("training.batch_size", 2**30),
        ("training.checkpoint_every", 10**12),
        ("training.accumulate", 2**40),
        ("data.size", 10**12),
        ("loss.group", 2**40),
        ("sampling.steps", 10**7),
        ("pictures.forward_frames", 10**6),
        ("pictures.forward_ms", 10**9),
        ("pictures.reverse_ms", 10**9),
        ("pictures.reverse_every", 10**12),
        ("pictures.row_every", 10**12),
        ("network.width", 2**40),
        ("network.depth", 10**6),
        ("network.n_directions", 2**30),
        ("network.n_frequencies", 2**30),
        ("denoiser.factors", 10**6),
        ("seed", 2**70),
        ("seed", -1),
        ("data.divisor", "1e400"),
        ("training.learning_rate", "inf"),
    ],
)
def test_every_size_count_and_step_has_an_upper_bound(cli, tmp_path, monkeypatch, key, value):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("train", "s_curve", "--set", f"{key}={value}")
    assert_refused(code, out, err, expected=(2,))
    assert key.rpartition(".")[2] in err or "64 bits" in err
    assert not list(tmp_path.iterdir())


def test_sections_have_no_whole_number_without_an_upper_bound():
    from diffuscope.data.kinds import KINDS, section_of
    from diffuscope.recipes.schema import Recipe

    models = [section_of(kind) for kind in KINDS]
    models += [field.annotation for field in Recipe.model_fields.values() if field.annotation is not None]
    for model in models:
        if not hasattr(model, "model_json_schema"):
            continue
        for name, about in model.model_json_schema()["properties"].items():
            for one in [about, *about.get("anyOf", [])]:
                if one.get("type") == "integer":
                    assert "maximum" in one or "enum" in one, f"{model.__name__}.{name}"


def test_a_network_of_too_many_weights_is_refused_before_it_takes_memory(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("train", "s_curve", "--set", "width=65536", "--set", "depth=1000", "--steps", 1)
    assert_refused(code, out, err, expected=(2,))
    assert "weights" in err
    assert not list(tmp_path.iterdir())


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="[]{}.=,\"'#\n \\ab1_-x", max_size=400))
def test_any_text_is_toml_or_refused(text):
    try:
        tree = parse_toml(text, "the text")
    except FormatError:
        tree = {}
    check_tree(tree, "the text")
    assert read_value(text) is not None


@given(st.integers(0, 60), st.sampled_from(["[{}]", "{{a={}}}", "{{a.a={}}}"]))
def test_depth_is_counted_as_the_parser_nests(depth, form):
    text = "1"
    for _ in range(depth):
        text = form.format(text)
    if depth * (2 if "." in form else 1) <= MOST_DEPTH - 2:
        parse_toml(f"x = {text}", "the text")
    elif depth > MOST_DEPTH:
        with pytest.raises(DiffuscopeError, match="nested"):
            parse_toml(f"x = {text}", "the text")


@pytest.mark.parametrize("quote", ['"', "'", '"""', "'''"])
def test_what_stands_in_a_text_is_not_counted(quote):
    text = f"x = {quote}{'[' * 100}{'a.' * 100}{quote}\n# {'[' * 100}\ny = 1\n"
    assert parse_toml(text, "the text") == {"x": "[" * 100 + "a." * 100, "y": 1}


def test_recipes_of_large_tables_are_within_the_bounds():
    text = "".join(
        f'[[data.columns]]\nname = "column number {i}"\nkind = "number"\nabout = "number, 0.5 to 9.5"\n'
        for i in range(20_000)
    )
    assert len(parse_toml(text, "the text")["data"]["columns"]) == 20_000


# --- data files --------------------------------------------------------------------------------------------


def npy(descr, shape, body=b""):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + body


def npz(entries, level=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", level) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def bomb_npz(size=10):
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as entry,
    ):
        entry.write(npy("<f8", (size * 2**16, 2)))
        for _ in range(size):
            entry.write(bytes(2**20))
    return buffer.getvalue()


def bomb_gz():
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb") as file:
        file.write(b"a,b\n")
        for _ in range(10):
            file.write(b"1,2\n" * 2**18)
    return buffer.getvalue()


def bomb_parquet():
    buffer = io.BytesIO()
    table = pa.table({"a": np.zeros(2**19), "b": np.zeros(2**19)})
    with pq.ParquetWriter(buffer, table.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(2):
            writer.write_table(table)
    return buffer.getvalue()


def flat_parquet():
    """Rows that are a few bytes in the file, because all values are one."""
    buffer = io.BytesIO()
    table = pa.table({"a": pa.array(np.zeros(2**20, np.int8)), "b": pa.array(np.zeros(2**20, np.int8))})
    with pq.ParquetWriter(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def bomb_xlsx():
    book, plain, made = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    book.active.append(["a", "b"])
    book.active.append([1, 2])
    book.save(plain)
    row = b'<row><c t="n"><v>1</v></c><c t="n"><v>2</v></c></row>' * 2**14
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            content = source.read(name)
            if "sheet1" not in name:
                archive.writestr(name, content)
                continue
            at = content.index(b"</sheetData>")
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(content[:at])
                for _ in range(10):
                    entry.write(row)
                entry.write(content[at:])
    return made.getvalue()


FILES = {
    "bomb.npz": bomb_npz,
    "bomb.csv.gz": bomb_gz,
    "bomb.parquet": bomb_parquet,
    "flat.parquet": flat_parquet,
    "bomb.xlsx": bomb_xlsx,
    "huge.npy": lambda: npy("<f8", (2**40, 2)),
    "wide.npy": lambda: npy("<U100000000", (1,)),
    "empty_items.npy": lambda: npy("|V0", (2**40,)),
    "axes.npy": lambda: npy("<f8", (0,) * 30),
    "overflow.npy": lambda: npy("<f8", (2**63, 2**63)),
    "short.npy": lambda: npy("<f8", (100, 2), b"123"),
    "objects.npy": lambda: npy("|O", (3,), b"abc"),
    "huge.npz": lambda: npz({"x.npy": npy("<f8", (2**40, 2))}),
    "empty_items.npz": lambda: npz({"x.npy": npy("|V0", (2**40,))}),
    "names.npz": lambda: npz({"x.npy": npy("<f8", (2, 2), bytes(32)), "columns.npy": npy("<U9", (2**40,))}),
    "no_array.npz": lambda: npz({"x": b"hello"}),
    "no_header.npz": lambda: npz({"x.npy": b"\x93NUMPY"}),
    "images.npz": lambda: npz({"images.npy": npy("|u1", (2**30, 64, 64))}),
    "digits.csv": lambda: ("a,b\n" + "9" * 5000 + ",1\n" + "8" * 5000 + ",2\n").encode(),
    "one_line.csv": lambda: b"a," * 100_000,
    "nulls.csv": lambda: b"a,b\n" + b"\x00,\x00\n" * 50,
    "utf7.csv": lambda: b"a,b\n+2AA-,1\n+2AA-,2\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_data_file_that_means_harm_is_read_or_refused_in_words(cli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bounds, "BOMB_BYTES", 2**22)  # smaller bombs will do
    (tmp_path / name).write_bytes(FILES[name]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    words = ["--steps", 2, "--no-pictures", "--set", "sampling.steps=2", "--recipe", "fast"]
    code, out, err = cli("train", f"./{name}", *words)
    assert_refused(code, out, err)
    assert name in err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 900_000  # kB
    assert [path.name for path in tmp_path.iterdir()] == [name]


@contextlib.contextmanager
def within(seconds):
    """Fail where the block waits: a pipe that nobody writes to never begins."""

    def late(*_):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("command", ["train", "recipe", "held-out", "impute", "import", "evaluate"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_no_files(cli, run_dir, tmp_path, monkeypatch, command, kind):
    monkeypatch.chdir(tmp_path)

    def place(name):
        path = tmp_path / name
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
        return str(path)

    def folder_of(path):
        return str(Path(path).parent)

    words = {
        "train": lambda: ["train", place("x.csv")],
        "recipe": lambda: ["train", "s_curve", "--recipe", place("x.toml")],
        "held-out": lambda: ["evaluate", str(run_dir), "--held-out", place("x.npy")],
        "impute": lambda: ["impute", str(TABLE_RUN), place("x.csv"), "-o", "y.csv"],
        "import": lambda: ["import", folder_of(place("config.json")), "-o", "y"],
        "evaluate": lambda: ["evaluate", folder_of(place("model.safetensors"))],
    }[command]()
    with within(60):
        code, out, err = cli(*words)
    assert_refused(code, out, err, expected=(2,))


@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl"])
def test_a_pipe_in_a_run_is_said(run_dir, tmp_path, name):

    run = shutil.copytree(run_dir, tmp_path / "run")
    (run / name).unlink()
    os.mkfifo(run / name)
    opened = diffuscope.load(run, device="cpu")
    with pytest.raises(FormatError, match="regular"):
        _ = opened.summary if name == "summary.json" else opened.metrics


def test_a_text_is_read_within_its_bound(tmp_path):
    (tmp_path / "x").write_text("12345")
    assert read_text(tmp_path / "x", 5) == "12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_text(tmp_path / "x", 4)


@pytest.mark.parametrize("depth", [40, 1000])
def test_folders_in_folders_end_somewhere(cli, tmp_path, depth):
    here = Path.cwd()
    try:
        os.chdir(tmp_path)
        for _ in range(depth):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(here)
    code, out, err = cli("train", tmp_path / "d", "--out", tmp_path / "run")
    assert_refused(code, out, err, expected=(2,))
    assert "nested" in err
    code, out, err = cli("train", "--resume", "--out", tmp_path / "d")
    assert_refused(code, out, err, expected=(2,))

    sys.setrecursionlimit(10_000)
    shutil.rmtree(tmp_path / "d")
    sys.setrecursionlimit(1000)


def test_a_compressed_table_that_is_ordinary_is_read(tmp_path):
    with gzip.open(tmp_path / "x.csv.gz", "wt") as file:
        file.write("a,b\n" + "1,2\n" * 1000)
    assert len(read_rows(tmp_path / "x.csv.gz")) == 1000


@pytest.mark.parametrize(
    ("packed", "unpacked", "refused"),
    [
        (1, 2**28, False),
        (2**20, 2**29, True),
        (2**27, 2**30, False),
        (0, 2**29, True),
        (2**22, 2**28 + 1, False),
    ],
)
def test_so_many_bytes_are_not_believed_of_so_few(tmp_path, packed, unpacked, refused):
    if refused:
        with pytest.raises(FormatError, match="would unpack"):
            bounds.check_unpacked(tmp_path, packed, unpacked)
    else:
        bounds.check_unpacked(tmp_path, packed, unpacked)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**62))
def test_any_header_of_an_array_is_read_or_refused(content, size):
    with_magic = b"\x93NUMPY" + content
    for data in (content, with_magic):
        with contextlib.suppress(FormatError):
            bounds.check_npy(io.BytesIO(data), size, "the file")


# --- safetensors -------------------------------------------------------------------------------------------


def with_header(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


TENSORS = {
    "deep": with_header(b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "huge length": (2**63).to_bytes(8, "little") + b"{}",
    "long length": (2**27).to_bytes(8, "little") + b"{}",
    "huge shape": with_header(
        {"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, bytes(4)
    ),
    "negative": with_header({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
    "overlap": with_header(
        {
            "x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "y": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        },
        bytes(4),
    ),
    "beyond": with_header(
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": [2**60, 2**60 + 4]}}, bytes(4)
    ),
    "no object": with_header(b"[1, 2]"),
    "numbers as text": with_header({"__metadata__": {"format": 1}}),
    "only text": with_header({"__metadata__": {"format": "diffuscope-model-1"}}),
    "empty": b"",
    "escapes": with_header({"__metadata__": {"format": "\x1b[2J\u202e"}}),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_model_file_that_means_harm_is_refused_in_words(cli, tmp_path, kind):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(TENSORS[kind])
    code, out, err = cli("sample", run, "-o", tmp_path / "x.csv")
    assert_refused(code, out, err, expected=(2,))
    assert "\x1b" not in err


@pytest.mark.parametrize(
    "recipe", ["dotted keys", "lists in lists", "5,000 digits", "a long name", "tables"], ids=str
)
def test_the_recipe_inside_of_a_model_is_bounded_as_well(cli, tmp_path, recipe):
    from diffuscope.tensors import save_tensors

    metadata = {"recipe": RECIPES[recipe], "codec": "{}"}
    (tmp_path / "run").mkdir()
    save_tensors(tmp_path / "run" / "model.safetensors", {"x": torch.zeros(1)}, _model_format(), metadata)
    code, out, err = cli("sample", tmp_path / "run", "-o", tmp_path / "x.csv")
    assert_refused(code, out, err, expected=(2,))


def _model_format():
    from diffuscope import model

    return model._FORMAT


@pytest.mark.parametrize(
    "codec", ["[" * 100_000, "{}", "[]", "1", '{"kind": "points", "shape": [1e400]}', ""]
)
def test_the_codec_inside_of_a_model_is_checked(cli, run_dir, tmp_path, codec):
    from diffuscope.tensors import save_tensors

    (tmp_path / "run").mkdir()
    metadata = {"recipe": (run_dir / "recipe.toml").read_text(), "codec": codec}
    save_tensors(tmp_path / "run" / "model.safetensors", {"x": torch.zeros(1)}, _model_format(), metadata)
    code, out, err = cli("sample", tmp_path / "run", "-o", tmp_path / "x.csv")
    assert_refused(code, out, err, expected=(2,))


# --- names and places --------------------------------------------------------------------------------------

BYTES = b"b\xff\xfed"


def test_names_of_250_bytes_are_written_and_read(cli, run_dir, tmp_path):

    run = shutil.copytree(run_dir, tmp_path / ("r" * 250))
    for suffix in (".csv", ".csv.gz", ".png", ".npz"):
        out = tmp_path / ("x" * (250 - len(suffix)) + suffix)
        code, _, err = cli("sample", run, "-n", 20, "-o", out, "--steps", 2)
        assert (code, err) == (0, "")
        assert out.is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("length", [256, 5000])
@pytest.mark.parametrize("command", ["train", "recipe", "sample", "out", "run"])
def test_names_that_are_too_long_are_said(cli, run_dir, tmp_path, monkeypatch, command, length):
    monkeypatch.chdir(tmp_path)
    long = "x" * length
    words = {
        "train": ["train", f"{long}.csv"],
        "recipe": ["train", "s_curve", "--recipe", f"{long}.toml"],
        "sample": ["sample", long, "-o", "x.csv"],
        "out": ["sample", run_dir, "-n", 5, "--steps", 1, "-o", f"{long}.csv"],
        "run": ["train", "s_curve", "--steps", 1, "--no-pictures", "--out", long],
    }[command]
    code, out, err = cli(*words)
    assert_refused(code, out, err)
    assert not list(tmp_path.iterdir())


def test_a_default_run_on_data_with_a_long_name_has_a_name(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "x" * 250 + ".csv"
    (tmp_path / name).write_text(GOOD)
    code, out, err = cli("train", name, "--recipe", "fast", "--steps", 2, "--no-pictures")
    assert code == 0, err
    assert "\nrun         runs/xxx" in out


def test_names_that_are_not_utf_8_are_written_and_read(cli, run_dir, tmp_path):

    run = shutil.copytree(run_dir, tmp_path / os.fsdecode(BYTES))
    for suffix in (".csv", ".npz", ".parquet", ".png"):
        out = tmp_path / (os.fsdecode(BYTES) + suffix)
        code, said, err = cli("sample", run, "-n", 20, "-o", out, "--steps", 2)
        assert (code, err) == (0, "")
        assert "b\\xff\\xfed" in said
        assert out.is_file()
        if suffix != ".png":
            assert len(diffuscope.load_dataset(out).x) == 20


def test_a_source_that_cannot_be_kept_in_a_recipe_is_refused_before_training(cli, tmp_path):
    data = tmp_path / (os.fsdecode(BYTES) + ".csv")
    data.write_text(GOOD)
    code, out, err = cli("train", data, "--recipe", "fast", "--out", tmp_path / "run")
    assert_refused(code, out, err, expected=(2,))
    assert "UTF-8" in err
    assert "\\xff\\xfe" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["list", "settings"], ["--help"], ["train", "--help"], ["--version"]])
def test_a_full_disk_behind_standard_output_is_said(tmp_path, words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "diffuscope", *words], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "No space left on device" in done.stderr
    assert "This is a bug" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_full_disk_behind_standard_error_changes_no_exit_code(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "diffuscope", "list", "nothing"], stdout=subprocess.PIPE, stderr=full
        )
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_is_not_replaced_by_a_file(cli, run_dir, tmp_path, kind):
    out = tmp_path / "x.csv"
    os.mkfifo(out) if kind == "pipe" else out.symlink_to("/dev/full")
    code, said, err = cli("sample", run_dir, "-n", 20, "--steps", 1, "-o", out, "--force")
    assert_refused(code, said, err, expected=(1,))
    assert "pipe or a device" in err
    assert out.is_fifo() if kind == "pipe" else out.is_symlink()
    with pytest.raises(RunError, match="pipe or a device"), atomic_write(out):
        pass


# --- numbers -----------------------------------------------------------------------------------------------

DIGITS = "9" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["train", "s_curve", "--seed", DIGITS],
        ["train", "s_curve", "--steps", DIGITS],
        ["train", "s_curve", "--size", DIGITS],
        ["train", "s_curve", "--noise", DIGITS],
        ["train", "s_curve", "--set", f"seed={DIGITS}"],
        ["train", "s_curve", "--set", f"width={DIGITS}"],
        ["train", "s_curve", "--set", f"learning_rate={DIGITS}"],
        ["train", "s_curve", "--set", f"width=0x{'f' * 3000}"],
        ["train", "s_curve", "--set", f"width={'[' * 3000}"],
        ["train", "s_curve", "--set", f"{'a.' * 3000}a=1"],
        ["train", "s_curve", "--set", f"width={'{a=' * 3000}"],
        ["train", DIGITS],
        ["sample", "RUN", "-o", "x.csv", "-n", DIGITS],
        ["sample", "RUN", "-o", "x.csv", "-n", "9" * 30],
        ["sample", "RUN", "-o", "x.csv", "--steps", DIGITS],
        ["sample", "RUN", "-o", "x.csv", "--seed", DIGITS],
        ["sample", "RUN", "-o", "x.csv", "--set", f"eta={DIGITS}"],
        ["sample", "RUN", "-o", "x.csv", "--y", DIGITS],
        ["sample", "RUN", "-o", "x.csv", "--guidance", DIGITS],
        ["sample", "RUN", "-o", "x.csv", "--interval", f"{DIGITS},{DIGITS}"],
        ["compare", "s_curve", "--seeds", "9" * 30],
        ["compare", "s_curve", "--set", f"training.steps={DIGITS}"],
        ["list", DIGITS],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_numbers_of_any_length_are_refused_in_words(cli, run_dir, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(*[str(run_dir) if word == "RUN" else word for word in words])
    assert_refused(code, out, err, expected=(2,))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (MemoryError(), RunError, "not enough memory"),
        (MemoryError("Unable to allocate 4 GiB"), RunError, "4 GiB"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), RunError, "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), RunError, "memory"),
        (pa.lib.ArrowMemoryError("malloc of size 9 failed"), RunError, "memory"),
        (RecursionError("maximum recursion depth exceeded"), FormatError, "nested too deeply"),
        (OSError(28, "No space left on device", "x"), RunError, "x: No space left"),
        (OSError(36, "File name too long"), InputError, "File name too long"),
        (PermissionError(13, "Permission denied", "a", None, "b"), RunError, "a and b: Permission"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), InputError, "UTF-8"),
        (ValueError("Exceeds the limit (4300 digits) for integer string conversion"), InputError, "digits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_system_refuses_is_a_sentence(error, kind, said):
    found = foreseen(error)
    assert type(found) is kind
    assert said in found.what
    assert found.hint


@pytest.mark.parametrize(
    "error", [ValueError("no"), ZeroDivisionError(), RuntimeError("shape"), KeyError("x")]
)
def test_faults_of_our_own_stay_what_they_are(error):
    assert foreseen(error) is None


@pytest.mark.slow
def test_lack_of_memory_ends_in_a_sentence(tmp_path):
    """With a budget for the whole process that the data does not fit into."""
    header = npy("<f8", (200_000_000, 4))
    with (tmp_path / "x.npy").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 200_000_000 * 4 * 8)  # no block of the disk is used
    done = subprocess.run(
        [sys.executable, "-m", "diffuscope", "train", "x.npy", "--steps", "1", "--no-pictures"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    assert_refused(done.returncode, done.stdout, done.stderr, expected=(1,))
    assert "not enough memory" in done.stderr


def test_check_tree_says_what_cannot_be_stored():
    with pytest.raises(InputError, match="UTF-8"):
        check_tree({"a": ["b", {"c\udcff": 1}]}, "x")
    with pytest.raises(InputError, match="64 bits"):
        check_tree([2**63], "x")
    check_tree({"a": [2**63 - 1, -(2**63), True, None, 1e300]}, "x")


def test_frames_with_large_values_are_not_taken_for_bombs(tmp_path):
    frame = pd.DataFrame({"a": np.arange(1000.0), "b": 1})
    frame.to_parquet(tmp_path / "x.parquet")
    assert len(read_rows(tmp_path / "x.parquet")) == 1000


@pytest.mark.parametrize("form", ["%Y%Y%Y", "%q", "%", "", "%d/%m/%Y %d", "%-d %d", "%Y" * 90, "x" * 300])
def test_a_format_of_dates_that_is_none_is_refused(cli, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("d,x\n" + "\n".join(f"{i % 28 + 1:02d}.01.2020,{i}" for i in range(40)))
    for words in (["--date-format", form], ["--date-format", f"d={form}"]):
        code, out, err = cli("train", "t.csv", "--steps", 1, "--no-pictures", *words)
        if form:  # none is recognised
            assert_refused(code, out, err, expected=(2,))
