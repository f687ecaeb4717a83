"""Binary decisions without randomness: the most likely ones."""

from typing import Any

import numpy as np
from keras import ops

from keras_mtl.types import Tensor


def log_odds(scores: Any) -> Any:
    """Returns the log-odds of connecting, from scores of (disconnect, connect)."""
    return scores[..., 1] - scores[..., 0]


def most_likely(logits: Tensor) -> Tensor:
    """Returns the decisions without randomness, 0 or 1; a tie connects."""
    return ops.cast(logits >= 0, logits.dtype)


def kept_below_half(logits: Tensor, minimum: Any) -> Tensor:
    """Tells which decisions are active only so that a row has `minimum` active ones.

    A decision is active when its log-odds are at least 0. In a row with fewer than `minimum` of
    these the likeliest of the others are kept too, of equals the first. What has probability 0
    is never kept.

    Args:
        logits: `(rows, columns)` natural log-odds of being active.
        minimum: Number of decisions in a row that are active at least.

    Returns:
        Float32 tensor of the shape of `logits`: 1 where a decision is kept though its log-odds
        are below 0, else 0.

    Example:

    >>> logits = keras.ops.array([[-2.0, -1.0, -1.0], [-2.0, 3.0, -1.0]])
    >>> keras.ops.convert_to_numpy(kept_below_half(logits, 1)).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if minimum == 0:
        return ops.zeros_like(logits)
    num_columns = logits.shape[-1]
    earlier = np.tri(num_columns, k=-1, dtype=bool)  # [column, other]: other comes first
    own, other = ops.expand_dims(logits, -1), ops.expand_dims(logits, -2)
    ahead = ops.logical_or(other > own, ops.logical_and(other == own, earlier))
    among_the_first = ops.sum(ops.cast(ahead, "int32"), axis=-1) < minimum
    below_half = ops.logical_and(logits < 0, logits > float("-inf"))
    return ops.cast(ops.logical_and(among_the_first, below_half), "float32")
