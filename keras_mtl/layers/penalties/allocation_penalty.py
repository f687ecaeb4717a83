"""Named terms of the loss that depend on the allocation."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.charging import ChargingLayer, is_charged
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.freezing import passes_through
from keras_mtl.layers.growing import one_more_block
from keras_mtl.types import Shape, Tensor

_NAMES = ["budget", "entropy", "disconnect"]
_TINY = 1e-12  # inside logarithms, so that p log p is 0 at p = 0


def binary_entropy(probability: Any) -> Any:
    """Returns the entropy of Bernoulli variables in nats."""
    other = 1.0 - probability
    log = ops.log
    return -(
        probability * log(ops.maximum(probability, _TINY)) + other * log(ops.maximum(other, _TINY))
    )


def _checked_costs(costs: Any) -> list[list[float]] | None:
    """Returns costs as plain numbers."""
    if costs is None:
        return None
    rows = costs if isinstance(costs, list | tuple) else [costs]
    if not rows or not all(isinstance(row, list | tuple) and row for row in rows):
        raise ValueError(
            "costs must be a list with a list of numbers for each routed layer, or None. "
            f"Received: {costs!r}"
        )
    checked = [[float(checks.number("costs", cost, least=0)) for cost in row] for row in rows]
    if not sum(map(sum, checked)):
        raise ValueError(f"costs must not all be 0. Received: {costs!r}")
    return checked


@keras.saving.register_keras_serializable("keras_mtl")
class AllocationPenalty(ChargingLayer):
    """Adds penalties on allocation probabilities to the loss; passes features through.

    With `p` the probabilities of a task in all routed layers:

    - budget: `budget_weight * max(0, sum(p * costs) / sum(costs) - budget)`,
    - entropy: `entropy_weight * sum of the entropies of p`, in nats,
    - disconnect: `disconnect_weight * sum over layers of the chance that the task has no
      component there`.

    A batch pays for the tasks it holds: the mean over its examples. Penalties use
    probabilities, not draws, so they are smooth and touch no component's weights. The
    latest values stand in `penalties`, and the model's logs name them.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section III-D (budget);
    entropy and disconnect are in its reference code only. The paper's budget can be read
    as an average over tasks: that is `budget_scope="global"`; the reference code's
    `"task"` is the default.

    Args:
        budget: Wanted fraction of the costs of all components per task, in (0, 1], or `None`
            for no limit. Defaults to `None`.
        budget_weight: Number of at least 0, or a schedule over training batches.
            Defaults to 1.0.
        budget_scope: `"task"` limits each task, `"global"` the mean over tasks, so that
            one may exceed the budget when another stays below. Defaults to `"task"`.
        entropy_weight: As `budget_weight`. Defaults to 0.0.
        disconnect_weight: As `budget_weight`. Defaults to 0.0.
        num_repeats: Factor of all penalties: the number of tasks when every example is
            seen by every task, whose losses are summed then. Defaults to 1.
        costs: List with the costs of the components of each routed layer, numbers of at least
            0, or `None`: all cost the same. Defaults to `None`.

    Call arguments:
        features: Returned as they are.
        task_id: `(batch,)` integers.
        probabilities: List of `(num_tasks, num_components)`, one per routed layer.

    Weights:
        updates: `()`, int32, not trainable: training batches seen.
        budget, entropy, disconnect: `()`, not trainable: latest values of the penalties in use.

    Raises:
        ValueError: A budget outside (0, 1], a negative weight, an unknown scope, costs of
            other components.
    """

    def __init__(
        self,
        budget: Any = None,
        budget_weight: float = 1.0,
        budget_scope: str = "task",
        entropy_weight: float = 0.0,
        disconnect_weight: float = 0.0,
        num_repeats: int = 1,
        costs: Any = None,
        **kwargs: Any,
    ) -> None:
        weights = {
            "budget_weight": budget_weight,
            "entropy_weight": entropy_weight,
            "disconnect_weight": disconnect_weight,
        }
        super().__init__(weights, autocast=False, **kwargs)
        self.budget = (
            budget
            if budget is None
            else checks.number("budget", budget, above=0, most=1, or_else=", or None")
        )
        self.budget_scope = checks.word("budget_scope", budget_scope, ("task", "global"))
        self.num_repeats = checks.count("num_repeats", num_repeats)
        self.costs = _checked_costs(costs)
        self.supports_masking = True

    @property
    def in_use(self) -> list[Any]:
        """Names of the penalties whose weight is not always 0; without a budget none of that."""
        names = ["entropy", "disconnect"] if self.budget is None else _NAMES
        return [name for name in names if is_charged(getattr(self, f"{name}_weight"))]

    def build(self, features_shape: Shape, task_id_shape: Shape, probabilities_shape: Any) -> None:
        sizes = [shape[-1] for shape in probabilities_shape]
        if self.costs is not None and [len(costs) for costs in self.costs] != sizes:
            raise ValueError(
                f"costs must have a number for each component of each routed layer, {sizes}. "
                f"Received: {self.costs}"
            )
        self.add_penalties({f"{name}_penalty": name for name in self.in_use})

    def call(
        self, features: Tensor, task_id: Tensor, probabilities: Any, training: bool = False
    ) -> Any:
        rows = ops.one_hot(task_id, probabilities[0].shape[0], dtype="float32")
        rows_by_task = ops.sum(rows, axis=0)
        for name in self.in_use:
            per_task = getattr(self, f"_{name}")([ops.cast(p, "float32") for p in probabilities])

            def price(rows_by_task, per_task=self.num_repeats * per_task):
                share = rows_by_task / at_least_one(ops.sum(rows_by_task))
                return ops.sum(share * per_task)

            self.charge(f"{name}_penalty", getattr(self, f"{name}_weight"), price, (rows_by_task,))
        self.count_batch(training)
        return features

    def _budget(self, probabilities: Any) -> Tensor:
        costs = self.costs or [[1.0] * p.shape[-1] for p in probabilities]
        used = sum(
            ops.sum(p * ops.array(own, "float32"), axis=-1)
            for p, own in zip(probabilities, costs, strict=True)
        )
        fraction = used / sum(map(sum, costs))
        if self.budget_scope == "global":
            fraction = ops.ones_like(fraction) * ops.mean(fraction)
        return ops.relu(fraction - self.budget)

    def _entropy(self, probabilities: Any) -> Any:
        return sum(ops.sum(binary_entropy(p), axis=-1) for p in probabilities)

    def _disconnect(self, probabilities: Any) -> Any:
        return sum(ops.prod(1.0 - p, axis=-1) for p in probabilities)

    frozen = passes_through

    def grown(self, new: Any) -> Any:
        """Knows the rows of one more task, where each has rows of its own."""
        return new_layer_like(self, {"num_repeats": one_more_block(self.num_repeats)})

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "budget": self.budget,
            "budget_scope": self.budget_scope,
            "num_repeats": self.num_repeats,
            "costs": self.costs,
        }
