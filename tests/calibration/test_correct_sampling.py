"""A network that was trained on few negatives answers as on all of them."""

import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task, correct_sampling
from tests.calibration.data import TASKS, X, answers, network


@pytest.fixture(scope="module")
def trained():
    return network()


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_probabilities_are_those_of_the_paper(trained):
    corrected = correct_sampling(trained, kept={"click": 0.1, "tags": 0.5})
    before, after = answers(trained), answers(corrected)
    frozen = answers(keras_mtl.freeze(corrected))
    for name, share in {"click": 0.1, "tags": 0.5}.items():
        p = before[name]
        np.testing.assert_allclose(after[name], p / (p + (1 - p) / share), atol=1e-6)
        np.testing.assert_allclose(frozen[name], after[name], atol=1e-6)
    for name in set(TASKS) - {"click", "tags"}:
        np.testing.assert_array_equal(after[name], before[name])
    np.testing.assert_array_equal(answers(trained)["click"], before["click"])
    assert not corrected.compiled


def test_separate_data():
    tasks = {"kind": Task("classes", 3), "click": Task("binary")}
    model = network(tasks, task_data="separate")
    corrected = correct_sampling(model, kept={"click": 0.25})
    inputs = {"inputs": X[:50], "task_id": np.full(50, 1, "int32")}
    p, found = (answers(each, inputs)["binary"] for each in (model, corrected))
    np.testing.assert_allclose(found, p / (p + (1 - p) / 0.25), atol=1e-6)
    inputs["task_id"][:] = 0
    p, found = (answers(each, inputs)["classes"] for each in (model, corrected))
    np.testing.assert_array_equal(found, p)


def test_in_a_funnel_it_is_of_the_conditional_probability():
    tasks = {"click": Task("binary"), "spend": Task("binary", given="click")}
    model = network(tasks)
    before, after = map(answers, (model, correct_sampling(model, kept={"spend": 0.2})))
    p = before["spend_given_click"]
    corrected = p / (p + (1 - p) / 0.2)
    np.testing.assert_allclose(after["spend_given_click"], corrected, atol=1e-6)
    np.testing.assert_array_equal(after["click"], before["click"])
    np.testing.assert_allclose(after["spend"], before["click"] * corrected, atol=1e-6)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"clack": 0.1}, "kept has an entry 'clack', which is no task of this model"),
        ({"kind": 0.1}, "labels 0 and 1, but task 'kind' of kind 'classes' has class indices"),
        ({"click": 0}, r"kept\['click'\] must be a number in \(0, 1\]. Received: 0"),
        ({"click": 10}, r"kept\['click'\] must be a number in \(0, 1\]. Received: 10"),
        (0.1, "kept must be a dict, name of a task -> the share"),
    ],
)
def test_wrong_shares_are_refused(trained, kept, message):
    with refused(message):
        correct_sampling(trained, kept)


def test_a_frozen_network_is_refused(trained):
    with refused("call correct_sampling before freeze and export"):
        correct_sampling(keras_mtl.freeze(trained), {"click": 0.1})
