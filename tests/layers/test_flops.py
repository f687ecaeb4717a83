from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import sharing_report
from keras_mtl.layers.flops import layer_flops

L = keras.layers


def flops_of(layer, shape, dtype="float32"):
    """Returns the sum, and the names of classes that are not counted."""
    x = keras.Input(shape, dtype=dtype)
    costs = list(layer_flops(layer, [x], layer(x)))
    return sum(flops or 0 for _, flops in costs), [
        type(inner).__name__ for inner, flops in costs if flops is None
    ]


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds"),
    [
        (L.Dense(3), (5,), 5 * 3),
        (L.Dense(3), (7, 5), 7 * 5 * 3),
        (L.Conv1D(4, 3), (9, 2), 7 * 3 * 2 * 4),
        (L.Conv2D(4, (3, 5)), (8, 9, 2), 6 * 5 * 3 * 5 * 2 * 4),
        (L.Conv2D(4, 3, strides=2, padding="same"), (8, 7, 2), 4 * 4 * 3 * 3 * 2 * 4),
        (L.Conv2D(4, 3, groups=2), (8, 7, 6), 6 * 5 * 3 * 3 * 3 * 4),
        (L.Conv3D(2, 2), (4, 5, 6, 3), 3 * 4 * 5 * 8 * 3 * 2),
        (L.Conv2DTranspose(4, 3), (8, 7, 2), 8 * 7 * 3 * 3 * 2 * 4),
        (L.DepthwiseConv2D(3, depth_multiplier=2), (8, 7, 5), 6 * 5 * 3 * 3 * 5 * 2),
        (L.SeparableConv2D(4, 3), (8, 7, 5), 6 * 5 * (3 * 3 * 5 + 5 * 4)),
        (L.SimpleRNN(3), (7, 5), 7 * (5 * 3 + 3 * 3)),
        (L.LSTM(3), (7, 5), 7 * 4 * (5 * 3 + 3 * 3)),
        (L.GRU(3, return_sequences=True), (7, 5), 7 * 3 * (5 * 3 + 3 * 3)),
        (L.Bidirectional(L.LSTM(3)), (7, 5), 2 * 7 * 4 * (5 * 3 + 3 * 3)),
        (L.TimeDistributed(L.Conv1D(4, 3)), (6, 9, 2), 6 * 7 * 3 * 2 * 4),
        (L.MaxPooling2D(2), (8, 7, 5), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, L.Layer) else str(value),
)
def test_flops_are_twice_the_multiply_adds(layer, shape, multiply_adds):
    assert flops_of(layer, shape) == (2 * multiply_adds, [])


def test_looking_up_an_embedding_is_free():
    assert flops_of(L.Embedding(11, 3), (7,), "int32") == (0, [])


def test_sizes_that_are_not_fixed_count_as_one():
    assert flops_of(L.LSTM(3), (None, 5)) == (2 * 4 * (5 * 3 + 3 * 3), [])
    assert flops_of(L.Dense(3), (None, 5)) == (2 * 5 * 3, [])


def test_layers_inside_a_sequential_are_counted():
    block = keras.Sequential([L.Conv2D(4, 3), L.GroupNormalization(2), L.ReLU(), L.Conv2D(2, 1)])
    expected = 2 * (6 * 5 * 3 * 3 * 2 * 4 + 6 * 5 * 4 * 2)
    assert flops_of(block, (8, 7, 2)) == (expected, ["GroupNormalization"])


def test_layer_called_twice_inside_a_functional_component_counts_twice():
    x = keras.Input((None, 4))
    dense = L.Dense(4)
    block = keras.Model(x, L.Add()([dense(dense(x)), x]))
    assert flops_of(block, (7, 4)) == (2 * 2 * 7 * 4 * 4, [])


def test_classes_that_are_not_known_are_named_instead_of_guessed():
    block = keras.Sequential([L.Dense(3), L.PReLU(), L.LayerNormalization()])
    assert flops_of(block, (5,)) == (2 * 5 * 3, ["PReLU", "LayerNormalization"])


def network():
    return keras_mtl.build_shared_bottom(
        keras.Input((16, 12, 8)),
        {"a": 10},
        [partial(L.Conv2D, 32, 3, activation="relu"), L.Flatten, partial(L.Dense, 64)],
    )


def test_flops_of_a_network_by_hand():
    expected = 2 * (14 * 10 * 3 * 3 * 8 * 32 + 14 * 10 * 32 * 64 + 64 * 10)
    assert sharing_report(network()).flops == {"a": expected}


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX estimates the cost")
def test_flops_agree_with_the_compiler():
    import jax

    model = network()
    frozen = keras_mtl.freeze(model, "a")
    batch = np.zeros((4, 16, 12, 8), "float32")
    cost = jax.jit(lambda x: frozen(x)).lower(batch).compile().cost_analysis()
    assert cost["flops"] == pytest.approx(4 * sharing_report(model).flops["a"], rel=0.01)
