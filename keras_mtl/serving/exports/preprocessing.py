"""The check that an export can take raw values, and encode them itself."""

from typing import Any

import keras

from keras_mtl.data import SentenceEncoder, TableEncoder
from keras_mtl.data.tables.feature_space import FeatureSpaceEncoder


def as_encoder(preprocessing: Any) -> Any:
    """Returns the encoder of an export, around a `FeatureSpace` where one was given."""
    if isinstance(preprocessing, keras.utils.FeatureSpace):
        return FeatureSpaceEncoder(preprocessing)
    return preprocessing


def check_preprocessing(
    preprocessing: Any, frozen: keras.Model, format: str, streaming: bool = False
) -> None:
    """Raises a `ValueError` where raw values cannot be the input of an export."""
    backend = keras.backend.backend()
    if (format, backend) != ("tf_saved_model", "tensorflow"):
        raise ValueError(
            "preprocessing, which makes raw values the input of an export, needs "
            'format="tf_saved_model" and the TensorFlow backend. Received: '
            f"format={format!r} on the {backend} backend. Save the model, set "
            "KERAS_BACKEND=tensorflow and load it there to export; or leave preprocessing out "
            "and send what encoder.encode(...) gives."
        )
    if not isinstance(preprocessing, SentenceEncoder | TableEncoder | FeatureSpaceEncoder):
        raise ValueError(
            "preprocessing must be a keras_mtl.data.SentenceEncoder or TableEncoder, or a "
            f"keras.utils.FeatureSpace. Received: {type(preprocessing).__name__}"
        )
    if streaming and not isinstance(preprocessing, SentenceEncoder):
        raise ValueError(
            "A stream takes the next steps of a sequence, and the columns of a table have none. "
            "Leave streaming out, or preprocessing."
        )
    given, wanted = _described(preprocessing.inputs()), _described(frozen.input)
    if given != wanted:
        raise ValueError(
            f"The model reads {wanted}, but the encoder gives {given}. Build the model with "
            "encoder.inputs(), of a FeatureSpace with keras.Input of the shape that it encodes to."
        )


def _described(inputs: Any) -> Any:
    """Returns the shape and type of an input, or of each of a dict of them."""
    return keras.tree.map_structure(lambda tensor: (tensor.shape, tensor.dtype), inputs)
