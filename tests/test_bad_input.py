"""Whatever a person gets wrong: is it said what, where and what to do, with nothing lost or left behind?"""

from __future__ import annotations

import os
import pickle
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

GOOD = "a,b\n" + "\n".join(f"{i},{i * i % 7}" for i in range(20)) + "\n"

DATA = {
    "empty.csv": (b"", "empty"),
    "header.csv": (b"a,b\n", "empty|no rows|0 rows"),
    "one_row.csv": (b"a,b\n1,2\n", "one row"),
    "missing.csv": (GOOD.replace("3,2", "3,").encode(), "missing"),
    "infinite.csv": (GOOD.replace("3,2", "3,inf").encode(), "infinite"),
    "constant.csv": (b"a,b\n" + b"".join(b"%d,5\n" % i for i in range(9)), "same value in every row of .*b"),
    "text.csv": (GOOD.replace("3,2", "3,red").encode(), "red|text|number"),
    "ragged.csv": (GOOD.replace("3,2", "3,2,9,9").encode(), "row|line|field|column"),
    "binary.csv": (b"\x00\xff\xfe\x80" * 30, "text|UTF-8|read"),
    "broken.npy": (b"\x93NUMPY\x01\x00", "corrupt|truncated|damaged|read|cut"),
    "pickle.npy": (pickle.dumps(print), "pickle|corrupt|read|not"),
    "broken.npz": (b"PK\x03\x04nothing", "corrupt|truncated|damaged|read|cut|not"),
    "broken.parquet": (b"PAR1....", "corrupt|truncated|damaged|read|cut|not"),
    "picture.jpeg": (b"\xff\xd8\xff", "format|jpeg|suffix|ending"),
    "no_suffix_at_all.": (b"1,2", "format|suffix|ending|read"),
}


