"""One input, several tasks: a block of rows per task, and back."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_mtl")
class TaskRows(keras.layers.Layer):
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

    def __init__(self, num_tasks, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.num_tasks = num_tasks

    def call(self, x):
        batch = ops.shape(keras.tree.flatten(x)[0])[0]
        blocks = ops.expand_dims(ops.arange(self.num_tasks, dtype="int32"), axis=-1)
        return ops.reshape(ops.broadcast_to(blocks, (self.num_tasks, batch)), (-1,))

    def compute_output_spec(self, x):
        return keras.KerasTensor((None,), dtype="int32")

    def get_config(self):
        return {**super().get_config(), "num_tasks": self.num_tasks}

    def frozen_call(self, x, *, task_id, copy):
        """Has no meaning for one task: its allocation knows the row."""
        return None


@keras.saving.register_keras_serializable("keras_mtl")
class SplitTasks(keras.layers.Layer):
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

    def __init__(self, num_tasks, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.num_tasks = num_tasks

    def call(self, x):
        blocks = ops.reshape(x, (self.num_tasks, -1, *x.shape[1:]))
        return [blocks[index] for index in range(self.num_tasks)]

    def compute_mask(self, x, previous_mask):
        return None if previous_mask is None else self.call(previous_mask)

    def compute_output_spec(self, x):
        return [keras.KerasTensor((None, *x.shape[1:]), x.dtype) for _ in range(self.num_tasks)]

    def get_config(self):
        return {**super().get_config(), "num_tasks": self.num_tasks}

    def frozen_call(self, x, *, task_id, copy):
        """There is one task's block only."""
        return [x] * self.num_tasks
