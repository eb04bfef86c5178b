"""Is the grid of ``benchmarks/diagnosis_grid.py`` what it says?"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from on_diagnosis import case, cells, mending, networks, owners, pipelines, summary
from on_diagnosis.case import Case
from on_diagnosis.data import NAMES, blobs_denoiser, bring, changed
from on_diagnosis.faults import FAULTS, SOUND
from on_diagnosis.mending import mended
from on_diagnosis.pipelines import WAYS, Pipeline, Steps, as_output, eps_of, levels, samples_of
from on_diagnosis.stepping import LOOPS

from diffuscope import diagnosis
from diffuscope.diagnosis.loops import LOOPS as MISTAKEN_LOOPS
from diffuscope.metrics import sliced_wasserstein

LINEAR = networks.SCHEDULES["linear 100"]()


class Exact(nn.Module):
    """The exact denoiser of ``blobs``, as a network of noise."""

    def __init__(self, shift, scale):
        super().__init__()
        self.shift, self.scale = shift, scale

    def forward(self, x, t):
        alpha, sigma = levels(LINEAR, t, x)
        x_0 = blobs_denoiser(*(one.double().numpy() for one in (x, alpha, sigma)), self.shift, self.scale)
        return (x - alpha * torch.as_tensor(x_0).float()) / sigma


@pytest.fixture(scope="module")
def exact():
    data = bring("blobs", 0)
    shift, scale = data.x.mean(0), data.x.std(0)
    return Pipeline(data, Exact(shift, scale), LINEAR, shift, scale)


def _distance(pipeline):
    return sliced_wasserstein(samples_of(pipeline, 1_000, 0), pipeline.data.held_out[:1_000])


def test_cells_of_all_faults_can_be_listed_and_come_in_rounds():
    rounds = cells.cells_of((FAULTS | SOUND).values())
    every = [cell for one in rounds for cell in one]
    assert len({cell.key for cell in every}) == len(every)
    assert len(every) == sum(len(c.variants) * len(c.data) * len(c.ways) for c in (FAULTS | SOUND).values())
    assert sorted(cell.case for cell in rounds[0]) == sorted([*FAULTS, *SOUND])
    assert len(FAULTS) >= 40
    assert sum(cell.of.sound for cell in every) >= 30
    assert {cell.way for cell in every} == set(WAYS)
    assert {cell.data for cell in every} == set(NAMES)
    for half in ("tuning", "held-back"):
        assert sum(fault.half == half for fault in FAULTS.values()) >= 20
        assert sum(one.half == half for one in SOUND.values()) >= 5
    assert all(fault.accept for fault in FAULTS.values())


def test_the_exact_denoiser_is_the_mean_of_the_posterior():
    random = np.random.default_rng(0)
    x = bring("blobs", 0).x
    shift, scale = x.mean(0), x.std(0)
    z = (np.concatenate([bring("blobs", seed).x for seed in range(30)]) - shift) / scale
    x_t = random.standard_normal((5, 2))
    alpha, sigma = np.full(5, 0.8), np.full(5, 0.6)
    logs = -0.5 * ((x_t[:, None] - 0.8 * z[None]) ** 2).sum(2) / 0.36
    weights = np.exp(logs - logs.max(1, keepdims=True))
    expected = weights @ z / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(blobs_denoiser(x_t, alpha, sigma, shift, scale), expected, atol=0.02)


@pytest.mark.parametrize("steps", [Steps(), Steps(ddim=True), Steps(every=4, ddim=True)], ids=str)
def test_the_right_loop_draws_samples_as_good_as_data(exact, steps):
    right = _distance(replace(exact, steps=steps))
    floor = sliced_wasserstein(exact.data.x[:1_000], exact.data.held_out[:1_000])
    assert right < 2 * floor + 0.05


@pytest.fixture(scope="module")
def right(exact):
    """Samples of the loop without a mistake."""
    return samples_of(exact, 30, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(LOOPS) - {"share"}))
def test_every_wrong_loop_draws_other_samples(exact, right, name):
    n = len(right)
    with np.errstate(invalid="ignore", over="ignore"):  # some of them diverge
        wrong = samples_of(replace(exact, steps=LOOPS[name]), n, 0)
    assert not np.allclose(right, wrong, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("squared", "once", "left_20"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("none", "double", "half", "clip")),
    ],
)
def test_a_loop_that_is_badly_wrong_draws_bad_samples(exact, name):
    assert _distance(replace(exact, steps=LOOPS[name])) > 1.5 * _distance(exact)


@pytest.mark.parametrize("said", ["noise", "data", "velocity", "flow"])
def test_an_output_that_is_read_as_what_it_is_gives_its_noise(said):
    generator = torch.Generator().manual_seed(0)
    eps, x = torch.randn(2, 7, 3, generator=generator)
    alpha, sigma = torch.tensor(0.6), torch.tensor(0.8)
    torch.testing.assert_close(
        eps_of(as_output(eps, x, alpha, sigma, said), x, alpha, sigma, said), eps, atol=1e-5, rtol=1e-5
    )


def test_changes_of_data_are_what_they_say():
    assert len(changed("blobs", 0, "rows 60").x) == 60
    assert len(np.unique(changed("table5", 0, "copies 30").x, axis=0)) <= 30
    outlier = changed("blobs", 0, "outlier 10000")
    assert (abs(outlier.x[0] - bring("blobs", 0).x.mean(0)) > 9_000 * bring("blobs", 0).x.std(0)).all()
    lost = changed("blobs", 0, "lost 2")
    assert 0.75 < len(lost.x) / len(bring("blobs", 0).x) < 0.85
    assert np.shape(lost.given) == lost.x.shape
    assert len(np.unique(changed("blobs", 0, "rounded 0.5").x[:, 0])) < 20


def test_a_right_answer_is_known_by_its_words():
    fault = Case("a", "steps", lambda *_: {}, ("few_steps",))
    finding = {"code": "few_steps", "title": "Too few", "fix": "Take more of these steps."}
    assert fault.is_right(finding)
    assert not fault.is_right(None)
    assert not fault.is_right({**finding, "code": "undertrained"})


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder for networks, each of which is trained once."""
    return tmp_path_factory.mktemp("networks")


