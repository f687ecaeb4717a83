"""Counts, amounts, ranks and standardized values as they are served."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task

TASKS = {
    "stage": Task("ordinal", 4),
    "grade": Task("ordinal", 2),
    "visits": Task("count", 2),
    "spend": Task("amount"),
    "watch": Task("regression", standardize=(60, 20)),
}


@pytest.mark.saved_model
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_an_export_answers_as_the_network_does(task_data, tmp_path):
    dense = partial(keras.layers.Dense, 5, activation="tanh")
    model = keras_mtl.build_shared_bottom(
        keras.Input((4,)), TASKS, [dense], task_data=task_data, seed=0
    )
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    x = rng.normal(size=(6, 4)).astype("float32")
    served = keras_mtl.load_served(keras_mtl.export(model, tmp_path / "1"))
    expected = keras_mtl.freeze(model).predict(x, verbose=0)
    for index, (name, task) in enumerate(TASKS.items()):
        found = served.predict(name, x)
        np.testing.assert_allclose(found, expected[name], rtol=1e-5)
        if task_data == "separate":
            ids = np.full(6, index, "int32")
            own = model.predict({"inputs": x, "task_id": ids}, verbose=0)[task.kind]
            np.testing.assert_allclose(found, own[:, : task.size], rtol=1e-5)
        if task.has_classes:
            np.testing.assert_allclose(found.sum(axis=-1), np.ones(6), rtol=1e-5)
