"""The share of a network that is in use, by depth and over all."""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mtl.analysis.allocated.allocation import allocation, allocation_probabilities


class ActiveFraction(NamedTuple):
    """Fraction of (task, component) pairs that are active: now, and on average over draws."""

    actual: float
    expected: float


def usage_by_depth(model: keras.Model) -> list[Any]:
    """Returns the fraction of tasks that use each component, for each modular layer.

    Early layers that all tasks use and late layers that few do are the usual picture.

    Args:
        model: As for `keras_mtl.allocation`.

    Returns:
        List of `(num_components,)` arrays of numbers in [0, 1], in order of depth.

    Raises:
        ValueError: The model allocates nothing.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_no_sharing(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 3],
    ...     partition=["a", "b", "a"])
    >>> usage_by_depth(model)[0].tolist()
    [0.5, 0.5, 0.5]
    """
    return [np.mean(matrix > 0, axis=0) for matrix in allocation(model)]


def active_fraction(model: keras.Model) -> Any:
    """Returns which fraction of (task, component) pairs is active.

    `actual` counts the most likely allocation, the one of evaluation and freezing;
    `expected` is the mean probability, the one a budget limits. They agree when training
    has decided.

    Args:
        model: As for `keras_mtl.allocation`.

    Returns:
        An `ActiveFraction(actual, expected)`.

    Raises:
        ValueError: The model allocates nothing.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8)
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 4], init_probability=0.75)
    >>> active_fraction(model)
    ActiveFraction(actual=1.0, expected=0.75)
    """
    pairs = np.concatenate([matrix.ravel() for matrix in allocation(model)])
    chances = np.concatenate([p.ravel() for p in allocation_probabilities(model)])
    return ActiveFraction(float(np.mean(pairs > 0)), round(float(np.mean(chances)), 6))
