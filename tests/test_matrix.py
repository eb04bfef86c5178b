"""Does every command, and every method of a run, work with every kind of data, or say that it does not?

The kinds are the three of the package and one that is an example, ``examples/own_kind``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

import diffuscope
from diffuscope import DiffusionModel, load_dataset
from diffuscope.data.columnar import read_rows
from diffuscope.data.kinds import KINDS
from diffuscope.errors import InputError
from diffuscope.metrics import Measured

from .conftest import TINY, measure_little

KIND_FOLDER = Path(__file__).parents[1] / "examples" / "own_kind"
SITE = Path(__file__).parent / "kinds" / "site"  # which makes it known to further processes
SMALL: dict[str, Any] = {
    **{key: value for key, value in TINY.items() if key != "data.size"},
    "pictures.forward_frames": 3,
}
SIDE, N = 8, 6


class Case(NamedTuple):
    """A kind of data in miniature."""

    kind: str
    source: str
    held_out: str
    recipe: str
    settings: dict[str, Any]
    unit: str

    def words(self) -> list[str]:
        """Return the settings for the command line."""
        return [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]

    def measured(self) -> Case:
        """Return the case without settings that nothing which is measured depends on."""
        kept = {key: value for key, value in self.settings.items() if not key.startswith("pictures.")}
        return self._replace(settings=kept)


class World(NamedTuple):
    """The folder with data and runs of all kinds."""

    folder: Path
    cases: dict[str, Case]

    def run_dir(self, kind: str) -> Path:
        """Return the run of a kind."""
        return self.folder / "runs" / kind


def patients(n: int, seed: int) -> pd.DataFrame:
    """Return a table with missing values and a target."""
    rng = np.random.default_rng(seed)
    sick = rng.random(n) < 0.4
    table = pd.DataFrame(
        {
            "age": np.round(rng.normal(50, 12, n) + 10 * sick, 1),
            "visits": rng.poisson(3, n),
            "sex": rng.choice(["F", "M"], n),
            "sick": np.where(sick, "yes", "no"),
        }
    )
    table.loc[rng.random(n) < 0.2, "age"] = np.nan
    return table


def image_folder(folder: Path, n: int, seed: int) -> None:
    """Write dark and bright images into a folder for each class."""
    rng = np.random.default_rng(seed)
    for name, low in (("bright", 120), ("dark", 0)):
        (folder / name).mkdir(parents=True)
        for i in range(n // 2):
            pixels = rng.integers(low, low + 120, (SIDE, SIDE), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:03d}.png")


def write_angles(path: Path, n: int, seed: int) -> None:
    """Write directions into a file."""
    with path.open("wb") as file:
        np.save(file, np.random.default_rng(seed).vonmises(1.0, 3.0, n))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    """Data of all kinds, a run of each, and the circle as one of them."""
    folder = tmp_path_factory.mktemp("matrix")
    patients(160, 0).to_csv(folder / "patients.csv", index=False)
    patients(120, 1).to_csv(folder / "unseen.csv", index=False)
    np.save(folder / "unseen.npy", load_dataset("s_curve", size=100, seed=7).x)
    image_folder(folder / "photos", 160, 0)
    image_folder(folder / "unseen", 100, 1)
    write_angles(folder / "wind.angles", 160, 0)
    write_angles(folder / "unseen.angles", 100, 1)
    unet = {
        **{key: value for key, value in SMALL.items() if key != "network.depth"},
        "network.multipliers": "[1]",
        "network.head_width": 8,
        "sampling.precision": "float32",
    }
    cases = [
        Case("points", "s_curve", f"{folder}/unseen.npy", "fast", {**SMALL, "data.size": 160}, "points"),
        Case(
            "table",
            f"{folder}/patients.csv",
            f"{folder}/unseen.csv",
            "table",
            {**SMALL, "data.target": "sick"},
            "rows",
        ),
        Case("images", f"{folder}/photos", f"{folder}/unseen", "digits", unet, "images"),
        Case(
            "circle",
            f"{folder}/wind.angles",
            f"{folder}/unseen.angles",
            str(KIND_FOLDER / "circle.toml"),
            SMALL,
            "directions",
        ),
    ]
    with pytest.MonkeyPatch.context() as patch:
        measure_little(patch)
        patch.syspath_prepend(str(KIND_FOLDER))
        before = os.environ.get("PYTHONPATH")
        paths = [str(SITE), str(KIND_FOLDER), *([before] if before else [])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        import circle

        patch.setitem(KINDS, "circle", circle.KIND)
        made = World(folder, {case.kind: case for case in cases})
        for case in cases:
            settings = {k: json.loads(v) if v == "[1]" else v for k, v in case.settings.items()}
            diffuscope.train(
                case.source,
                recipe=case.recipe,
                out=made.run_dir(case.kind),
                settings=settings,
                pictures=False,
                progress=False,
            )
        yield made


ALL = ("points", "table", "images", "circle")


@pytest.fixture(params=ALL)
def case(request, world) -> Case:
    """Each kind in turn."""
    return world.cases[request.param]


@pytest.fixture
def run_dir(world, case) -> Path:
    """The run of the kind. Only reports are written to it."""
    return world.run_dir(case.kind)


@pytest.fixture
def run(run_dir) -> diffuscope.Run:
    """The same, opened."""
    return diffuscope.load(run_dir)


def is_refused(code: int, out: str, err: str, *words: str) -> None:
    """Make sure that a command said in a sentence that it cannot, and what does."""
    assert code == 2, err
    assert not out
    what, *_ = err.removeprefix("Error: ").splitlines()
    assert err.startswith("Error: ")
    assert what.endswith((".", "?", "!")) or ":" in what, err
    assert "not foreseen" not in err
    for word in words:
        assert word in err, err


def works(code: int, err: str) -> None:
    """Make sure that a command did what was asked."""
    assert code == 0, err


# --- the command line: train and sample -------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind == "images" else []) for kind in ALL]
)
def test_train_leaves_model_pictures_and_animations(world, kind, cli, tmp_path):
    case = world.cases[kind]
    out = tmp_path / "run"
    code, said, err = cli("train", case.source, "--recipe", case.recipe, "--out", out, *case.words())
    works(code, err)
    assert "× floor (" in said
    drawn = {path.name for path in (out / "figures").iterdir()}
    assert {"dataset.png", "forward.png", "reverse.png", "samples.png", "loss.png"} <= drawn
    assert (out / "forward.gif").stat().st_size > 100
    assert (out / "reverse.gif").stat().st_size > 100
    twin = world.run_dir(case.kind)
    assert (out / "model.safetensors").read_bytes() == (twin / "model.safetensors").read_bytes()
    hint = re.search(r"next +diffuscope (\w+)", said)
    assert hint
    assert hint[1] in ("sample", "evaluate")


def test_the_recipe_of_a_source_is_found_without_naming_it(world, case):
    from diffuscope.modalities.recognition import modality_for

    assert modality_for(case.source).name == case.kind


TABULAR = (".csv", ".tsv", ".parquet")
VECTORS = [pytest.param(suffix, marks=pytest.mark.slow) for suffix in (".svg", ".pdf")]  # see test_plots
WRITES = {
    "points": (*TABULAR, ".npy", ".npz", ".png", ".svg", ".pdf"),
    "table": (*TABULAR, ".png", ".svg", ".pdf"),
    "images": (".npy", ".npz", ".png", ""),
    "circle": (*TABULAR, ".npy", ".npz", ".png", ".svg", ".pdf"),
}


@pytest.mark.parametrize("suffix", [*TABULAR, ".npy", ".npz", ".png", *VECTORS, "", ".xyz"])
def test_sample_to_every_format(case, run_dir, cli, tmp_path, suffix):
    path = tmp_path / f"made{suffix}"
    code, out, err = cli("sample", run_dir, "-n", N, "-o", path)
    if suffix not in WRITES[case.kind]:
        is_refused(code, out, err)
        assert not path.exists()
        return
    works(code, err)
    assert out == f"{N} {case.unit} in {path}\n"
    if suffix in TABULAR:
        made = read_rows(path)
        columns = {"table": ["age", "visits", "sex", "sick"], "circle": ["angle"]}
        assert len(made) == N
        if case.kind in columns:
            assert list(made.columns) == columns[case.kind]
        assert not made.drop(columns="age", errors="ignore").isna().to_numpy().any()
    elif suffix in (".npy", ".npz"):
        with path.open("rb") as file:
            found = np.load(file)
            x = found["images" if case.kind == "images" else "x"] if suffix == ".npz" else found
        shape = {"points": (N, 2), "circle": (N, 1), "images": (N, 1, SIDE, SIDE)}[case.kind]
        assert x.shape == shape
        assert np.isfinite(x).all()
    elif suffix == "":
        assert len(list(path.rglob("*.png"))) == N
    else:
        assert path.stat().st_size > 100


def test_sample_given_columns(case, run_dir, cli, tmp_path):
    path = tmp_path / ("made.npy" if case.kind == "images" else "made.csv")
    code, out, err = cli("sample", run_dir, "-n", N, "-o", path, "--given", "sex=F")
    if case.kind != "table":
        is_refused(code, out, err, "given")
        return
    works(code, err)
    assert set(read_rows(path)["sex"]) == {"F"}
    is_refused(*cli("sample", run_dir, "-o", tmp_path / "x.csv", "--given", "sxe=F"), "sxe", "sex")


@pytest.mark.parametrize("guidance", [(), ("--guidance", 2.0), ("--guidance", 2.0, "--interval", "0.2,5")])
def test_sample_of_a_label(case, run_dir, cli, tmp_path, guidance):
    path = tmp_path / ("made.npz" if case.kind == "images" else "made.csv")
    label = {"table": "yes", "images": "dark"}.get(case.kind, "yes")
    code, out, err = cli("sample", run_dir, "-n", N, "-o", path, "--label", label, *guidance)
    if case.kind in ("points", "circle"):
        is_refused(code, out, err, "without classes or a target")
        return
    works(code, err)
    if case.kind == "table":
        assert set(read_rows(path)["sick"]) == {"yes"}
    else:
        with np.load(path) as arrays:
            assert list(arrays["labels"]) == [1] * N


def test_guidance_without_a_label_is_refused(case, run_dir, cli, tmp_path):
    is_refused(*cli("sample", run_dir, "-n", N, "-o", tmp_path / "made.npy", "--guidance", 2), "Guidance")


def test_a_setting_that_is_none_is_answered_with_those_that_there_are(case, run_dir, cli, tmp_path):
    answer = cli("sample", run_dir, "-n", N, "-o", tmp_path / "made.npy", "--set", "etta=1")
    is_refused(*answer, "etta", "steps")


# --- the command line: what one kind alone has ------------------------------------------------------------


def test_impute(world, case, run_dir, cli, tmp_path):
    path = tmp_path / "whole.csv"
    code, out, err = cli("impute", run_dir, world.cases["table"].source, "-o", path)
    if case.kind != "table":
        is_refused(code, out, err, f"run of {case.unit}, not of rows")
        return
    works(code, err)
    assert not read_rows(path).isna().to_numpy().any()


@pytest.mark.parametrize("command", ["inpaint", "vary", "interpolate"])
def test_images_alone_are_drawn_anew(world, case, run_dir, cli, tmp_path, command):
    photo = next((world.folder / "photos").rglob("*.png"))
    Image.fromarray(np.eye(SIDE, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    words = {
        "inpaint": (photo, "--mask", tmp_path / "mask.png", "-n", 2),
        "vary": (photo, "-n", 2),
        "interpolate": ("-n", 3),
    }[command]
    code, out, err = cli(command, run_dir, *words, "-o", tmp_path / "made.npy")
    if case.kind != "images":
        is_refused(code, out, err, f"run of {case.unit}, not of images")
        return
    works(code, err)
    assert np.load(tmp_path / "made.npy").shape[1:] == (1, SIDE, SIDE)


# --- the command line: pictures, numbers, files -----------------------------------------------------------


@pytest.mark.parametrize(("way", "suffix"), [("--forward", ".gif"), ("--reverse", ".html")])
def test_animate(run_dir, cli, tmp_path, way, suffix):
    code, _, err = cli("animate", run_dir, way, "-o", tmp_path / f"moving{suffix}")
    works(code, err)
    assert (tmp_path / f"moving{suffix}").stat().st_size > 500


def _few(case: Case) -> tuple[object, ...]:
    return {"images": ("-n", 90), "points": ("--no-baselines",)}.get(case.kind, ())


@pytest.mark.slow
def test_evaluate_of_held_out_data(case, run_dir, cli):
    code, out, err = cli("evaluate", run_dir, "--held-out", case.held_out, "--json", *_few(case))
    works(code, err)
    assert json.loads(out)["metrics"]["sliced_wasserstein"]["ratio"] > 0


@pytest.mark.slow
def test_evaluate_to_a_page(case, run_dir, cli):
    code, out, err = cli("evaluate", run_dir, "--html")
    if case.kind != "table":
        is_refused(code, out, err, f"run of {case.unit}, not of rows")
        return
    works(code, err)
    assert "report" in out
    assert "<html" in (run_dir / "report.html").read_text("utf-8")


def test_options_of_another_kind_are_refused_by_evaluate(case, run_dir, cli):
    if case.kind != "points":
        is_refused(*cli("evaluate", run_dir, "--no-baselines"), "baselines")
    if case.kind == "images":
        is_refused(*cli("evaluate", run_dir, "--no-baselines"), "samples")
        return
    is_refused(*cli("evaluate", run_dir, "-n", 90), "samples is not an option")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["points", "table", pytest.param("circle", marks=pytest.mark.slow)]
)  # images have a test of their own, below
def test_diagnose_with_held_out_data(world, kind, cli):
    case, run_dir = world.cases[kind], world.run_dir(kind)
    code, out, err = cli("diagnose", run_dir, "--held-out", case.held_out, "--json")
    works(code, err)
    total = next(row for row in json.loads(out)["budget"] if row["part"] == "total")
    assert math.isfinite(total["ratio"])


@pytest.mark.parametrize(
    "kind",
    [
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("points", "images", "circle")),
        "table",  # others: see test_exchange
    ],
)
def test_export_to_a_graph(world, kind, cli, tmp_path):
    case, run_dir, path = world.cases[kind], world.run_dir(kind), tmp_path / "model.onnx"
    code, out, err = cli("export", run_dir, "-o", path)
    if case.kind == "table":
        is_refused(code, out, err, "masks", "denoiser.partial = 0")
        return
    works(code, err)
    assert _about(path)["codec"]["kind"] == case.kind
    is_refused(*cli("export", run_dir, "-o", path), "exists")


def _about(path: Path) -> dict[str, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    about: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map["diffuscope"])
    return about


@pytest.mark.parametrize("what", ["datasets", "recipes", "settings", "schedules", "samplers", "networks"])
def test_list_of_everything(cli, what):
    code, out, err = cli("list", what)
    works(code, err)
    assert len(out.splitlines()) > 2


def test_a_list_that_is_none_is_answered_with_those_that_there_are(cli):
    is_refused(*cli("list", "sampler"), "samplers")


# --- one number -------------------------------------------------------------------------------------------


def own_number(world: World, kind: str) -> Any:
    """Return what training has printed of the run of a kind, as something to compare with."""
    summary = json.loads((world.run_dir(kind) / "summary.json").read_text())
    return pytest.approx(summary["quality"]["sliced_wasserstein"]["ratio"], rel=1e-6)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind == "table" else pytest.mark.slow) for kind in ALL]
)
def test_evaluate_and_diagnose_have_the_number_of_train(world, kind, cli):
    case, run_dir = world.cases[kind], world.run_dir(kind)
    code, out, err = cli("evaluate", run_dir, *_few(case))
    works(code, err)
    assert re.search(r"picture +\S+\.png", out)
    found = json.loads((run_dir / "evaluation.json").read_text("utf-8"))
    assert found["metrics"]["sliced_wasserstein"]["ratio"] == own_number(world, case.kind)

    code, out, err = cli("diagnose", run_dir)
    works(code, err)
    assert "total: what you see" in out
    assert ("imputed by the model itself" in " ".join(out.split())) == (case.kind == "table")
    assert (run_dir / "figures" / "diagnosis.png").is_file()
    if (
        case.kind != "table"
    ):  # of one with missing values, rows of one pattern, or imputed ones, are diagnosed
        assert diagnosed_number(run_dir) == own_number(world, case.kind)


def diagnosed_number(run_dir: Path) -> float:
    """Return the total of a diagnosis, × floor."""
    found = json.loads((run_dir / "diagnosis.json").read_text("utf-8"))
    ratio: float = next(row for row in found["budget"] if row["part"] == "total")["ratio"]
    return ratio


@pytest.mark.slow
def test_the_diagnosis_of_a_table_has_the_number_of_train(tmp_path, cli):
    patients(80, 0).dropna().to_csv(tmp_path / "patients.csv", index=False)
    run = diffuscope.train(
        tmp_path / "patients.csv", out=tmp_path / "run", settings=SMALL, pictures=False, progress=False
    )
    code, _, err = cli("diagnose", run.path)
    works(code, err)
    assert diagnosed_number(run.path) == run.quality.ratio


def compare_has_the_number_of_train(world: World, kind: str, cli: Any, out: Path) -> None:
    """Make sure that the cell of the recipe's own sampling and seed has it."""
    case = world.cases[kind].measured()
    code, said, err = cli(
        *("compare", case.source, "--recipe", case.recipe, "--seeds", 1, "--jobs", 1, "--json"),
        *("--out", out, *case.words()),
    )
    works(code, err)
    assert json.loads(said)["points"][0]["ratio"] == own_number(world, kind)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(  # a table has a test of its own, below
    "kind", ["points", pytest.param("images", marks=pytest.mark.slow)]
)
def test_compare_has_the_number_of_train(world, kind, cli, tmp_path):
    compare_has_the_number_of_train(world, kind, cli, tmp_path / "compared")


