"""Mean and standard deviation of standardized tasks, of the labels that the first `fit` gets."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.data import AlternatingBatches, ArrayBatches, TaskBatches
from keras_mtl.data.labels import check_labels
from keras_mtl.layers import TaskHead, TaskHeads
from keras_mtl.training.inputs.distribution import scope_of

_OR_NUMBERS = "standardize=(mean, std)"


def check_units(model: keras.Model) -> None:
    """Raises a `ValueError` for a task whose mean and standard deviation are not known yet."""
    for name in _unknown(model):
        raise ValueError(
            f"Task {name!r} is standardized, and its mean and standard deviation are not known "
            f"before the first fit. Call fit first, or give Task({_OR_NUMBERS})."
        )


def check_stock_units(tasks: Any) -> None:
    """Raises a `ValueError` for a task whose loss would be in the units of its labels."""
    for name, task in tasks.items():
        if task.standardize:
            raise ValueError(
                f"compile(loss=...) is stock Keras, which knows no standard units of task {name!r}."
                " Leave loss out, and put a task's own in keras_mtl.Task."
            )


def learn_units(model: keras.Model, given: Any) -> None:
    """Tells heads mean and standard deviation of the labels that `fit` is called with.

    Args:
        model: A `MultiTaskModel`.
        given: Dict of the arguments of `fit`, after a check.

    Raises:
        ValueError: Labels in no array, no label of a task, labels that are all equal.
    """
    unknown = _unknown(model)
    if not unknown:
        return
    share = 1.0 - (given.get("validation_split") or 0.0)
    units = {}
    for name in unknown:
        arrays = _arrays_of(name, given.get("x"), given.get("y"))
        arrays = [array[: int(len(array) * share)] for array in arrays]
        units[name] = _mean_and_std(name, model.tasks[name], arrays)
    heads = [layer for layer in model.layers if isinstance(layer, TaskHead | TaskHeads)]
    with scope_of(model):
        for head in heads:
            for name in units.keys() & head.standard_units:
                head.standardize(name, *units[name])


def _unknown(model: keras.Model) -> list[str]:
    """Returns the standardized tasks of which nobody said, and no `fit` learned, the units."""
    units = model.standard_units.items()
    return [name for name, (_, scale) in units if not ops.convert_to_numpy(scale).all()]


def _arrays_of(name: str, x: Any, y: Any) -> list[Any]:
    """Returns the arrays of a task's labels in what `fit` is called with."""
    if y is not None:
        return [y[name]]
    found = []
    for part in x.parts if isinstance(x, AlternatingBatches) else [x]:
        labels = None
        if isinstance(part, TaskBatches):
            labels = part.labels(name)
        elif isinstance(part, ArrayBatches):
            labels = part.arrays[1][name]
        if labels is None:
            raise ValueError(
                f"Task {name!r} is standardized by the labels that the first fit gets, but those "
                f"of {type(x).__name__} are in no array. Give Task({_OR_NUMBERS})."
            )
        found.append(labels)
    return found


def _mean_and_std(name: str, task: Any, labels: list[Any]) -> tuple[Any, Any]:
    """Returns mean and standard deviation, `(size,)` each, of the labels that are known."""
    rows = [np.reshape(check_labels(name, task, part), (-1, task.size)) for part in labels]
    columns = np.concatenate(rows).astype("float64").T
    units = [_of_column(name, column[~np.isnan(column)]) for column in columns]
    mean, std = zip(*units, strict=True)
    return np.array(mean), np.array(std)


def _of_column(name: str, labels: Any) -> tuple[Any, Any]:
    if not len(labels):
        raise ValueError(
            f"Task {name!r} is standardized by the labels that the first fit gets, but it got none "
            f"of this task, or of one of its values. Give it some, or Task({_OR_NUMBERS})."
        )
    std = 0.0 if labels.min() == labels.max() else labels.std()
    if not np.float32(std) > 0:
        raise ValueError(
            f"Task {name!r} cannot be standardized: the {len(labels)} labels that fit got of it, "
            f"or of one of its values, are all {labels[0]:g}, a standard deviation of 0. Give it "
            f"others, or Task({_OR_NUMBERS})."
        )
    return labels.mean(), std