def assert_clean(code, out, err, expected=2):
    assert code == expected, err
    assert out == ""
    assert err.startswith(("Error: ", "Usage: "))
    lines = err.rstrip("\n").split("\n")
    assert len(lines) >= 2, err  # what is wrong, then what to do


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_modelled_is_said_and_nothing_is_made(cli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, words = DATA[name]
    (tmp_path / name).write_bytes(content)
    code, out, err = cli("train", f"./{name}", "--recipe", "fast", "--no-pictures")
    assert_clean(code, out, err)
    assert name in err
    assert re.search(words, err), err
    assert [path.name for path in tmp_path.iterdir()] == [name]


TABLES = {
    **{
        name: DATA[name]
        for name in DATA
        if name not in ("missing.csv", "constant.csv", "one_row.csv", "text.csv")
    },
    "one_row.csv": (b"a,b\n1,2\n", "nothing to learn"),
    "constants.csv": (b"a,b\n" + b"1,x\n" * 9, "nothing to learn"),
    "identifiers.csv": (b"a,b\n" + b"".join(b"1,id-%d\n" % i for i in range(2000)), "'b'.*identifiers"),
    "texts.csv": (
        b"a\n" + b"".join(b"%d-x\n" % (i // 2) for i in range(4000)),
        "(?s)'a'.*2000.*--types a=id",
    ),
    "words.csv": (
        b"a\n" + b"".join(b"%d.5\n" % i for i in range(99)) + b"red\n",
        "(?s)'a'.*'red'.*--missing",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_modelled_is_said_and_nothing_is_made(cli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, words = TABLES[name]
    (tmp_path / name).write_bytes(content)
    code, out, err = cli("train", f"./{name}", "--no-pictures", "--steps", 5)
    assert_clean(code, out, err)
    assert name in err
    assert re.search(words, err), err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_array_of_five_axes_is_refused(cli, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 3, 2, 2, 2)))
    code, out, err = cli("train", tmp_path / "x.npy", "--out", tmp_path / "run")
    assert_clean(code, out, err)
    assert "(4, 3, 2, 2, 2)" in err


def test_arrays_of_mixed_shapes_are_refused(cli, tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros((4, 2)), b=np.zeros((5, 3)))
    code, out, err = cli("train", tmp_path / "x.npz", "--out", tmp_path / "run")
    assert_clean(code, out, err)
    assert not (tmp_path / "run").exists()


TRAIN = [
    (["s_curv"], "Did you mean 's_curve'"),
    (["./nothing.csv"], "nothing.csv"),
    ([], "No training data"),
    (["s_curve", "--recipe", "artcle"], "Did you mean 'article'"),
    (["s_curve", "--recipe", "none.toml"], "no recipe file none.toml"),
    (["s_curve", "--schedule", "cosin"], "Did you mean 'cosine'"),
    (["s_curve", "--sampler", "hun"], "Did you mean 'heun'"),
    (["s_curve", "--set", "sampling.spacing=karas"], "karras"),
    (["s_curve", "--set", "training.lerning_rate=1"], "Did you mean 'learning_rate'"),
    (["s_curve", "--set", "trainin.steps=1"], "Did you mean 'training'"),
    (["s_curve", "--set", "network.widht=1"], "Did you mean 'width'"),
    (["s_curve", "--set", "nonsense"], "'nonsense' is not of the form"),
    (["s_curve", "--set", "=3"], "is not of the form"),
    (["s_curve", "--set", "training.steps.x=3"], "training.steps.x"),
    (["s_curve", "--set", "network.width=wide"], "width = 'wide'"),
    (["s_curve", "--epochs", "0"], "training.epochs"),
    (["s_curve", "--epochs", "-5"], "training.epochs"),
    (["s_curve", "--steps", "0"], "training.steps"),
    (["s_curve", "--epochs", "1", "--steps", "1"], "epochs and steps cannot both"),
    (["s_curve", "--sampling-steps", "0"], "sampling.steps"),
    (["s_curve", "--recipe", "article", "--sampling-steps", "101"], "T = 100"),
    (["s_curve", "--recipe", "article", "--set", "schedule.end=1.5"], "beta"),
    (["s_curve", "--recipe", "article", "--set", "schedule.start=-0.1"], "beta"),
    (["s_curve", "--recipe", "article", "--set", "schedule.T=0"], "T = 0"),
    (["s_curve", "--recipe", "article", "--schedule", "edm"], "needs a discrete schedule"),
    (["s_curve", "--recipe", "article", "--zero-terminal-snr"], "Predict velocity"),
    (["s_curve", "--size", "1"], "size"),
    (["s_curve", "--size", "-1"], "size"),
    (["s_curve", "--noise", "-1"], "noise"),
    (["s_curve", "--noise", "nan"], "noise"),
    (["good.csv", "--noise", "0.1"], "your own data"),
    (["good.csv", "--size", "5"], "your own data"),
    (["s_curve", "--seed", "-1"], "seed"),
    (["s_curve", "--seed", str(2**40)], "seed"),
    (["s_curve", "--device", "tpu"], "'tpu' is not available"),
    (["s_curve", "--resume"], "No run to resume"),
    (["s_curve", "--resume", "--out", "nothing"], "no run to resume in nothing"),
]


@pytest.mark.parametrize(("words", "said"), TRAIN, ids=[" ".join(words) for words, _ in TRAIN])
def test_train_refuses_what_cannot_be_and_makes_nothing(cli, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(GOOD)
    code, out, err = cli("train", *words)
    assert_clean(code, out, err)
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["good.csv"]


SAMPLE = [
    (["-n", "0"], "at least 1, not 0"),
    (["-n", "-5"], "at least 1, not -5"),
    (["--steps", "0"], "0 steps"),
    (["--steps", "-2"], "-2 steps"),
    (["--steps", str(10**15)], "too many"),
    (["--sampler", "hun"], "Did you mean 'heun'"),
    (["--spacing", "karas"], "Did you mean 'karras'"),
    (["--set", "eta=1"], "eta"),
    (["--sampler", "ddim", "--set", "eta=big"], "eta = 'big'"),
    (["--set", "eta"], "'eta' is not of the form"),
    (["--seed", "-1"], "seed"),
    (["--device", "cuda:77"], "is not available"),
]


@pytest.mark.parametrize(("words", "said"), SAMPLE, ids=[" ".join(words) for words, _ in SAMPLE])
def test_sample_refuses_what_cannot_be_and_makes_nothing(cli, run_dir, tmp_path, words, said):
    code, out, err = cli("sample", run_dir, "-o", tmp_path / "x.csv", *words)
    assert_clean(code, out, err)
    assert said in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.doc", "x", "x.csv.zip", "x.jpg"])
def test_an_unknown_format_is_refused_with_those_that_there_are(cli, run_dir, tmp_path, name):
    code, out, err = cli("sample", run_dir, "-o", tmp_path / name)
    assert_clean(code, out, err)
    assert ".parquet" in err
    code, out, err = cli("animate", run_dir, "-o", tmp_path / name)
    assert_clean(code, out, err)
    assert ".gif" in err
    assert not list(tmp_path.iterdir())


USAGE = [
    ["train", "s_curve", "--epochs", "many"],
    ["train", "s_curve", "--epoch", "3"],
    ["train", "s_curve", "moons"],
    ["sample", "runs/x"],
    ["sample"],
    ["sample", "runs/x", "-o", "x.csv", "-n", "many"],
    ["animate"],
    ["list"],
    ["tain"],
    ["--nonsense"],
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_words_that_make_no_command_are_said_with_the_usage(cli, words):
    code, out, err = cli(*words)
    assert_clean(code, out, err)
    assert err.startswith("Usage: diffuscope")
    assert "Error: " in err


def test_an_unknown_list_gets_the_nearest_name(cli):
    code, out, err = cli("list", "sampler")
    assert_clean(code, out, err)
    assert "Did you mean 'samplers'" in err


@pytest.mark.parametrize("command", ["sample", "animate"])
def test_a_run_that_is_not_there_or_not_finished_is_said(cli, tmp_path, command):
    for path, said in ((tmp_path / "nothing", "no run directory"), (tmp_path, "has no trained model")):
        code, out, err = cli(command, path, "-o", tmp_path / ("x.csv" if command == "sample" else "x.gif"))
        assert_clean(code, out, err)
        assert said in err
        assert str(path) in err
    assert not list(tmp_path.iterdir())


MODELS = {
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "flipped": lambda whole: whole[:-9] + bytes([whole[-9] ^ 16]) + whole[-8:],
    "foreign": lambda whole: pickle.dumps({"weights": [1, 2]}),
    "text": lambda whole: b"hello",
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_damaged_or_foreign_model_is_said(cli, run_dir, tmp_path, kind):
    run = shutil.copytree(run_dir, tmp_path / "run")
    file = run / "model.safetensors"
    file.write_bytes(MODELS[kind](file.read_bytes()))
    code, out, err = cli("sample", run, "-o", tmp_path / "x.csv")
    assert_clean(code, out, err)
    assert str(file) in err
    assert not (tmp_path / "x.csv").exists()


def test_an_existing_run_directory_is_refused_and_not_touched(cli, run_dir, tmp_path, tiny_words):
    run = shutil.copytree(run_dir, tmp_path / "run")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir() if path.is_file()}
    code, out, err = cli("train", "s_curve", "--out", run, *tiny_words)
    assert_clean(code, out, err)
    assert "already exists" in err
    assert {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir() if path.is_file()
    } == before


def test_a_loss_that_is_not_finite_is_a_failed_run(cli, tmp_path, tiny_words):
    words = ["--set", "training.learning_rate=1e30", "--set", "training.checkpoint_every=1"]
    code, out, err = cli("train", "s_curve", "--out", tmp_path / "run", *tiny_words, *words, "--steps", 500)
    assert_clean(code, out, err, expected=1)
    assert "Error: The loss of step" in err
    assert "Likely: a learning rate of" in err
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert not list((tmp_path / "run").rglob(".diffuscope-*"))


def limited(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
def test_no_space_left_for_samples_leaves_nothing_half_written(run_dir, tmp_path, shell):
    out = tmp_path / "x.npy"
    out.write_bytes(b"old")
    words = ["sample", run_dir, "-n", 20_000, "--steps", 1, "-o", out, "--force"]
    done = shell(*words, preexec_fn=limited(10_000))
    assert_clean(done.returncode, done.stdout, done.stderr, expected=1)
    assert "Traceback" not in done.stderr
    assert f"No space left for {out}" in done.stderr
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "npz", "png", "npy"])
def test_no_space_left_in_the_last_moment_leaves_the_old_file(cli, run_dir, tmp_path, monkeypatch, suffix):
    def full(*_):
        raise OSError(28, "No space left on device")

    out = tmp_path / f"x.{suffix}"
    out.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", full)
    code, stdout, err = cli("sample", run_dir, "-n", 50, "--steps", 1, "-o", out, "--force")
    assert_clean(code, stdout, err, expected=1)
    assert "No space left" in err
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("number", [13, 30])
def test_a_folder_that_may_not_be_written_to_is_said(cli, tmp_path, monkeypatch, tiny_words, number):
    def denied(self, *_, **__):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", denied)
    code, out, err = cli("train", "s_curve", "--out", tmp_path / "run", *tiny_words)
    assert_clean(code, out, err, expected=1)
    assert os.strerror(number) in err
    assert str(tmp_path / "run") in err
    assert not list(tmp_path.iterdir())


def test_a_read_only_folder_for_samples_is_said(cli, run_dir, tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_bytes", denied)
    monkeypatch.setattr("os.replace", denied)
    code, out, err = cli("sample", run_dir, "-n", 50, "--steps", 1, "-o", tmp_path / "x.csv")
    assert_clean(code, out, err, expected=1)
    assert f"No permission to write {tmp_path / 'x.csv'}" in err
    assert not list(tmp_path.iterdir())


def test_a_fault_of_ours_is_said_without_a_traceback(cli, monkeypatch):
    def fault():
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("diffuscope.cli.listing._recipes", fault)
    code, out, err = cli("list", "recipes")
    assert_clean(code, out, err, expected=1)
    assert "ZeroDivisionError: by zero" in err
    assert "--debug" in err


def test_debug_shows_the_traceback(shell, tmp_path):
    plain, debug = shell("list", "sampler"), shell("list", "sampler", "--debug")
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    assert debug.returncode != 0
    assert debug.stderr.startswith("Traceback")
    assert "Did you mean 'samplers'" in debug.stderr


def test_a_reader_that_goes_away_is_no_fault(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m diffuscope.cli list datasets | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_an_excel_table_by_another_name_is_said(cli, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"PK\x03\x04" + bytes(range(256)))
    code, out, err = cli("train", tmp_path / "x.csv", "--out", tmp_path / "run")
    assert_clean(code, out, err)
    assert not (tmp_path / "run").exists()


def test_a_frame_with_dates_is_no_set_of_points(tmp_path, cli):
    frame = pd.DataFrame({"when": pd.date_range("2020-01-01", periods=9), "x": range(9)})
    frame.to_parquet(tmp_path / "x.parquet")
    code, out, err = cli("train", tmp_path / "x.parquet", "--recipe", "fast", "--out", tmp_path / "run")
    assert_clean(code, out, err)
    assert "when" in err
