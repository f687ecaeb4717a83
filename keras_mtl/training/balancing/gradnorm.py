"""Task weights that let all tasks train at similar rates."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.training.balancing.base import GradientBalancing
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class GradNorm(GradientBalancing):
    """Weighs tasks until their gradients have the norms they should: `compile(balancing=...)`.

    A task's norm, over shared variables, of the gradient of its weighted mean loss should be the
    mean norm of all tasks, times `r ** alpha`: `r` is how much of its first loss is left,
    divided by the mean of that over tasks. Every batch moves the weights a step towards this. In
    a batch the weights of the tasks that are present average 1. With separate data it needs
    batches of several tasks (`task_batches(order="mixed")`).

    Source: Chen et al., "GradNorm", ICML 2018, equations 1 and 2. Differs from the paper: norms are
    those of all shared variables, not of the last shared layer; the weights' logarithms take
    plain gradient steps on the paper's loss divided by the mean norm, so that weights stay above
    0 and `learning_rate` does not depend on the scale of losses.

    Args:
        alpha: How hard to pull slow tasks, at least 0. Defaults to 1.5.
        learning_rate: Of the weights' logarithms, above 0. Defaults to 0.025.

    Weights:
        task_weights: `(num_tasks,)`, not trainable, those of the next batch.
        first_losses: `(num_tasks,)`, not trainable, NaN until a task had labels.

    Raises:
        ValueError: A negative `alpha`, a `learning_rate` that is not above 0.

    Example:

    >>> GradNorm(alpha=0.5).alpha
    0.5
    """

    weighs_losses = True

    def __init__(self, alpha: float = 1.5, learning_rate: float = 0.025, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = float(checks.number("alpha", alpha, least=0))
        self.learning_rate = float(checks.number("learning_rate", learning_rate, above=0))

    def make_state(self, tasks: Any) -> None:
        super().make_state(tasks)
        self.latest = self.add_state("task_weights", "ones")
        unknown = keras.initializers.Constant(float("nan"))
        self.first_losses = self.add_state("first_losses", unknown)

    def current_weights(self) -> Any:
        return self.latest

    def coefficients(self, gram: Tensor, losses: Any, shares: Any) -> tuple[Any, Any]:
        present = shares > 0
        exists = ops.cast(present, "float32")
        count = ops.maximum(ops.sum(exists), 1.0)
        shares = ops.where(present, shares, 1.0)
        before = ops.convert_to_tensor(self.latest)
        latest = before * exists
        weights = count * latest / ops.maximum(ops.sum(latest), 1e-12)
        norms = weights * ops.sqrt(ops.maximum(ops.diagonal(gram), 0.0)) / shares
        mean_norm = ops.sum(norms) / count
        first = ops.convert_to_tensor(self.first_losses)
        first = ops.where(present & ops.isnan(first), losses / shares, first)
        self.first_losses.assign(first)
        left = exists * losses / shares / ops.where(first > 0, first, 1.0)
        rates = left * count / ops.maximum(ops.sum(left), 1e-12)
        slope = ops.sign(norms - mean_norm * ops.maximum(rates, 0.0) ** self.alpha) * norms
        slope = slope / ops.where(mean_norm > 0, mean_norm, 1.0)
        moved = latest * ops.exp(-self.learning_rate * slope)
        moved = moved * ops.sum(latest) / ops.maximum(ops.sum(moved), 1e-12)
        self.latest.assign(ops.where(present, moved, before))
        return weights, weights

    def get_config(self) -> dict[str, Any]:
        config = {"alpha": self.alpha, "learning_rate": self.learning_rate}
        return {**super().get_config(), **config}
