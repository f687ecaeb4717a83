"""Arguments of plots: a network, histories of `fit`, or the numbers that are drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def is_network(given: Any) -> bool:
    """Returns whether something is a network with tasks."""
    return hasattr(given, "layers") and hasattr(given, "tasks")


def refuse(plot: Any, given: Any, wanted: Any) -> None:
    """Raises a `ValueError` that says what a plot draws."""
    raise ValueError(f"{plot} draws {wanted}. Received: {type(given).__name__}")


def task_names(given: Any, number: Any) -> Any:
    """Returns the names of tasks: those of a network, else `task 1`, `task 2`, ..."""
    if is_network(given):
        return list(given.tasks)
    return [f"task {index}" for index in range(1, number + 1)]


def number_arrays(plot: Any, given: Any, wanted: Any, ndim: int | tuple[int, ...] = 2) -> Any:
    """Returns a list of arrays of numbers, of one number of rows."""
    try:
        arrays = [np.asarray(each, float) for each in given]
    except (TypeError, ValueError):
        arrays = []
    ndims = ndim if isinstance(ndim, tuple) else (ndim,)
    fits = all(each.ndim in ndims and each.size for each in arrays)
    if isinstance(given, str | Mapping) or not arrays or not fits:
        refuse(plot, given, wanted)
    if min(ndims) > 1 and len({len(each) for each in arrays}) > 1:
        rows = ", ".join(str(len(each)) for each in arrays)
        raise ValueError(f"{plot} draws one row for each task. Received arrays of {rows} rows.")
    return arrays


def by_task(plot: Any, given: Any, made_by: Any) -> Any:
    """Returns a dict by task that a function of the analysis returned."""
    if not isinstance(given, Mapping):
        refuse(plot, given, f"what {made_by} returns, a dict by task")
    if not given:
        raise ValueError(f"{plot} was given no task. Give what {made_by} returns, a dict by task.")
    return given
