"""Standard units in heads: constants that turn what is learned into the units of labels.

A head whose task is standardized learns `(answer - location) / scale`. Both are weights that no
optimizer moves, a number for each column of its dense layer, and are folded into kernel and bias.
A scale of 0 says that they are not known yet: until then answers stay in standard units.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.layers.heads.columns import initial
from keras_mtl.tasks import Task
from keras_mtl.types import Tensor


def start_of_units(task: Task, num_columns: int) -> Any:
    """Returns location and scale that a task's columns start with, `(2, num_columns)`."""
    if task.standardize is True:
        return np.zeros((2, num_columns))
    mean, std = task.standardize or (0.0, 1.0)
    return np.stack([np.broadcast_to(each, num_columns) for each in (mean, std)])


def add_units(layer: keras.Layer, suffix: str, values: Any) -> list[Any]:
    """Returns new weights of a layer, location and scale, that are no training's to change."""
    return [
        layer.add_weight(
            shape=each.shape,
            initializer=initial(each),
            trainable=False,
            name=name + suffix,
        )
        for name, each in zip(("location", "scale"), values, strict=True)
    ]


def usable_scale(scale: Tensor) -> Tensor:
    """Returns the scale, 1 where it is not known yet."""
    scale = ops.convert_to_tensor(scale)
    return ops.where(scale > 0, scale, 1.0)


def folded(kernel: Tensor, bias: Tensor, location: Tensor, scale: Tensor) -> list[Any]:
    """Returns kernel and bias of a dense layer that answers in the units of labels."""
    scale = usable_scale(scale)
    return [kernel * scale, bias * scale + location]


def with_its_units(task: Task, units: Any) -> Task:
    """Returns a task that says its location and scale in numbers, once they are known.

    Args:
        task: The task of a head.
        units: Location and scale that the head has, `(size,)` each.
    """
    found = np.stack([ops.convert_to_numpy(each) for each in units])
    if np.array_equal(found, start_of_units(task, task.size).astype(found.dtype)):
        return task
    return dataclasses.replace(task, standardize=tuple(found.tolist()))