@pytest.mark.slow
def test_a_kind_from_elsewhere_is_compared_in_processes_of_their_own(world, cli, tmp_path):
    compare_has_the_number_of_train(world, "circle", cli, tmp_path / "compared")


def test_quality_reads_as_a_multiple_of_the_floor_with_its_interval(run):
    assert re.fullmatch(r"\d+\.\d\d × floor \(\d+\.\d\d to \d+\.\d\d\)", str(run.quality))
    assert float(run.quality) == run.summary["quality"]["sliced_wasserstein"]["ratio"]


# --- the methods of a run ---------------------------------------------------------------------------------


def is_good(made: Any, kind: str, n: int = N) -> None:
    """Make sure that samples are of the kind, n of them, and finite."""
    if kind == "table":
        assert list(made.columns) == ["age", "visits", "sex", "sick"]
        assert len(made) == n
        assert np.isfinite(made["visits"].to_numpy(dtype=float)).all()
        assert np.isfinite(made["age"].dropna().to_numpy(dtype=float)).all()  # some are missing in the data
        assert set(made["sex"]) <= {"F", "M"}
        assert set(made["sick"]) <= {"yes", "no"}
        return
    shape = {"points": (n, 2), "images": (n, 1, SIDE, SIDE), "circle": (n,)}[kind]
    assert made.shape == shape
    assert (made.dtype == np.uint8) == (kind == "images")
    assert np.isfinite(made).all()


