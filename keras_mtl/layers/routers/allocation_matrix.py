"""The learned allocation of Gumbel-Matrix."""

from collections.abc import Callable
from typing import Any, Self

import keras

from keras_mtl import checks
from keras_mtl.layers.routers.learned_allocation import LearnedAllocation
from keras_mtl.types import Setting, Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class AllocationMatrix(LearnedAllocation):
    """Learns which components each task uses.

    One Bernoulli variable per (task, component) pair, trained with the network. In
    training each batch draws one binary matrix with straight-through gradients. In
    inference an entry is 1 when its probability is at least one half (a tie allocates), and
    a row keeps its `min_components` most likely components in any case. A draw in training
    may be all zeros: the components' combination is zero then.

    Source: Maziarz et al., "Flexible Multi-task Networks by Learning Parameter
    Allocation", 2019, https://arxiv.org/abs/1910.04915, sections III-A to III-C.
    Differs from the source: one draw serves every example of a task in the batch also
    when a batch holds several tasks, which the paper does not treat. In the paper (III-A) a
    task whose row is empty sees zeros, in inference too, where nothing else is ever drawn:
    what trains well can answer the same to every input. That is `min_components=0`.

    Args:
        num_tasks: Number of tasks (rows).
        num_components: Number of components in this layer (columns).
        init_probability: Chance, strictly between 0 and 1, that a pair is allocated at
            the start: a number or a `(num_tasks, num_components)` matrix. Defaults to 0.5.
        temperature: As in `GumbelRouter`. Defaults to `None`, a `TemperatureSchedule()`.
        parameterization: `"two_logits"` keeps a logit for active and one for inactive,
            as the paper does: under Adam the log-odds then move twice as far per update
            as with `"log_odds"`, one number per pair. Defaults to `"two_logits"`.
        return_probabilities: Whether to return the `(num_tasks, num_components)`
            probabilities too, for penalties. Defaults to `False`.
        num_added_tasks: How many of the last rows were added after training. Each is a
            variable of its own; only the newest trains. Defaults to 0.
        min_components: How many components of the layer a task has at least in inference,
            from 0 to `num_components`: the most likely ones, of equals the first. Draws in
            training know no minimum. A config without it, of a file from before there was one,
            means 0. Defaults to 1.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.

    Call arguments:
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.
        training: Whether to draw (`True`) or take the most likely matrix.

    Output shape:
        `(batch, num_components)`, values 0 or 1 in the layer's compute dtype.

    Weights:
        logits: `(rows, num_components, 2)`, natural logarithms, index 0 = active; with
            `"log_odds"` `(rows, num_components)`.
        logits_added_1, ...: the same of one row, for each added task. The newest alone trains.
        router: as of `GumbelRouter`.

    Raises:
        ValueError: `init_probability` outside (0, 1) or of a wrong shape, an unknown
            `parameterization`, a `min_components` that the layer does not have.

    Example:

    >>> allocation = AllocationMatrix(3, 4, init_probability=0.9, seed=0)
    >>> task_id = keras.ops.array([0, 0, 2])
    >>> tuple(allocation(task_id).shape)
    (3, 4)
    >>> round(float(allocation.probabilities()[0, 0]), 3)
    0.9
    >>> draw = allocation(task_id, training=True)
    >>> bool(keras.ops.all(draw[0] == draw[1]))  # same task, same draw
    True
    """

    def __init__(
        self,
        num_tasks: int,
        num_components: int,
        init_probability: float = 0.5,
        temperature: Setting | None = None,
        parameterization: str = "two_logits",
        return_probabilities: bool = False,
        num_added_tasks: int = 0,
        min_components: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_tasks,
            num_components,
            init_probability,
            temperature,
            parameterization=parameterization,
            num_added_tasks=num_added_tasks,
            min_components=min_components,
            seed=seed,
            **kwargs,
        )
        self.return_probabilities = checks.flag("return_probabilities", return_probabilities)

    def call(self, task_id: Tensor, training: bool = False) -> Any:
        rows = super().call(task_id, training=training)
        return (rows, self.probabilities()) if self.return_probabilities else rows

    def rows(self, training: bool) -> Any:
        return self.decided(training)

    def probabilities(self) -> Any:
        return self.chances()

    def compute_output_shape(self, task_id_shape: Shape) -> Any:
        rows = super().compute_output_shape(task_id_shape)
        matrix = (self.num_tasks, self.num_components)
        return (rows, matrix) if self.return_probabilities else rows

    def frozen(self, call: Callable[..., Any], task_id: Tensor) -> Any:
        row = super().frozen(call, task_id)
        return (row, None) if self.return_probabilities else row

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "parameterization": self.parameterization,
            "min_components": self.min_components,
            "return_probabilities": self.return_probabilities,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config({"min_components": 0, **config})  # a file without it means 0
