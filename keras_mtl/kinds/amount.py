"""Amounts: how much of something there is, often nothing, with a log link."""

from typing import Any

import keras

from keras_mtl.kinds.count import COUNT
from keras_mtl.kinds.kind import Kind
from keras_mtl.kinds.regression import is_finite
from keras_mtl.kinds.tweedie import tweedie, tweedie_deviance


def _is_amount(labels: Any) -> Any:
    return is_finite(labels) & (labels >= 0)


AMOUNT = Kind(
    form="has amounts (numbers of at least 0) as labels, and answers with expected amounts",
    activation="exponential",
    loss=tweedie,
    metrics={
        "tweedie_deviance": tweedie_deviance,
        "mae": keras.losses.mean_absolute_error,
        "mse": keras.losses.mean_squared_error,
    },
    default_metrics=("tweedie_deviance",),
    fitting=COUNT.fitting,
    first_choice={"loss": "poisson", "metric": "tweedie_deviance"},
    is_label=_is_amount,
    labels="that are finite and at least 0",
)
