"""Arrays of numbers from what people give: arrays, tensors, lists, columns of a table."""

from typing import Any

import keras
import numpy as np


def as_array(owner: Any, values: Any) -> Any:
    """Returns values as a NumPy array, without a copy where they are one.

    Args:
        owner: Whose values they are, to begin a message with: `"The labels of task ..."`.
        values: Array-like, a tensor of any backend.

    Raises:
        ValueError: Sequences of different lengths, hidden entries.
    """
    if np.ma.is_masked(values):
        raise ValueError(
            f"{owner} have hidden entries: {np.ma.count_masked(values)} of a numpy.ma array of "
            f"shape {np.shape(values)}. Say what they stand for: array.filled(...)."
        )
    if is_tensor(values) and not is_ragged(values):
        return keras.ops.convert_to_numpy(values)
    try:
        array = np.asarray(None if is_ragged(values) else values)
    except ValueError:
        array = None
    if array is None or (array.dtype == object and _holds_sequences(array)):
        raise ValueError(
            f"{owner} are sequences of different lengths. Pad them to one length with "
            'keras.utils.pad_sequences(..., padding="post"), labels with value=float("nan") and '
            'dtype="float32": not labelled.'
        )
    return array


def as_numbers(owner: Any, values: Any) -> Any:
    """Returns numbers as a NumPy array.

    Raises:
        ValueError: What `as_array` does not take, or no numbers.
    """
    array = as_array(owner, values)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{owner} must be numbers, NaN where one is missing. "
            f"Received an array of dtype {array.dtype}."
        )
    return array


def as_sample_weight(owner: Any, weights: Any) -> Any:
    """Returns weights, a number of at least 0 for each example, as a flat NumPy array."""
    array = as_numbers(owner, weights)
    array = array[:, 0] if array.shape[1:] == (1,) else array
    wrong = ~((array >= 0) & (array < np.inf))
    if wrong.any():
        value, index = first_of(array, wrong)
        raise ValueError(
            f"{owner} must be finite numbers of at least 0. Received: {value} at index {index}"
        )
    return array


def first_of(array: Any, chosen: Any) -> tuple[Any, Any]:
    """Returns the first of the chosen values, and its index in words."""
    index = tuple(map(int, np.argwhere(chosen)[0]))
    return array[index], index if len(index) > 1 else index[0]


def is_tensor(values: Any) -> Any:
    """Returns whether values are a backend's tensor; what is none is told at once, for speed."""
    return not isinstance(values, np.ndarray | list | int | float) and keras.ops.is_tensor(values)


def is_ragged(values: Any) -> bool:
    """Returns whether values are a `tf.RaggedTensor`, or say that they are going to be one."""
    return type(values).__name__ in ("RaggedTensor", "RaggedTensorSpec")


def _holds_sequences(array: Any) -> bool:
    return not array.ndim or any(np.ndim(part) for part in array.flat)
