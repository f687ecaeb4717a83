"""Task weights from how fast each task's loss fell."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.training.balancing.base import Balancing
from keras_mtl.types import Setting, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class DynamicWeightAverage(Balancing):
    """Weighs tasks more whose losses fell less: `compile(balancing=...)`.

    In the first two epochs of `fit` all weights are 1. Then they are a softmax, times the number
    of tasks, of the ratio of each task's mean losses in the last two epochs. A task without
    labels in one of these epochs keeps a weight of 1, and the rest share theirs.

    Source: Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019,
    equation 7.

    Args:
        temperature: Above 0; large values make weights equal. Defaults to 2.0.

    Weights:
        task_weights: `(num_tasks,)`, not trainable.
        loss_sums, batch_counts: `(num_tasks,)`, not trainable, of the epoch so far.
        last_means: `(num_tasks,)`, not trainable, of the epoch before; NaN where unknown.

    Raises:
        ValueError: `temperature` is not above 0.

    Example:

    >>> DynamicWeightAverage(temperature=1.0).temperature
    1.0
    """

    def __init__(self, temperature: Setting = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.temperature = float(checks.number("temperature", temperature, above=0))

    def make_state(self, tasks: Any) -> None:
        super().make_state(tasks)
        self.loss_sums = self.add_state("loss_sums", "zeros")
        self.batch_counts = self.add_state("batch_counts", "zeros")
        unknown = keras.initializers.Constant(float("nan"))
        self.last_means = self.add_state("last_means", unknown)

    def next_weights(self, means: Any, present: Any) -> Tensor:
        self.loss_sums.assign_add(ops.where(present, ops.stop_gradient(means), 0.0))
        self.batch_counts.assign_add(ops.cast(present, "float32"))
        return ops.convert_to_tensor(self.latest)

    def begin_epoch(self) -> None:
        state = (self.loss_sums, self.batch_counts, self.last_means)
        sums, counts, last = (ops.convert_to_numpy(variable) for variable in state)
        if not counts.any():
            return
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        self.last_means.assign(means)
        self.loss_sums.assign(np.zeros_like(sums))
        self.batch_counts.assign(np.zeros_like(counts))
        known = np.isfinite(means) & (last > 0)
        ratios = means[known] / last[known] / self.temperature
        weights = np.ones_like(means)
        if known.any():
            grown = np.exp(ratios - ratios.max())
            weights[known] = known.sum() * grown / grown.sum()
        self.latest.assign(weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
