"""Mean and standard deviation of a task's labels, as its users say them."""

from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.kinds import KINDS


def checked_standardize(kind: str, size: int, given: Any) -> Any:
    """Returns whether a task is learned in standard units, or which.

    Args:
        kind: Name of the task's kind.
        size: The task's size.
        given: `False`, `True`, or a pair of mean and standard deviation: numbers, or lists of
            `size`.

    Returns:
        `False`, `True` or a pair, of a size of 1 of floats, else of tuples of `size`.

    Raises:
        ValueError: Another form, a kind without units, a standard deviation that is not above 0.
    """
    is_flag = isinstance(given, bool | np.bool_)
    if is_flag and not given:
        return False
    if not KINDS[kind].has_units:
        kinds = " or ".join(f'"{name}"' for name, each in KINDS.items() if each.has_units)
        raise ValueError(
            f"standardize is of tasks of kind {kinds}, and a task of kind {kind!r} "
            f"{KINDS[kind].form}. Received: standardize={given!r}"
        )
    if is_flag:
        return True
    if not isinstance(given, list | tuple | np.ndarray) or len(given) != 2:
        lists = f", or two lists of {size} numbers" if size > 1 else ""
        raise ValueError(
            "standardize must be True (mean and standard deviation of the labels that the first "
            f"fit gets), False, or (mean, std): two numbers{lists}. Received: {given!r}"
        )
    mean, std = given
    return _of_size(size, "The mean", mean), _of_size(size, "The std", std, above=0)


def _of_size(size: int, name: str, given: Any, **bounds: Any) -> Any:
    owner = f"{name} in standardize=(mean, std)"
    values = list(given) if np.iterable(given) and not isinstance(given, str) else [given] * size
    if len(values) != size:
        raise ValueError(
            f"{owner} must be a number, or a list of {size}, one for each value of the task. "
            f"Received: {given!r}"
        )
    found = tuple(float(checks.number(owner, value, **bounds)) for value in values)
    return found[0] if size == 1 else found
