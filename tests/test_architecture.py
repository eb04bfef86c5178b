"""Do imports run downwards only, and is nothing read that could be code?"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "diffuscope"

# From the ground up: files by the start of their path below the package, the longest that fits. A file
# imports from lower layers, or from its own folder; entries of one layer do not know each other.
LAYERS: list[tuple[str, ...]] = [
    ("words", "_version", "notebook", "translations"),
    ("errors",),
    ("terminal", "languages"),
    ("files", "seeds", "progress", "threads", "precision", "signals", "transfers"),
    ("beside", "shares"),
    ("tensors",),
    ("diffusion/schedules",),
    ("diffusion/process",),
    ("diffusion/predictions",),
    ("diffusion/denoiser",),
    ("diffusion/losses", "diffusion/samplers", "diffusion/guidance", "diffusion/mixture"),
    ("diffusion/inpainting", "diffusion/masked", "diffusion/distillation", "diffusion/mixture_loss"),
    ("networks",),
    ("data/affine", "data/bounds", "data/spread", "data/conditions", "data/torch_sets"),
    ("data/section", "data/stored", "data/packs"),
    ("data/stored_rows",),
    ("data/base",),
    ("data/kinds", "data/columnar"),
    ("data/points", "data/tables", "data/images"),
    ("metrics",),
    ("metrics/tabular", "metrics/features", "oracle"),
    ("likelihood",),
    ("plots",),
    ("pages",),
    ("recipes",),
    ("request", "training"),
    ("model",),
    ("modalities/reference", "modalities/watched"),
    ("modalities/flattened", "modalities/generator"),
    ("modalities/figures", "modalities/asking"),
    ("modalities/base",),
    ("modalities/recognition",),
    ("modalities/points", "modalities/tables", "modalities/images"),
    ("packing",),
    ("viewer",),
    ("runs",),
    ("studio",),
    ("monitoring", "estimator"),
    ("diagnosis", "exchange"),
    ("comparison",),
    ("cli",),
    ("__main__",),
]
HEIGHT = {place: height for height, layer in enumerate(LAYERS) for place in layer}
KINDS = ("points", "tables", "images")
ABOVE_THE_KINDS = ("viewer", "studio", "runs", "cli", "comparison", "diagnosis", "monitoring", "exchange")
OF_ONE_KIND = {  # commands that one kind of data alone has
    "cli/images.py": ("data/images/", "modalities/images/"),
    "cli/listing.py": ("data/points/", "data/images/"),
}
FILES = sorted(SOURCE.rglob("*.py"))
UNSAFE_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "np.load", "numpy.load"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield all modules that ``tree`` imports by full name, inside functions and for types as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


@functools.cache
def file_of(module: str) -> str | None:
    """Return the file of ``diffuscope.NAME...``, relative to the package; None for all else."""
    words = module.split(".")
    if words[0] != "diffuscope":
        return None
    place = SOURCE.joinpath(*words[1:])
    if place.is_dir():
        place = place / "__init__"
    found = place.with_suffix(".py")
    return str(found.relative_to(SOURCE)) if found.is_file() else None


def place_of(file: str) -> str:
    """Return the entry of ``LAYERS`` that a file belongs to."""
    path = file.removesuffix(".py")
    return max((p for p in HEIGHT if path == p or path.startswith(f"{p}/")), key=len, default="")


@functools.cache
def imported_files(path: Path) -> set[str]:
    """Return the files of the package that a file imports, inside functions and for types as well."""
    found = {file_of(module) for module in imports(parse(path))}
    return {file for file in found if file is not None} - {"__init__.py", str(path.relative_to(SOURCE))}


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


PATHS = [path for path in FILES if path != SOURCE / "__init__.py"]


def test_imports_run_downwards_only():
    for path in PATHS:
        own, files = place_of(str(path.relative_to(SOURCE))), imported_files(path)
        if not own:  # the docstring of a folder of folders
            assert files == set(), path
        for file in files:
            other = place_of(file)
            assert other == own or HEIGHT[other] < HEIGHT[own], f"{path} imports {file}"


def test_no_two_files_import_each_other_in_a_circle():
    files = {str(path.relative_to(SOURCE)): path for path in FILES}
    below = {name: imported_files(path) for name, path in files.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in sorted(below[name]):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(files):
        visit(name, ())


@pytest.mark.parametrize("folder", ["data", "modalities"])
def test_no_kind_of_data_imports_another(folder):
    for kind in KINDS:
        for path in (SOURCE / folder / kind).rglob("*.py"):
            others = {
                f"{place}/{other}/" for place in ("data", "modalities") for other in KINDS if other != kind
            }
            assert not [file for file in imported_files(path) if file.startswith(tuple(others))], path


def test_what_is_above_the_kinds_knows_none_of_them():
    kinds = tuple(f"{place}/{kind}/" for place in ("data", "modalities") for kind in KINDS)
    for path in PATHS:
        name = str(path.relative_to(SOURCE))
        if name.startswith(ABOVE_THE_KINDS):
            known = [file for file in imported_files(path) if file.startswith(kinds)]
            allowed = OF_ONE_KIND.get(name, ())
            assert [file for file in known if not file.startswith(allowed)] == [], name


def test_no_file_outside_the_kinds_asks_which_kind_it_has():
    pattern = re.compile(r"is_of_images|ImageData\)|TableData\)|rows is (not )?None|== .(pixels|table).\b")
    for path in PATHS:
        name = str(path.relative_to(SOURCE))
        if not re.match(rf"(data|modalities)/({'|'.join(KINDS)})/", name):
            assert not pattern.search(path.read_text("utf-8")), name


def test_nothing_that_is_read_can_be_code():
    for path in FILES:
        tree = parse(path)
        assert not {module.split(".")[0] for module in imports(tree)} & UNSAFE_MODULES, path
        assert "torch.load" not in set(imports(tree)), path
        for call in calls(tree):
            name, where = ast.unparse(call.func), f"{path}, line {call.lineno}"
            pickled = [ast.unparse(k.value) for k in call.keywords if k.arg == "allow_pickle"]
            if name in ("np.load", "numpy.load", "np.lib.format.read_array") and pickled == ["False"]:
                continue
            assert name not in UNSAFE_CALLS, f"{where}: {name}"
            assert pickled in ([], ["False"]), where


def test_the_rules_see_what_breaks_them():
    text = "def f():\n    from diffuscope.cli import main\n    from diffuscope.runs import run\n"
    found = {file_of(module) for module in imports(ast.parse(text))}
    assert {"cli/__init__.py", "runs/run.py"} <= found
    assert place_of("metrics/tabular/trees.py") == "metrics/tabular"
    assert place_of("metrics/table.py") == "metrics"
    called = [ast.unparse(call.func) for call in calls(ast.parse("torch.load(x)\neval('1')"))]
    assert called == ["torch.load", "eval"]


def test_the_architecture_page_names_every_module_and_only_those():
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text("utf-8")
    for path in FILES:
        if path.name != "__init__.py":
            assert f"`{path.relative_to(SOURCE)}`" in page, path.name
    for name in re.findall(r"^\| `([\w/]+\.py)`", page, re.MULTILINE):
        assert (SOURCE / name).is_file(), name