def test_sample_is_deterministic_and_in_the_units_of_the_data(case, run):
    made = run.sample(N, seed=3)
    is_good(made, case.kind)
    again, other = run.sample(N, seed=3), run.sample(N, seed=4)
    assert pd.DataFrame(np.reshape(made, (N, -1))).equals(pd.DataFrame(np.reshape(again, (N, -1))))
    assert not np.array_equal(np.asarray(made), np.asarray(other))


def test_sample_frame(case, run):
    if case.kind == "images":
        with pytest.raises(InputError, match="cannot be returned as a table"):
            run.sample_frame(N)
        return
    frame = run.sample_frame(N)
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == N
    if case.kind == "table":
        is_good(frame, "table")
    if case.kind == "circle":
        assert list(frame.columns) == ["angle"]


def test_sample_to_is_sample(case, run, tmp_path):
    path = run.sample_to(tmp_path / ("x.npy" if case.kind == "images" else "x.parquet"), N, seed=3)
    made = np.load(path) if case.kind == "images" else read_rows(path).to_numpy()
    said = np.asarray(run.sample(N, seed=3)).reshape(made.shape)
    if case.kind == "table":
        assert pd.DataFrame(made).equals(pd.DataFrame(said))
    else:
        np.testing.assert_allclose(made, said)


