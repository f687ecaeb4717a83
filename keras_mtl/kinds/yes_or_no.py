"""Yes or no: one probability, or several that do not know of each other."""

import dataclasses
from typing import Any

import keras

from keras_mtl.kinds import keras_names
from keras_mtl.kinds.kind import Kind
from keras_mtl.kinds.slopes import slope_of_yes_or_no


def _is_yes_or_no(labels: Any) -> Any:
    return (labels == 0) | (labels == 1)


def _smoothed(y: Any, y_pred: Any, smoothing: float) -> Any:
    return keras.losses.binary_crossentropy(y, y_pred, label_smoothing=smoothing)


BINARY = Kind(
    form="has labels 0 and 1, and answers with one probability",
    activation="sigmoid",
    loss=keras.losses.binary_crossentropy,
    metrics={"accuracy": keras.metrics.binary_accuracy},
    default_metrics=("accuracy",),
    fitting=("binary_iou", "normalized_entropy", *keras_names.YES_OR_NO),
    first_choice={"loss": "binary_crossentropy", "metric": "accuracy"},
    is_label=_is_yes_or_no,
    labels="0 and 1",
    smoothed=_smoothed,
    short_form=True,
    kind_of_several="multilabel",
    slope=slope_of_yes_or_no,
    shifts=True,
)
MULTILABEL = dataclasses.replace(
    BINARY,
    form="has labels 0 and 1, and answers with a probability for each",
    fitting=("cosine_similarity", "dice", "tversky", *keras_names.YES_OR_NO),
    short_form=False,
    kind_of_several=None,
)
