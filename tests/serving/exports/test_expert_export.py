"""Networks of experts, of sub-networks and of masked layers as servers get them."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

TASKS = {"income": "binary", "age": 3, "height": "regression"}
BUILDERS = {
    "build_mmoe": {"tower_units": (4,)},
    "build_mmoeex": {"exclusivity": 0.8, "seed": 0},
    "build_ple": {},
    "build_moe": {},
    "build_dselect_k": {},
    "build_snr": {"tower_units": (4,)},
    "build_task_routing": {},
}
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def scrambled(name, task_data):
    """Builds a small network whose gates differ."""
    dense = partial(keras.layers.Dense, 6, activation="relu")
    masked = name == "build_task_routing"  # whose lists hold one layer
    layers = [[dense], [dense]] if masked else [[dense] * 5, [dense] * 4]
    build = getattr(keras_mtl, name)
    model = build(keras.Input((5,)), TASKS, layers, task_data=task_data, **BUILDERS[name])
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    return model


def answers(model, task):
    if model.task_data == "shared":
        return keras.ops.convert_to_numpy(model(X)[task])
    place = list(TASKS).index(task)
    output = model({"inputs": X, "task_id": np.full(len(X), place, "int32")})
    return keras.ops.convert_to_numpy(output[model.tasks[task].kind])


@pytest.mark.slow
@pytest.mark.saved_model
@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("name", BUILDERS)
def test_a_server_answers_as_the_network_does(name, task_data, tmp_path):
    model = scrambled(name, task_data)
    served = keras_mtl.load_served(keras_mtl.export(model, tmp_path / "1"))
    for task in TASKS:
        np.testing.assert_allclose(
            served.predict(task, X), answers(model, task), rtol=1e-4, atol=1e-5
        )


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="ONNX is not written on JAX")
@pytest.mark.parametrize(
    "name",
    [
        name if name in ("build_ple", "build_moe") else pytest.param(name, marks=pytest.mark.slow)
        for name in BUILDERS
    ],
)
def test_onnx_answers_as_the_network_does(name, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = scrambled(name, "shared")
    folder = keras_mtl.export(model, tmp_path / "1", format="onnx")
    for task in TASKS:
        session = runtime.InferenceSession(f"{folder}/{task}.onnx")
        (found,) = session.run(None, {session.get_inputs()[0].name: X})
        np.testing.assert_allclose(found, answers(model, task), rtol=1e-4, atol=1e-5)