def test_trajectory_ends_in_the_samples(case, run):
    states = run.trajectory(N, seed=3)
    assert len(states) == run.recipe.sampling.steps + 1
    is_good(states[-1], case.kind)
    ends = [pd.DataFrame(np.reshape(x, (N, -1))) for x in (states[-1], run.sample(N, seed=3))]
    assert ends[0].equals(ends[1])


def test_log_density(case, run):
    data = run.data.frame[:4] if case.kind == "table" else run.data.x[:4]
    if case.kind == "circle":
        with pytest.raises(InputError, match="no density"):
            run.log_density(data)
        return
    roughly = {"tolerance": 0.1, "probes": 1} if case.kind == "images" else {}
    value = run.log_density(data, **roughly)
    assert value.shape == (4,)
    assert np.isfinite(value).all()
    with pytest.raises(InputError, match="tollerance"):
        run.log_density(data, tollerance=1)


def test_measure_is_what_training_has_printed(run):
    measured = run.measure()
    assert set(measured) == {"sliced_wasserstein"}
    assert isinstance(measured["sliced_wasserstein"], Measured)
    assert measured["sliced_wasserstein"].ratio == pytest.approx(float(run.quality), rel=1e-6)


@pytest.mark.parametrize("name", ["data", "forward", "trajectory", "samples", "loss"])
def test_figures(run, name):
    assert isinstance(getattr(run, f"plot_{name}")(), Figure)


