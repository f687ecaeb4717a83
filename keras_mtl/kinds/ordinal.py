"""One of several classes in an order: the proportional-odds model.

One score, a weighted sum of features, says how high an example stands, and thresholds between the
classes say how high is high: `P(class > k) = sigmoid(score - threshold_k)`.

Source: McCullagh, "Regression Models for Ordinal Data", J. R. Statist. Soc. B 42 (1980).
"""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.kinds.classes import CLASSES
from keras_mtl.kinds.slopes import slope_of_ranks
from keras_mtl.types import Tensor


def class_probabilities(score: Any, gaps: Any = None) -> Tensor:
    """Returns the probabilities of classes in order.

    Args:
        score: `(..., 1)`, the log-odds of any class above the lowest.
        gaps: `(..., size - 2)`, the distances of neighbouring thresholds before softplus, which
            keeps thresholds in order. `None` of two classes, which have one threshold.

    Returns:
        `(..., size)`.
    """
    if gaps is None:
        return ops.concatenate([ops.sigmoid(-score), ops.sigmoid(score)], axis=-1)
    gaps = ops.softplus(gaps)
    odds = ops.concatenate([score, score - ops.cumsum(gaps, axis=-1)], axis=-1)
    above, below = ops.sigmoid(odds), ops.sigmoid(-odds)
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), without cancellation
    between = above[..., :-1] * below[..., 1:] * -ops.expm1(-gaps)
    return ops.concatenate([below[..., :1], between, above[..., -1:]], axis=-1)


def absolute_error_in_ranks(y: Any, y_pred: Any) -> Tensor:
    """Returns by how many classes the median of the predicted distribution is off.

    No other class has a smaller expected error than the median, the first class at which the
    probabilities add up to one half.
    """
    median = ops.sum(ops.cast(ops.cumsum(y_pred, axis=-1) < 0.5, "float32"), axis=-1)
    return ops.abs(median - ops.cast(y, "float32"))


def _equally_likely(size: Any) -> tuple[Any, Any]:
    """Returns the score and gaps with which all classes are equally likely."""
    above = np.arange(size - 1, 0, -1)
    odds = np.log(above / (size - above))
    return odds[:1], np.log(np.expm1(odds[:-1] - odds[1:]))


ORDINAL = dataclasses.replace(
    CLASSES,
    form="has ranks (class indices) as labels, and answers with a probability for each class",
    activation="linear",
    start=_equally_likely,
    link=class_probabilities,
    metrics={**CLASSES.metrics, "mae": absolute_error_in_ranks},
    default_metrics=("accuracy", "mae"),
    smoothed=None,
    kind_per_step=None,
    slope=slope_of_ranks,
)