@pytest.fixture
def tiny(monkeypatch, kept):
    """Networks of a moment."""
    monkeypatch.setenv("DIAGNOSIS_GRID_CACHE", str(kept))
    monkeypatch.setitem(networks.SCHEDULES, "linear 100", lambda: torch.linspace(1e-4, 0.9, 12).double())
    small = {"steps": 20, "width": 8, "blocks": 1, "batch": 32}
    for one in (case, owners, mending):
        monkeypatch.setattr(one, "trained", lambda recipe: networks.trained(replace(recipe, **small)))
    monkeypatch.setattr(pipelines, "DRAWN", 20)


def test_a_network_is_trained_once_and_comes_back_from_its_file(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("DIAGNOSIS_GRID_CACHE", str(tmp_path))
    first, again = case.plain("blobs", 0), case.plain("blobs", 0)
    assert len(list(tmp_path.iterdir())) == 1
    for one, other in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert len(first.losses) == 20
    x, t = torch.zeros(3, 2), torch.zeros(3)
    assert not torch.equal(first.network(x, t), first.raw(x, t))


ASKED = [name for name, one in (FAULTS | SOUND).items() if one.ways[0] not in ("run", "folder")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if i % 3 else []) for i, name in enumerate(ASKED)]
)
def test_every_pipeline_makes_a_question_in_each_variant(tiny, name):
    one = (FAULTS | SOUND)[name]
    for i, variant in enumerate(one.variants):
        way = one.ways[i % len(one.ways)]
        with np.errstate(invalid="ignore", over="ignore"):
            asked = one.make(variant, one.data[-1 if name == "guidance" else 0], 0, way)
        data = bring(one.data[0], 0)
        assert callable(asked["subject"])
        assert ("samples" in asked) == (way == "samples")
        assert ("sampler" in asked) >= (way == "sampler")
        assert asked.get("prediction", "noise") in ("noise", "data", "velocity", "flow")
        assert np.shape(asked["scaling"]) == (2, data.d)
        if way == "samples":
            assert asked["samples"].shape == (20, data.d)
            assert np.isfinite(asked["samples"]).all()


def _owner(name, variant, data="blobs", way="samples"):
    return (FAULTS | SOUND)[name].make(variant, data, 0, way)["owner"]


def _first_words(loop):
    return {"code": loop.code, "title": loop.words, "fix": loop.fix}


