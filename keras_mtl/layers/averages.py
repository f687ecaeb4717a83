"""Means of a number of things that may be none, and the precision that they need."""

from typing import Any

import keras
from keras import ops

from keras_mtl.types import Tensor


def at_least_one(number: Any) -> Tensor:
    """Returns a number, or 1 where it is less, to divide by; a maximum halves gradients at 1."""
    return ops.where(number < 1.0, ops.ones_like(number), number)


def mean_of_valid(values: Any, valid: Any, axis: Any = None) -> Any:
    """Returns the mean of the values that are valid, 1 and not 0; zero where none is."""
    return ops.sum(valid * values, axis=axis) / at_least_one(ops.sum(valid, axis=axis))


def running_mean(values: Any, valid: Any) -> Any:
    """Returns, for each step, the mean of the values up to it that are valid; zero before any."""
    return ops.cumsum(valid * values, axis=1) / at_least_one(ops.cumsum(valid, axis=1))


def as_dtype(x: Tensor, dtype: str) -> Any:
    """Returns x in a dtype: a symbolic x of that dtype gets no operation that does nothing."""
    return x if keras.backend.standardize_dtype(x.dtype) == dtype else ops.cast(x, dtype)


def mean_of_places(x: Tensor, mask: Any = None) -> Any:
    """Returns the mean over space or time, `(batch, features)`; of valid steps, with a mask."""
    axes = tuple(range(1, len(x.shape) - 1))
    if not axes:
        return x
    if mask is None:
        return ops.mean(x, axis=axes)
    valid = ops.expand_dims(ops.cast(mask, "float32"), axis=-1)
    # Sums of many steps, whose number 16 bits cannot count
    return as_dtype(mean_of_valid(as_dtype(x, "float32"), valid, axis=1), x.dtype)


def mean_so_far(x: Tensor, mask: Any = None) -> Tensor:
    """Returns the mean over the steps up to each, of valid ones, `(batch, steps, features)`."""
    steps = ops.cast(x, "float32")  # as above
    valid = ops.ones_like(steps[..., :1])
    if mask is not None:
        valid = ops.expand_dims(ops.cast(mask, "float32"), axis=-1)
    return ops.cast(running_mean(steps, valid), x.dtype)
