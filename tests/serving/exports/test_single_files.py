"""One file per task: ONNX and LiteRT."""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_mtl.serving import export

BACKEND = keras.backend.backend()
PACKAGES = {"tensorflow": ["onnx", "tf2onnx"], "torch": ["onnx"], "jax": []}[BACKEND]
needs_onnx = pytest.mark.skipif(
    BACKEND == "jax" or not all(map(importlib.util.find_spec, PACKAGES)),
    reason="ONNX is written on TensorFlow and torch, with packages of its own",
)


@needs_onnx
@pytest.mark.parametrize("task_data", ["separate", "shared"])
def test_onnx_answers_as_the_model(build, features, answers, tmp_path, task_data):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = build(task_data=task_data)
    path = Path(export(model, tmp_path / "onnx", format="onnx"))
    for task in model.tasks:
        session = runtime.InferenceSession(path / f"{task}.onnx")
        assert [node.name for node in session.get_inputs()] == ["inputs"]
        assert [node.name for node in session.get_outputs()] == [task]
        for batch in (1, 7, 64):
            x = features(batch)
            (answer,) = session.run(None, {"inputs": x})
            np.testing.assert_allclose(answer, answers(model, x, task), atol=1e-6)


@needs_onnx
def test_onnx_keeps_the_names_of_several_inputs(build, features, answers, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    image, size = keras.Input((5,), name="image"), keras.Input((2,), name="size")

    def join():
        return keras.Model(
            {"image": image, "size": size}, keras.layers.Concatenate()([image, size])
        )

    model = build({"image": image, "size": size}, tasks={"age": 3}, stem=[join])
    path = Path(export(model, tmp_path / "onnx", format="onnx"))
    x = {"image": features(7), "size": features(7)[:, :2]}
    (answer,) = runtime.InferenceSession(path / "age.onnx").run(["age"], x)
    np.testing.assert_allclose(answer, answers(model, x, "age"), atol=1e-6)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="LiteRT is written on TensorFlow")
def test_litert_answers_as_the_model(build, features, answers, tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="no LiteRT runtime")
    model = build(task_data="separate")
    path = Path(export(model, tmp_path / "litert", format="litert"))
    for task in model.tasks:
        runner = litert.Interpreter(str(path / f"{task}.tflite")).get_signature_runner()
        for batch in (1, 7):
            x = features(batch)
            answer = runner(inputs=x)[task]
            np.testing.assert_allclose(answer, answers(model, x, task), atol=1e-6)


@needs_onnx
def test_manifest_and_allocation_stand_beside_the_files(build, tmp_path):
    path = Path(export(build(tasks={"age": 3, "income": "binary"}), tmp_path / "1", format="onnx"))
    files = {"age.onnx", "income.onnx", "allocation.json"}
    assert {entry.name for entry in path.iterdir()} == files | {"manifest.json"}
    manifest = json.loads((path / "manifest.json").read_text())
    assert set(manifest["files"]) == files
    assert manifest["format"] == "onnx"
