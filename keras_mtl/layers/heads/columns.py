"""Numbers of several tasks side by side: where each task's stand, how they start and meet."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.tasks import Task
from keras_mtl.types import Tensor


def initial(values: Any) -> Callable[..., Any]:
    """Returns an initializer of given numbers."""
    return lambda shape, dtype: ops.convert_to_tensor(values, dtype)


def glorot_columns(sizes: Any, seed: int | None) -> Any:
    """Returns a Glorot initializer of heads side by side, each with its own fan-out."""
    uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed)

    def initialize(shape, dtype):
        limits = np.sqrt(6.0 / (shape[0] + np.repeat(sizes, sizes)))
        return uniform(shape, dtype) * ops.convert_to_tensor(limits, dtype)

    return initialize


class Columns:
    """Where the numbers of each task stand, when those of all tasks stand side by side."""

    def __init__(self, tasks: Mapping[str, Task], sizes: Any) -> None:
        self._kinds = [task.kind for task in tasks.values()]
        self.sizes = list(sizes)
        self._ends = np.cumsum([0, *self.sizes])

    def of_task(self, task_id: Tensor) -> Any:
        return slice(*self._ends[task_id : task_id + 2])

    def of_kind(self, kind: Any) -> tuple[Any, Any]:
        """Returns (T, largest size) columns of a kind's tasks and which of them exist."""
        own = np.where(np.array(self._kinds) == kind, self.sizes, 0)
        indices = np.arange(max(own))
        exists = indices < own[:, None]
        return np.where(exists, self._ends[:-1, None] + indices, 0).astype("int32"), exists


def joined(parts: Iterable[Any]) -> list[Any]:
    """Returns variables of blocks side by side, for each part of a block."""
    return [ops.concatenate(part, axis=-1) for part in parts]


def assign_columns(variables: Sequence[Any], columns: Any, values: Any) -> None:
    """Assigns some columns of variables of blocks that stand side by side."""
    every = np.concatenate(list(map(ops.convert_to_numpy, variables)), axis=-1)
    every[..., columns] = values
    ends = np.cumsum([variable.shape[-1] for variable in variables])[:-1]
    for variable, part in zip(variables, np.split(every, ends, axis=-1), strict=True):
        variable.assign(part)
