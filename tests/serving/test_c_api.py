"""The TensorFlow C++ runtime, which servers are made of, loads and runs the export."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_mtl.serving import export, load_served

pytestmark = [
    pytest.mark.saved_model,
    pytest.mark.skipif(sys.platform != "linux", reason="names of libraries as on Linux"),
]


def tensor_names(path, signature):
    """Returns the names in the graph of the input and the output of a signature."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = (Path(path) / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    described = graph.signature_def[signature]
    assert described.method_name == "tensorflow/serving/predict"
    return described.inputs["inputs"].name, described.outputs[signature].name


def test_the_c_runtime_answers_as_the_model(build, features, answers, tmp_path):
    model = build(task_data="separate")
    path = export(model, tmp_path / "1")
    script = Path(__file__).with_name("c_api.py")
    for batch, task in ((1, "income"), (7, "age")):
        x = features(batch)
        np.save(tmp_path / "x.npy", x)
        command = [sys.executable, script, path, *tensor_names(path, task)]
        command += [tmp_path / "x.npy", tmp_path / "y.npy"]
        subprocess.run(command, check=True, timeout=300)
        answer = np.load(tmp_path / "y.npy")
        np.testing.assert_array_equal(answer, load_served(path).predict(task, x))
        np.testing.assert_allclose(answer, answers(model, x, task), atol=1e-6)
