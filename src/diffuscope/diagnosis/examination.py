"""In which order is a pipeline examined, and what does the examination say?

The error budget says which part of the pipeline costs what (:mod:`~diffuscope.diagnosis.budget`); the
findings say why, and what mends it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from diffuscope.diagnosis.budget import measure_budget, measure_walks
from diffuscope.diagnosis.clouds import Clouds
from diffuscope.diagnosis.findings import Finding, in_order
from diffuscope.diagnosis.levels import level_errors, measure_bands, perfect_loss
from diffuscope.diagnosis.network_faults import few_data, first_not_finite, network_faults
from diffuscope.diagnosis.report import Diagnosis
from diffuscope.diagnosis.sampling_faults import clipped_answers, own_code, sampling_faults
from diffuscope.diagnosis.subject import Subject
from diffuscope.progress import Reporter

__all__ = ["examine"]


def examine(subject: Subject, reporter: Reporter | None = None) -> Diagnosis:
    """Measure the budget of a subject and look for what is wrong."""
    reporter = reporter or Reporter(False)
    clouds = Clouds(subject)
    broken = first_not_finite(subject)
    with reporter.stage("sampling with the network and with exact parts in its place"):
        walks = measure_walks(subject, clouds)
        budget = measure_budget(subject, clouds, walks)
    findings: list[Finding | None] = [broken]
    with reporter.stage("looking at the sampler"):
        findings += sampling_faults(subject, clouds, walks, budget)
        findings.append(own_code(subject, clouds, walks, budget))
    errors, bands, loss = None, [], None
    if broken is None and np.isfinite(walks.network).all():
        with reporter.stage("looking at the network, level by level"):
            errors = level_errors(subject, subject.denoiser)
            bands = measure_bands(subject, clouds, walks.own_start)
            loss = perfect_loss(subject)
        with reporter.stage("looking for the cause of the network's errors"):
            findings.append(few_data(subject, clouds, budget))
            clipped = clipped_answers(subject, clouds, walks)
            findings.append(clipped)
            scaled = all(f is None or f.code != "data_scale" for f in findings)
            memorised = any(f is not None and f.code == "few_data" for f in findings)
            if clipped is None and scaled and not memorised:
                findings += network_faults(subject, clouds, walks, budget, errors, bands)
    elif broken is None:
        findings.append(_walk_blows_up())
    return Diagnosis(budget, in_order(_found(findings)), errors, tuple(bands), loss, _certainty(subject))


def _found(findings: Iterable[Finding | None]) -> list[Finding]:
    return [finding for finding in findings if finding is not None]


def _walk_blows_up() -> Finding:
    return Finding(
        "not_finite",
        "Samples are not finite, though the network answers real data with finite numbers",
        "The walk leaves the region where data is, until its numbers overflow.",
        None,
        "Check the sampler's coefficients and the prediction type; sample in more steps.",
    )


def _certainty(subject: Subject) -> str:
    if subject.is_exact:
        return "The law of this data is known: the exact denoiser is exact, and all real points are fresh."
    n = len(subject.oracle.means) if hasattr(subject.oracle, "means") else 0
    if subject.data.draw is not None:
        where = f"{n:,} fresh draws"
        rest = "what lies between them it cannot know, so the network's share may come out too large."
    elif subject.held_out is not None:
        where = f"{n:,} of the training points"
        rest = "real points are the held-out ones, so that learning by heart shows as distance."
    else:
        where = f"{n:,} of the data's points"
        rest = (
            "real points are the other half of the data, which the network has seen as well: learning by "
            "heart hardly shows, and the network's share is a lower bound. Held-out data mends that."
        )
    said = f"The law of this data is not known. The exact denoiser of {where} stands for it; {rest}"
    return f"{said} {subject.flattened.notes}".rstrip()