def test_figures_of_so_many_samples(run):
    assert isinstance(run.plot_samples(N, seed=1), Figure)


def test_animate_both_ways(run, tmp_path):
    with Image.open(run.animate(tmp_path / "both.gif", forward=True)) as moving:
        assert moving.n_frames > 3


def test_what_one_kind_alone_has_is_refused_by_others(case, run):
    for kind in ("table", "images"):
        if kind == case.kind:
            assert getattr(run, kind) is run.generator
            continue
        with pytest.raises(InputError, match=f"run of {case.unit}, not of") as refused:
            getattr(run, kind)
        assert refused.value.hint


def test_summary_metrics_and_data(case, run):
    assert run.summary["steps"] == 30
    assert run.metrics[-1]["step"] == 30
    assert run.data.kind == case.kind
    assert len(run.data.x) == 160
    assert run.columns == {
        "table": ("age", "visits", "sex", "sick"),
        "circle": ("angle",),
    }.get(case.kind)


@pytest.mark.slow
def test_notebooks_show_samples(case, run):
    shown = run._repr_html_()
    if case.kind == "points":
        assert shown == run.view()._repr_html_()
    else:
        assert shown.count('src="data:image/png;base64,') == 1
    assert repr(run) == f"Run({str(run.path)!r}, {case.unit}, {run.quality})"


