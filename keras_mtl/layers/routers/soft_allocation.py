"""Real-valued weights of components per task: soft layer ordering."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.layers.routers.allocation import Allocation
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class SoftAllocation(Allocation):
    """Learns how much of each component a task uses: softmax weights, the same for all examples.

    Source: Meyerson and Miikkulainen, "Beyond shared hierarchies: deep multitask learning
    through soft layer ordering", 2018, https://arxiv.org/abs/1711.00108, section 3.2. Scores
    start at 0: every component weighs the same.

    Args:
        num_tasks: Number of tasks (rows).
        num_components: Number of components (columns).

    Call arguments:
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.

    Output shape:
        `(batch, num_components)`; rows are positive and sum to 1.

    Weights:
        scores: `(num_tasks, num_components)`, natural logarithms up to a constant per row.

    Example:

    >>> allocation = SoftAllocation(num_tasks=3, num_components=4)
    >>> keras.ops.convert_to_numpy(allocation(keras.ops.array([2]))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def build(self, task_id_shape: Shape) -> None:
        self.scores = self.add_weight(
            shape=(self.num_tasks, self.num_components),
            initializer="zeros",
            dtype="float32",
            autocast=False,
            name="scores",
        )

    def rows(self, training: bool) -> Any:
        return self.probabilities()

    def probabilities(self) -> Tensor:
        return ops.softmax(self.scores, axis=-1)

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        return {"scores": {0: tasks}}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_components": self.num_components,
        }
