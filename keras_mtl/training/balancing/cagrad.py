"""A step near the average gradient that helps the task which it helps least."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.training.balancing.base import GradientBalancing
from keras_mtl.types import Tensor

_ITERATIONS = 60  # leaves an error near that of float32 for 20 tasks


@keras.saving.register_keras_serializable("keras_mtl")
class CAGrad(GradientBalancing):
    """Lowers the worst task's loss most, near the average gradient: `compile(balancing=...)`.

    Among all steps that are no further from the average gradient `g` than `c * |g|` it takes the
    one whose smallest dot product with a task's gradient is largest. With separate data it needs
    batches of several tasks (`task_batches(order="mixed")`).

    Source: Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS 2021,
    algorithm 1. Differs from the paper: the step is multiplied by the number of tasks, so that
    `c=0` is the usual one, along the sum of the gradients. Tasks without a gradient in shared
    variables are not counted.

    Args:
        c: How far from the average to go, in [0, 1). Defaults to 0.5.

    Raises:
        ValueError: `c` is not in [0, 1).

    Example:

    >>> CAGrad(c=0.4).c
    0.4
    """

    def __init__(self, c: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.c = float(checks.number("c", c, least=0, below=1))

    def coefficients(self, gram: Tensor, losses: Any, shares: Any) -> tuple[Any, Any]:
        present = ops.diagonal(gram) > 0
        count = ops.maximum(ops.sum(ops.cast(present, "float32")), 1.0)
        largest = ops.max(ops.diagonal(gram))
        gram = gram / ops.where(largest > 0, largest, 1.0)
        radius = self.c * ops.sqrt(ops.maximum(ops.sum(gram), 0.0)) / count
        worst = worst_mixture(gram, radius, present)
        norm = _norm(gram, worst)
        step = ops.where(norm > 1e-6, count * radius * worst / ops.maximum(norm, 1e-6), 0.0)
        return 1.0 + step, ops.ones_like(losses)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "c": self.c}


def worst_mixture(gram: Tensor, radius: Any, present: Any) -> Any:
    """Returns the (T,) weights `w` of the paper's dual problem.

    They minimize `w . b + radius * |sum(w * gradients)|` among weights that are at least 0 and
    sum to 1, with `b` the dot products with the average gradient. Accelerated projected gradient
    steps on `w` times the gradients' lengths, so that tasks may differ in scale; the step
    follows from the quadratic that lies above the norm and touches it.

    Args:
        gram: (T, T) dot products of the gradients.
        radius: Scalar.
        present: (T,) which tasks there are.
    """
    exists = ops.cast(present, "float32")
    count = ops.maximum(ops.sum(exists), 1.0)
    lengths = ops.where(present, ops.sqrt(ops.maximum(ops.diagonal(gram), 0.0)), 1.0)
    scale = (ops.sum(lengths * exists) / count) / lengths  # w = scale * what is sought
    cosines = gram / (lengths[:, None] * lengths)
    slope = ops.sum(gram, axis=1) / count / lengths / ops.maximum(radius, 1e-12)
    bound = ops.maximum(ops.sqrt(ops.sum(ops.square(cosines))), 1e-12)  # above the eigenvalues

    def iterate(_, state):
        now, ahead, momentum = state
        length = _norm(cosines, ahead)
        down = slope * length + ops.matmul(cosines, ahead)
        new = _onto_simplex(ops.where(present, ahead - down / bound, -1e9), scale)
        uphill = ops.sum((ahead - new) * (new - now)) > 0
        momentum = ops.where(uphill, 1.0, momentum)
        faster = (1.0 + ops.sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
        return new, new + (momentum - 1.0) / faster * (new - now), faster

    start = exists / count / scale
    state = (start, start, ops.ones(()))
    return scale * ops.fori_loop(0, _ITERATIONS, iterate, state)[0]


def _norm(gram: Tensor, weights: Any) -> Tensor:
    return ops.sqrt(ops.maximum(ops.sum(weights * ops.matmul(gram, weights)), 1e-16))


def _onto_simplex(point: Any, scale: Any) -> Tensor:
    """Returns the nearest point that is at least 0 and whose sum, times `scale`, is 1."""
    order = ops.argsort(-point / scale)
    point_sorted, scale_sorted = ops.take(point, order), ops.take(scale, order)
    excess = ops.cumsum(point_sorted * scale_sorted) - 1.0
    shifts = excess / ops.cumsum(ops.square(scale_sorted))
    above = point_sorted / scale_sorted > shifts
    shift = ops.take(shifts, ops.sum(ops.cast(above, "int32")) - 1)
    return ops.maximum(point - shift * scale, 0.0)
