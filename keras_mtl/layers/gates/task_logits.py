"""A linear layer for every task, all computed at once: the scores that gates are made of."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.types import Tensor

ROWS = {
    "mixed": "each row is of the task that task_id names",
    "shared": "each row is of all tasks",
    "blocks": "there is a block of rows per task already",
}


def check_rows(rows: Any) -> None:
    """Raises a `ValueError` for an unknown layout of rows."""
    checks.word("rows", rows, ROWS)


def add_task_kernel(
    layer: keras.Layer,
    features: Tensor,
    num_tasks: int,
    units: Any,
    scale: Any = None,
    name: str | None = "kernel",
    bias: str = "bias",
) -> tuple[Any, Any]:
    """Adds the weights of a linear layer per task, `(features, T, units)` and `(T, units)`.

    They start as those of one `keras.layers.Dense` per task do; with `scale` all, biases too,
    start uniformly between its negative and itself.
    """
    limit = (6.0 / (features + units)) ** 0.5 if scale is None else scale
    uniform = keras.initializers.RandomUniform(-limit, limit)
    kernel = layer.add_weight(shape=(features, num_tasks, units), initializer=uniform, name=name)
    start = "zeros" if scale is None else keras.initializers.RandomUniform(-limit, limit)
    return kernel, layer.add_weight(shape=(num_tasks, units), initializer=start, name=bias)


def task_logits(x: Tensor, task_id: Tensor, kernel: Any, bias: Any, rows: Any) -> Any:
    """Returns each row's scores by the linear layer of its task.

    Args:
        x: `(rows, ..., features)`.
        task_id: `(rows of the answer,)`; read where rows are mixed. Outside `[0, T)`: NaN.
        kernel, bias: As of `add_task_kernel`.
        rows: As in `TaskGates`.

    Returns:
        `(rows, ..., units)`; of shared rows a block for every task, `(T * rows, ..., units)`.
    """
    features, num_tasks, units = kernel.shape
    if rows == "blocks":
        blocks = ops.reshape(x, (num_tasks, -1, features))
        logits = ops.matmul(blocks, ops.transpose(kernel, (1, 0, 2))) + ops.expand_dims(bias, 1)
        return ops.reshape(logits, (*ops.shape(x)[:-1], units))
    by_task = ops.matmul(x, ops.reshape(kernel, (features, num_tasks * units)))
    by_task = ops.reshape(by_task, (*ops.shape(x)[:-1], num_tasks, units)) + bias
    if rows == "mixed":
        return take_task(by_task, task_id)
    blocks = ops.moveaxis(by_task, -2, 0)
    return ops.reshape(blocks, (-1, *ops.shape(x)[1:-1], units))


def take_task(by_task: Any, task_id: Tensor) -> Tensor:
    """Returns each row's values for its task, of `(rows, ..., T, units)`; NaN for unknown tasks."""
    num_tasks = by_task.shape[-2]
    task_id = ops.cast(task_id, "int32")
    known = (task_id >= 0) & (task_id < num_tasks)
    per_row = (-1,) + (1,) * (len(by_task.shape) - 1)
    index = ops.reshape(ops.where(known, task_id, 0), per_row)
    index = ops.broadcast_to(index, (*ops.shape(by_task)[:-2], 1, by_task.shape[-1]))
    taken = ops.squeeze(ops.take_along_axis(by_task, index, axis=-2), axis=-2)
    known = ops.reshape(known, per_row[:-1])
    return ops.where(known, taken, ops.cast(float("nan"), taken.dtype))


def valid_rows(mask: Any, per_step: bool, num_repeats: int) -> Tensor:
    """Returns which rows of gates count, 1 or 0 for each step; `None` where all do."""
    if mask is None or not per_step:
        return None
    return ops.cast(ops.tile(mask, (num_repeats, 1)), "float32")
