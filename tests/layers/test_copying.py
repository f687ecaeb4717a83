"""Copies of layers are of their own, and answer as what they were made of."""

import keras
import numpy as np

from keras_mtl.layers.copying import copied_layer


def nested():
    model = keras.Sequential([keras.layers.Dense(3, kernel_regularizer="l2")], name="nested")
    model.build((None, 2))
    return model


def test_a_copy_may_leave_regularizers_out_also_of_a_nested_model():
    assert copied_layer(nested()).layers[0].kernel_regularizer is not None
    copy = copied_layer(nested(), {"name": "other"}, frozen=True)
    assert copy.layers[0].kernel_regularizer is None and copy.name == "other"


def test_a_copy_has_equal_weights_of_its_own():
    model = nested()
    copy = copied_layer(model)
    for one, two in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    copy.layers[0].kernel.assign(np.zeros((2, 3)))
    assert np.any(model.get_weights()[0])
