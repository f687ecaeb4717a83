"""The warm-up requests, decoded without and with the messages of TensorFlow Serving."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_mtl.serving import export

pytestmark = pytest.mark.saved_model


@pytest.fixture(scope="module")
def records(build, tmp_path_factory):
    """Returns the records of an export with two inputs, one with a free time axis."""
    import tensorflow as tf

    x = keras.Input((5,), name="x")
    steps = keras.Input((None, 2), dtype="int32", name="steps")

    def stem():
        flat = keras.layers.GlobalAveragePooling1D()(keras.ops.cast(steps, "float32"))
        return keras.Model({"x": x, "steps": steps}, keras.layers.Concatenate()([x, flat]))

    model = build({"x": x, "steps": steps}, tasks={"age": 3, "income": "binary"}, stem=[stem])
    path = Path(export(model, tmp_path_factory.mktemp("export") / "1"))
    file = str(path / "assets.extra" / "tf_serving_warmup_requests")
    return [record.numpy() for record in tf.data.TFRecordDataset(file)]


def check_tensors(tensors):
    import tensorflow as tf

    arrays = {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}
    assert {name: (a.shape, a.dtype) for name, a in arrays.items()} == {
        "x": ((1, 5), np.float32),
        "steps": ((1, 1, 2), np.int32),
    }
    assert all((array == 0).all() for array in arrays.values())


def described_messages():
    """Returns a `PredictionLog` class from a description of the fields in use."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from tensorflow.core.framework import tensor_pb2

    fields = {
        "ModelSpec": [("signature_name", 3, "", False)],
        "PredictRequest": [("model_spec", 1, "ModelSpec", False), ("inputs", 2, "Entry", True)],
        "Entry": [("key", 1, "", False), ("value", 2, "tensorflow.TensorProto", False)],
        "PredictLog": [("request", 1, "PredictRequest", False)],
        "PredictionLog": [("predict_log", 6, "PredictLog", False)],
    }
    file = descriptor_pb2.FileDescriptorProto(name="warmup.proto", package="warmup")
    file.syntax = "proto3"
    file.dependency.append(tensor_pb2.DESCRIPTOR.name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, described in fields.items():
        added = file.message_type.add(name=message)
        for name, number, type_name, repeated in described:
            field = added.field.add(name=name, number=number)
            field.type = kinds.TYPE_MESSAGE if type_name else kinds.TYPE_STRING
            if type_name:
                field.type_name = "." + (type_name if "." in type_name else f"warmup.{type_name}")
            field.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("warmup.PredictionLog"))


def test_every_signature_gets_one_example_of_zeros(records):
    prediction_log = described_messages()
    requests = [prediction_log.FromString(record).predict_log.request for record in records]
    names = [request.model_spec.signature_name for request in requests]
    assert names == ["serving_default", "age", "income"]
    for request, record in zip(requests, records, strict=True):
        check_tensors({entry.key: entry.value for entry in request.inputs})
        assert len(prediction_log.FromString(record).SerializeToString()) == len(record)


def test_tensorflow_serving_understands_the_requests(records):
    messages = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is not installed: pip install --no-deps it to run this",
    )
    logs = [messages.PredictionLog.FromString(record) for record in records]
    assert [log.WhichOneof("log_type") for log in logs] == ["predict_log"] * 3
    names = [log.predict_log.request.model_spec.signature_name for log in logs]
    assert names == ["serving_default", "age", "income"]
    for log in logs:
        check_tensors(log.predict_log.request.inputs)
