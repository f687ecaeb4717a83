"""The base of routers: weights of components for each task, and weights that are given."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.types import Shape, Tensor


def take_rows(table: Any, task_id: Tensor) -> Tensor:
    """Returns the row of each example's task; NaN where `task_id` is out of range.

    Compiled code cannot raise, and a plain gather would answer -1 as the last task.
    """
    num_tasks = table.shape[0]
    known = (task_id >= 0) & (task_id < num_tasks)
    rows = ops.take(table, ops.clip(task_id, 0, num_tasks - 1), axis=0)
    known = ops.reshape(known, (-1,) + (1,) * (len(table.shape) - 1))
    return ops.where(known, rows, ops.cast(float("nan"), rows.dtype))


class Allocation(keras.layers.Layer):
    """Abstract: answers each example with its task's row of a (T, C) matrix.

    A final class implements `rows(training)`, the matrix of this step, and
    `probabilities()`. All examples of a task in a batch get the same row.

    Args:
        num_tasks: Number of tasks (rows).
        num_components: Number of components (columns).
    """

    def __init__(self, num_tasks: int, num_components: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.num_components = checks.count("num_components", num_components)

    def call(self, task_id: Tensor, training: bool = False) -> Any:
        rows = ops.cast(self.rows(training), self.compute_dtype)
        return take_rows(rows, ops.cast(task_id, "int32"))

    def rows(self, training: bool) -> Any:
        """Returns the (T, C) weights of this step."""
        raise NotImplementedError

    def probabilities(self) -> Any:
        """Returns the (T, C) float32 probabilities that a task uses a component."""
        raise NotImplementedError

    @property
    def same_for_all(self) -> bool:
        """Whether all tasks are bound to have the same row."""
        return False

    @property
    def chooses_one(self) -> bool:
        """Whether each example uses one component, and wholly, without a gradient."""
        return False

    def matrix(self) -> np.ndarray:
        """Returns the maximum-likelihood (T, C) matrix as a NumPy array."""
        return ops.convert_to_numpy(self.rows(training=False))

    def empty_rows(self) -> Any:
        """Returns which tasks have no component of their own accord, `(T,)` booleans of NumPy."""
        return np.logical_not(self.matrix().any(axis=1))

    def compute_output_shape(self, task_id_shape: Shape) -> Any:
        return (task_id_shape[0], self.num_components)

    def frozen(self, call: Callable[..., Any], task_id: Tensor) -> Any:
        """Answers with the known row of one task, when a model is frozen for it."""
        return self.matrix()[task_id]


@keras.saving.register_keras_serializable("keras_mtl")
class FixedAllocation(Allocation):
    """Gives each task the components it is told to use.

    Shared bottom, no sharing and fixed random routing are this layer with other
    numbers.

    Args:
        allocation: `(num_tasks, num_components)` numbers in [0, 1].

    Call arguments:
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.

    Output shape:
        `(batch, num_components)`, in the layer's compute dtype.

    Raises:
        ValueError: `allocation` is not a matrix of numbers in [0, 1].

    Example:

    >>> allocation = FixedAllocation([[1, 0], [0, 1], [1, 1]])
    >>> keras.ops.convert_to_numpy(allocation(keras.ops.array([2, 0]))).tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """

    def __init__(self, allocation: Any, **kwargs: Any) -> None:
        wanted = "a (num_tasks, num_components) matrix of numbers in [0, 1]"
        allocation = checks.array("allocation", allocation, wanted).astype("float32")
        is_matrix = allocation.ndim == 2 and allocation.size
        if not is_matrix or not np.all((allocation >= 0) & (allocation <= 1)):
            raise ValueError(
                f"allocation must be {wanted}. "
                f"Received shape {allocation.shape}: {allocation.tolist()}"
            )
        super().__init__(*allocation.shape, **kwargs)
        self.allocation = allocation

    @property
    def same_for_all(self) -> bool:
        return bool(np.all(self.allocation == self.allocation[0]))

    @property
    def chooses_one(self) -> bool:
        ones = (self.allocation == 1).sum(axis=1)
        return bool(np.all(ones == 1) and self.allocation.sum() == self.num_tasks)

    def rows(self, training: bool) -> Tensor:
        return ops.convert_to_tensor(self.allocation)

    def probabilities(self) -> Tensor:
        return ops.convert_to_tensor(self.allocation)

    def grown(self, new: Any) -> Any:
        """Has a row for the new task too, its own or that of all."""
        row = self.allocation[0] if new.rows is None else next(new.rows, ())
        if new.rows is None and not self.same_for_all:
            raise ValueError(
                f"{self.name!r} gives each task its own components. Say which task "
                f"{new.name!r} uses: allocation=[row for each routed layer]."
            )
        wanted = f"a row of {self.num_components} numbers in [0, 1] for {self.name!r}"
        row = checks.array("allocation of a new task", row, wanted)
        if row.shape != (self.num_components,) or not np.all((row >= 0) & (row <= 1)):
            raise ValueError(f"allocation must have {wanted}. Received: {row.tolist()}")
        if self.same_for_all and not new.has_own_rows and any(row != self.allocation[0]):
            raise ValueError(
                f"With shared data {self.name!r} computes one row for all tasks, "
                f"{self.allocation[0].tolist()}, so task {new.name!r} cannot have another. "
                f"Received: {row.tolist()}. Leave allocation out, or build the model with "
                'task_data="separate".'
            )
        rows = [*self.allocation.tolist(), [float(weight) for weight in row]]
        return new_layer_like(self, {"allocation": rows})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "allocation": self.allocation.tolist()}
