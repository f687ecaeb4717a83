"""Counts: how often something happens, with a Poisson distribution and a log link."""

from typing import Any

import keras
from keras import ops

from keras_mtl.kinds.kind import Kind
from keras_mtl.kinds.regression import is_finite
from keras_mtl.types import Tensor

_LOWEST_COUNT = 1e-30  # Keras adds 1e-7, below which a wrong answer learns nothing


def poisson(y: Any, y_pred: Any) -> Tensor:
    """Returns the mean over the last axis of `y_pred - y log(y_pred)`.

    This is the negative log-likelihood without `log(y!)`, on which no answer depends, as
    `keras.losses.Poisson` has it.
    """
    return ops.mean(y_pred - y * _log(y_pred), axis=-1)


def poisson_deviance(y: Any, y_pred: Any) -> Any:
    """Returns the mean over the last axis of `2 (y log(y / y_pred) - y + y_pred)`.

    It is twice what `poisson` exceeds that of the best answer, `y` itself, by: at least 0.
    """
    best = y * ops.log(ops.where(y > 0, y, 1.0))
    return 2.0 * ops.mean(best - y * _log(y_pred) - y + y_pred, axis=-1)


def _log(y_pred: Any) -> Tensor:
    return ops.log(ops.where(y_pred < _LOWEST_COUNT, _LOWEST_COUNT, y_pred))


def _is_count(labels: Any) -> Any:
    return is_finite(labels) & (labels >= 0) & (labels % 1 == 0)


COUNT = Kind(
    form="has counts (whole numbers of at least 0) as labels, and answers with expected counts",
    activation="exponential",
    loss=poisson,
    metrics={
        "poisson_deviance": poisson_deviance,
        "mae": keras.losses.mean_absolute_error,
        "mse": keras.losses.mean_squared_error,
    },
    default_metrics=("poisson_deviance",),
    fitting=(
        "poisson",
        "tweedie",
        "quantile",
        "mean_squared_error",
        "mean_absolute_error",
        "root_mean_squared_error",
        "mean_squared_logarithmic_error",
        "huber",
        "log_cosh",
        "log_cosh_error",
        "r2_score",
        "cosine_similarity",  # and no Pearson correlation, which equal counts do not have
        "concordance_correlation",
    ),
    first_choice={"loss": "poisson", "metric": "poisson_deviance"},
    is_label=_is_count,
    labels="that are whole numbers of at least 0",
)
