"""Weighted sums of tensors, and the same in stock layers for networks that are frozen."""

from typing import Any

import keras
import numpy as np
from keras import ops


def weighted_sums(alpha: Any, parts: Any) -> list[Any]:
    """Returns the sums of tensors that the rows of alpha say.

    Term by term: a product of this matrix, which is small, with the stacked tensors takes up
    to seven times as long on a CPU.
    """
    alpha = ops.convert_to_tensor(alpha)
    return [
        sum(alpha[row, column] * part for column, part in enumerate(parts))
        for row in range(alpha.shape[0])
    ]


def stock_sum(parts: Any, weights: Any) -> Any:
    """Returns the sum of symbolic tensors times known weights, not all zero.

    What weighs nothing is left out, what weighs 1 is not scaled. A weight is a number, or an
    array along the last axis.
    """
    scaled = [
        part if np.all(weight == 1) else keras.layers.Rescaling(np.asarray(weight).tolist())(part)
        for part, weight in zip(parts, weights, strict=True)
        if np.any(weight)
    ]
    return keras.layers.Add()(scaled) if len(scaled) > 1 else scaled[0]
