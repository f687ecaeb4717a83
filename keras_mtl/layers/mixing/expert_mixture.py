"""Sums of what components answer, weighted for each example."""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.types import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class OpenExperts:
    """The gates of one task, frozen: indices of the experts that it takes, and their weights.

    Attributes:
        indices: Array of indices among all experts.
        weights: Symbolic `(batch, ..., len(indices))`, or `None` for one expert of weight 1.
    """

    indices: np.ndarray
    weights: Any = None

    def mixture(self, outputs: Any) -> Any:
        """Returns the weighted sum of the symbolic outputs of the experts at these indices."""
        if self.weights is None:
            return outputs[0]
        return weighted_sum(ops.stack(outputs, axis=-2), self.weights)


def weighted_sum(outputs: Any, weights: Any) -> Tensor:
    """Returns the sum over components of their outputs times their weights.

    Args:
        outputs: `(batch, ..., C, units)`.
        weights: `(batch, C)`, or with as many of the axes between as there are.
    """
    for _ in range(len(outputs.shape) - len(weights.shape) - 1):
        weights = ops.expand_dims(weights, axis=-2)
    return ops.sum(outputs * ops.expand_dims(weights, axis=-1), axis=-2)


def mixtures(outputs: Any, weights: Any) -> Any:
    """Returns a list of `weighted_sum` of the same outputs, one for each tensor of weights."""
    if len(outputs.shape) > 3 or len(weights[0].shape) > 2:
        return [weighted_sum(outputs, each) for each in weights]
    return ops.unstack(_products(outputs, ops.stack(weights, axis=1)), len(weights), axis=0)


def mixture_by_task(outputs: Any, weights: Any, num_tasks: int) -> Tensor:
    """Returns `weighted_sum` of outputs that several tasks weigh, in blocks of rows by task.

    Args:
        outputs: `(batch, ..., C, units)`.
        weights: `(num_tasks * batch, C)`, or with axes between.
    """
    if len(outputs.shape) > 3 or len(weights.shape) > 2:
        parts = ops.split(weights, num_tasks, axis=0)
        return ops.concatenate(mixtures(outputs, parts), axis=0)
    weights = ops.reshape(weights, (num_tasks, -1, weights.shape[-1]))
    blocks = _products(outputs, ops.transpose(weights, (1, 0, 2)))
    return ops.reshape(blocks, (-1, outputs.shape[-1]))


def _products(outputs: Any, weights: Any) -> Tensor:
    """Returns `(T, batch, units)` of outputs `(batch, C, units)` and weights `(batch, T, C)`."""
    return ops.transpose(ops.matmul(weights, outputs), (1, 0, 2))
