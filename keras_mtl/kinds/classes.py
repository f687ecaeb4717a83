"""One of several classes, of an example or at every time step."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_mtl.kinds import keras_names
from keras_mtl.kinds.kind import Kind

_LOWEST_PROBABILITY = 1e-30  # Keras stops at 1e-7, below which a wrong answer learns nothing


def cross_entropy(y: Any, y_pred: Any) -> Any:
    """Returns minus the natural logarithm of the probability of each class index in `y`."""
    probability = ops.take_along_axis(y_pred, ops.expand_dims(y, axis=-1), axis=-1)[..., 0]
    lowest = probability < _LOWEST_PROBABILITY
    return -ops.log(ops.where(lowest, _LOWEST_PROBABILITY, probability))


CLASSES: Kind = Kind(
    form="has class indices as labels, and answers with a probability for each class",
    activation="softmax",
    loss=cross_entropy,
    metrics={"accuracy": keras.metrics.sparse_categorical_accuracy},
    default_metrics=("accuracy",),
    fitting=keras_names.CLASSES,
    first_choice={"loss": "sparse_categorical_crossentropy", "metric": "accuracy"},
    has_classes=True,
    kind_per_step="tagging",
)
TAGGING = dataclasses.replace(CLASSES, always_per_step=True, kind_per_step=None)
