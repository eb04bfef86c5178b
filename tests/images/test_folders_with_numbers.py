"""Are folders of images conditioned on the columns of the table beside them, whatever that table holds?"""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import diffuscope
from diffuscope.data.images import load_images
from diffuscope.errors import DiffuscopeError, FormatError, InputError
from diffuscope.modalities.recognition import modality

TINY = {
    "network.width": 8,
    "network.multipliers": [1],
    "network.blocks": 1,
    "network.head_width": 8,
    "training.steps": 2,
    "training.batch_size": 16,
    "sampling.steps": 2,
    "sampling.precision": "float32",
}
N = 6


def write(path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)


def table(folder, columns, name: str = "metadata.csv") -> None:
    frame = pd.DataFrame(columns)
    frame.to_csv(folder / name, index=False) if name.endswith(".csv") else frame.to_parquet(folder / name)


def filled(folder, n: int = N, **columns):
    """Write n images of grey levels 0, 6, ... into a folder, the last half into ``b``, and a table."""
    paths = [f"{i}.png" if i < n // 2 else f"b/{i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        write(folder / path, 6 * i)
    columns = {"file_name": paths, "angle": np.arange(n) / 4, **columns}
    order = np.random.default_rng(0).permutation(n)  # rows come in any order
    table(folder, {name: [values[i] for i in order] for name, values in columns.items()})
    return folder


def levels(data) -> list[int]:
    return data.x[:, 0, 0, 0].tolist()


# --- what is read -----------------------------------------------------------------------------------------


def test_each_image_has_the_numbers_of_its_row(tmp_path):
    filled(tmp_path, dose=[5, 4, 3, 2, 1, 0])
    for _ in range(2):  # decoded, and opened again
        data = load_images(tmp_path, target="angle")
        assert data.labels[:, 0].tolist() == [level / 24 for level in levels(data)]
        assert (data.numbers.names, data.classes) == (("angle",), ())
    for target in ("dose,angle", "dose, angle", ["dose", "angle"]):
        both = load_images(tmp_path, target=target)
        assert both.numbers.names == ("dose", "angle")
        assert both.labels.tolist() == [[5 - level / 6, level / 24] for level in levels(both)]


def test_text_and_whole_numbers_of_few_values_are_classes(tmp_path):
    filled(tmp_path, kind=["cat", "dog"] * 3, stage=[3, 1, 3, 1, 3, 1], on=[True, False] * 3)
    for target, names in (("kind", ("cat", "dog")), ("stage", ("1", "3")), ("on", ("False", "True"))):
        data = load_images(tmp_path, target=target)
        assert (data.classes, data.numbers) == (names, None)
        said = f"2 classes: {names[0]} (3), {names[1]} (3)."
        assert data.label_type.note(data.labels) == said
    first = load_images(tmp_path, target="kind")
    assert [first.classes[i] for i in first.labels] == [
        ["cat", "dog"][level // 6 % 2] for level in levels(first)
    ]
    assert load_images(tmp_path, target="stage", condition="numbers").numbers.names == ("stage",)


def test_a_parquet_table_is_one_as_well_and_two_are_refused(tmp_path):
    filled(tmp_path)
    pd.read_csv(tmp_path / "metadata.csv").to_parquet(tmp_path / "metadata.parquet")
    with pytest.raises(InputError, match=r"two tables: metadata\.\w+ and metadata\.\w+"):
        load_images(tmp_path, target="angle")
    (tmp_path / "metadata.csv").unlink()
    assert load_images(tmp_path, target="angle").labels.shape == (N, 1)


@pytest.mark.parametrize("inside", [True, False])
def test_parts_have_tables_of_their_own_or_one_above_them(tmp_path, inside):
    for part in ("train", "val"):
        filled(tmp_path / part, 4)
    if not inside:
        rows = [
            {"file_name": f"{part}/{name}", "angle": angle}
            for part in ("train", "val")
            for name, angle in pd.read_csv(tmp_path / part / "metadata.csv").to_numpy()
        ]
        for part in ("train", "val"):
            (tmp_path / part / "metadata.csv").unlink()
        table(tmp_path, rows)
    data = load_images(tmp_path, target="angle")
    assert data.labels[:, 0].tolist() == [0, 0.25, 0.5, 0.75]
    assert (len(data.held_out.x), data.held_out.labels) == (4, None)
    assert not [note for note in data.notes if "no such images" in note or "no images" in note]
    assert len(load_images(tmp_path, target="angle", split="val").labels) == 4
    assert load_images(tmp_path).labels is None


def test_without_a_target_subfolders_are_classes_and_the_columns_are_said(tmp_path):
    for i in range(4):
        write(tmp_path / "ab"[i % 2] / f"{i}.png", 0)
    table(tmp_path, {"file_name": ["a/0.png"], "angle": [1.5], "dose, mg": [2]})
    data = load_images(tmp_path)
    assert data.classes == ("a", "b")
    assert [note for note in data.notes if "--target" in note] == [
        "metadata.csv has columns to condition on, by --target: 'angle', 'dose, mg'."
    ]
    assert not [note for note in data.notes if "no images" in note]
    table(tmp_path, {"image": ["a/0.png"], "angle": [1.5]})  # of something else
    assert load_images(tmp_path).notes == ("Files that are no images, and not used: 1 (metadata.csv).",)
    (tmp_path / "metadata.csv").write_bytes(b"\0\xff")
    assert load_images(tmp_path).classes == ("a", "b")


def test_rows_without_an_image_are_said_and_unread_images_lose_their_row_alone(tmp_path):
    filled(tmp_path)
    frame = pd.read_csv(tmp_path / "metadata.csv")
    table(tmp_path, pd.concat([frame, pd.DataFrame({"file_name": ["gone.png"], "angle": [np.nan]})]))
    (tmp_path / "1.png").write_bytes(b"broken")
    data = load_images(tmp_path, target="angle", skip_broken=True)
    assert data.labels[:, 0].tolist() == [level / 24 for level in levels(data)]
    assert len(data.labels) == N - 1
    assert [note for note in data.notes if "no such images: 1 rows" in note and "'gone.png'" in note]


def test_the_digest_of_the_source_is_one_of_the_labels_too(tmp_path):
    one = load_images(filled(tmp_path), target="angle").source
    filled(tmp_path, angle=np.arange(N) / 8)
    assert load_images(tmp_path, target="angle").source["labels"] != one["labels"]


# --- what is refused --------------------------------------------------------------------------------------


PATHS = [f"{i}.png" if i < N // 2 else f"b/{i}.png" for i in range(N)]
ANGLES = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


@pytest.mark.parametrize(
    ("columns", "match", "hint"),
    [
        ({"file_name": PATHS, "dose": ANGLES, "age": ANGLES}, "no column 'angle'", "Columns: 'dose', 'age'"),
        ({"file": PATHS, "angle": ANGLES}, "no column 'file_name'", "Columns: 'file', 'angle'"),
        (
            {"file_name": PATHS[:-1], "angle": ANGLES[:-1]},
            r"1 of 6 images have no row in .*b/5\.png",
            "file_name",
        ),
        ({"file_name": [*PATHS, PATHS[0]], "angle": [*ANGLES, 1]}, r"several rows for '0\.png'", "one row"),
        ({"file_name": [*PATHS, f"./{PATHS[0]}"], "angle": [*ANGLES, 1]}, r"several rows for '\./0", "one"),
        (
            {"file_name": PATHS, "angle": [*ANGLES[:-1], None]},
            r"missing for 1 of 6 images.*b/5\.png",
            "Give its",
        ),
        (
            {"file_name": PATHS, "angle": [np.inf, *ANGLES[1:]]},
            r"not finite for 1 of 6 images.*0\.png",
            "Give its",
        ),
        ({"file_name": PATHS, "angle": [1.5] * N}, "one value, 1.5, in 'angle'", "Leave it out"),
        ({"file_name": PATHS, "angle": list("abcdef")}, "6 different values", "condition"),
        ({"file_name": [None, *PATHS[1:]], "angle": ANGLES}, "missing in 1 of 6 rows", "Fill it in"),
        ({"file_name": ["../0.png", *PATHS[1:]], "angle": ANGLES}, "leads out of its folder", "'cat/1.png'"),
        ({"file_name": ["b/../0.png", *PATHS[1:]], "angle": ANGLES}, "leads out", "'cat/1.png'"),
        ({"file_name": ["..\\0.png", *PATHS[1:]], "angle": ANGLES}, "leads out", "'cat/1.png'"),
        ({"file_name": ["/etc/passwd", *PATHS[1:]], "angle": ANGLES}, "leads out", "'cat/1.png'"),
        ({"file_name": ["b\\3.png", *PATHS[1:]], "angle": ANGLES}, r"no row .*0\.png", "file_name"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_that_do_not_fit_are_refused(tmp_path, columns, match, hint, form):
    for path in PATHS:
        write(tmp_path / path, 0)
    table(tmp_path, columns, f"metadata.{form}")
    with pytest.raises(InputError, match=match) as refused:
        load_images(tmp_path, target="angle")
    assert hint in refused.value.hint


def test_other_targets_that_there_are_not_are_refused(tmp_path):
    filled(tmp_path / "f", kind=["cat", "dog"] * 3)
    with pytest.raises(InputError, match=r"'kind' in .* has no numbers"):
        load_images(tmp_path / "f", target="angle,kind")
    with pytest.raises(InputError, match="no column 'file_name'"):
        load_images(tmp_path / "f", target="file_name")
    (tmp_path / "f" / "metadata.csv").write_bytes(b"\x00\x01\xff")
    with pytest.raises(DiffuscopeError, match=r"metadata\.csv"):
        load_images(tmp_path / "f", target="angle")
    (tmp_path / "f" / "metadata.csv").unlink()
    with pytest.raises(InputError, match=r"no metadata\.csv in"):
        load_images(tmp_path / "f", target="angle")
    table(tmp_path / "f" / "b", {"file_name": ["3.png"], "angle": [1.5]})
    with pytest.raises(InputError, match=r"2 of 3 images have no row in .*b/metadata\.csv"):
        load_images(tmp_path / "f", target="angle")
    x = np.zeros((4, 8, 8), np.uint8)
    for source in (x, "digits", load_images(x)):
        with pytest.raises(InputError, match=r"a column of metadata\.csv"):
            load_images(source, target="angle")
    with pytest.raises(InputError, match="both given"):
        load_images(x, labels=[0, 1, 0, 1], target="angle")


def test_the_target_of_an_archive_is_one_of_its_arrays(tmp_path):
    x = np.zeros((4, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", images=x, y=[0, 1, 0, 1], angle=[0.5, 1.5, 2.5, 3.5])
    assert load_images(tmp_path / "x.npz").classes == ("0", "1")
    assert load_images(tmp_path / "x.npz", target="angle").labels[:, 0].tolist() == [0.5, 1.5, 2.5, 3.5]
    for target, match in (("dose", "no array named 'dose'"), (("y", "angle"), "one array")):
        with pytest.raises(InputError, match=match):
            load_images(tmp_path / "x.npz", target=target)


WORDS = st.sampled_from(
    ["0.png", "b/3.png", "../0.png", "/", "", "\n", "=1+1", "1e999", "nan", '"', ",", "½"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(WORDS | st.text(max_size=8), max_size=4), max_size=8),
    head=st.sampled_from(["file_name,angle", "file_name", "angle,file_name,file_name", ""]),
)
def test_a_hostile_table_is_refused_or_read_and_never_anything_else(tmp_path, rows, head):
    if not (tmp_path / "0.png").exists():
        write(tmp_path / "0.png", 0)
        write(tmp_path / "1.png", 1)
    text = "\n".join([head, *(",".join(row) for row in rows)])
    (tmp_path / "metadata.csv").write_text(text, "utf-8", "surrogatepass")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(load_images(tmp_path).x) == 2
        try:
            data = load_images(tmp_path, target="angle")
        except (InputError, FormatError):
            return
        assert len(data.labels) == 2


# --- what is done with it ---------------------------------------------------------------------------------


def flags(options) -> list[str]:
    return [word for key, value in options.items() for word in ("--set", f"{key}={json.dumps(value)}")]


@pytest.mark.parametrize("target", ["angle", "angle,dose"])
def test_commands_read_the_table_again(tmp_path, cli, little, target):
    n = 14
    folder = filled(tmp_path / "photos", n, dose=np.linspace(3, 4, n))
    other = filled(tmp_path / "other", n, angle=np.arange(n))
    out, data = tmp_path / "run", ("train", folder, "--recipe", "digits", *flags(TINY))
    code, printed, err = cli(*data, "--out", out, "--target", target, "--no-pictures")
    assert code == 0, err
    assert "angle between 0 and 3.25" in printed
    run = diffuscope.load(out)
    assert run.recipe.data.numbers.names == tuple(target.split(","))
    assert np.array_equal(run.data.labels[:, 0] * 24, levels(run.data))
    value = "2.5" if target == "angle" else "2.5,3.5"
    assert cli("sample", out, "-n", 3, "-o", tmp_path / "s", "--y", value)[0] == 0
    assert set(pd.read_csv(tmp_path / "s" / "metadata.csv")["angle"]) == {2.5}
    code, _, err = cli("train", "--out", out, "--resume", "--steps", 4, "--no-pictures")
    assert code == 0, err
    if target == "angle":
        assert cli("animate", out, "-o", tmp_path / "way.gif", "--size", 160)[0] == 0
        run.sample_to(tmp_path / "each", 3, y=[0.5, 1.5, 2.5])  # is a folder with a table as well
        assert load_images(tmp_path / "each", target="angle").labels[:, 0].tolist() == [0.5, 1.5, 2.5]
        started = diffuscope.train(
            other, start=out, out=tmp_path / "on", steps=1, pictures=False, progress=False
        )
        assert started.recipe.data.numbers == run.recipe.data.numbers
        assert modality("images").held_out(other, run.model, run.data).shape == (n, 1, 8, 8)
        table(folder, {"file_name": ["0.png"], "angle": [1.5]})
        code, _, err = cli("train", "--out", out, "--resume", "--steps", 6)
        assert (code, "13 of 14 images have no row" in err) == (2, True)
        filled(folder, n, angle=np.arange(n) / 8)
        code, _, err = cli("train", "--out", out, "--resume", "--steps", 6)
        assert (code, "different data" in err) == (2, True)


def test_a_run_on_classes_of_a_column_has_their_names(tmp_path, cli):
    folder = filled(tmp_path / "photos", 10, kind=["dark"] * 5 + ["bright"] * 5)
    out = tmp_path / "run"
    run = diffuscope.train(
        folder, target="kind", recipe="digits", settings=TINY, out=out, pictures=False, progress=False
    )
    assert run.recipe.data.classes == ("bright", "dark")
    assert run.sample(2, y="dark").shape == (2, 1, 8, 8)
    assert cli("sample", out, "-n", 2, "-o", tmp_path / "s.png", "--label", "bright")[0] == 0
    array = np.zeros((10, 8, 8), np.uint8)  # has no columns, and need not
    assert diffuscope.load(out, data=array).data.labels is None
