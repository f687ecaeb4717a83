"""Connections between sub-networks."""

import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.layers import SubNetworkRouting

RNG = np.random.default_rng(0)
STREAMS = [RNG.normal(size=(5, 4, 6)).astype("float32") for _ in range(3)]  # B = 5, 3 sources
LOGITS = np.array([[9.0, -9.0, 1.0], [0.0, 9.0, -9.0]], "float32")  # 2 targets
CODES = np.array([[1, 0, 0.777270], [0.5, 1, 0]])


def array(tensor):
    return ops.convert_to_numpy(tensor)


def routing(connection="transform", logits=LOGITS, **settings):
    layer = SubNetworkRouting(2, connection, **settings)
    layer(STREAMS)
    layer.logits.assign(logits)
    return layer


def kernel(layer, target, source):
    name = f"transform_{target + 1}_{source + 1}"
    (found,) = [dense.get_weights()[0] for dense in layer.transforms if dense.name == name]
    return found


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def test_a_matrix_of_its_own_for_each_connection():
    layer = routing()
    np.testing.assert_allclose(layer.matrix(), CODES, atol=1e-6)
    found = layer(STREAMS)
    assert len(found) == 2 and len(layer.transforms) == 6
    for target, answer in enumerate(found):
        wanted = sum(
            CODES[target, source] * x @ kernel(layer, target, source)
            for source, x in enumerate(STREAMS)
        )
        np.testing.assert_allclose(array(answer), wanted, rtol=1e-5, atol=1e-5)


def test_sums_of_what_sources_say():
    first, second = routing("sum")(STREAMS)
    wanted = STREAMS[0] + 0.777270 * STREAMS[2]
    np.testing.assert_allclose(array(first), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(array(second), 0.5 * STREAMS[0] + STREAMS[1], rtol=1e-5, atol=1e-5)


def test_open_connections_give_the_sum_of_all_streams():
    layer = routing("sum", np.full((2, 3), 30.0))
    for training in (False, True):
        for answer in layer(STREAMS, training=training):
            np.testing.assert_allclose(array(answer), sum(STREAMS), rtol=1e-5, atol=1e-5)


def test_one_draw_serves_all_examples():
    layer = routing("sum", np.zeros((2, 3)), seed=0)
    same = [np.tile(x[:1], (5, 1, 1)) for x in STREAMS]
    first, second = ([array(y) for y in layer(same, training=True)] for _ in range(2))
    for answer in first:
        np.testing.assert_array_equal(answer, np.tile(answer[:1], (5, 1, 1)))
    assert all(np.any(one != other) for one, other in zip(first, second, strict=True))
    assert np.any(first[0] != first[1])


def penalty(layer):
    layer(STREAMS)
    (loss,) = layer.losses
    assert array(loss) == array(layer.penalties["l0_penalty"])
    return float(array(loss))


def test_the_penalty_counts_connections_that_are_expected_to_be_open():
    layer = routing("sum", penalty_weight=0.2)
    chances = sigmoid(LOGITS + 0.9 * np.log(1.1 / 0.1))
    assert penalty(layer) == pytest.approx(0.2 * chances.sum(), rel=1e-5)
    prices = []
    for shift in (-4.0, -1.0, 0.0, 1.0):
        layer.logits.assign(LOGITS + shift)
        prices.append(penalty(layer))
    assert prices == sorted(set(prices))
    layer.logits.assign(np.full((2, 3), 30.0))
    assert penalty(layer) == pytest.approx(0.2 * 6)


def test_the_weight_of_the_penalty_may_grow():
    layer = routing("sum", np.full((2, 3), 30.0), penalty_weight=keras_mtl.RampSchedule(2.0, 4))
    found = []
    for _ in range(5):
        layer(STREAMS, training=True)
        found.append(float(array(layer.penalties["l0_penalty"])))
    np.testing.assert_allclose(found, [0, 3, 6, 9, 12], rtol=1e-5)


def test_an_unknown_connection_is_refused():
    with pytest.raises(ValueError, match='connection must be "transform" or "sum". Rec.*\'mean\''):
        SubNetworkRouting(2, "mean")


def test_a_weight_is_not_negative():
    with pytest.raises(ValueError, match="penalty_weight must be a number of at least 0"):
        SubNetworkRouting(2, penalty_weight=-1)
