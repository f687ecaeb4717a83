from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import grouping_agreement, policy_perplexity, route_similarity
from keras_mtl.layers import RoutingPolicy

TASKS = {"a": 2, "b": "binary", "c": 4}
X = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
Y = {"a": np.arange(8) % 2, "b": np.ones(8), "c": np.arange(8) % 4}
dense = partial(keras.layers.Dense, 3)


def routed(*tables, **settings):
    """Returns a network of layers of 4 and 2 components with given policies."""
    model = keras_mtl.build_routing_network(
        keras.Input((2,)), TASKS, [[dense] * 4, [dense] * 2], **settings
    )
    layers = [layer for layer in model.layers if isinstance(layer, RoutingPolicy)]
    for layer, table in zip(layers, tables, strict=False):
        layer.policy.assign(table)
    return model


def test_perplexity_is_the_number_of_components_at_the_start_and_one_at_the_end():
    assert policy_perplexity(routed()) == pytest.approx([4, 2], rel=1e-5)
    sure = routed(np.eye(4)[[3, 0, 0]], np.eye(2)[[1, 1, 0]])
    assert policy_perplexity(sure) == pytest.approx([1, 1], rel=1e-6)


def test_perplexity_is_the_mean_over_tasks():
    table = [[1, 0, 0, 0], [0.5, 0, 0.5, 0], [0.25] * 4]
    found = policy_perplexity(routed(table))
    assert found == pytest.approx([(1 + 2 + 4) / 3, 2], rel=1e-5)


@pytest.mark.slow
def test_a_recorder_keeps_perplexity_over_training():
    model, recorder = routed(policy_learning_rate=0.5), keras_mtl.AllocationRecorder()
    model.compile("adam")
    model.fit(X, Y, batch_size=4, epochs=3, callbacks=[recorder], verbose=0)
    assert recorder.epochs == [0, 1, 2, 3]
    over_training = [policy_perplexity(entry) for entry in recorder.probabilities]
    assert over_training[0] == pytest.approx([4, 2], rel=1e-5)
    assert over_training[3] == policy_perplexity(model)
    assert over_training[1][0] < 4 - 1e-3 and over_training[2] != over_training[3]


def test_probabilities_are_a_copy():
    model = routed()
    before = keras_mtl.allocation_probabilities(model)
    model.get_layer("allocation_1").policy.assign(np.eye(4)[[0, 0, 0]])
    np.testing.assert_allclose(before[0], np.full((3, 4), 0.25), rtol=1e-6)


def test_similarity_is_the_cosine_of_rows_of_one_network_or_two():
    first = routed([[0.6, 0.4, 0, 0], [0, 0, 0, 1], [0.5, 0.5, 0, 0]])
    second = routed([[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]])
    length = np.sqrt(0.6**2 + 0.4**2)
    alike = 0.5 / length / np.sqrt(0.5)
    own, uniform = route_similarity(first)
    np.testing.assert_allclose(own, [[1, 0, alike], [0, 1, 0], [alike, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(uniform, np.ones((3, 3)), rtol=1e-6)
    across = route_similarity(first, second)[0]
    expected = [[0, 0, 0.6 / length], [1, 0, 0], [0, 0, np.sqrt(0.5)]]
    np.testing.assert_allclose(across, expected, atol=1e-6)


def test_groups_agree_whatever_their_components_are_called():
    first = routed(np.eye(4)[[3, 0, 3]], np.eye(2)[[0, 0, 1]])
    renamed = routed(np.eye(4)[[1, 2, 1]], np.eye(2)[[0, 1, 0]])
    found = grouping_agreement(first, renamed)
    assert found[0] == 1
    # Pairs: 1 together in each of both, none in both; 1 * 1 / 3 expected, at most 1.
    assert found[1] == pytest.approx((0 - 1 / 3) / (1 - 1 / 3))


def test_wrong_networks_are_named():
    gumbel = keras_mtl.build_gumbel_matrix(keras.Input((2,)), TASKS, [[dense] * 4])
    with pytest.raises(ValueError, match="routed layer 1 are no probabilities of one choice"):
        policy_perplexity(gumbel)
    with pytest.raises(ValueError, match=r"Received: \[\(3, 4\), \(3, 2\)\] and \[\(3, 4\)\]"):
        route_similarity(routed(), [np.full((3, 4), 0.25)])
