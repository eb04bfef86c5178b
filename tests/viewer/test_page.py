"""Does a run become one page, small, safe, and whole?"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import zlib
from html import unescape

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.cli import main
from diffuscope.errors import InputError
from diffuscope.networks import NETWORKS
from diffuscope.viewer import View, contents, payload

from .conftest import WEB

SMALL = 500_000  # bytes


def told(page: str) -> dict:
    """Return the data that is in a page."""
    (text,) = re.findall(r'<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def unpacked(packed: dict) -> np.ndarray:
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["packed"])), np.uint8)
    return np.ascontiguousarray(planes.reshape(4, -1).T).view("<f4").ravel()


@pytest.mark.parametrize(
    ("network", "kind"),
    [("resmlp", {"conditions": 2}), ("article_mlp", {"conditions": 1}), ("article_mlp", {"classes": 3})],
)
def test_labels_that_the_page_does_not_have_count_as_none(network, kind):
    sizes = {"resmlp": {"width": 8, "depth": 1}, "article_mlp": {"width": 8, "n_steps": 20}}[network]
    torch.manual_seed(0)
    labelled, plain = NETWORKS[network](2, **sizes, **kind), NETWORKS[network](2, **sizes)
    with torch.no_grad():
        for parameter in labelled.parameters():
            parameter.normal_()
    plain.load_state_dict(contents._state(labelled))
    x, t = torch.randn(20, 2), torch.arange(20)
    t = t if network == "article_mlp" else t / 3
    torch.testing.assert_close(plain(x, t), labelled(x, t))


def test_the_page_has_the_weights_of_the_run_to_the_last_bit(small_run):
    tensors = told(small_run.view().html)["tensors"]
    values, at = unpacked(tensors), 0
    for part in tensors["names"]:
        size = int(np.prod(part["shape"]))
        own = small_run.model.denoiser.network.state_dict()[part["name"]].numpy()
        np.testing.assert_array_equal(values[at : at + size].reshape(part["shape"]), own)
        at += size
    assert at == len(values)


@pytest.mark.parametrize("recipe", ["fast", pytest.param("article", marks=pytest.mark.slow)])
def test_the_page_of_a_run_is_small(recipe, tmp_path):
    settings = {"training.steps": 10} if recipe == "fast" else {"training.epochs": 1}
    run = diffuscope.train("s_curve", recipe=recipe, out=tmp_path / "run", settings=settings, pictures=False)
    assert len(run.view().html.encode()) <= SMALL


def test_points_of_ones_own_are_in_the_page(tiny):
    x = np.random.default_rng(0).normal(size=(150, 2))
    run = tiny(data=x)
    data = told(run.view().html)
    assert data["law"] == {"kind": "points"}
    np.testing.assert_allclose(unpacked(data["data"]).reshape(-1, 2), x, rtol=1e-6)
    with pytest.raises(InputError, match="not stored in the run"):
        diffuscope.load(run.path).view()


def test_names_from_a_run_are_text_in_the_page(tiny):
    evil = '</script><img src=x onerror="alert(1)">'

    def draws(n, random):
        return random.normal(size=(n, 2))

    draws.__name__ = evil
    page = tiny(data=draws).view().html
    assert told(page)["title"] == evil
    assert "<img src=x" not in page
    assert page.count("</script>") == 3


def digest(text: bytes) -> str:
    return base64.b64encode(hashlib.sha256(text).digest()).decode()


def test_the_policy_lets_only_the_pages_own_scripts_run(small_run):
    page = small_run.view().html
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    loader = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    packed = re.findall(r'<script type="text/plain" id="packed">(.*?)</script>', page)[0]
    script = zlib.decompress(base64.b64decode(packed))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    own = f"'sha256-{digest(loader.encode())}' 'sha256-{digest(script)}'"
    assert rules["script-src"] == f"{own} 'wasm-unsafe-eval'"
    assert len(packed) <= 100 * 1024
    assert "unsafe-inline" not in policy
    assert "connect-src" not in policy


def test_a_notebook_shows_the_page_in_a_frame_without_rights(small_run):
    shown = small_run.view()._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts" ')
    assert unescape(re.findall(r'srcdoc="([^"]*)"', shown)[0]) == small_run.view().html


def test_a_run_shows_its_page_or_else_its_picture(tiny, small_run):
    assert small_run._repr_html_() == small_run.view()._repr_html_()
    in_three = tiny(data=np.random.default_rng(0).normal(size=(150, 3)))
    assert in_three._repr_html_().count('src="data:image/png;base64,') == 1


def test_what_the_page_cannot_compute_is_refused(tiny, small_run):
    in_three = tiny(data=np.random.default_rng(0).normal(size=(150, 3)), out="three")
    with pytest.raises(InputError, match="two dimensions"):
        payload(in_three.model, in_three.data)
    assert in_three.view().payload["look"] == "walk"  # it is shown by its samples
    odd = tiny({"network.width": 6}, out="odd")
    with pytest.raises(InputError, match="multiples of 4"):
        payload(odd.model, odd.data)
    assert odd.view().payload["walk"]["look"] == "columns"
    with pytest.raises(InputError, match="language"):
        small_run.view(language="fr")
    with pytest.raises(InputError, match=r"\.html"):
        small_run.view().save("run.pdf")


def test_the_call_in_the_page_gives_the_same_run(small_run, tmp_path):
    call = told(small_run.view().html)["call"]
    settings = call["settings"] | {"data.size": 300, "seed": 0}
    again = diffuscope.train(
        call["data"], recipe="fast", settings=settings, out=tmp_path / "run", pictures=False
    )
    np.testing.assert_array_equal(again.sample(50), small_run.sample(50))


def test_a_sampler_that_the_page_has_not_got_is_said(tiny):
    data = told(tiny({"sampling.name": "unipc"}).view().html)
    assert data["sampler_of_run"] == "unipc"
    assert data["recipe"]["sampling"]["name"] == "dpmpp_2m"


def test_epochs_are_steps_in_the_page(tmp_path):
    settings = {"training.epochs": 2, "data.size": 300, "network.width": 8}
    run = diffuscope.train(
        "s_curve", recipe="article", out=tmp_path / "run", settings=settings, pictures=False
    )
    training = told(run.view().html)["recipe"]["training"]
    assert training["steps"] == run.summary["steps"]


def test_view_writes_a_page_and_overwrites_none(small_run, tmp_path, capsys):
    out = tmp_path / "run.html"
    main_ends(["view", str(small_run.path), "-o", str(out), "--language", "zh"], 0)
    assert told(out.read_text("utf-8"))["language"] == "zh"
    assert str(out) in capsys.readouterr().out
    main_ends(["view", str(small_run.path), "-o", str(out)], 2)
    assert "--force" in capsys.readouterr().err


def main_ends(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == code


def test_quality_without_an_interval_is_left_out(small_run):
    measured = diffuscope.metrics.Measured(1.0, 1.0, 1.0, 0.0, float("inf"))
    told_of = payload(small_run.model, small_run.data, quality=measured)
    assert told_of["quality"] is None
    assert "Infinity" not in View(told_of, "").html


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("node, or what web/ needs of it, is not installed: make web")
    return subprocess.run(["node", *arguments], cwd=WEB, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_script_in_the_package_is_what_a_fresh_build_gives():
    done = node("build.mjs", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_engine_of_the_page_passes_its_own_tests():
    done = node("build.mjs", "--tests")
    assert done.returncode == 0, done.stderr
    done = node("--test", "build/test/")
    assert done.returncode == 0, done.stdout[-3000:]
