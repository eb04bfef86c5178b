"""What are the results of an evaluation? A table, plain data, a figure, and a summary in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from diffuscope.data.base import Dataset
from diffuscope.data.conditions import Numbers
from diffuscope.data.spread import deviation
from diffuscope.diffusion.schedules import DiscreteSchedule
from diffuscope.errors import InputError
from diffuscope.likelihood import BitsPerDimension, bits_per_dimension
from diffuscope.metrics import METRICS, Measured, MetricSuite, TwoSampleTest, classifier_two_sample, relate
from diffuscope.metrics.likelihood import LogDensity
from diffuscope.modalities.base import Evaluation as AnyEvaluation
from diffuscope.modalities.base import table_lines
from diffuscope.modalities.generator import LabelGenerator
from diffuscope.modalities.points.baselines import fit_baselines
from diffuscope.modalities.reference import (
    FEWEST_MEASURED,
    PAIRS,
    Points,
    Reference,
    draw_reference,
    joint_ratio,
)
from diffuscope.model import Model
from diffuscope.oracle import oracle_of
from diffuscope.progress import Reporter
from diffuscope.request import Request
from diffuscope.seeds import stream_seed
from diffuscope.translations import term
from diffuscope.translations.display import fill

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Evaluation", "evaluate_points"]

_WIDTH = 100
_SAME = 0.01
_LIKELIHOOD_POINTS = 256
_LIKELIHOOD_CLOUDS = 4
_BOUND_POINTS = 2_000
_MOST_CLASSES = 20  # that are measured one by one


@dataclass(frozen=True, repr=False)
class Evaluation(AnyEvaluation):
    """The quality of samples, beside baselines.

    Attributes
    ----------
    metrics : dict
        Metrics of the run's samples by name, in the order of the table.
    baselines : dict
        The same of each baseline, by its name.
    titles : dict
        Title of each baseline, with its settings.
    left_out : dict
        Metrics that could not be measured, with the reason.
    certainty : str
        What samples were compared with, and how certain that is.
    told_apart : TwoSampleTest, optional
        Accuracy of a classifier of samples and real points, with interval and p-value.
    bound : BitsPerDimension, optional
        Bits per dimension that the model needs at most, for a discrete schedule.
    classes : dict
        Of a model with classes the sliced Wasserstein distance of samples of each class from its points.
    jointly : Measured, optional
        Of a model with numbers the sliced Wasserstein distance of points beside their numbers, (x, y), from
        samples beside the numbers that they were drawn with. It is large where samples do not follow these.

    Examples
    --------
    >>> import diffuscope
    >>> evaluation = diffuscope.evaluate("runs/moons", only=["sliced_wasserstein"], baselines=False)
    >>> sorted(evaluation.metrics)
    ['sliced_wasserstein']
    """

    picture: ClassVar[str] = "quality.png"
    metrics: dict[str, Measured]
    baselines: dict[str, dict[str, Measured]]
    titles: dict[str, str]
    left_out: dict[str, str]
    certainty: str
    told_apart: TwoSampleTest | None = None
    bound: BitsPerDimension | None = None
    classes: dict[str, Measured] = field(default_factory=dict)
    jointly: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        """Return ``{"metrics": {name: {value, floor, ratio, low, high}}, "baselines": {name: ...}, ...}``."""
        test = self.told_apart
        return {
            "metrics": _plain(self.metrics),
            "classifier_two_sample": None if test is None else test._asdict(),
            "baselines": {name: _plain(measured) for name, measured in self.baselines.items()},
            **({} if self.bound is None else {"variational_bound": self.bound.to_json()}),
            **({"classes": _plain(self.classes)} if self.classes else {}),
            **({"jointly": self.jointly.to_json()} if self.jointly else {}),
        }

    def best(self, metric: str) -> list[str]:
        """Return who is best by a metric: "" for the run, else names of baselines; several where tied.

        Nearest to what real data reaches is best, not beyond it; tied is whose interval reaches as near,
        give or take a hundredth of the floor.
        """
        measured = {"": self.metrics.get(metric)} | {k: v.get(metric) for k, v in self.baselines.items()}
        off = {name: _off(metric, m) for name, m in measured.items() if m is not None}
        if not off:
            return []
        nearest = min(value for value, _ in off.values())
        return [name for name, (_, least) in off.items() if least <= nearest + _SAME]

    def verdict(self) -> str:
        """Compare the run with the baselines in a sentence or two."""
        if not self.baselines:
            return ""
        shared = [name for name in self.metrics if any(name in b for b in self.baselines.values())]
        best = {name: self.best(name) for name in shared}
        rivals = {
            baseline: [name for name in shared if "" not in best[name] and baseline in best[name]]
            for baseline in self.baselines
        }
        own = sum("" in names for names in best.values())
        text = f"No baseline is better than this model in {own} of {len(shared)} metrics."
        for baseline, better in rivals.items():
            if better:
                titles = (METRICS[name].title for name in better)
                names = ", ".join(title[0].lower() + title[1:] for title in titles)
                text += f" The {_LABELS.get(baseline, baseline)} is better in {names}."
        if rivals.get("kernel_density"):
            text += " In low dimension a kernel density estimate is a strong baseline."
        return text

    def __str__(self) -> str:
        """Return the whole report as text; a star marks the best of each row."""
        baselines = [_LABELS.get(name, name) for name in self.baselines]
        rows = []
        for name, own in self.metrics.items():
            best = self.best(name)
            row = [term(METRICS[name].title), f"{own.floor:.3g}", f"{own.value:.3g}", _cell(own, "" in best)]
            rows.append(row + [_cell(m.get(name), who in best) for who, m in self.baselines.items()])
        lines = table_lines(["metric", "real data", "this model", "÷ floor", *baselines], rows)
        bound = [] if self.bound is None else ["", *self.bound.lines()]
        by_label = {"points with their numbers": self.jointly} if self.jointly else self.classes
        labelled = [
            [name, f"{own.floor:.3g}", f"{own.value:.3g}", f"{own.ratio:.2f}", own.note or "–"]
            for name, own in by_label.items()
        ]
        what = "condition" if self.jointly else "class"
        titles = [f"{what} (sliced Wasserstein)", "real data", "this model", "÷ floor", "note"]
        of_labels = ["", *table_lines(titles, labelled)] if labelled else []
        return "\n".join([*lines, *of_labels, "", self.notes(), *bound])

    def notes(self) -> str:
        """Return the notes below the table."""
        notes = [_READ, self.verdict(), self.certainty]
        if (test := self.told_apart) is not None:
            notes.append(
                f"Two-sample classifier, on the first pair of clouds alone: {test.accuracy:.1%} accuracy "
                f"(95% interval {test.low:.1%} to {test.high:.1%}); as high by chance with probability "
                f"{test.p_value:.2g}."
            )
        if self.titles:
            notes.append("Baselines: " + "; ".join(self.titles.values()) + ".")
        notes += [f"{term(METRICS[name].title)}: {why}" for name, why in self.left_out.items()]
        return "\n".join(fill(note, _WIDTH) for note in notes if note)

    def plot(self) -> Figure:
        """Draw the ratio of every metric, of the run and of the baselines, with intervals."""
        from diffuscope.plots import plot_quality

        rows = [(METRICS[name].title, METRICS[name].ideal == "floor") for name in self.metrics]
        ratios: dict[str, list[Measured | None]] = {"this model": [*self.metrics.values()]}
        for baseline, measured in self.baselines.items():
            ratios[_LABELS.get(baseline, baseline)] = [measured.get(name) for name in self.metrics]
        return plot_quality(rows, ratios)


_READ = (
    "÷ floor: ratio of the metric to its value for real data, with a 95% interval; * marks the best. Ideal: "
    "1, or 0 for energy distance, mean discrepancy, divergence and likelihood gap. Lower is better, except "
    "for precision, recall, density and coverage."
)
_LABELS = {
    "kernel_density": "kernel density",
    "gaussian_mixture": "Gaussian mixture",
    "training_data": "training data",
}


def _plain(measured: Mapping[str, Measured]) -> dict[str, Any]:
    return {name: m.to_json() for name, m in measured.items()}


def _cell(m: Measured | None, best: bool) -> str:
    if m is None:
        return "– "
    return f"{m.ratio:.2f} ± {m.high - m.ratio:.2f}".replace("-", "−") + ("*" if best else " ")


def _off(name: str, m: Measured) -> tuple[float, float]:
    """Return how far a ratio is from that of real data, and how near its interval comes to it."""
    metric = METRICS[name]
    ideal = 1.0 if metric.ideal == "floor" else 0.0
    if metric.better == "high":
        return max(ideal - m.ratio, 0.0), max(ideal - m.high, 0.0)
    return max(m.ratio - ideal, 0.0), max(m.low - ideal, 0.0)


def evaluate_points(
    model: Model,
    data: Dataset,
    reference: Reference,
    clouds: list[Points],
    seed: int,
    reporter: Reporter,
    generator: LabelGenerator,
    *,
    unseen: int = 0,
    baselines: bool = True,
    only: Sequence[str] | None = None,
) -> Evaluation:
    """Measure a model's samples by all metrics, beside three baselines fitted to the same data.

    ``unseen`` is the number of held-out points; 0: the reference is the training data. ``baselines`` says
    whether to fit and measure them, ``only`` which of :data:`diffuscope.metrics.METRICS` are measured.
    """
    known = data.draw is not None
    fresh = known or bool(unseen)
    truth = _true_log_density(data)
    with reporter.stage("measuring samples"):
        suite = MetricSuite(
            reference.real,
            reference.pairs,
            training=reference.normalised(data.x) if fresh else None,
            log_density=None if truth is None else _normalised(truth, reference),
            seed=seed,
            only=only,
        )
        measured = suite.measure(clouds)
        metrics, left_out = dict(measured), dict(measured.left_out)
        if "sliced_wasserstein" in metrics:  # the number of the run, wherever it is measured
            metrics["sliced_wasserstein"] = reference.ratio(clouds)
        told_apart = None
        if "classifier_accuracy" in metrics:
            told_apart = classifier_two_sample(clouds[0], reference.real[0], seed)
    with reporter.stage("measuring conditions"):
        classes = {} if only is not None else _by_class(model, data, generator, seed)
        jointly = None if only is not None else _jointly(data, reference, clouds, generator, seed)
    likelihood = _Likelihood(data, truth, seed) if only is None or "log_likelihood_gap" in only else None
    if likelihood is not None:
        with reporter.stage("integrating the model's log-density"):
            _add(metrics, left_out, likelihood.gap(model.log_density))
    rivals: dict[str, dict[str, Measured]] = {}
    titles = {}
    if baselines:
        with reporter.stage("fitting and measuring baselines"):
            for baseline in fit_baselines(data.x, stream_seed(seed, "baselines") % 2**32):
                if baseline.name == "training_data" and not fresh:
                    continue  # it would be compared with itself
                seeds = [stream_seed(seed, "baseline", i) % 2**32 for i in range(reference.count)]
                drawn = [reference.normalised(baseline.sample(reference.n, own)) for own in seeds]
                found = dict(suite.measure(drawn))
                if likelihood is not None and baseline.log_density is not None:
                    _add(found, {}, likelihood.gap(baseline.log_density))
                rivals[baseline.name] = found
                titles[baseline.name] = baseline.title
    with reporter.stage("bounding the likelihood"):
        bound = None if only is not None else _bound(model, reference, seed)
    certainty = _certainty(known, unseen, reference.n)
    return Evaluation(metrics, rivals, titles, left_out, certainty, told_apart, bound, classes, jointly)


def _by_class(model: Model, data: Dataset, generator: LabelGenerator, seed: int) -> dict[str, Measured]:
    """Measure samples of each class that the model is conditioned on against its points."""
    found: dict[str, Measured] = {}
    if data.labels is None or not generator.classes:
        return found
    for k, name in enumerate(generator.classes[:_MOST_CLASSES]):
        own = data.x[data.labels == k]
        if len(own) < FEWEST_MEASURED or not (deviation(own) > 0).all():
            continue
        reference = draw_reference(own, seed=stream_seed(seed, "class", k) % 2**32)
        n = reference.samples
        request = Request(seed=reference.sampling_seed, condition=np.full(n, k))
        samples = np.concatenate(list(generator.batches(n, request)))
        found[name] = reference.ratio(reference.clouds(np.asarray(samples, dtype=np.float64)))
    return found


def _jointly(
    data: Dataset, reference: Reference, clouds: list[Points], generator: LabelGenerator, seed: int
) -> Measured | None:
    """Measure samples beside the numbers that they were drawn with against points beside theirs."""
    label_type, asked = generator.label_type, reference.condition
    if not isinstance(label_type, Numbers) or data.labels is None or len(data.x) < FEWEST_MEASURED:
        return None
    made, own = np.concatenate(clouds), stream_seed(seed, "jointly") % 2**32
    return joint_ratio(reference.normalised(data.x), data.labels, made, asked, own)


def _bound(model: Model, reference: Reference, seed: int) -> BitsPerDimension | None:
    """Return the variational bound on real points in their own units; None for a continuous schedule."""
    schedule = model.denoiser.schedule
    if not isinstance(schedule, DiscreteSchedule) or reference.points is None:
        return None
    x = reference.points.real(0)[:_BOUND_POINTS]
    variance = model.recipe.sampling.settings.get("variance", "posterior")
    return bits_per_dimension(
        model.denoiser,
        schedule,
        model.codec.encode(x).to(model.device),
        model.codec.log_abs_det_jacobian(x),
        variance=variance,
        seed=seed,
    )


def _certainty(known: bool, unseen: int, n: int) -> str:
    if known:
        return (
            f"The distribution of this data is known: samples were compared with fresh draws of {n:,} points."
        )
    if unseen:
        return (
            "The distribution of this data is unknown: samples were compared with halves of the "
            f"{unseen:,} held-out rows. As these are reused, intervals are slightly too narrow."
        )
    return (
        "The distribution of this data is unknown: samples were compared with halves of the training data, "
        f"{n:,} rows each. A model that memorised them would look perfect: give --held-out FILE to detect "
        "this."
    )


class _Likelihood:
    """Real points with their true log-density, for comparison with another log-density."""

    def __init__(self, data: Dataset, truth: LogDensity | None, seed: int) -> None:
        self.clouds: list[tuple[Points, Points]] = []
        if truth is None or data.draw is None:
            return
        for i in range(_LIKELIHOOD_CLOUDS):
            x = data.draw(_LIKELIHOOD_POINTS, stream_seed(seed, "likelihood", i) % 2**32)
            self.clouds.append((x, np.asarray(truth(x), dtype=np.float64)))
        many = truth(data.draw(2 * PAIRS * _LIKELIHOOD_POINTS, stream_seed(seed, "floor") % 2**32))
        means = many.reshape(PAIRS, 2, -1).mean(axis=2)
        self.floors = (means[:, 0] - means[:, 1]).tolist()

    def gap(self, log_density: LogDensity) -> Measured | str:
        """Return E_real[log p_true - log p], or why it cannot be computed."""
        if not self.clouds:
            return "It needs the true density, which is unknown."
        x = np.concatenate([points for points, _ in self.clouds])
        own = np.split(log_density(x), len(self.clouds))
        gaps = [float((true - log_p).mean()) for (_, true), log_p in zip(self.clouds, own, strict=True)]
        if not np.isfinite(gaps).all():
            return "It is infinite: the model's density is 0 at some real points."
        return relate(gaps, self.floors, "zero")


def _add(found: dict[str, Measured], left_out: dict[str, str], gap: Measured | str) -> None:
    if isinstance(gap, str):
        left_out["log_likelihood_gap"] = gap
    else:
        found["log_likelihood_gap"] = gap


def _true_log_density(data: Dataset) -> LogDensity | None:
    """Return the true log-density in the units of the data, where it is known."""
    try:
        oracle = oracle_of(data)
        oracle.log_density(data.x[:1])
    except InputError:
        return None
    return lambda x: np.asarray(oracle.log_density(x).numpy())


def _normalised(log_density: LogDensity, reference: Reference) -> LogDensity:
    """Return the log-density in the units of the reference."""
    volume = float(np.log(reference.unit).sum())
    return lambda z: log_density(z * reference.unit + reference.middle) + volume
