"""Rows of several tasks: blocks of rows per task, and back; one task's features of several."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.freezing import FrozenCall, passes_through
from keras_mtl.layers.growing import one_more_block
from keras_mtl.layers.masks import joint_mask
from keras_mtl.types import Shape, Tensor


class _Blocks(keras.layers.Layer):
    """Abstract: knows how many blocks of rows there are, one for each task."""

    def __init__(self, num_tasks: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.num_tasks = checks.count("num_tasks", num_tasks)

    def grown(self, new: Any) -> Any:
        """Knows one more block."""
        return new_layer_like(self, {"num_tasks": one_more_block(self.num_tasks)})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tasks": self.num_tasks}


@keras.saving.register_keras_serializable("keras_mtl")
class TaskRows(_Blocks):
    """Gives every example one row per task: the task ids of the rows, task by task.

    Models whose tasks share one input run their layers on `num_tasks` blocks of
    `batch` rows, so that a layer need not know whether rows are examples of different
    tasks or one example seen by different tasks.

    Args:
        num_tasks: Number of blocks.

    Output shape:
        `(num_tasks * batch,)`, int32: `0, 0, ..., 1, 1, ...`.

    Example:

    >>> keras.ops.convert_to_numpy(TaskRows(2)(keras.ops.zeros((3, 5)))).tolist()
    [0, 0, 0, 1, 1, 1]
    """

    def call(self, x: Tensor) -> Any:
        batch = ops.shape(keras.tree.flatten(x)[0])[0]
        blocks = ops.expand_dims(ops.arange(self.num_tasks, dtype="int32"), axis=-1)
        return ops.reshape(ops.broadcast_to(blocks, (self.num_tasks, batch)), (-1,))

    def compute_output_spec(self, x: Tensor) -> Any:
        return keras.KerasTensor((None,), dtype="int32")

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """All rows are those of the task."""
        return call.task_id


@keras.saving.register_keras_serializable("keras_mtl")
class RepeatRows(_Blocks):
    """Repeats a batch for every task, block after block, as `TaskRows` numbers the rows.

    Args:
        num_tasks: Number of blocks.

    Output shape:
        `(num_tasks * batch, ...)`.

    Example:

    >>> rows = RepeatRows(2)(keras.ops.array([[1], [2]]))
    >>> keras.ops.convert_to_numpy(rows).tolist()
    [[1], [2], [1], [2]]
    """

    def call(self, x: Tensor) -> Any:
        return ops.tile(x, (self.num_tasks,) + (1,) * (len(x.shape) - 1))

    def compute_mask(self, x: Tensor, previous_mask: Any) -> Any:
        return None if previous_mask is None else self.call(previous_mask)

    def compute_output_spec(self, x: Tensor) -> Any:
        return keras.KerasTensor((None, *x.shape[1:]), x.dtype)

    frozen = passes_through  # one task's rows are the batch

    def frozen_mask(self, call: FrozenCall, x: Tensor) -> Any:
        return call.mask


@keras.saving.register_keras_serializable("keras_mtl")
class SplitTasks(_Blocks):
    """Splits blocks of rows, as made by `TaskRows`, into one tensor per task.

    Args:
        num_tasks: Number of blocks.

    Output shape:
        List of `num_tasks` tensors `(batch, ...)`.

    Example:

    >>> parts = SplitTasks(2)(keras.ops.array([[1], [2], [3], [4]]))
    >>> [keras.ops.convert_to_numpy(part).tolist() for part in parts]
    [[[1], [2]], [[3], [4]]]
    """

    def call(self, x: Tensor) -> Any:
        return ops.split(x, self.num_tasks, axis=0)

    def compute_mask(self, x: Tensor, previous_mask: Any) -> Any:
        return None if previous_mask is None else self.call(previous_mask)

    def compute_output_spec(self, x: Tensor) -> list[Any]:
        return [keras.KerasTensor((None, *x.shape[1:]), x.dtype) for _ in range(self.num_tasks)]

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """There is one task's block only."""
        return [x] * self.num_tasks

    def frozen_mask(self, call: FrozenCall, x: Tensor) -> Any:
        return [call.mask] * self.num_tasks


@keras.saving.register_keras_serializable("keras_mtl")
class PickTask(keras.layers.Layer):
    """Gives each example the features of its own task, of those that all tasks have.

    Call arguments:
        streams: List with the features of each task, tensors `(batch, ...)` of one shape.
        task_id: Integers in `[0, len(streams))`, shape `(batch,)`. Outside: zeros.

    Output shape:
        `(batch, ...)`.

    Raises:
        ValueError: Features of different shapes.

    Example:

    >>> streams = [keras.ops.ones((3, 1)), keras.ops.full((3, 1), 2.0)]
    >>> picked = PickTask()(streams, keras.ops.array([1, 0, 1]))
    >>> keras.ops.convert_to_numpy(picked).tolist()
    [[2.0], [1.0], [2.0]]
    """

    def build(self, streams_shape: Sequence[Shape], task_id_shape: Shape) -> None:
        if len({tuple(shape) for shape in streams_shape}) > 1:
            raise ValueError(
                "With separate data the features before the heads must have one shape for all "
                f"tasks. Received: {', '.join(str(tuple(shape)) for shape in streams_shape)}. Give "
                'the layers equal units, or use task_data="shared".'
            )

    def call(self, streams: Sequence[Tensor], task_id: Tensor) -> Any:
        per_row = (-1,) + (1,) * (len(streams[0].shape) - 1)
        task_id = ops.reshape(task_id, per_row)
        return sum(
            ops.where(task_id == index, stream, ops.zeros_like(stream))
            for index, stream in enumerate(streams)
        )

    def compute_mask(self, streams: Sequence[Tensor], previous_mask: Any) -> Any:
        return joint_mask(previous_mask)

    def compute_output_shape(self, streams_shape: Sequence[Shape], task_id_shape: Shape) -> Any:
        return streams_shape[0]

    def frozen(self, call: FrozenCall, streams: Sequence[Tensor], task_id: Tensor) -> Any:
        """The task is known."""
        return streams[task_id]


@keras.saving.register_keras_serializable("keras_mtl")
class OwnRows(keras.layers.Layer):
    """Sets the weights that a task gives components to zero, in rows of other tasks.

    Where each example reads the features of its own task, those of others come to nothing: with
    such weights their components know that the row does not use them.

    Call arguments:
        weights: List with the weights of each task, `(batch, ..., components)`.
        task_id: Integers in `[0, len(weights))`, shape `(batch,)`. Outside: zeros.

    Output shape:
        A list like `weights`.

    Example:

    >>> weights = [keras.ops.array([[1.0, 0.0], [0.5, 0.5]])] * 2
    >>> first, second = OwnRows()(weights, keras.ops.array([1, 0]))
    >>> keras.ops.convert_to_numpy(first).tolist(), keras.ops.convert_to_numpy(second).tolist()
    ([[0.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [0.0, 0.0]])
    """

    def call(self, weights: Any, task_id: Tensor) -> Any:
        task_id = ops.reshape(task_id, (-1,) + (1,) * (len(weights[0].shape) - 1))
        return [
            ops.where(task_id == index, each, ops.zeros_like(each))
            for index, each in enumerate(weights)
        ]

    def compute_output_shape(self, weights_shape: Shape, task_id_shape: Shape) -> Any:
        return list(weights_shape)

    frozen = passes_through  # the task is known, and what it does not need nobody asks for