MISTAKES = {
    "β for √β": ("variance for deviation", "squared"),
    "ᾱ for α": ("ᾱ for α", "alpha_bar"),
    "β/(1−ᾱ)": ("β / (1 − ᾱ)", "no_root"),
    "√β": ("√β for β", "beta_root"),
    "betas of single steps": ("betas of all steps", "strided_5"),
    "noise in the last step": ("noise in the last step", "last"),
    "no noise": ("no noise", "none"),
    "ε̂ as z": ("predicted noise reused", "eps"),
    "z drawn once": ("noise drawn once", "once"),
    "2 times the noise": ("noise doubled or halved", "double"),
    "uniform start": ("start from other noise", "uniform"),
    "clipped": ("clipped by the loop", "clip"),
    "ᾱ of t + 1": ("ᾱ of a neighbour", "offset"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_who_does_what_the_text_of_a_loop_says_has_a_sound_loop(tiny, mistake):
    loop = next(one for one in MISTAKEN_LOOPS if one.name == mistake)
    owner = _owner(*MISTAKES[mistake])
    asked = mended(owner, _first_words(loop))
    every = owner.pipeline.steps.every
    sound = replace(owner, pipeline=replace(owner.pipeline, steps=Steps(every=every)))
    np.testing.assert_array_equal(asked["samples"], sound.asks()["samples"])


def test_who_is_told_of_another_fault_changes_nothing(tiny):
    owner = _owner("no noise", "none")
    assert mended(owner, {"code": "clipping", "fix": "Do not clip."}) is None
    assert mended(owner, {"code": "training_target", "fix": "Train with the loss against the noise."}) is None
    assert mended(owner, {"code": "prediction_type", "fix": 'Set prediction="noise".'}) is not None


@pytest.mark.parametrize(
    ("name", "variant", "finding"),
    [
        ("velocity read as noise", "linear 100", ("prediction_type", 'Set prediction="velocity".')),
        ("score read as noise", "", ("prediction_type", "Use its output as the score −ε/σ.")),
        (
            "minus noise read as noise",
            "",
            ("prediction_type", "Use its output as the negative of the noise ε."),
        ),
        ("edm read as noise", "", ("prediction_type", "Use its output as the output F of EDM.")),
        (
            "noise in other units",
            "0.5",
            ("prediction_type", "Multiply its output by 2, and use it as the noise ε."),
        ),
        (
            "log sigma for the time",
            "log sigma",
            (
                "schedule_mismatch",
                "Hand it the times of its training in their own units, with the betas of its training.",
            ),
        ),
        (
            "times reversed",
            "T - 1 - t",
            (
                "schedule_mismatch",
                "Give the network T − 1 − t, as in its training, or sample with the betas.",
            ),
        ),
        (
            "columns swapped in training",
            "swapped",
            ("column_order", "Give the network the columns in the order 2, 1."),
        ),
        ("clipped by the denoiser", "", ("clipping", "Do not clamp x_0.")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_who_reads_the_network_as_the_text_says_reads_it_rightly(tiny, name, variant, finding):
    owner = _owner(name, variant, way="module")
    pipeline = owner.pipeline
    asked = mended(owner, dict(zip(("code", "fix"), finding, strict=True)))
    x, t = torch.randn(4, 2), torch.tensor([1, 3, 6, 8])
    alpha, sigma = levels(pipeline.betas, t, x)

    def noise(module, said):
        with torch.no_grad():
            return eps_of(module(x, t), x, alpha, sigma, said)

    network = pipeline.base.network
    if name == "columns swapped in training":  # it learned them the other way round
        expected = network(x.flip(1), t).flip(1).detach()
    else:
        expected = noise(network, pipeline.base.recipe.target)
    torch.testing.assert_close(noise(asked["subject"], asked["prediction"]), expected, atol=1e-4, rtol=1e-3)


def test_who_is_told_to_train_longer_does_so_and_what_else_was_wrong_stays(tiny, monkeypatch):
    taken = []
    monkeypatch.setattr(owners, "trained", lambda recipe: taken.append(recipe) or case.trained(recipe))
    owner = _owner("weights of 8 bits", "int8", way="module")
    assert mended(owner, {"code": "undertrained", "fix": "Train for several times as many steps."}) is None
    owner = _owner("training noise drawn once", "once", way="module")
    mended(owner, {"code": "undertrained", "fix": "Train for 9,000 steps, with noise drawn anew."})
    mended(owner, {"code": "learning_rate_low", "fix": "Raise it to 0.01."})
    assert [one.mistake for one in taken] == ["", "noise once"]
    assert (taken[0].steps, taken[1].rate) == (9_000, 0.01)


def test_flags_in_the_text_of_a_run_are_set():
    run = owners.RunOwner("moons", 0, {"training__steps": 60})
    taken = {}
    for code, fix in [
        ("undertrained", "Train longer, for 1,200 steps (--steps 1200)."),
        ("learning_rate_low", "Raise it to 0.01 (--set training.learning_rate=0.01)."),
        (
            "few_steps",
            "Sample with dpmpp_2m in 40 steps (--sampler dpmpp_2m --steps 40): 0.1 × floor remains.",
        ),
    ]:
        taken |= mending.of_run(run, {"code": code, "fix": fix}).settings
    assert taken == {
        "training__steps": 60,
        "training__learning_rate": 0.01,
        "sampling__name": "dpmpp_2m",
        "sampling__steps": 40,
    }
    longer = mending.of_run(run, {"code": "undertrained", "fix": "Train longer (--steps 1200)."})
    assert longer.settings == {"training__steps": 1_200}


def test_a_fault_that_is_mended_by_its_text_counts_as_mended(tiny):
    def ask(subject, schedule, data, progress, samples, **_):
        bad = not np.allclose(samples, sound)
        found = diagnosis.Finding("noise_missing", "No noise", "", 5.0, "Add √β · z.")
        share = diagnosis.Share(1.0, 9.0 if bad else 1.0, 0.9, 9.5)
        row = diagnosis.Row("total", "total", share)
        return diagnosis.Diagnosis(diagnosis.Budget((row,)), (found,) if bad else (), None, (), None, "")

    sound = SOUND["sound: predicts noise"].make("", "blobs", 0, "samples")["samples"]
    record = cells.measure(cells.Cell("no noise", "none", "blobs", "samples", 0), ask)
    assert summary.judged(record)["mends"]
    record = cells.measure(
        cells.Cell("no noise", "none", "blobs", "module", 0), lambda *a, **k: ask(*a, samples=0, **k)
    )
    assert not summary.judged(record)["mends"]


@pytest.mark.slow
def test_a_mended_pipeline_is_measured_by_sound_ones_on_the_same_data():
    def record(case, total, way="samples", mended=None):
        finding = {"code": "noise_missing", "title": "", "fix": "", "gain": 1.0}
        return {
            "case": case,
            "kind": (FAULTS | SOUND)[case].kind,
            "data": "digits",
            "way": way,
            "findings": [finding],
            "total": total,
            "error": None,
            "mended": mended,
        }

    sound = [
        record("sound: predicts noise", total, way) for total, way in ((5.0, "samples"), (1.0, "folder"))
    ]
    usual = summary.usual_totals(sound)
    assert usual == {"digits": 5.0}
    for total, mends in ((6.2, True), (6.3, False)):
        made = record("no noise", 40.0, mended=sound[0] | {"total": total})
        assert summary.judged(made, usual)["mends"] == mends
        assert not summary.judged(made)["mends"]
        assert not summary.judged(made | {"way": "folder"}, usual)["mends"]


def test_a_tiny_cell_runs_and_its_answer_is_judged(tiny):
    cell = cells.Cell("not finite at one time", "middle", "blobs", "module", 0)
    record = cells.measure(cell)
    assert record["error"] is None
    assert record["findings"][0]["code"] == "not_finite"
    assert record["seconds"] > 0
    assert summary.judged(record)["right"]


def test_an_error_is_an_answer_and_counts_as_wrong(tiny):
    def ask(*_, **__):
        raise ValueError("no")

    record = cells.measure(cells.Cell("no noise", "none", "blobs", "samples", 0), ask)
    assert record["error"] == "ValueError: no"
    assert not summary.judged(record)["right"]


def test_a_cell_ends_when_its_time_is_over(tiny):
    def ask(*_, **__):
        while True:
            pass

    record = cells.measure(cells.Cell("no noise", "none", "blobs", "samples", 0), ask, limit=0.2)
    assert record["error"] == "no answer within 0.2 s of CPU"
    assert 0.1 < record["cpu"] < 1


def test_a_summary_counts_right_answers_harmless_faults_and_alarms():
    def record(name, data="moons", code=None, gain=5.0, total=9.0, fix="Sample with noise.", mended=None):
        one = (FAULTS | SOUND)[name]
        found = (
            [] if code is None else [{"code": code, "title": "T", "evidence": "", "gain": gain, "fix": fix}]
        )
        return {
            "key": f"{name} | {data}", "case": name, "kind": one.kind, "half": one.half, "variant": "",
            "data": data,
            "way": "samples", "seed": 0, "findings": found, "total": total, "error": None, "seconds": 2.0,
            "cpu": 1.0, "mended": mended,
        }  # fmt: skip

    records = [
        record("no noise", code="noise_missing", mended={"findings": [], "total": 1.1, "error": None}),
        record("no noise", "blobs", code="undertrained", fix="Train longer."),
        record("no noise", "table5", total=1.2),
        record("sound: predicts noise"),
        record("sound: predicts noise", "blobs", code="few_steps", gain=0.3),
        record("sound: predicts noise", "table5", code="few_steps", gain=0.1),
    ]
    text = summary.summarise(records)
    row = next(line for line in text.splitlines() if line.startswith("| samples"))
    assert row == "| samples | 1 of 2 (50%) | 1 of 2 (50%) | 1 of 2 (50%) | 1 | 2 of 3 (67%) |"
    assert "undertrained: T (gain 5.00). Train longer." in text
    assert "few_steps: T (gain 0.30)" in text
    assert "gain 0.10" not in text
