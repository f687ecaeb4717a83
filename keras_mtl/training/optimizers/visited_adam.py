"""Adam that leaves alone what a batch did not visit."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl.keras_internals import averages_of_adam, optimizer_state


@keras.saving.register_keras_serializable("keras_mtl")
class VisitedAdam(keras.optimizers.Adam):
    """Adam that does no work for weights whose gradient is zero everywhere.

    In a routing network of many components a batch visits few, and Adam moves the averages of
    all: a weight that nobody visits moves on, by what it learned before. Here such a weight and
    its averages stay as they are, bit for bit, until a batch visits it. Of an `Embedding` on
    TensorFlow this is so row by row: a step touches the rows that the batch names, so that it
    takes as long for a table of a million rows as for one of a thousand.

    Differs from Adam: a weight that is not visited does not move, and its averages do not decay,
    so that an old gradient counts in full when the next comes. The first step of a weight is
    Adam's, whose bias corrections count all batches. On JAX and torch, and where `global_clipnorm`,
    gradient accumulation or a regularizer make it dense, the gradient of an embedding has all rows,
    and all move as soon as one is visited.

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
        if hasattr(gradient, "indices"):
            self._update_rows(gradient, variable, learning_rate)
            return
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

    def _update_rows(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves the rows that a `tf.IndexedSlices` names, as Adam moves all."""
        import tensorflow as tf

        rows, owners = tf.unique(gradient.indices)
        gradient = tf.math.unsorted_segment_sum(gradient.values, owners, tf.size(rows))
        averages = averages_of_adam(self, variable)
        momentum, velocity, *largest = (tf.gather(average.value, rows) for average in averages)
        momentum += (1 - self.beta_1) * (gradient - momentum)
        velocity += (1 - self.beta_2) * (tf.square(gradient) - velocity)
        largest = [tf.maximum(each, velocity) for each in largest]
        step = tf.cast(self.iterations + 1, gradient.dtype)
        correction = tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        rate = tf.cast(learning_rate, gradient.dtype) * correction
        change = rate * momentum / (tf.sqrt([velocity, *largest][-1]) + self.epsilon)
        for average, value in zip(averages, (momentum, velocity, *largest), strict=True):
            self.assign(average, tf.IndexedSlices(value, rows))
        self.assign_sub(variable, tf.IndexedSlices(change, rows))
