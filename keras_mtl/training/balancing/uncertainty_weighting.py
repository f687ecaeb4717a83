"""Task weights from an uncertainty per task that is trained with the network."""

from typing import Any

import keras
from keras import ops

from keras_mtl.kinds import KINDS
from keras_mtl.training.balancing.base import Balancing
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class UncertaintyWeighting(Balancing):
    """Weighs each task by how uncertain its labels look: `compile(balancing=...)`.

    Every task has a log-variance `s`, trained by the model's optimizer with the network, and its
    mean loss L becomes `exp(-s) L + s / 2`, for regression `exp(-s) L / 2 + s / 2`. A task that
    stays wrong is weighed down; the log term keeps weights from vanishing. `Task(weight=)`
    multiplies both terms, or else it would be learned away. An optimizer with weight decay
    also pulls `s` to 0.

    Source: Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for
    Scene Geometry and Semantics", CVPR 2018, equations 7 and 10, with the log-variance of its
    section 3.2. Differs from the paper: a task's kind decides on its form, whatever its `loss`.

    Weights:
        log_variances: `(num_tasks,)`, trainable, start at 0.

    Example:

    >>> tasks = {"income": "binary", "age": "regression"}
    >>> dense = lambda: keras.layers.Dense(4)
    >>> model = keras_mtl.build_shared_bottom(keras.Input((3,)), tasks, [dense])
    >>> model.compile("adam", balancing=UncertaintyWeighting())
    >>> model.balancing.task_weights
    {'income': 1.0, 'age': 0.5}
    """

    def make_state(self, tasks: Any) -> None:
        self.log_variances = self.add_state("log_variances", "zeros", trainable=True)
        self._factors = [KINDS[task.kind].uncertainty_factor for task in tasks.values()]

    def current_weights(self) -> Any:
        return ops.array(self._factors, "float32") * ops.exp(-self.log_variances)

    def objective(self, means: Any, shares: Any) -> Tensor:
        return ops.sum(shares * (self.current_weights() * means + 0.5 * self.log_variances))
