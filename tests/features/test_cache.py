"""Is a classifier trained once, found again by its data alone, and never trusted when it is not whole?"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffuscope.errors import DiffuscopeError, FormatError, InputError
from diffuscope.files import cache_folder
from diffuscope.metrics.features import cached_classifier
from diffuscope.metrics.features.cache import load_classifier
from diffuscope.progress import Reporter
from diffuscope.tensors import load_tensors, save_tensors


@pytest.fixture
def trainings(monkeypatch, classifier):
    """Hand out a trained classifier in place of training; count how often."""
    calls = []

    def train(images, labels=None, classes=None, *, seed=0, progress=None):
        calls.append(seed)
        return classifier

    monkeypatch.setattr("diffuscope.metrics.features.cache.train_classifier", train)
    return calls


def same(one, other, images):
    return all(np.array_equal(a, b) for a, b in zip(one.judge(images), other.judge(images), strict=True))


def only_file(folder):
    (path,) = folder.iterdir()
    return path


@pytest.mark.slow
def test_it_is_trained_once_and_says_the_same_afterwards(digits, classifier, trainings, tmp_path):
    given = digits.images, digits.labels
    assert cached_classifier(*given, folder=tmp_path) is classifier
    again = cached_classifier(*given, folder=tmp_path)
    assert trainings == [0]
    assert same(again, classifier, digits.held_out[:50])
    assert (again.shape, again.classes, again.labelled) == ((1, 8, 8), tuple("0123456789"), True)
    assert not any(p.requires_grad for p in again.network.parameters())


@pytest.mark.slow
def test_other_images_labels_names_or_seeds_are_another_classifier(digits, trainings, tmp_path, monkeypatch):
    x, y = digits.images[:300], digits.labels[:300]
    changed = x.copy()
    changed[-1, 0, 7, 7] += 1
    others = [
        (x, y),
        (changed, y),
        (x, (y + 1) % 10),
        (x, None),
        (x[:-1], y[:-1]),
        (x, y, list("abcdefghij")),
    ]
    for given in others:
        cached_classifier(*given, folder=tmp_path)
    cached_classifier(x, y, seed=1, folder=tmp_path)
    monkeypatch.setitem(cached_classifier.__globals__["SETTINGS"], "learning_rate", 1e-3)
    cached_classifier(x, y, folder=tmp_path)
    assert len(trainings) == len(list(tmp_path.iterdir())) == len(others) + 2
    cached_classifier(np.asfortranarray(x), y.astype(np.int32), folder=tmp_path)  # the same, held otherwise
    assert len(trainings) == len(others) + 2


def test_it_is_kept_where_the_user_keeps_such_things(digits, trainings, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached_classifier(digits.images, digits.labels)
    assert only_file(tmp_path / "cache" / "diffuscope" / "features").suffix == ".safetensors"
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere/else")  # the standard has relative ones ignored
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "diffuscope"


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(data)


def rewrite(change):
    def spoil(path):
        tensors, text = load_tensors(path, "diffuscope-classifier-1")
        change(tensors, text)
        save_tensors(path, tensors, "diffuscope-classifier-1", text)

    return spoil


SPOILED = {
    "cut short": cut,
    "a bit changed": flip,
    "text": lambda path: path.write_text("weights"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "not finite": rewrite(lambda tensors, text: tensors["head.bias"][3:4].fill_(torch.nan)),
    "huge": rewrite(lambda tensors, text: tensors["head.bias"][3:4].fill_(1e30)),
    "unit of 0": rewrite(lambda tensors, text: tensors["unit"].zero_()),
    "negative variance": rewrite(lambda tensors, text: tensors["body.1.running_var"].neg_()),
    "a tensor less": rewrite(lambda tensors, text: tensors.pop("neck.bias")),
    "another type": rewrite(lambda tensors, text: tensors.update(unit=tensors["unit"].double())),
    "another key": rewrite(lambda tensors, text: text.update(key="0" * 64)),
    "no shape": rewrite(lambda tensors, text: text.update(classifier='{"shape": [1, -8, 8]}')),
    "many classes": rewrite(
        lambda tensors, text: text.update(
            classifier=text["classifier"].replace('"classes": [', '"classes": [' + '"a", ' * 9)
        )
    ),
    "an enormous image": rewrite(
        lambda tensors, text: text.update(classifier=text["classifier"].replace("8, 8", "99999999, 99999999"))
    ),
    "no json": rewrite(lambda tensors, text: text.update(classifier="[" * 100_000)),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_file_that_is_not_whole_is_trained_again_and_replaced(
    digits, classifier, trainings, tmp_path, spoil
):
    given = digits.images, digits.labels
    cached_classifier(*given, folder=tmp_path)
    path = only_file(tmp_path)
    key = load_tensors(path, "diffuscope-classifier-1")[1]["key"]
    SPOILED[spoil](path)
    with pytest.raises(DiffuscopeError):
        load_classifier(path, key)
    if spoil == "a folder":
        with pytest.warns(UserWarning, match="could not be cached"):
            cached_classifier(*given, folder=tmp_path)
        assert trainings == [0, 0]
        return
    again = cached_classifier(*given, folder=tmp_path)
    assert trainings == [0, 0]
    assert same(again, classifier, digits.held_out[:20])
    assert same(cached_classifier(*given, folder=tmp_path), classifier, digits.held_out[:20])
    assert trainings == [0, 0]


def test_where_nothing_can_be_written_it_serves_all_the_same_and_says_so(
    digits, classifier, trainings, tmp_path
):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    with pytest.warns(UserWarning, match=r"could not be cached .*XDG_CACHE_HOME"):
        found = cached_classifier(digits.images, digits.labels, folder=in_the_way / "below")
    assert found is classifier


def test_without_a_home_it_serves_all_the_same_and_says_so(digits, classifier, trainings, monkeypatch):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.warns(UserWarning, match="no home folder"):
        assert cached_classifier(digits.images, digits.labels) is classifier


def test_what_cannot_be_learned_from_is_refused_before_anything_is_kept(digits, tmp_path):
    with pytest.raises(InputError, match="too few"):
        cached_classifier(digits.images[:5], digits.labels[:5], folder=tmp_path)
    with pytest.raises(InputError, match="must be integers"):
        cached_classifier(digits.images, digits.labels / 1, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_classifier_is_read_by_its_name_and_key_alone(digits, classifier, trainings, tmp_path):
    cached_classifier(digits.images, digits.labels, folder=tmp_path)
    path = only_file(tmp_path)
    key = load_tensors(path, "diffuscope-classifier-1")[1]["key"]
    assert same(load_classifier(path, key), classifier, digits.held_out[:20])
    with pytest.raises(FormatError, match="other data"):
        load_classifier(path, "another key")


class Watching(Reporter):
    """Notes what a person would see."""

    def __init__(self):
        super().__init__(show=False)
        self.seen = []

    @contextlib.contextmanager
    def bar(self, what, total, unit, done=0):
        bar = SimpleNamespace(update=lambda done, note="": self.seen.append((done, total, unit)))
        yield bar


def test_a_person_sees_how_far_it_is(digits, briefly, tmp_path):
    watching = Watching()
    cached_classifier(digits.images[:64], digits.labels[:64], progress=watching, folder=tmp_path)
    assert watching.seen == [(32 * (i + 1), 640, "images") for i in range(20)]
