"""Masks of channels, one for each task, drawn once."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.routers.allocation import take_rows
from keras_mtl.layers.weighted_sums import stock_sum
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class TaskMask(keras.layers.Layer):
    """Multiplies channels by the zeros and ones of each example's task.

    Every task keeps `max(1, round(keep_ratio * channels))` channels, last axis, drawn once without
    replacement; Python's `round` takes halves to the even number. What is kept is not scaled up.
    A channel that a task drops gets no gradient from it.

    Source: Strezoski, van Noord and Worring, "Many Task Learning with Task Routing", ICCV 2019,
    https://arxiv.org/abs/1903.12117, the task routing layer. Differs from its code: that is told
    how many channels a task drops, and stops what a dropped channel says but not its gradient.

    Args:
        num_tasks: Number of tasks.
        keep_ratio: Share of the channels that a task keeps, in (0, 1]; 1 drops nothing.
            Defaults to 0.5.
        seed: Integer seed of the draw, or `None`. Defaults to `None`.

    Call arguments:
        x: `(batch, ..., channels)`.
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.

    Output shape:
        That of x.

    Weights:
        masks: `(num_tasks, channels)`, zeros and ones, not trainable.

    Raises:
        ValueError: `keep_ratio` outside (0, 1], a number of channels that is not known.

    Example:

    >>> mask = TaskMask(num_tasks=2, keep_ratio=0.25, seed=0)
    >>> x = mask(keras.ops.ones((3, 8)), keras.ops.array([0, 1, 0]))
    >>> keras.ops.convert_to_numpy(x).sum(axis=1).tolist()
    [2.0, 2.0, 2.0]
    """

    def __init__(
        self, num_tasks: int, keep_ratio: float = 0.5, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.keep_ratio = checks.fraction("keep_ratio", keep_ratio)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True

    def build(self, x_shape: Any, task_id_shape: Shape) -> None:
        num_channels = x_shape[-1]
        if num_channels is None:
            raise ValueError(
                f"{self.name!r} masks channels, the last axis, so their number must be known. "
                f"Received features of shape: {tuple(x_shape)}"
            )
        rng = np.random.default_rng(random.getrandbits(32) if self.seed is None else self.seed)
        kept = np.arange(num_channels) < max(1, round(self.keep_ratio * num_channels))
        rows = rng.permuted(np.tile(kept, (self.num_tasks, 1)), axis=1).astype("float32")
        self.masks = self.add_weight(
            shape=rows.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(rows, dtype),
            trainable=False,
            name="masks",
        )

    def call(self, x: Tensor, task_id: Tensor) -> Any:
        rows = take_rows(ops.convert_to_tensor(self.masks), ops.cast(task_id, "int32"))
        return x * ops.reshape(rows, (-1, *(1,) * (len(x.shape) - 2), rows.shape[-1]))

    def compute_mask(self, x: Tensor, previous_mask: Any) -> Any:
        return keras.tree.flatten(previous_mask)[0]

    def compute_output_shape(self, x_shape: Any, task_id_shape: Shape) -> Any:
        return x_shape

    def frozen(self, call: Callable[..., Any], x: Tensor, task_id: Tensor) -> Any:
        """Becomes a stock Rescaling with the zeros and ones of one task; nothing, if all are 1."""
        return stock_sum([x], [ops.convert_to_numpy(self.masks)[task_id]])

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        return {"masks": {0: tasks}}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "keep_ratio": self.keep_ratio,
            "seed": self.seed,
        }
