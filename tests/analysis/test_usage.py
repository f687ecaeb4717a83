from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import active_fraction, usage_by_depth


def model_with(first, second):
    return keras_mtl.build_gumbel_matrix(
        keras.Input((5,)),
        {"a": 3, "b": "binary"},
        [[partial(keras.layers.Dense, 4)] * 3, [partial(keras.layers.Dense, 4)] * 4],
        init_probability=[first, second],
    )


def test_usage_is_the_fraction_of_tasks_for_each_component():
    model = model_with(
        [[0.9, 0.2, 0.2], [0.5, 0.8, 0.1]], [[0.9, 0.9, 0.9, 0.9], [0.1, 0.1, 0.2, 0.1]]
    )
    first, second = usage_by_depth(model)
    np.testing.assert_array_equal(first, [1.0, 0.5, 0.0])
    np.testing.assert_array_equal(second, [0.5, 0.5, 1.0, 0.5])  # one is kept in any case


def test_active_fraction_counts_pairs_not_layers():
    model = model_with(np.full((2, 3), 0.8), np.full((2, 4), 0.1))
    fraction = active_fraction(model)
    assert fraction.actual == pytest.approx((6 + 2) / 14)  # one of each unlikely row is kept
    assert fraction.expected == pytest.approx((6 * 0.8 + 8 * 0.1) / 14, abs=1e-6)


def test_weights_below_one_count_as_used():
    layer = keras_mtl.layers.FixedAllocation([[0.25, 0.0, 0.75], [0.0, 0.0, 1.0]])
    x, task_id = keras.Input((5,)), keras.Input((), dtype="int32")
    model = keras.Model([x, task_id], layer(task_id))
    np.testing.assert_array_equal(usage_by_depth(model)[0], [0.5, 0.0, 1.0])


def test_model_that_allocates_nothing_is_refused():
    model = keras_mtl.build_shared_bottom(
        keras.Input((5,)), {"a": 3}, [partial(keras.layers.Dense, 4)]
    )
    with pytest.raises(ValueError, match="allocates no components to tasks"):
        usage_by_depth(model)
