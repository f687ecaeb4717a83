"""Every head answers as if its logits were scaled and shifted, and no other task's."""

import numpy as np
import pytest
from keras import ops

from keras_mtl import Task
from keras_mtl.layers import FunnelHead, TaskHead, TaskHeads

X = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
TASKS = {
    "rank": Task("ordinal", 4),
    "click": Task("binary"),
    "kind": Task("classes", 5),
    "tags": Task("multilabel", 2),
    "level": Task("ordinal", 2),
    "price": Task("ordinal", 5),
}
CHANGES = {"tags": (np.array([0.5, 2.0]), np.array([0.1, -1.0])), "click": (2.5, -0.7)}


def array(tensor):
    return ops.convert_to_numpy(tensor)


def scramble(layer):
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))


def logits(numbers):
    return X @ numbers[0].astype("float64") + numbers[1]


def odds(numbers):
    """Returns the log-odds of an ordinal task's answers."""
    gaps = numbers[2] if len(numbers) > 2 else np.zeros(0)
    return logits(numbers) - np.concatenate([[0], np.cumsum(np.logaddexp(0, gaps))])


@pytest.mark.parametrize("name", TASKS)
def test_a_head_of_shared_data(name):
    layer = TaskHead(TASKS[name], 0, name=name)
    layer.build((None, 3))
    scramble(layer)
    before = layer.numbers_of(name)
    factor, shift = CHANGES.get(name, (0.4, 0.0))
    layer.rescale(name, factor, shift)
    read = odds if TASKS[name].kind == "ordinal" else logits
    expected = factor * read(before) + shift
    np.testing.assert_allclose(read(layer.numbers_of(name)), expected, rtol=1e-5, atol=1e-5)


def test_probabilities_of_ranks_are_those_of_scaled_odds():
    layer = TaskHead(TASKS["rank"], 0, name="rank")
    layer.build((None, 3))
    scramble(layer)
    before = layer.numbers_of("rank")
    layer.rescale("rank", 0.4, 0.0)
    above = 1 / (1 + np.exp(-0.4 * odds(before)))
    np.testing.assert_allclose(1 - np.cumsum(array(layer(X)), -1)[:, :-1], above, atol=1e-6)


@pytest.mark.parametrize("num_added", [0, 1, 3])
def test_a_head_of_separate_data_changes_one_task_alone(num_added):
    age = Task("regression", 2, standardize=([1.0, 2.0], [3.0, 4.0]))
    every = {"age": age, **TASKS}
    layer = TaskHeads(every, num_added_tasks=num_added)
    layer.build((None, 3), (None,))
    scramble(layer)
    for name in TASKS:
        before = {each: layer.numbers_of(each) for each in every}
        factor, shift = CHANGES.get(name, (0.4, 0.0))
        layer.rescale(name, factor, shift)
        alone = TaskHead(TASKS[name], 0, name=name)
        alone.build((None, 3))
        alone.set_weights(before[name])
        alone.rescale(name, factor, shift)
        for found, expected in zip(layer.numbers_of(name), alone.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)
        for other in set(every) - {name}:
            for found, expected in zip(layer.numbers_of(other), before[other], strict=True):
                np.testing.assert_array_equal(found, expected)


def test_a_head_of_a_funnel_leaves_what_imputes_labels():
    layer = FunnelHead(Task("binary", given="click", estimator="dr"), 1, name="buy")
    layer.build((None, 3), (None, 1))
    scramble(layer)
    before = layer.get_weights()
    parent = np.full((7, 1), 0.5, "float32")
    layer.rescale("buy", 2.0, -1.0)
    joint, conditional = map(array, layer(X, parent))
    expected = 1 / (1 + np.exp(1 - 2 * logits(before)))
    np.testing.assert_allclose(conditional, expected, atol=1e-6)
    np.testing.assert_allclose(joint, expected / 2, atol=1e-6)
    for found, same in zip(layer.get_weights()[2:], before[2:], strict=True):
        np.testing.assert_array_equal(found, same)
