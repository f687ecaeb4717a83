"""Real values."""

from typing import Any

import keras

from keras_mtl.kinds import keras_names
from keras_mtl.kinds.kind import Kind

_LARGEST = 3.4028234663852886e38  # of float32


def is_finite(labels: Any) -> Any:
    return abs(labels) <= _LARGEST


REGRESSION = Kind(
    form="has numbers as labels, and answers with numbers",
    activation="linear",
    loss=keras.losses.mean_squared_error,
    metrics={"mae": keras.losses.mean_absolute_error, "mse": keras.losses.mean_squared_error},
    default_metrics=("mae",),
    fitting=(
        "quantile",
        "mean_absolute_percentage_error",
        *keras_names.VECTORS,
        *keras_names.NUMBERS,
        *keras_names.LOGITS,
    ),
    first_choice={"loss": "mean_squared_error", "metric": "mae"},
    reads_logits=True,
    is_label=is_finite,
    labels="that are finite",
    short_form=True,
    has_units=True,
    uncertainty_factor=0.5,
)
