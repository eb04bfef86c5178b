"""Does a classifier know what is on images it has not seen, alike each time and in memory that stays flat?"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from diffuscope.errors import InputError
from diffuscope.metrics.features import train_classifier
from diffuscope.metrics.features.classifier import to_network
from diffuscope.metrics.features.network import FEATURES, FeatureNetwork
from diffuscope.metrics.features.training import _shifted, _turned


def accuracy(classifier, images, labels):
    return (classifier.probabilities(images).argmax(axis=1) == labels).mean()


def test_real_digits_that_it_has_not_seen_are_told_apart(digits, classifier):
    assert accuracy(classifier, digits.held_out, digits.held_out_labels) >= 0.975
    probabilities = classifier.probabilities(digits.held_out)
    assert probabilities.shape == (len(digits.held_out), 10)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert classifier.classes == tuple("0123456789")


def test_its_probabilities_are_as_sure_as_they_are_right(digits, classifier):
    sure = classifier.probabilities(digits.held_out).max(axis=1).mean()
    assert sure == pytest.approx(accuracy(classifier, digits.held_out, digits.held_out_labels), abs=0.03)


def test_features_are_about_one_in_size_and_images_of_a_kind_lie_together(digits, classifier):
    features = classifier.features(digits.held_out)
    assert features.shape == (len(digits.held_out), FEATURES)
    assert np.sqrt(np.square(features).mean()) == pytest.approx(1, abs=0.05)
    distances = np.square(features[:, None] - features).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = digits.held_out_labels[distances.argmin(axis=1)]
    assert (nearest == digits.held_out_labels).mean() > 0.96


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(digits, briefly):
    def weights(seed):
        return train_classifier(digits.images[:300], digits.labels[:300], seed=seed).network.state_dict()

    state = torch.random.get_rng_state()
    one, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)  # the user's own randomness is left alone


@pytest.mark.slow
def test_without_labels_kinds_of_images_are_still_told_apart_by_their_features(digits, briefly):
    from sklearn.linear_model import LogisticRegression

    blind = train_classifier(digits.images)
    assert not blind.labelled
    assert len(blind.classes) == 24 * 4  # groups and turns
    probe = LogisticRegression(max_iter=1000).fit(blind.features(digits.images), digits.labels)
    assert probe.score(blind.features(digits.held_out), digits.held_out_labels) > 0.8


def test_labels_that_are_all_the_same_are_as_none_and_few_images_are_only_turned(digits, briefly):
    blind = train_classifier(digits.images[:90], np.zeros(90, int), ["digit"])
    assert not blind.labelled
    assert len(blind.classes) == 4


def test_a_piece_at_a_time_gives_what_all_at_once_gives_and_no_more_memory(digits, classifier, monkeypatch):
    once = classifier.judge(digits.held_out)
    monkeypatch.setattr("diffuscope.metrics.features.classifier._BATCH", 100)
    pieces = classifier.judge(digits.held_out)
    assert pieces.features == pytest.approx(once.features, abs=1e-4)
    assert pieces.probabilities == pytest.approx(once.probabilities, abs=1e-5)


def test_images_that_lie_in_a_file_are_read_a_batch_at_a_time(digits, classifier, tmp_path):
    many = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.uint8, shape=(20_000, 1, 8, 8))
    many[:] = digits.images[np.arange(20_000) % 1200]
    tracemalloc.start()
    found = classifier.judge(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.features[1200:1300] == pytest.approx(found.features[:100], abs=1e-4)
    assert peak < many.nbytes  # what comes out is held by torch; of what goes in, a few batches


@pytest.mark.parametrize(
    "shape", [(1, 4, 4), (1, 8, 8), (3, 9, 13), (1, 28, 28), (3, 32, 32), (3, 64, 64), (4, 96, 40)]
)
def test_images_of_any_shape_have_features(shape):
    network = FeatureNetwork(shape, 7).eval()
    images = np.random.default_rng(0).integers(256, size=(3, *shape)).astype(np.uint8)
    with torch.inference_mode():
        x = to_network(images)
        assert network.activations(x).shape == (3, FEATURES)
        assert network(x).shape == (3, 7)
    assert sum(p.numel() for p in network.parameters()) < 250_000


def test_colour_images_that_are_not_square_are_learned_with_labels_and_without(briefly):
    random = np.random.default_rng(0)
    labels = random.integers(2, size=120)
    images = random.integers(100, size=(120, 3, 12, 9)).astype(np.uint8)
    images[labels == 1, 2, :6] += 100  # blue sky
    assert accuracy(train_classifier(images, labels, ["indoors", "outdoors"]), images, labels) > 0.95
    assert len(train_classifier(images).classes) == 2 * 2


def test_shifted_images_are_moved_by_at_most_a_fourteenth_and_no_pixel_is_new():
    x = torch.arange(28.0 * 28).view(1, 1, 28, 28).repeat(200, 1, 1, 1)
    moved = _shifted(x, torch.Generator().manual_seed(0))
    middle = moved[:, 0, 14, 14] - x[0, 0, 14, 14]
    down, right = (middle / 28).round(), middle - 28 * (middle / 28).round()
    assert set(down.tolist()) == set(right.tolist()) == {-2, -1, 0, 1, 2}
    for i in range(3):
        rows = (torch.arange(28) + int(down[i])).clamp(0, 27)
        columns = (torch.arange(28) + int(right[i])).clamp(0, 27)
        assert torch.equal(moved[i, 0], x[0, 0][rows][:, columns])


def test_turned_images_are_turned_by_what_is_said():
    x = torch.randn(6, 2, 5, 5)
    turned = _turned(x, torch.tensor([0, 1, 2, 3, 1, 0]), 4)
    assert torch.equal(turned[0], x[0])
    assert torch.equal(turned[4], x[4].rot90(1, (1, 2)))
    assert torch.equal(_turned(x[:, :, :3], torch.ones(6, dtype=int), 2), x[:, :, :3].flip(2, 3))


def test_what_is_no_image_or_no_label_is_refused(digits, classifier):
    images = digits.images[:40]
    with pytest.raises(InputError, match="not images: float64"):
        train_classifier(images / 255)
    with pytest.raises(InputError, match="not images: uint8 of shape"):
        classifier.features(images[:, 0])
    with pytest.raises(InputError, match="too few"):
        train_classifier(images[:10])
    with pytest.raises(InputError, match=r"shape \(1, 8, 8\)"):
        classifier.features(images[:, :, :6])
    with pytest.raises(InputError, match=r"shape \(39,\)"):
        train_classifier(images, digits.labels[:39])
    with pytest.raises(InputError, match="2 classes"):
        train_classifier(images, digits.labels[:40], ["one", "two"])
    with pytest.raises(InputError, match="from -1"):
        train_classifier(images, digits.labels[:40] - digits.labels[:40].min() - 1)
    assert classifier.features(images[:0]).shape == (0, FEATURES)