# --- words ------------------------------------------------------------------------------------------------


def test_samples_of_a_class_are_asked_for_alike(case, run):
    y = {"table": "yes", "images": 1}.get(case.kind, 1)
    if case.kind in ("points", "circle"):
        with pytest.raises(InputError, match="without classes or a target"):
            run.sample(N, y=y, guidance=2.0)
        return
    made = run.sample(N, y=y, guidance=2.0)
    is_good(made, case.kind)
    if case.kind == "table":
        assert set(made["sick"]) == {"yes"}


def test_an_unknown_option_names_the_options(run):
    with pytest.raises(InputError, match="setps") as refused:
        run.sample(N, setps=3)
    assert "steps" in refused.value.hint


def train_moons(folder: Path, **options: Any) -> diffuscope.Run:
    settings = {"network.depth": 1, "training.steps": 3, "data.size": 100, "sampling.steps": 2}
    return diffuscope.train(
        "moons", out=folder / "moons", settings=settings, pictures=False, progress=False, **options
    )


def test_train_takes_a_schedule_by_its_name(tmp_path):
    assert train_moons(tmp_path, schedule="cosine").recipe.schedule.name == "cosine"


def test_train_takes_settings_by_their_last_name(tmp_path):
    assert train_moons(tmp_path, width=16).recipe.network.settings["width"] == 16


