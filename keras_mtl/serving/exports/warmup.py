"""Requests that TensorFlow Serving answers while it loads a model, before real ones.

Serving reads them from `assets.extra/tf_serving_warmup_requests`, a TFRecord of
`PredictionLog` messages: https://www.tensorflow.org/tfx/serving/saved_model_warmup. The
messages are written here field by field, because their package, tensorflow-serving-api,
would bring a TensorFlow of its own. The numbers of the fields are those of
tensorflow_serving/apis/{prediction_log,predict,model}.proto in
https://github.com/tensorflow/serving; a map is a repeated message of key and value.
"""

from typing import Any

FILE_NAME = "tf_serving_warmup_requests"
MOST_REQUESTS = 1000  # with more of them Serving refuses to load the model

_PREDICTION_LOG_PREDICT_LOG = 6
_PREDICT_LOG_REQUEST = 1
_PREDICT_REQUEST_MODEL_SPEC = 1
_PREDICT_REQUEST_INPUTS = 2
_MODEL_SPEC_SIGNATURE_NAME = 3
_MAP_KEY = 1
_MAP_VALUE = 2

_LENGTH_DELIMITED = 2  # wire type of strings and messages


def write_warmup(folder: Any, signatures: Any) -> None:
    """Writes a request for each signature: one example of zeros, unknown sizes taken as 1.

    Args:
        folder: Path of the folder that gets the file.
        signatures: Dict, name of a signature -> list of `keras.InputSpec`, its named inputs.
    """
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(folder / FILE_NAME)) as writer:
        for signature, specs in list(signatures.items())[:MOST_REQUESTS]:
            writer.write(prediction_log(signature, {spec.name: _zeros(spec) for spec in specs}))


def prediction_log(signature: Any, inputs: Any) -> Any:
    """Returns the bytes of a `PredictionLog` of one request.

    Args:
        signature: Name of the signature.
        inputs: Dict, input name -> `TensorProto`.
    """
    request = _field(
        _PREDICT_REQUEST_MODEL_SPEC, _field(_MODEL_SPEC_SIGNATURE_NAME, signature.encode())
    )
    for name, tensor in inputs.items():
        entry = _field(_MAP_KEY, name.encode()) + _field(_MAP_VALUE, tensor.SerializeToString())
        request += _field(_PREDICT_REQUEST_INPUTS, entry)
    return _field(_PREDICTION_LOG_PREDICT_LOG, _field(_PREDICT_LOG_REQUEST, request))


def _field(number: Any, payload: Any) -> Any:
    """Returns a length-delimited field; all numbers here are small, their tag is one byte."""
    return bytes([number << 3 | _LENGTH_DELIMITED]) + _varint(len(payload)) + payload


def _varint(value: Any) -> Any:
    """Returns an integer in groups of seven bits, lowest first, the top bit = more follow."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _zeros(spec: Any) -> Any:
    import tensorflow as tf

    shape = [1 if size is None else size for size in spec.shape]
    return tf.make_tensor_proto(tf.zeros(shape, spec.dtype).numpy(), dtype=spec.dtype)
