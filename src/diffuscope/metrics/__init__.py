"""How far are samples from data, and how far would perfect samples be? One file for each metric.

A cloud is an array of points, of shape (n, d) or (m, d). Metrics raise ``InputError`` if two clouds differ in
dimension, have too few points, or values that are not finite.
"""

from diffuscope.metrics.classes import ClassJudgement, judge_classes
from diffuscope.metrics.floor import Measured, against_floor, half_interval, relate
from diffuscope.metrics.frechet import extrapolated_frechet, frechet_distance
from diffuscope.metrics.kernel import kernel_distance
from diffuscope.metrics.likelihood import NatsLost, entropy, excess_divergence, kl_divergence, nats_lost
from diffuscope.metrics.neighbours import memorisation, neighbourhoods
from diffuscope.metrics.table import FEATURE_METRICS, METRICS, Measurements, MetricSuite
from diffuscope.metrics.transport import sliced_wasserstein, wasserstein
from diffuscope.metrics.two_sample import (
    TwoSampleTest,
    classifier_two_sample,
    energy_distance,
    median_distance,
    mmd,
)

__all__ = [
    "FEATURE_METRICS",
    "METRICS",
    "ClassJudgement",
    "Measured",
    "Measurements",
    "MetricSuite",
    "NatsLost",
    "TwoSampleTest",
    "against_floor",
    "classifier_two_sample",
    "energy_distance",
    "entropy",
    "excess_divergence",
    "extrapolated_frechet",
    "frechet_distance",
    "half_interval",
    "judge_classes",
    "kernel_distance",
    "kl_divergence",
    "median_distance",
    "memorisation",
    "mmd",
    "nats_lost",
    "neighbourhoods",
    "relate",
    "sliced_wasserstein",
    "wasserstein",
]
