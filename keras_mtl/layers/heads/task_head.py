"""Heads: each task's prediction from features."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.kinds import KINDS
from keras_mtl.layers.heads.columns import initial
from keras_mtl.layers.heads.standard_units import (
    add_units,
    folded,
    start_of_units,
    with_its_units,
)
from keras_mtl.layers.places import head_columns
from keras_mtl.tasks import Task, as_task
from keras_mtl.types import Shape, Tensor


def check_features(tasks: Mapping[str, Task], shape: Shape) -> None:
    for name, task in tasks.items():
        rank = 3 if task.per_step else 2
        if len(shape) != rank or shape[-1] is None:
            wanted = "(batch, steps, features)" if rank == 3 else "(batch, features)"
            advice = (
                "Keep the time axis." if rank == 3 else "End `layers` with keras.layers.Flatten."
            )
            if len({task.per_step for task in tasks.values()}) > 1:
                advice = (
                    "With separate data either all tasks or none have a label at every time step. "
                    'Use task_data="shared", with NaN where an example has no label.'
                )
            raise ValueError(
                f"Task {name!r} of kind {task.kind!r} needs features of shape {wanted} before its "
                f"head. Received: {tuple(shape)}. {advice}"
            )


def stock_head(name: str, task: Task, features: Tensor, kernel: Any, bias: Any, *gaps: Any) -> Any:
    """Applies one task's head as a stock layer that owns its weights; its gaps are constants."""
    kind = KINDS[task.kind]
    layer = keras.layers.Dense(len(bias), activation=kind.activation, dtype="float32", name=name)
    columns = layer(features)
    layer.set_weights([kernel, bias])
    return columns if kind.link is None else kind.link(columns, *gaps)


def rescaled(numbers: Sequence[Any], factor: Any, shift: Any) -> list[Any]:
    """Returns a head's numbers with which its logits are `factor * logits + shift`.

    Args:
        numbers: Kernel, bias and, of ordinal tasks of a size above 2, gaps. These keep the
            thresholds at their places between the scores, so that all odds are scaled alike.
        factor: Number above 0, or one for each column.
        shift: Number, or one for each column.
    """
    kernel, bias, *gaps = (np.asarray(each, "float64") for each in numbers)
    wider = [factor * np.logaddexp(0.0, each) for each in gaps]
    return [
        kernel * factor,
        bias * factor + shift,
        *(width + np.log(-np.expm1(-width)) for width in wider),  # the inverse of softplus
    ]


@keras.saving.register_keras_serializable("keras_mtl")
class TaskHead(keras.layers.Layer):
    """Predicts one task: a dense layer and the activation of the task's kind.

    Probabilities for classes, tags, ranks and labels, expected counts, plain values for
    regression; computed in float32 under any dtype policy.

    Args:
        task: A `keras_mtl.Task`.
        task_id: The task's index among the model's tasks.

    Output shape:
        `(batch, size)`; per step `(batch, steps, size)`.

    Weights:
        kernel: `(features, size)`; of ordinal tasks `(features, 1)`.
        bias: `(size,)`; of ordinal tasks `(1,)`.
        gaps: `(size - 2,)`, of ordinal tasks of a size above 2: the distances of neighbouring
            thresholds before softplus.
        location: `(size,)`, of standardized tasks, not trainable: the mean of labels.
        scale: `(size,)`, of these too, not trainable: their deviation, 0 until it is known.

    Raises:
        ValueError: Features of another rank than the task needs.
    """

    def __init__(self, task: Task, task_id: Tensor, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.task = task = as_task(task)
        self.task_id = checks.count("task_id", task_id, least=0)
        self.supports_masking = task.per_step
        self._start = KINDS[task.kind].start(task.size)
        self._units: list[Any] = []

    def build(self, shape: Shape) -> None:
        check_features({self.name: self.task}, shape)
        bias, gaps = self._start
        self.kernel = self.add_weight(shape=(shape[-1], len(bias)), name="kernel")
        self.bias = self.add_weight(shape=bias.shape, initializer=initial(bias), name="bias")
        self.gaps = None
        if len(gaps):
            self.gaps = self.add_weight(shape=gaps.shape, initializer=initial(gaps), name="gaps")
        if self.task.standardize:
            self._units = add_units(self, "", start_of_units(self.task, len(bias)))

    def _dense(self) -> Any:
        """Returns kernel and bias, in the units of labels."""
        kernel_and_bias = [self.kernel, self.bias]
        return folded(*kernel_and_bias, *self._units) if self._units else kernel_and_bias

    @property
    def standard_units(self) -> dict[str, Any]:
        """Dict, name -> location and scale, of the task if it is standardized."""
        return {self.name: list(map(ops.convert_to_tensor, self._units))} if self._units else {}

    def standardize(self, name: str, location: Any, scale: Any) -> None:
        """Assigns the location and scale of its task, whose name it has."""
        for variable, value in zip(self._units, (location, scale), strict=True):
            variable.assign(value)

    def call(self, features: Tensor) -> Any:
        kernel, bias = self._dense()
        logits = ops.matmul(features, kernel) + bias
        return KINDS[self.task.kind].answers(logits, self.gaps)

    def frozen(self, call: Callable[..., Any], features: Tensor) -> Any:
        """Becomes a stock Dense, of ordinal tasks with operations after it."""
        return stock_head(self.name, self.task, features, *self.numbers_of(self.name))

    def numbers_of(self, task: str) -> list[Any]:
        """Returns kernel and bias, in the units of labels, and any gaps there are, as arrays."""
        weights = [*self._dense(), *([] if self.gaps is None else [self.gaps])]
        return list(map(ops.convert_to_numpy, weights))

    def rescale(self, task: str, factor: Any, shift: Any) -> None:
        """Makes a task's logits `factor * logits + shift`, by numbers or one for each column."""
        numbers = rescaled(self.numbers_of(task), factor, shift)
        for variable, value in zip((self.kernel, self.bias, self.gaps), numbers, strict=False):
            variable.assign(value)

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        columns, gaps = (head_columns(self.name, self.task, len(part)) for part in self._start)
        own = dict.fromkeys(("bias", "location", "scale"), {0: columns})
        return {"kernel": {1: columns}, **own, "gaps": {0: gaps}}

    def get_config(self) -> dict[str, Any]:
        task = with_its_units(self.task, self._units) if self._units else self.task
        task = keras.saving.serialize_keras_object(task)
        return {**super().get_config(), "task": task, "task_id": self.task_id}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "task": keras.saving.deserialize_keras_object(config["task"])})
