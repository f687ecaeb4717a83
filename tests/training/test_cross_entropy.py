"""The loss of class probabilities."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.kinds.classes import cross_entropy

EAGERLY = keras.backend.backend() != "jax"  # JAX compiles each operation of an eager step


def test_it_is_minus_the_logarithm_of_the_labels_probability():
    probabilities = keras.ops.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    values = keras.ops.convert_to_numpy(cross_entropy(keras.ops.array([1, 2]), probabilities))
    np.testing.assert_allclose(values, [np.log(4), -np.log(0.8)], rtol=1e-6)


def test_nan_probabilities_stay_nan():
    value = cross_entropy(keras.ops.array([0]), keras.ops.array([[float("nan"), 0.5]]))
    assert np.isnan(keras.ops.convert_to_numpy(value)).all()


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_confident_wrong_answer_still_learns(task_data):
    tasks = {"sure": 2}
    model = keras_mtl.build_shared_bottom(
        keras.Input((1,)), tasks, [], task_data=task_data, stem=[]
    )
    head = model.get_layer("heads" if task_data == "separate" else "sure")
    head.set_weights([np.array([[40.0, 0.0]], "float32"), np.zeros(2, "float32")])
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=EAGERLY)
    x, y = np.ones((1, 1), "float32"), np.array([1])
    if task_data == "separate":
        data = keras_mtl.task_batches(tasks, {"sure": (x, y)}, batch_size=1)
        logs = model.fit(data, epochs=1, verbose=0).history
    else:
        logs = model.fit(x, {"sure": y}, verbose=0).history
    assert logs["loss"][0] == pytest.approx(40, rel=1e-5)
    np.testing.assert_allclose(head.get_weights()[0], [[39.0, 1.0]], rtol=1e-5)
