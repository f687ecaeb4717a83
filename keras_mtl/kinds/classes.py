"""One of several classes, of an example or at every time step."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_mtl.kinds import keras_names
from keras_mtl.kinds.kind import Kind
from keras_mtl.kinds.slopes import slope_of_classes

_LOWEST_PROBABILITY = 1e-30  # Keras stops at 1e-7, below which a wrong answer learns nothing


def cross_entropy(y: Any, y_pred: Any) -> Any:
    """Returns minus the natural logarithm of the probability of each class index in `y`."""
    probability = ops.take_along_axis(y_pred, ops.expand_dims(y, axis=-1), axis=-1)[..., 0]
    return -_log(probability)


def smoothed_cross_entropy(y: Any, y_pred: Any, smoothing: float) -> Any:
    """Returns `cross_entropy` of labels of which a share is spread over all classes alike."""
    every = -ops.mean(_log(y_pred), axis=-1)
    return (1.0 - smoothing) * cross_entropy(y, y_pred) + smoothing * every


def _log(probability: Any) -> Any:
    lowest = probability < _LOWEST_PROBABILITY
    return ops.log(ops.where(lowest, _LOWEST_PROBABILITY, probability))


CLASSES: Kind = Kind(
    form="has class indices as labels, and answers with a probability for each class",
    activation="softmax",
    loss=cross_entropy,
    metrics={"accuracy": keras.metrics.sparse_categorical_accuracy},
    default_metrics=("accuracy",),
    fitting=(*keras_names.CLASSES, *keras_names.ONE_HOT),
    first_choice={"loss": "sparse_categorical_crossentropy", "metric": "accuracy"},
    smoothed=smoothed_cross_entropy,
    has_classes=True,
    kind_per_step="tagging",
    slope=slope_of_classes,
)
TAGGING = dataclasses.replace(CLASSES, always_per_step=True, kind_per_step=None)
