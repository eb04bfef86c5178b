"""Do the rows of the budget add up, and do its intervals hold what they say?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffuscope.diagnosis.budget import measure_budget
from diffuscope.diagnosis.distances import Clouds, Share
from diffuscope.diagnosis.findings import Distance, judge
from diffuscope.diagnosis.levels import level_errors, perfect_loss
from diffuscope.diagnosis.sampling_faults import sampling_suspects
from diffuscope.diagnosis.steps import probe_step, probe_steps
from diffuscope.diagnosis.subject import Subject, Training
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss, Times
from diffuscope.diffusion.process import q_posterior
from diffuscope.diffusion.samplers import DDIM, DDPM, Heun, make_sampler, sampler_name
from diffuscope.diffusion.schedules import EDM, cosine
from diffuscope.modalities.recognition import modality


def subject_of(perfect, denoiser=None, training=None, sampler=None):
    schedule = perfect.schedule
    flattened = modality("points").as_it_is(
        denoiser or perfect.denoiser, perfect.scaling, perfect.data, None, seed=0
    )
    return Subject(
        **vars(flattened),
        schedule=schedule,
        grid=schedule.grid(schedule.T),
        sampler=sampler or DDPM(),
        start_std=1.0,
        scaling=flattened.codec,
        training=training or Training(Loss(), Times()),
    )


def test_rows_lead_from_the_floor_to_the_total(perfect):
    def rough(x_t, level):
        return 0.9 * perfect.oracle(x_t, level)

    rows = measure_budget(Clouds(subject_of(perfect, rough))).rows
    assert [row.part for row in rows] == [
        *("floor", "discretisation", "prior", "finite_data", "network", "total"),
    ]
    assert sum(row.share.value for row in rows[:-1]) == pytest.approx(rows[-1].share.value)
    assert sum(row.share.ratio for row in rows[:-1]) == pytest.approx(rows[-1].share.ratio)
    assert rows[0].share.ratio == pytest.approx(1, abs=0.5)  # the luck of a few real clouds


def test_classes_and_guidance_have_rows_and_guidance_that_is_too_strong_is_named(perfect, network):
    exact = Denoiser(network(), perfect.schedule, "noise")
    subject = replace(
        subject_of(perfect, exact),
        conditioned=lambda rows: lambda x_t, level: 1.15 * perfect.oracle(x_t, level),
        unguided=lambda rows: perfect.denoiser,
        guidance=4.0,
    )
    clouds = Clouds(subject)
    budget = measure_budget(clouds)
    parts = [row.part for row in budget.rows]
    assert parts[4:] == ["network", "classes", "guidance", "total"]
    assert sum(row.share.value for row in budget.rows[:-1]) == pytest.approx(budget["total"].value)
    assert budget["classes"].ratio == pytest.approx(0, abs=1e-3)
    assert budget["guidance"].ratio > 1
    found, mended = judge(Distance(clouds), sampling_suspects(clouds, budget))
    assert [one.code for one in found] == ["guidance"]
    assert found[0].title == "Guidance of 4 is too strong"
    assert found[0].gain == pytest.approx(budget["guidance"].ratio, rel=0.3)
    assert mended.clouds.subject.conditioned is subject.unguided


def test_samples_of_the_pipeline_are_drawn_once(perfect):
    asked = []

    def counted(x_t, level):
        asked.append(len(x_t))
        return perfect.oracle(x_t, level)

    clouds = Clouds(subject_of(perfect, counted))
    few = clouds.first_distances(2)
    for_few = sum(asked)
    np.testing.assert_allclose(clouds.network[:2], few)
    assert sum(asked) > 2 * for_few  # few are drawn where not all are wanted
    asked.clear()
    np.testing.assert_array_equal(clouds.first(1)[0], clouds.made[0])
    np.testing.assert_array_equal(clouds.first_distances(3), clouds.network[:3])
    assert not asked


def test_slow_networks_are_compared_by_brief_walks_and_a_gain_is_of_the_own_one(perfect):
    """Images are slow; their pipelines of many steps are asked as seldom as possible."""
    steps = []

    def rough(x_t, level):
        steps.append(int(level.t))
        return 0.8 * perfect.oracle(x_t, level)

    subject = subject_of(perfect, rough)
    assert subject.brief is subject
    slow = replace(subject, probe=False)
    assert slow.brief.grid.n_steps == 20 < slow.grid.n_steps
    clouds = Clouds(slow)
    changed = clouds.changed(denoiser=perfect.denoiser)
    gain = Distance(clouds).gain(changed)
    assert gain.matters
    assert len(set(steps)) == 20
    confirmed = gain.confirmed()
    assert len(set(steps)) == 40
    expected = clouds.gain(clouds.network, changed.network[:6])
    assert confirmed.share.ratio == pytest.approx(expected.ratio)
    assert confirmed.share.ratio != gain.share.ratio
    other = clouds.changed(start_std=2.0)  # another walk: nothing is compared by a brief one
    gain = Distance(clouds).gain(other)
    n = 3 if gain.is_settled else 6
    assert gain.share.ratio == pytest.approx(clouds.gain(clouds.network[:n], other.network[:n]).ratio)


def test_more_clouds_of_a_change_are_drawn_only_where_few_leave_it_open(perfect):
    asked = []

    def shrunk(by):
        def denoise(x_t, level):
            asked.append(len(x_t))
            return by * perfect.oracle(x_t, level)

        return denoise

    clouds = Clouds(subject_of(perfect, shrunk(0.8)))
    one_cloud = clouds.subject.reference.n * clouds.subject.grid.n_steps
    assert len(clouds.network) == clouds.count
    asked.clear()
    much = Distance(clouds).gain(clouds.changed(denoiser=shrunk(1.0)))
    assert much.matters
    assert much.is_settled
    assert 3 * one_cloud <= sum(asked) < 3.5 * one_cloud  # whole blocks of points
    assert much.confirmed() is much
    beside = much.confirmed(beside_others=True)
    assert beside.share.ratio == pytest.approx(
        clouds.gain(clouds.network[:6], much.changed.network[:6]).ratio, abs=1e-6
    )
    asked.clear()
    none = Distance(clouds).gain(clouds.changed(denoiser=shrunk(0.8)))
    assert not none.matters
    assert none.share.ratio == 0
    assert 3 * one_cloud <= sum(asked) < 3.5 * one_cloud


def test_clouds_that_are_drawn_later_are_those_of_one_draw(perfect):
    whole, grown = (Clouds(subject_of(perfect, perfect.denoiser)) for _ in range(2))
    grown.first(3)
    for one, other in zip(whole.made, grown.made, strict=True):
        np.testing.assert_array_equal(one, other)
    later = whole.distances(perfect.denoiser, 5, first=3)
    np.testing.assert_array_equal(later, whole.network[3:5])


def test_the_interval_of_a_share_holds_the_truth_in_95_of_100_cases(perfect):
    clouds = Clouds(subject_of(perfect))
    random = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        clouds.__dict__["floors"] = random.normal(2.0, 0.5, 48)
        share = clouds.share(random.normal(1.0, 0.4, 10))
        held += share.low < 0.5 < share.high
    assert 0.91 < held / 400 < 0.99


def test_luck_that_two_configurations_share_cancels_in_their_difference(perfect):
    clouds = Clouds(subject_of(perfect))
    luck = np.random.default_rng(0).normal(5.0, 1.0, 8)
    clouds.__dict__["floors"] = np.full(48, 2.0)
    assert clouds.share(luck + 1, luck) == Share(1.0, 0.5, pytest.approx(0.5), pytest.approx(0.5))


def test_an_exact_denoiser_has_no_excess_error_and_the_errors_that_are_left_are_those_of_the_law(perfect):
    errors = level_errors(subject_of(perfect), perfect.denoiser)
    assert errors.excess.max() < 1e-12
    assert (np.diff(errors.ratio) < 0).all()
    # With hardly any noise left, the data is known but for r² s² / (r² + s²), s the spread of a cluster.
    assert errors.irreducible[0] == pytest.approx(1.0, abs=0.05)
    cluster = perfect.data.source["noise"] / perfect.scaling.scale.mean()
    r = errors.ratio[-1]
    left = (r * cluster) ** 2 / (r**2 + cluster**2)
    assert errors.irreducible[-1] == pytest.approx(left * (r**2 + 1) / r**2, rel=0.05)


def test_an_error_that_is_planted_at_a_level_is_measured_there(perfect):
    def off(x_t, level):
        return perfect.oracle(x_t, level) + (0.1 if level.ratio.item() < 1 else 0.0)

    errors = level_errors(subject_of(perfect), off)
    r = errors.ratio
    np.testing.assert_allclose(errors.excess[r > 1], 0, atol=1e-9)
    np.testing.assert_allclose(errors.excess[r < 1], 0.01 * (r[r < 1] ** 2 + 1) / r[r < 1] ** 2, rtol=1e-3)


def test_the_loss_of_a_perfect_denoiser_is_what_an_exact_network_reaches(perfect, network):
    model = network()
    denoiser = Denoiser(model, perfect.schedule, "noise")
    loss, times = Loss(), Times()
    found = perfect_loss(subject_of(perfect, denoiser, Training(loss, times)))
    values = []
    for k in range(20):
        generator = torch.Generator().manual_seed(k)
        x_0 = perfect.scaling.encode(perfect.data.x)
        level = perfect.schedule(times.draw(perfect.schedule, 1, len(x_0), generator)[0])
        examples = loss.examples(denoiser, x_0, level, torch.randn(x_0.shape, generator=generator))
        with torch.no_grad():
            values.append(loss.value(model(examples.inputs, examples.condition), examples).item())
    assert found == pytest.approx(np.mean(values), rel=0.03)
    assert found > 0.1


# --- steps of a sampler


@pytest.mark.parametrize("step", [0, 7, 39])
def test_a_step_of_ddpm_is_read_off_as_its_posterior(step):
    grid = cosine(40).grid(40)
    found = probe_step(DDPM(), grid, step, 1.0)
    now, target = grid.levels.at(step), grid.levels.at(step + 1)
    one = torch.ones(1, 1, dtype=torch.float64)
    data, variance = q_posterior(one, 0 * one, now, target)
    signal, _ = q_posterior(0 * one, one, now, target)
    assert found.data == pytest.approx(data.item(), abs=1e-4)
    assert found.signal == pytest.approx(signal.item(), abs=1e-4)
    assert found.noise == pytest.approx(math.sqrt(variance.item()), rel=0.05, abs=1e-6)
    assert found.noise == pytest.approx(found.due_noise, rel=0.05, abs=1e-3)
    assert found.data == pytest.approx(found.due_data, abs=1e-4)
    assert found.clipped_at is None
    assert found.is_last == (step == 39)


@pytest.mark.parametrize("sampler", [DDIM(), DDIM(eta=0.5), Heun(), make_sampler("unipc")])
def test_sound_samplers_add_the_noise_that_they_ask_for(sampler):
    for grid in (cosine(40).grid(20), EDM().grid(20, "karras")):
        for step in probe_steps(sampler, grid, 1.0):
            scale = step.target.sigma.item() + 1e-3
            assert abs(step.noise - step.due_noise) < 0.1 * scale, (sampler_name(sampler), step)
            assert step.clipped_at is None


def test_a_sampler_that_clips_is_seen_to_clip_and_where():
    def clipping(context, x):
        return q_posterior(context.estimate(x).clamp(-1.5, 1.5), x, context.now, context.target)[0]

    found = probe_step(clipping, cosine(40).grid(40), 20, 1.0)
    assert found.clipped_at == pytest.approx(1.5, rel=0.05)
