"""Do imports run downwards only, and is nothing read that could be code?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "diffuscope"

# From the ground up. A module imports from lower layers only; modules on one line do not know each
# other. A package stands for all of its modules.
LAYERS: list[set[str]] = [
    {"errors"},
    {"files", "seeds", "progress", "threads"},
    {"tensors", "schedules", "precision"},
    {"forward"},
    {"denoiser"},
    {"losses", "samplers", "guidance"},
    {"inpainting"},
    {"partial"},
    {"networks", "datasets", "metrics"},
    {"tabular", "images", "features"},
    {"recipes", "oracle"},
    {"likelihood"},
    {"training", "model"},
    {"fitting", "asking"},
    {"quality"},
    {"plots"},
    {"_frames"},
    {"animate"},
    {"pictures", "fidelity"},
    {"image_pictures"},
    {"run", "board"},
    {"planning", "diagnosis", "evaluation", "estimator", "exchange"},
    {"experiment"},
    {"comparison"},
    {"cli"},
]
HEIGHT = {module: height for height, layer in enumerate(LAYERS) for module in layer}
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = {path.stem if path.parent == SOURCE else path.parent.name for path in FILES} - {"__init__"}
UNSAFE_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "np.load", "numpy.load"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield all modules that ``tree`` imports by full name, inside functions and for types as well."""
    for node in ast.trajectory(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


def layer_of(module: str) -> str | None:
    """Return the name in ``LAYERS`` that ``diffuscope.NAME...`` belongs to; None for foreign modules.

    The package itself holds its version and the public names; whoever imports a public name from it
    imports the module where the name is at home.
    """
    words = module.split(".")
    if words[0] != "diffuscope" or len(words) < 2:
        return None
    return words[1] if words[1] in MODULES else None


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.trajectory(tree) if isinstance(node, ast.Call))


def test_every_module_has_its_layer():
    assert set(HEIGHT) == MODULES
    assert sum(len(layer) for layer in LAYERS) == len(HEIGHT)  # none in two


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downwards_only(path):
    own = layer_of(".".join(["diffuscope", *path.relative_to(SOURCE).with_suffix("").parts]))
    for module in imports(parse(path)):
        other = layer_of(module)
        if own is None:  # __init__.py knows the public names, for type checkers
            continue
        if other is None:
            package = {"diffuscope", "diffuscope.__version__"}  # where the version is
            assert module.split(".")[0] != "diffuscope" or module in package, (
                f"{own} takes {module} from the package; import it from where it is at home"
            )
            continue
        assert other == own or HEIGHT[other] < HEIGHT[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_that_is_read_can_be_code(path):
    tree = parse(path)
    assert not {module.split(".")[0] for module in imports(tree)} & UNSAFE_MODULES
    assert "torch.load" not in set(imports(tree))
    for call in calls(tree):
        name = ast.unparse(call.func)
        harmless = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in call.keywords)
        if name in ("np.load", "numpy.load", "np.lib.format.read_array") and harmless:
            continue
        assert name not in UNSAFE_CALLS, f"line {call.lineno}: {name}"
        assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in call.keywords)


def test_the_rules_see_what_breaks_them():
    text = "def f():\n    from diffuscope.cli import main\n    from diffuscope import run\n"
    assert {layer_of(module) for module in imports(ast.parse(text))} == {"cli", "run", None}
    called = [ast.unparse(call.func) for call in calls(ast.parse("torch.load(x)\neval('1')"))]
    assert called == ["torch.load", "eval"]


def test_the_architecture_page_names_every_module_and_only_those():
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text("utf-8")
    for path in FILES:
        if path.name != "__init__.py":
            assert f"`{path.relative_to(SOURCE)}`" in page, path.name
    for name in re.findall(r"^\| `([\w/]+\.py)`", page, re.MULTILINE):
        assert (SOURCE / name).is_file(), name
