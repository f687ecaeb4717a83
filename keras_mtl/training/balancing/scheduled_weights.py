"""Task weights that change as training goes on, as their user says."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl.schedules import (
    asks_length,
    check_setting,
    deserialize_setting,
    serialize_setting,
    value_at,
)
from keras_mtl.training.balancing.base import Balancing
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class ScheduledWeights(Balancing):
    """Weighs tasks by numbers or schedules: `compile(balancing=...)`.

    The first training batch is step 0, and a saved model goes on where it stopped. An auxiliary
    task that only helps in the beginning falls to 0, one that needs the features of others first
    begins there.

    Args:
        weights: Dict, task -> number of at least 0, or a
            `keras.optimizers.schedules.LearningRateSchedule`, such as
            `keras_mtl.RampSchedule(1.0, num_steps=1000)`. Tasks that it does not name have 1.

    Weights:
        task_weights: `(num_tasks,)`, not trainable, of the last batch.
        step: Number of training batches seen, not trainable.

    Raises:
        ValueError: No dict, a number below 0, a schedule that asks `fit` how long training is, a
            name that is no task of the model.

    Example:

    >>> fades = keras.optimizers.schedules.PolynomialDecay(1.0, 1000, end_learning_rate=0.0)
    >>> balancing = ScheduledWeights({"language_model": fades})
    """

    def __init__(self, weights: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(weights, Mapping) or not weights:
            raise ValueError(
                f"weights must be a dict, task -> number or schedule. Received: {weights!r}"
            )
        self.by_task = {
            task: check_setting(f"weights[{task!r}]", deserialize_setting(weight))
            for task, weight in weights.items()
        }
        for task, weight in self.by_task.items():
            if asks_length(weight) and weight.num_steps is None:
                raise ValueError(
                    f"weights[{task!r}] does not know how long training is. Give it num_steps. "
                    f"Received: {weight!r}"
                )

    def make_state(self, tasks: Any) -> None:
        unknown = [task for task in self.by_task if task not in self.task_names]
        if unknown:
            raise ValueError(
                f"weights names {unknown[0]!r}, which is no task. Tasks: "
                f"{', '.join(self.task_names)}"
            )
        super().make_state(tasks)
        self.step = self.add_weight((), "zeros", dtype="int32", trainable=False, name="step")

    def next_weights(self, means: Any, present: Any) -> Tensor:
        step = ops.convert_to_tensor(self.step)
        weights = ops.stack(
            [
                ops.cast(value_at(self.by_task.get(task, 1.0), step), "float32")
                for task in self.task_names
            ]
        )
        self.latest.assign(weights)
        self.step.assign(step + 1)
        return weights

    def get_config(self) -> dict[str, Any]:
        weights = {task: serialize_setting(weight) for task, weight in self.by_task.items()}
        return {**super().get_config(), "weights": weights}
