"""Are real images at the floor, and are planted defects seen by the metrics that were made for them?"""

from __future__ import annotations

import numpy as np
import pytest

from diffuscope.errors import InputError
from diffuscope.metrics import FEATURE_METRICS, METRICS
from diffuscope.metrics.features import ImageQuality, image_quality


@pytest.fixture(scope="module")
def perfect(digits, classifier):
    """Half of the held-out digits stand for samples, the other half for held-out images."""
    samples, rest = digits.held_out[:298], digits.held_out[298:]
    return image_quality(samples, digits.images, rest, classifier, labels=digits.held_out_labels[:298])


def with_defect(digits, classifier, change, **options) -> ImageQuality:
    samples, rest = digits.held_out[:298], digits.held_out[298:]
    changed = change(samples.copy())
    return image_quality(changed, digits.images, rest, classifier, **options)


def ideal(name):
    return float({**METRICS, **FEATURE_METRICS}[name].ideal == "floor")


def test_real_images_are_at_the_floor_by_every_metric(perfect):
    for name, m in perfect.items():
        slack = (m.high - m.low) / 2  # of eight at 95% one may miss it
        assert m.low - slack <= ideal(name) <= m.high + slack, name
    assert len(perfect) == 8
    assert set(perfect.left_out) == {"frechet_extrapolated"}  # too few digits for 64 features, and said so
    assert perfect.size == 298 // 4


def test_real_digits_are_of_the_classes_that_they_are(digits, perfect):
    found = perfect.classes
    assert found.accuracy.value >= 0.95
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high
    counts = [np.bincount(part) for part in np.split(digits.held_out_labels[:596], 2)]
    shares = [count / count.sum() for count in counts]
    entropies = [-(share * np.log(share)).sum() for share in shares]
    assert (found.balance, found.real_balance) == pytest.approx(entropies, abs=0.01)
    assert found.imbalance == pytest.approx(np.abs(shares[0] - shares[1]).sum() / 2, abs=0.02)


DEFECTS = {
    "noise": lambda x: np.clip(x + np.random.default_rng(0).normal(0, 60, x.shape), 0, 255).astype(np.uint8),
    "turned": lambda x: np.rot90(x, axes=(2, 3)),
    "one digit": lambda x: np.repeat(x[:1], len(x), axis=0),
}
SEEN_BY = {
    "noise": ["frechet_distance", "kernel_distance", "density", "entropy_gap"],
    "turned": ["frechet_distance", "kernel_distance", "density", "class_imbalance", "entropy_gap"],
    "one digit": ["frechet_distance", "kernel_distance", "recall", "coverage", "class_imbalance"],
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_seen_by_the_metrics_made_for_it(digits, classifier, defect):
    found = with_defect(digits, classifier, DEFECTS[defect])
    for name in SEEN_BY[defect]:
        m = found[name]
        high = {**METRICS, **FEATURE_METRICS}[name].better == "high"
        assert m.high < ideal(name) if high else m.low > ideal(name), name


def test_classes_that_are_missing_show_in_recall_and_in_the_balance_by_their_share_not_in_precision(
    digits, classifier
):
    kept = digits.images[digits.labels < 5]
    found = image_quality(kept, digits.images, digits.held_out, classifier)
    assert found.classes.imbalance == pytest.approx(0.5, abs=0.1)
    assert found.classes.balance == pytest.approx(np.log(5), abs=0.1)
    assert found["class_imbalance"].low > 1
    assert found["recall"].high < 0.8
    assert found["precision"].low < 1 < found["precision"].high


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(digits, classifier, perfect):
    labels = digits.held_out_labels[:298]
    again = with_defect(digits, classifier, lambda x: x, labels=labels)
    assert again == perfect
    assert again.classes == perfect.classes
    assert with_defect(digits, classifier, lambda x: x, labels=labels, seed=1) != perfect


def test_a_thousand_at_a_time_give_what_all_at_once_give(digits, classifier, perfect, monkeypatch):
    monkeypatch.setattr("diffuscope.metrics.features.quality._AT_ONCE", 70)
    again = with_defect(digits, classifier, lambda x: x, labels=digits.held_out_labels[:298])
    assert {name: m.value for name, m in again.items()} == pytest.approx(
        {name: m.value for name, m in perfect.items()}, rel=1e-3
    )
    assert again.classes.accuracy == perfect.classes.accuracy


class Pixels:
    """One's own idea of what images are compared in."""

    def features(self, images):
        return images.reshape(len(images), -1) / 255


def test_images_are_measured_in_whatever_features_one_has(digits):
    found = image_quality(digits.held_out[:298], digits.images, digits.held_out[298:], Pixels())
    assert found["kernel_distance"].low < 0 < found["kernel_distance"].high
    assert found.classes is None
    assert "class_imbalance" not in found


def test_many_images_are_measured_in_more_and_larger_draws_with_the_extrapolation():
    random = np.random.default_rng(0)

    class Mean:
        def features(self, images):
            return images.reshape(len(images), 2, -1).mean(axis=2) / 128

    sets = [random.integers(256, size=(2600, 1, 4, 4)).astype(np.uint8) for _ in range(3)]
    found = image_quality(*sets, Mean())
    assert found.size == 520
    m = found["frechet_extrapolated"]
    assert m.low < 0 < m.high


@pytest.mark.slow
def test_what_cannot_be_compared_is_refused(digits, classifier):
    x = digits.held_out
    with pytest.raises(InputError, match="at least 80 of each"):
        image_quality(x[:79], digits.images, x[79:], classifier)
    with pytest.raises(InputError, match=r"shape \(1, 8, 6\)"):
        image_quality(x, digits.images[..., :6], x, classifier)
    with pytest.raises(InputError, match="not images"):
        image_quality(x / 255, digits.images, x, classifier)
    with pytest.raises(InputError, match=r"shape \(3,\) do not match 200"):
        image_quality(x[:200], digits.images, x[200:], classifier, labels=[1, 2, 3])
    with pytest.raises(InputError, match="Without labels"):
        image_quality(x[:200], digits.images, x[200:], Pixels(), labels=np.zeros(200, int))
    with pytest.raises(InputError, match="a row for each image"):
        image_quality(x[:200], digits.images, x[200:], type("", (), {"features": lambda self, x: x})())
