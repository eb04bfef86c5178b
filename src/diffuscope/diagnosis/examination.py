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
    with reporter.stage("sampling with the network and with exact parts"):
        walks = measure_walks(subject, clouds)
        budget = measure_budget(subject, clouds, walks)
    findings: list[Finding | None] = [broken]
    with reporter.stage("checking the sampler"):
        findings += sampling_faults(subject, clouds, walks, budget)
        findings.append(own_code(subject, clouds, walks, budget))
    errors, bands, loss = None, [], None
    if broken is None and np.isfinite(walks.network).all():
        with reporter.stage("measuring the network at each noise level"):
            errors = level_errors(subject, subject.denoiser)
            bands = measure_bands(subject, clouds, walks.own_start)
            loss = perfect_loss(subject)
        with reporter.stage("finding the cause of the network's errors"):
            findings.append(few_data(subject, clouds, budget))
            clipped = clipped_answers(subject, clouds, walks)
            findings.append(clipped)
            scaled = all(f is None or f.code != "data_scale" for f in findings)
            memorised = any(f is not None and f.code == "few_data" for f in findings)
            if clipped is None and scaled and not memorised:
                findings += network_faults(subject, clouds, walks, budget, errors, bands)
    elif broken is None:
        findings.append(_diverged())
    return Diagnosis(budget, in_order(_found(findings)), errors, tuple(bands), loss, _certainty(subject))


def _found(findings: Iterable[Finding | None]) -> list[Finding]:
    return [finding for finding in findings if finding is not None]


def _diverged() -> Finding:
    return Finding(
        "not_finite",
        "Samples are not finite, although the network's outputs for real data are",
        "The sampling trajectory leaves the region of the data, until its values overflow.",
        None,
        "Check the sampler's coefficients and the prediction type; use more sampling steps.",
    )


def _certainty(subject: Subject) -> str:
    if subject.is_exact:
        return "The distribution of this data is known: the denoiser is exact, and all real points are fresh."
    n = len(subject.oracle.means) if hasattr(subject.oracle, "means") else 0
    if subject.data.draw is not None:
        where = f"{n:,} fresh draws"
        rest = "as it cannot generalise beyond them, the network's share may be too large."
    elif subject.held_out is not None:
        where = f"{n:,} of the training points"
        rest = "samples are compared with the held-out points, so memorisation shows as distance."
    else:
        where = f"{n:,} of the data's points"
        rest = (
            "samples are compared with the other half of the data, which the network has seen too: "
            "memorisation hardly shows, and the network's share is a lower bound. Held-out data detects it."
        )
    text = f"The distribution of this data is unknown. The exact denoiser of {where} replaces it; {rest}"
    return f"{text} {subject.flattened.notes}".rstrip()
