"""Rows of a table, read one by one, and moved one by one."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.keras_internals import optimizer_state
from keras_mtl.layers import RowEmbedding

IDS = np.array([[2, 0], [5, 2]], "int32")


def array(tensor):
    return ops.convert_to_numpy(tensor).copy()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_it_answers_as_the_layer_of_keras(policy):
    layer = RowEmbedding(6, 3, mask_zero=True, dtype=policy)
    stock = keras.layers.Embedding(6, 3, mask_zero=True, dtype=policy)
    for each in (layer, stock):
        each.build(IDS.shape)
    stock.set_weights(layer.get_weights())
    answer = layer(IDS)
    assert answer.shape == layer.compute_output_shape(IDS.shape) == (2, 2, 3)
    assert answer.dtype == stock(IDS).dtype
    np.testing.assert_array_equal(*(array(ops.cast(x, "float32")) for x in (answer, stock(IDS))))
    np.testing.assert_array_equal(array(layer.compute_mask(IDS)), IDS != 0)
    assert RowEmbedding(6, 3).compute_mask(IDS) is None


def test_freezing_leaves_one_stock_embedding():
    ids = keras.Input((2,), dtype="int32")
    dense = partial(keras.layers.Dense, 4)
    stem = [partial(RowEmbedding, 6, 3), keras.layers.Flatten]
    model = keras_mtl.build_mmoe(ids, {"a": "binary", "b": 3}, [[dense] * 2], stem=stem, seed=0)
    frozen = keras_mtl.freeze(model)
    kinds = [type(layer) for layer in frozen.layers]
    assert kinds.count(keras.layers.Embedding) == 1 and RowEmbedding not in kinds
    for task, answer in model.predict(IDS, verbose=0).items():
        np.testing.assert_allclose(frozen.predict(IDS, verbose=0)[task], answer, atol=1e-6)


def trained(optimizer, batches):
    """Returns a table and its averages after each of some batches of ids."""
    ids = keras.Input((2,), dtype="int32")
    stem = [partial(RowEmbedding, 6, 3), keras.layers.Flatten]
    dense = partial(keras.layers.Dense, 4)
    tasks = {"a": "binary", "b": "regression"}
    model = keras_mtl.build_shared_bottom(ids, tasks, [dense], stem=stem, seed=0)
    model.compile(optimizer)
    layer = next(layer for layer in model.layers if isinstance(layer, RowEmbedding))
    table = layer.embeddings
    table.assign(np.linspace(-1, 1, 18).reshape(6, 3))
    states = []
    for batch in batches:
        labels = {"a": np.array([0.0, 1.0]), "b": np.array([0.5, -2.0])}
        model.train_on_batch(np.array(batch, "int32"), labels)
        states.append([array(one) for one in (table, *optimizer_state(model.optimizer, table))])
    return states


by_rows = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="gradients of embeddings have all rows"
)


@by_rows
@pytest.mark.parametrize(
    "settings",
    [
        {"amsgrad": True},
        *(
            pytest.param(x, marks=pytest.mark.slow)
            for x in ({}, {"beta_1": 0.5}, {"clipnorm": 0.01})
        ),
    ],
)
def test_where_batches_name_all_rows_it_is_adam(settings):
    batches = [[[0, 1], [2, 3]], [[2, 3], [1, 0]], [[3, 1], [0, 2]]]

    def states(optimizer):
        return [[part[:4] for part in state] for state in trained(optimizer, batches)]

    visited, adam = (
        states(of(0.1, **settings)) for of in (keras_mtl.VisitedAdam, keras.optimizers.Adam)
    )
    for one, other in zip(keras.tree.flatten(visited), keras.tree.flatten(adam), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@by_rows
def test_rows_that_no_batch_names_stay_bit_for_bit():
    first, second, third = trained(
        keras_mtl.VisitedAdam(0.1), [[[1, 1], [4, 1]], [[2, 2], [2, 2]], [[1, 2], [5, 2]]]
    )
    for one, other, another in zip(first, second, third, strict=True):
        np.testing.assert_array_equal(other[[0, 1, 3, 4, 5]], one[[0, 1, 3, 4, 5]])
        np.testing.assert_array_equal(another[[0, 3, 4]], other[[0, 3, 4]])
        assert np.all(np.any(another[[1, 2, 5]] != other[[1, 2, 5]], axis=1))
    np.testing.assert_array_equal(first[1][[0, 2, 3, 5]], 0)  # averages of what was not named


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="input_dim must be an integer of at least 1"):
        RowEmbedding(0, 3)
    with pytest.raises(ValueError, match="embeddings_initializer is nothing that Keras knows"):
        RowEmbedding(6, 3, "unknown")
