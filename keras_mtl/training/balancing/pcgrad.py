"""Gradient surgery: a task's gradient loses what goes against another's."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.training.balancing.base import GradientBalancing
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class PCGrad(GradientBalancing):
    """Takes out of each task's gradient what conflicts with others: `compile(balancing=...)`.

    Of two gradients with a negative dot product each is projected onto the plane that is
    orthogonal to the other. A task meets the others one after another, in a random order of its
    own in every batch; the projected gradients are added up. Without conflict the step is the
    usual one. With separate data it needs batches of several tasks
    (`task_batches(order="mixed")`).

    Source: Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, algorithm 1.

    Args:
        seed: Integer seed of the orders, or `None`. Defaults to `None`.

    Example:

    >>> PCGrad(seed=1).seed
    1
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = checks.seed("seed", seed)

    def make_state(self, tasks: Any) -> None:
        super().make_state(tasks)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def coefficients(self, gram: Tensor, losses: Any, shares: Any) -> tuple[Any, Any]:
        num_tasks = len(self.task_names)
        draws = keras.random.uniform((num_tasks, num_tasks), seed=self.seed_generator)
        return surgery(gram, ops.argsort(draws, axis=-1)), ops.ones_like(losses)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


def surgery(gram: Tensor, order: Any) -> Tensor:
    """Returns (T,) by what each gradient is multiplied in the sum of the projected ones.

    Args:
        gram: (T, T) dot products of the gradients.
        order: (T, T) integers, a row for each task: the order in which it meets all.
    """
    num_tasks = gram.shape[0]
    mixed = ops.eye(num_tasks)  # row i: the gradient of task i, of which parts were taken out
    for index in range(num_tasks):
        others = ops.one_hot(order[:, index], num_tasks)
        dots = ops.sum(mixed * ops.matmul(others, gram), axis=-1)
        squares = ops.matmul(others, ops.diagonal(gram))
        conflict = (dots < 0) & (order[:, index] != ops.arange(num_tasks, dtype=order.dtype))
        part = ops.where(conflict, dots / ops.where(squares > 0, squares, 1.0), 0.0)
        mixed = mixed - part[:, None] * others
    return ops.sum(mixed, axis=0)
