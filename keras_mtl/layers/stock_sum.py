"""A weighted sum in stock layers, for networks that are frozen."""

import keras
import numpy as np


def stock_sum(parts, weights):
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