def test_a_target_is_of_tables(world, tmp_path):
    assert diffuscope.load(world.run_dir("table")).recipe.data.target == "sick"
    with pytest.raises(InputError, match='kind = "table"'):
        train_moons(tmp_path, target="y")


def test_steps_are_of_training_and_of_sampling(cli, tmp_path):
    answer = cli("train", "moons", "--out", tmp_path / "run", "--set", "steps=100")
    is_refused(*answer, "training and sampling", "training.steps", "sampling.steps")


def test_an_unknown_setting_is_answered_with_the_nearest_one(tmp_path):
    with pytest.raises(InputError, match="widht") as refused:
        train_moons(tmp_path, widht=16)
    assert "network.width" in refused.value.hint


# --- what was wrong once ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_picture_of_rows_given_a_column_shows_pairs_of_columns_of_such_rows(
    world, cli, tmp_path, monkeypatch
):
    from diffuscope.modalities.tables import figures

    shown = []
    draw = figures.plot_pairs
    monkeypatch.setattr(figures, "plot_pairs", lambda real, made: shown.append(made) or draw(real, made))
    path = tmp_path / "rows.png"
    code, _, err = cli("sample", world.run_dir("table"), "-n", 100, "-o", path, "--given", "sex=F")
    works(code, err)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert len(shown[0]) == 100
    assert set(shown[0]["sex"]) == {"F"}


@pytest.mark.slow
def test_of_a_table_with_many_rows_those_with_the_most_frequent_set_of_values_are_diagnosed(tmp_path, cli):
    patients(400, 0).to_csv(tmp_path / "patients.csv", index=False)
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    run_dir = tmp_path / "run"
    works(*cli("train", tmp_path / "patients.csv", "--out", run_dir, "--no-pictures", *settings)[::2])
    code, out, err = cli("diagnose", run_dir)
    works(code, err)
    assert re.search(
        r"most frequent set of values are looked at, (7[5-9]|8\d)\.\d% of all", " ".join(out.split())
    )
    total = re.search(r"total: what you see +([\d.e+]+)", out)
    assert total
    assert float(total[1]) < 10  # a column that is constant in these rows is no unit


