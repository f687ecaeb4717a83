"""Funnels as they are served."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task
from tests.serving.damage import edit_manifest

TASKS = {"click": "binary", "buy": Task("binary", given="click", estimator="dr"), "like": 3}
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


@pytest.fixture(scope="module")
def model():
    dense = partial(keras.layers.Dense, 4, activation="tanh")
    return keras_mtl.build_mmoe(keras.Input((5,)), TASKS, [[dense] * 3], seed=0)


@pytest.mark.saved_model
def test_the_default_signature_adds_the_conditional_probability(model, tmp_path):
    tf = pytest.importorskip("tensorflow")
    path = keras_mtl.export(model, tmp_path / "1")
    served = keras_mtl.load_served(path)
    assert served.tasks == list(TASKS)
    expected = model.predict(X, verbose=0)
    for task in TASKS:
        np.testing.assert_allclose(served.predict(task, X), expected[task], atol=1e-6)
    network = tf.saved_model.load(path)
    everything = network.signatures["serving_default"](inputs=tf.constant(X))
    assert set(everything) == {*TASKS, "buy_given_click"}
    np.testing.assert_allclose(
        everything["buy_given_click"], expected["buy_given_click"], atol=1e-6
    )
    assert set(network.signatures) == {*TASKS, "serving_default"}
    assert set(network.signatures["buy"].structured_outputs) == {"buy"}


@pytest.mark.saved_model
def test_a_manifest_of_another_parent_is_named(model, tmp_path):
    path = tmp_path / "1"
    keras_mtl.export(model, path)
    for given, message in (("like", "'like', which must stand before"), ("sale", "is no task")):
        edit_manifest(path, lambda content, given=given: content["tasks"][1].update(given=given))
        with pytest.raises(ValueError, match=message):
            keras_mtl.load_served(path)
    edit_manifest(path, lambda content: content["tasks"][1].pop("given"))
    with pytest.raises(ValueError, match="but the network answers"):
        keras_mtl.load_served(path)


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_a_file_of_a_task_answers_the_joint_probability(model, format, tmp_path):
    backend = keras.backend.backend()
    if backend == "jax" or (backend, format) == ("torch", "litert"):
        pytest.skip("cannot be written here")
    pytest.importorskip("onnx" if format == "onnx" else "ai_edge_litert")
    keras_mtl.export(model, tmp_path / "files", format=format)  # which asks what it wrote
