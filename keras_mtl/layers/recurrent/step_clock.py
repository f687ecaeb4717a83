"""Where in a sequence a step is, in numbers that a policy can read."""

import math

from keras import ops

from keras_mtl.types import Tensor

_PERIODS = [2**power for power in range(2, 12)]  # 4 to 2048 steps
CLOCK_SIZE = 2 * len(_PERIODS)


def step_clock(x: Tensor) -> Tensor:
    """Returns sines and cosines of the numbers of the steps, `(1, steps, CLOCK_SIZE)`.

    Args:
        x: `(batch, steps, features)`, of which only the number of steps is read.
    """
    number = ops.cumsum(ops.ones_like(x[:1, :, :1], dtype="float32"), axis=1) - 1.0
    angle = ops.concatenate([number * (2 * math.pi / period) for period in _PERIODS], axis=-1)
    return ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=-1)
