"""The tasks that benchmarks.routes makes of datasets, on made examples."""

import json
import sys

import numpy as np
import pytest

from benchmarks.routes.data import held_out, load, one_vs_rest
from benchmarks.routes.run import main
from benchmarks.routes.tables import print_tables
from keras_mtl.comparison import Comparison

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


def test_a_tenth_is_held_out():
    parts = {"a": (np.arange(20), np.arange(20) % 2), "b": (np.arange(50), np.arange(50) % 2)}
    rest, held = held_out(parts)
    for task, (images, labels) in parts.items():
        assert len(held[task][0]) == len(images) // 10
        both = np.concatenate([rest[task][0], held[task][0]])
        assert sorted(both) == images.tolist()
        np.testing.assert_array_equal(held[task][1], labels[held[task][0]])


@pytest.mark.slow
def test_the_script_runs_on_cifar100(mock, monkeypatch, tmp_path, capsys):
    pytest.importorskip("scipy")
    mock["train"] = cifar100(4)
    settings = ["--dataset", "cifar100", "--epochs", "1", "--seeds", "1", "--filters", "2"]
    methods = ["routing, conv 1"]
    given = ["run.py", "--folder", str(tmp_path), *settings, "--methods", *methods]
    monkeypatch.setattr(sys, "argv", given)
    main()
    assert capsys.readouterr().out.count("| routing, conv 1 | ") == 2  # a row in each table
    (record,) = tmp_path.glob("**/*.json")
    found = json.loads(record.read_text())["findings"]
    assert np.shape(found["policies"]) == (1, 20, 20)
    assert np.shape(found["perplexity"]) == (2, 1)  # before the first epoch and after it
    assert 1 < found["perplexity"][-1][0] < 20


def test_tables_by_hand(capsys):
    pytest.importorskip("scipy")

    def run(accuracy, **findings):
        scores = {"a": {"accuracy": accuracy}, "b": {"accuracy": accuracy + 0.02}}
        return {"scores": scores, "parameters": 1234, "seconds": 2, "findings": findings}

    policy = [[[0.9, 0.1], [0.2, 0.8]]]
    runs = {
        "shared bottom": [run(0.5), run(0.52), run(0.54)],
        "routing": [
            run(value, policies=policy, perplexity=[[2.0], [1.5]]) for value in (0.56, 0.58, 0.6)
        ],
    }
    print_tables(Comparison(("a", "b"), runs, {}))
    lines = capsys.readouterr().out.splitlines()
    # sd .02 each: t = .06 / (.02 sqrt(2 / 3)) = 3.674 at 4 degrees of freedom in both tests
    assert "| routing | 59.00 ± 1.15 | 61.00 | 1,234 | +3.67 | 0.011 | 0.011 | 2 |" in lines
    assert "| shared bottom | 53.00 ± 1.15 | 55.00 | 1,234 | | | | 2 |" in lines
    assert "| routing | 1.00 | 2.00 | 2.00; 1.50 |" in lines
