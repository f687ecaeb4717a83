"""Adam that leaves alone what a batch did not visit."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl.keras_internals import optimizer_state


@keras.saving.register_keras_serializable("keras_mtl")
class VisitedAdam(keras.optimizers.Adam):
    """Adam that does no work for weights whose gradient is zero everywhere.

    In a routing network of many components a batch visits few, and Adam moves the averages of
    all: a weight that nobody visits moves on, by what it learned before. Here such a weight and
    its averages stay as they are, bit for bit, until a batch visits it.

    Differs from Adam: a weight that is not visited does not move, and its averages do not decay,
    so that an old gradient counts in full when the next comes. The first step of a weight is
    Adam's, whose bias corrections count all batches.

    Args:
        learning_rate: Number or schedule. Defaults to 0.001.

    The other arguments are those of `keras.optimizers.Adam`, but for `weight_decay`, which moves
    every weight.

    Raises:
        ValueError: A `weight_decay`.

    Example:

    >>> weight, idle = keras.Variable([1.0, 1.0]), keras.Variable([1.0])
    >>> optimizer = VisitedAdam(0.1)
    >>> for gradient in ([1.0, 0.0], [0.0, 0.0]):
    ...     optimizer.apply([keras.ops.array(gradient), keras.ops.zeros(1)], [weight, idle])
    >>> keras.ops.convert_to_numpy(weight - 0.9 < 1e-3).tolist()  # the first moved, once
    [True, False]
    """

    def __init__(self, learning_rate: Any = 0.001, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        if self.weight_decay:
            raise ValueError(
                "VisitedAdam leaves weights alone that no batch visits, and weight_decay moves "
                f"all. Leave it out, or take keras.optimizers.AdamW. Received: {self.weight_decay}"
            )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        visited = ops.any(ops.not_equal(gradient, 0))
        step = partial(super().update_step, gradient, variable, learning_rate)
        if keras.backend.backend() != "jax":
            ops.cond(visited, step, lambda: None)
            return
        moved = [variable, *optimizer_state(self, variable)]
        before = [(one, ops.convert_to_tensor(one)) for one in (*moved, self.iterations)]

        def stepped():
            with keras.StatelessScope(before) as scope:
                step()
            return [scope.get_current_value(one) for one in moved]

        after = ops.cond(visited, stepped, lambda: [value for _, value in before[:-1]])
        for one, value in zip(moved, after, strict=True):
            one.assign(value)
