"""The one structure of all batches: `({"inputs": x, "task_id": ...}, y)`."""

from typing import Any

import keras
import numpy as np

from keras_mtl.data.labels import pack_labels


class ExampleLayout:
    """Gives the examples of every task the same structure, shapes and dtypes.

    The structure is that of `({"inputs": x, "task_id": ids}, y)`, with a third
    element, the sample weights, when the data of any task has them.

    Args:
        tasks: Dict, name -> `keras_mtl.Task`. The order is the task index.
        firsts: Dict, name -> the first examples of each task with data, `(x, labels)`
            or `(x, labels, weights)`, as its source gives them.

    Raises:
        ValueError: Two tasks differ in the shape or dtype of `x`, or in their
            number of time steps.
    """

    def __init__(self, tasks: Any, firsts: Any) -> None:
        self.tasks = tasks
        self.indices = {name: index for index, name in enumerate(tasks)}
        self.weighted = any(len(first) == 3 for first in firsts.values())
        self._first_name, (x, *_) = next(iter(firsts.items()))
        self._signature = _signature(x)
        self._steps_name, self._steps = self._find_steps(firsts, x)
        self.sample = [self.pack(name, *first) for name, first in firsts.items()][0]

    def _find_steps(self, firsts: Any, x: Any) -> tuple[Any, Any]:
        if not any(task.per_step for task in self.tasks.values()):
            return None, None
        for name, (_, labels, *_) in firsts.items():
            if self.tasks[name].per_step:
                return name, labels.shape[1]
        return self._first_name, keras.tree.flatten(x)[0].shape[1]

    def pack(self, name: str, x: Any, labels: Any, weights: Any = None) -> Any:
        """Returns examples of one task in the structure of all batches."""
        if _signature(x) != self._signature:
            raise ValueError(
                "All tasks need inputs of one shape and dtype (without the first axis). "
                f'Task "{self._first_name}" has {_in_words(self._signature)}, '
                f'task "{name}" has {_in_words(_signature(x))}. Convert one of them.'
            )
        if self.tasks[name].per_step and labels.shape[1] != self._steps:
            raise ValueError(
                "Labels at every time step need the same number of steps for all tasks. Task "
                f'"{self._steps_name}" has {self._steps}, task "{name}" has {labels.shape[1]}. Pad '
                "the labels with NaN."
            )
        task_id = np.full(len(labels), self.indices[name], "int32")
        y = pack_labels(self.tasks, name, labels, self._steps)
        if not self.weighted:
            return {"inputs": x, "task_id": task_id}, y
        if weights is None:
            weights = np.ones(len(labels), "float32")
        return {"inputs": x, "task_id": task_id}, y, weights


def take(examples: Any, rows: Any) -> Any:
    """Returns the chosen rows (an index array or a slice) of every array."""
    return keras.tree.map_structure(lambda array: array[rows], examples)


def concatenate(parts: Any) -> Any:
    """Returns the examples of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def _signature(x: Any) -> Any:
    return keras.tree.map_structure(lambda array: (array.dtype.name, *array.shape[1:]), x)


def _in_words(signature: Any) -> str:
    if isinstance(signature, dict):
        return ", ".join(f"{key}: {_in_words(value)}" for key, value in signature.items())
    dtype, *shape = signature
    return f"{dtype} {tuple(shape)}"
