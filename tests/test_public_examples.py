"""Each public name has an example in its docstring, and it runs as it stands."""

import doctest
import shutil

import pytest

import diffuscope

NAMES = [name for name in diffuscope.__all__ if not name.startswith("_")]
LONG = {"Comparison", "Diagnosis", "Sweep", "compare", "sweep"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    """A folder with the run that most examples open: that of the example of ``train``."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_example("train")
    return folder


def run_example(name):
    parts = [part for part in doctest.DocTestFinder().find(getattr(diffuscope, name), name) if part.examples]
    assert parts, f"{name} has no example"
    for part in parts:
        failed = []
        doctest.DocTestRunner().run(part, out=failed.append)
        assert not failed, "".join(failed)


def marked(name):
    return pytest.param(name, marks=pytest.mark.slow) if name in LONG else name


@pytest.mark.parametrize("name", [marked(name) for name in NAMES])
def test_the_example_of_a_public_name_runs(name, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_example(name)
