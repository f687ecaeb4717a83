"""What the table of truths counts as found, where the answer is known."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

pytest.importorskip("sklearn")
measures = pytest.importorskip("benchmarks.truths.measures")

TASKS = dict.fromkeys("abcd", "binary")
CLUSTERS = np.array([0, 0, 1, -1])
X = np.zeros((4, 5), "float32")
dense = partial(keras.layers.Dense, 4)
block = partial(keras_mtl.layers.ResidualDense, 5)


def network(build, layers=None, **settings):
    return build(keras.Input((5,)), TASKS, layers or [[dense] * 4], seed=0, **settings)


def routes(*rows):
    return network(keras_mtl.build_fixed_random, routes=[[row] for row in rows])


@pytest.mark.parametrize(
    ("components", "found"),
    [
        ((0, 0, 1, 2), 1.0),  # the pair together, nobody else
        ((0, 1, 0, 0), 0.2),  # of five other pairs two are apart too, a tie each
        ((0, 0, 0, 0), 0.5),
        ((0, 0, 1, 1), 0.9),  # one of five pairs is as close as the pair
    ],
)
def test_pairs_of_a_cluster_are_closer_than_others(components, found):
    assert measures.groups_found(routes(*components), X, CLUSTERS) == pytest.approx(found)


def test_towers_say_by_what_they_read():
    alpha = np.eye(4)
    alpha[0, 1] = alpha[1, 0] = 0.5
    model = network(keras_mtl.build_cross_stitch, alpha=alpha)
    assert measures.groups_found(model, X, CLUSTERS) == 1.0


def test_who_says_nothing_has_found_nothing():
    model = network(keras_mtl.build_shared_bottom, [dense])
    assert measures.groups_found(model, X, CLUSTERS) is None
    assert measures.own_component(model, X, range(4)) is None
    assert measures.executed(model, X) is None
    assert measures.deep_examples_found(model, X, np.ones(4, bool)) is None


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (keras_mtl.build_no_sharing, 1.0),
        (keras_mtl.build_shared_bottom, 0.25),
        (keras_mtl.build_mmoe, 0.25),  # gates start alike
        (partial(keras_mtl.build_fixed_random, routes=[[0], [0], [2], [0]]), 0.5),
    ],
)
def test_the_share_of_its_own_component(build, found):
    assert measures.own_component(network(build), X, range(4)) == pytest.approx(found)


@pytest.mark.parametrize(
    ("policy", "found"),
    [([[1, 1], [1, 0], [1, 0], [0, 0]], 0.875), ([[1, 1]] * 4, 0.5), ([[1], [0], [1], [0]], 1.0)],
)
def test_tasks_that_execute_more(policy, found):
    model = network(keras_mtl.build_dynashare, [[block]] * len(policy[0]), policy=policy)
    deep = {"a": True, "b": False, "c": True, "d": False}
    blocks = measures.executed(model, X)
    assert measures.deep_tasks_found(blocks, deep) == pytest.approx(found)


def test_the_gate_that_tells_examples_apart(monkeypatch):
    opened = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    monkeypatch.setattr(measures, "executed_blocks", lambda model, x: {"label": opened})
    deep = np.array([True, True, False, False])
    assert measures.deep_examples_found(None, None, deep) == 1.0  # the second gate
    assert measures.deep_examples_found(None, None, deep[[0, 2, 1, 3]]) == 0.0