@pytest.mark.slow
def test_numbers_that_are_taken_as_classes_are_evaluated_as_classes(tmp_path, cli):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 300)
    pd.DataFrame({"x": kind + 0.3 * rng.normal(size=300), "kind": kind}).to_csv(
        tmp_path / "t.csv", index=False
    )
    run_dir = tmp_path / "run"
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    works(
        *cli("train", tmp_path / "t.csv", "--target", "kind", "--out", run_dir, "--no-pictures", *settings)[
            ::2
        ]
    )
    code, out, err = cli("evaluate", run_dir)
    works(code, err)
    assert re.search(r"kind +category", out)
    assert "Utility: accuracy" in out


@pytest.mark.slow
def test_images_are_diagnosed_with_a_folder_of_held_out_ones(world, cli):
    code, out, err = cli("diagnose", world.run_dir("images"), "--held-out", world.folder / "unseen")
    works(code, err)
    assert "total: what you see" in out


@pytest.mark.usefixtures("in_this_process")
def test_a_table_is_compared_by_the_recipe_for_tables(world, cli, tmp_path):
    compare_has_the_number_of_train(world, "table", cli, tmp_path / "compared")


def test_points_that_were_loaded_train_a_model_of_points(tmp_path):
    data = load_dataset("s_curve", size=100)
    run = diffuscope.train(data, out=tmp_path / "run", settings=SMALL, pictures=False, progress=False)
    assert run.recipe.data.kind == run.modality.name == "points"


@pytest.mark.slow
def test_the_density_of_a_tables_run_is_that_of_the_estimator(tmp_path):
    table = patients(100, 0).drop(columns="sick")
    model = DiffusionModel(steps=20, width=8, depth=1, random_state=0).fit(table)
    own = diffuscope.Run(tmp_path, model.model_).log_density(table[:6])
    np.testing.assert_allclose(own, model.score_samples(table[:6]), rtol=1e-12)


def test_the_density_of_a_tables_run_is_of_its_rows_not_of_their_coordinates(tmp_path):
    scales = np.array([1000.0, 0.001])
    z = np.random.default_rng(0).normal(size=(2000, 2))
    table = pd.DataFrame(z * scales, columns=["far", "near"])
    settings = {**SMALL, "training.learning_rate": 1e-4, "training.steps": 100, "denoiser.factors": 2}
    run = diffuscope.train(
        table, recipe="table", out=tmp_path / "run", settings=settings, pictures=False, progress=False
    )
    asked = table[np.abs(z).max(axis=1) < 1.5][:50]
    true = (-0.5 * (asked / scales) ** 2 - np.log(scales) - 0.5 * math.log(2 * math.pi)).sum(axis=1)
    np.testing.assert_allclose(run.log_density(asked), true, atol=0.5)


@pytest.mark.slow  # those of points and images are shown in test_board
def test_tensorboard_shows_pictures_of_a_table(world, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    source = world.cases["table"].source
    settings = {**SMALL, "training.steps": 4}
    run = diffuscope.train(
        source, out=tmp_path / "run", settings=settings, pictures=False, progress=False, tensorboard=True
    )
    found = EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    assert found.Images("samples")[-1].step == 4
    assert found.Images("samples")[-1].width > 200


@pytest.mark.slow  # points are exported in test_exchange
def test_a_table_whose_network_takes_no_masks_is_exported_with_its_codec(tmp_path, cli):
    table = patients(100, 0).dropna().drop(columns="sick")
    settings = {**SMALL, "denoiser.partial": 0.0, "denoiser.factors": 0}
    run = diffuscope.train(
        table, recipe="table", out=tmp_path / "run", settings=settings, pictures=False, progress=False
    )
    code, _, err = cli("export", run.path, "-o", tmp_path / "model.onnx")
    works(code, err)
    about = _about(tmp_path / "model.onnx")
    assert about["codec"]["kind"] == "table"
    assert about["columns"] == ["age", "visits", "sex"]
    assert about["shift"] is None
