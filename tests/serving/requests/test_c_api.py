"""The TensorFlow C++ runtime, which servers are made of, loads and runs the export."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import export, load_served

pytestmark = [
    pytest.mark.saved_model,
    pytest.mark.skipif(sys.platform != "linux", reason="names of libraries as on Linux"),
]


def tensor_names(path, signature):
    """Returns the names in the graph of the inputs and outputs of a signature, by their names."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = (Path(path) / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    described = graph.signature_def[signature]
    assert described.method_name == "tensorflow/serving/predict"
    inputs, outputs = described.inputs, described.outputs
    return (
        {name: tensor.name for name, tensor in inputs.items()},
        {name: tensor.name for name, tensor in outputs.items()},
    )


def run(path, signature, folder, **x):
    """Returns the answers of a signature, by name, in a process without Python's TensorFlow."""
    inputs, outputs = tensor_names(path, signature)
    np.savez(folder / "x.npz", **{inputs[name]: values for name, values in x.items()})
    script = Path(__file__).with_name("c_api.py")
    files = [folder / "x.npz", folder / "y.npz"]
    command = [sys.executable, script, path, *files, *outputs.values()]
    subprocess.run(command, check=True, timeout=300)
    with np.load(folder / "y.npz") as answers:
        return {name: answers[tensor] for name, tensor in outputs.items()}


@pytest.mark.slow
def test_the_c_runtime_answers_as_the_model(build, features, answers, tmp_path):
    model = build(task_data="separate")
    path = export(model, tmp_path / "1")
    for batch, task in ((1, "income"), (7, "age")):
        x = features(batch)
        answer = run(path, task, tmp_path, inputs=x)[task]
        np.testing.assert_array_equal(answer, load_served(path).predict(task, x))
        np.testing.assert_allclose(answer, answers(model, x, task), atol=1e-6)


@pytest.mark.slow
def test_the_c_runtime_streams(tmp_path):
    model = keras_mtl.build_shared_bottom(
        keras.Input((None, 4)),
        {"state": keras_mtl.Task("tagging", 5)},
        [partial(keras.layers.LSTM, 3, return_sequences=True)],
    )
    path, x = export(model, tmp_path / "1", streaming=True), np.ones((6, 7, 4), "float32")
    served = load_served(path)
    _, states = served.stream(x[:, :3])
    outputs = run(path, "stream", tmp_path, inputs=x[:, 3:], **states)
    answers, after = served.stream(x[:, 3:], states)
    for name, expected in (answers | after).items():
        np.testing.assert_array_equal(outputs[name], expected)
