"""Softmax gates: the share of each expert that a task takes, for each example."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import mean_of_places
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.gates.task_logits import add_task_kernel, check_rows, task_logits
from keras_mtl.layers.mixing.expert_mixture import OpenExperts
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class TaskGates(keras.layers.Layer):
    """Weighs experts for each example, by a softmax gate for every task.

    `softmax(W_task x + b_task)` over the experts that are open to the task. Features with
    positions are averaged over them first; so are those of sequences, over the steps that are
    no padding, unless there is a gate for each step.

    Source: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", KDD 2018, Eqs. 6 and 7, whose gates have no bias. Differs from the
    paper: they have one, as those of its public implementations.

    Args:
        num_tasks: Number of gates.
        num_experts: Number of experts.
        closed: `(num_tasks, num_experts)`, 1 where an expert is closed to a task for good: its
            weight is exactly 0 and it learns nothing from the task. Defaults to `None`, all are
            open.
        rows: `"mixed"`: every row belongs to the task that `task_id` names; `"shared"`: to all
            tasks, and the answer has a block of rows for each; `"blocks"`: there is a block of
            rows for each task already. Defaults to `"mixed"`.
        per_step: Whether every step of a sequence has weights of its own. Defaults to `False`.

    Call arguments:
        x: `(batch, ..., features)`.
        task_id: Whose task each row of the answer is. With `"mixed"` rows an id outside
            `[0, num_tasks)` gives NaN.

    Output shape:
        `(batch, num_experts)`, per step `(batch, steps, num_experts)`; of shared rows
        `num_tasks` such blocks. Weights are not negative and sum to 1.

    Weights:
        kernel: `(features, num_tasks, num_experts)`.
        bias: `(num_tasks, num_experts)`.

    Raises:
        ValueError: A mask of another shape or other values, a task without an open expert,
            unknown `rows`.

    Example:

    >>> gates = TaskGates(num_tasks=2, num_experts=3, closed=[[0, 0, 1], [1, 1, 0]])
    >>> weights = gates(keras.ops.zeros((2, 4)), keras.ops.array([0, 1]))
    >>> keras.ops.convert_to_numpy(weights).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(
        self,
        num_tasks: int,
        num_experts: int,
        closed: Any = None,
        rows: str = "mixed",
        per_step: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_rows(rows)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.num_experts = checks.count("num_experts", num_experts)
        self.closed = checked_closed(closed, num_tasks, num_experts)
        self.rows = rows
        self.per_step = checks.flag("per_step", per_step)
        self.supports_masking = True

    @property
    def same_for_all(self) -> bool:
        """Whether all tasks are bound to have the same weights."""
        return False

    def build(self, x_shape: Any, task_id_shape: Shape) -> None:
        self.kernel, self.bias = add_task_kernel(
            self, x_shape[-1], self.num_tasks, self.num_experts
        )

    def call(self, x: Tensor, task_id: Tensor, x_mask: Any = None) -> Any:
        if not self.per_step:
            x = mean_of_places(x, x_mask)
        bias = ops.convert_to_tensor(self.bias)
        if self.closed.any():
            bias = ops.where(self.closed, ops.cast(float("-inf"), bias.dtype), bias)
        logits = task_logits(x, task_id, self.kernel, bias, self.rows)
        weights = ops.softmax(ops.cast(logits, "float32"), axis=-1)
        return ops.cast(weights, self.compute_dtype)

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return None

    def compute_output_shape(self, x_shape: Any, task_id_shape: Shape) -> Any:
        steps = x_shape[1:2] if self.per_step else ()
        return (task_id_shape[0], *steps, self.num_experts)

    def frozen(self, call: FrozenCall, x: Tensor, task_id: Tensor) -> Any:
        """Becomes a stock Dense with the columns of the experts that are open to one task."""
        experts = np.flatnonzero(~self.closed[task_id])
        if len(experts) == 1:
            return OpenExperts(experts)
        if not self.per_step:
            x = mean_of_places(x, call.mask)
        dense = keras.layers.Dense(
            len(experts), "softmax", dtype=self.dtype_policy, name=f"{self.name}_{task_id + 1}"
        )
        weights = dense(x)
        kernel, bias = self.get_weights()
        dense.set_weights([kernel[:, task_id, experts], bias[task_id, experts]])
        return OpenExperts(experts, weights)

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        return {"kernel": {1: tasks}, "bias": {0: tasks}}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "closed": self.closed.astype(int).tolist() if self.closed.any() else None,
            "rows": self.rows,
            "per_step": self.per_step,
        }


def checked_closed(closed: Any, num_tasks: int, num_experts: int) -> Any:
    """Returns which experts are closed to which task as a boolean (T, E) array."""
    if closed is None:
        return np.zeros((num_tasks, num_experts), bool)
    wanted = f"zeros and ones, a row for each of {num_tasks} tasks"
    closed = checks.array("closed", closed, wanted)
    if closed.shape != (num_tasks, num_experts) or not np.isin(closed, (0, 1)).all():
        raise ValueError(
            f"closed must be zeros and ones, a row for each of {num_tasks} tasks (num_tasks) and a "
            f"column for each of {num_experts} experts (num_experts). Received shape "
            f"{closed.shape}: {closed.tolist()}"
        )
    without = np.flatnonzero(closed.all(axis=1)).tolist()
    if without:
        raise ValueError(
            f"closed leaves no expert to the tasks at indices {without}, but a gate needs one. "
            f"Received: {closed.astype(int).tolist()}"
        )
    return closed.astype(bool)
