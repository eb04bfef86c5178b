"""What the tests of features share: real digits, and a classifier of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_digits

from diffuscope.metrics.features import Classifier, train_classifier


class Digits(NamedTuple):
    """Images (n, 1, 8, 8) and labels (n,), in two parts."""

    images: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    held_out_labels: np.ndarray


@pytest.fixture(scope="session")
def digits() -> Digits:
    found = load_digits()
    images = np.round(found.images * (255 / 16)).astype(np.uint8)[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], found.target[order].astype(np.int64)
    return Digits(images[:1200], labels[:1200], images[1200:], labels[1200:])


@pytest.fixture(autouse=True)
def _whole_training(monkeypatch):
    """Train classifiers as they are, and not as briefly as elsewhere in the tests."""
    monkeypatch.setitem(train_classifier.__globals__["SETTINGS"], "epochs", 40)


@pytest.fixture
def briefly(_whole_training, monkeypatch):
    """Make training take a moment: ten looks at each image."""
    monkeypatch.setitem(train_classifier.__globals__["SETTINGS"], "epochs", 10)


@pytest.fixture(scope="session")
def classifier(digits) -> Classifier:
    """Return a classifier that has learned for a third of the usual time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(train_classifier.__globals__["SETTINGS"], "epochs", 20)
        return train_classifier(digits.images, digits.labels)
