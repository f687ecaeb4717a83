"""The tasks that benchmarks.routes makes of datasets, on made examples."""

import json
import sys

import numpy as np
import pytest

from benchmarks.routes.data import load, one_vs_rest
from benchmarks.routes.run import main

tfds = pytest.importorskip("tensorflow_datasets")
FINE = np.arange(100)
COARSE = (FINE * 7 + FINE // 20) % 20  # five fine classes each, none of them in a row


def cifar100(of_each):
    """Returns a dataset in which the first pixel is the fine label."""
    images = np.zeros((100 * of_each, 32, 32, 3), "uint8")
    labels = np.random.default_rng(0).permutation(np.repeat(FINE, of_each))
    images[:, 0, 0, 0] = labels
    return {"image": images, "label": labels, "coarse_label": COARSE[labels]}


@pytest.fixture
def mock(monkeypatch, tmp_path):
    made = {"train": cifar100(3), "test": cifar100(2)}

    def load(name, split, batch_size, download, data_dir):
        assert (batch_size, download) == (-1, False)
        assert set(made["train"]) < set(tfds.builder(name, data_dir=tmp_path).info.features)
        return [made[part] for part in split]

    monkeypatch.setattr(tfds, "load", load)
    return made


def test_superclasses_of_cifar100_have_five_classes_that_do_not_collide(mock):
    tasks, train, test = load("cifar100", None)
    assert list(tasks) == list(train) == list(test) == [f"group_{i}" for i in range(20)]
    for group, (images, labels) in enumerate(train.values()):
        fine = np.flatnonzero(COARSE == group)
        assert np.bincount(labels).tolist() == [3] * 5
        np.testing.assert_array_equal(images[:, 0, 0, 0], fine[labels])
    assert [len(labels) for _, labels in test.values()] == [10] * 20


def test_alphabetical_groups_are_five_classes_in_a_row(mock):
    _, _, test = load("cifar100", None, "alphabetical")
    for group, (images, labels) in enumerate(test.values()):
        np.testing.assert_array_equal(images[:, 0, 0, 0], 5 * group + labels)


def test_superclasses_of_other_sizes_are_named(mock):
    mock["train"]["coarse_label"][mock["train"]["label"] == 0] = (COARSE[0] + 1) % 20
    with pytest.raises(ValueError, match="Group 0 has 4 classes, not 5"):
        load("cifar100", None)


def test_one_class_is_told_from_a_tenth_as_many_of_every_other():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 1000))
    test = {"image": labels[:, None], "label": labels}
    parts = one_vs_rest("test", test)
    for number, (images, positive) in enumerate(parts.values()):
        assert positive.sum() == 1000
        np.testing.assert_array_equal(positive, images[:, 0] == number)
        assert np.bincount(images[~positive, 0], minlength=10).tolist() == [
            0 if other == number else 100 for other in range(10)
        ]


@pytest.mark.slow
def test_the_script_runs_on_cifar100(mock, monkeypatch, tmp_path, capsys):
    results = tmp_path / "cifar.jsonl"
    settings = ["--dataset", "cifar100", "--epochs", "3", "--seeds", "1"]
    methods = ["fixed random, conv 3", "routing, conv 1"]
    monkeypatch.setattr(
        sys, "argv", ["run.py", "--results", str(results), *settings, "--methods", *methods]
    )
    main()
    runs = [json.loads(line) for line in results.read_text().splitlines()]
    assert [run["method"] for run in runs] == methods
    for run in runs:
        assert np.shape(run["policies"]) == (1, 20, 20)
        assert 0 <= run["accuracy"] <= 100 and len(run["by_task"]) == 20
    assert np.shape(runs[1]["perplexity"]) == (4, 1)  # before each epoch, and after the last
    # A task has one batch in an epoch: after the first it knows one component and prefers none.
    assert 1 < runs[1]["perplexity"][3][0] < 20
