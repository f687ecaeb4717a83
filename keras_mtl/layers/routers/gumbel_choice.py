"""One of several, with a gradient: straight-through Gumbel choices."""

from typing import Any

import keras
from keras import ops

from keras_mtl.types import Setting, Shape, Tensor

_UNIFORM_MARGIN = 1e-6  # uniform() can return exact 0, whose logarithm is infinite


def gumbel_noise(shape: Shape, seed: int | None) -> Any:
    """Returns float32 noise that turns logits into a draw from their softmax.

    The argmax of `logits + noise` is i with probability `softmax(logits)[i]`.
    """
    uniform = keras.random.uniform(
        shape, _UNIFORM_MARGIN, 1.0 - _UNIFORM_MARGIN, dtype="float32", seed=seed
    )
    return -ops.log(-ops.log(uniform))


def drawn_from(probabilities: Any, noise: Any) -> Tensor:
    """Returns ones where a draw by rows of probabilities falls, else 0; a NaN stays one."""
    drawn = ops.argmax(ops.log(probabilities) + noise, axis=-1)
    rows = ops.one_hot(drawn, probabilities.shape[-1])
    return ops.where(ops.isnan(probabilities), probabilities, rows)


def straight_through_choice(logits: Tensor, temperature: Setting = 1.0, noise: Any = None) -> Any:
    """Chooses one along the last axis, with the gradient of a softmax.

    The value is exactly 1 at the largest of `logits + noise` (the first of equals), else 0.
    The gradient is that of `softmax((logits + noise) / temperature)`.

    Args:
        logits: Natural logarithms of the probabilities, up to a constant.
        temperature: Above 0, no unit; shapes the gradient only. Defaults to 1.0.
        noise: Float32 noise of the shape of `logits`, or `None` for the most likely choice.
            Defaults to `None`.

    Returns:
        Float32 tensor of the shape of `logits`.

    Example:

    >>> choice = straight_through_choice(keras.ops.array([[-2.0, 3.0, 0.0], [1.0, 1.0, 1.0]]))
    >>> keras.ops.convert_to_numpy(choice).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    logits = ops.cast(logits, "float32")
    if noise is not None:
        logits = logits + noise
    hard = ops.one_hot(ops.argmax(logits, axis=-1), logits.shape[-1], dtype="float32")
    soft = ops.exp(ops.log_softmax(logits / temperature, axis=-1))  # softmax warns of one class
    return hard + (soft - ops.stop_gradient(soft))
