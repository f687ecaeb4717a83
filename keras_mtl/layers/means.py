"""Means of a number of things that may be none, and the precision that they need."""

import keras
from keras import ops


def at_least_one(number):
    """Returns a number, or 1 where it is less, to divide by; a maximum halves gradients at 1."""
    return ops.where(number < 1.0, ops.ones_like(number), number)


def mean_of_valid(values, valid, axis=None):
    """Returns the mean of the values that are valid, 1 and not 0; zero where none is."""
    return ops.sum(valid * values, axis=axis) / at_least_one(ops.sum(valid, axis=axis))


def running_mean(values, valid):
    """Returns, for each step, the mean of the values up to it that are valid; zero before any."""
    return ops.cumsum(valid * values, axis=1) / at_least_one(ops.cumsum(valid, axis=1))


def as_dtype(x, dtype):
    """Returns x in a dtype: a symbolic x of that dtype gets no operation that does nothing."""
    return x if keras.backend.standardize_dtype(x.dtype) == dtype else ops.cast(x, dtype)
