"""The last step of a sequence that is no padding."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class LastStep(keras.layers.Layer):
    """Takes the last step of each sequence that is not padding.

    Without a mask that is the last step. A sequence of nothing but padding gives its first.

    Call arguments:
        x: `(batch, steps, features)`.
        mask: `(batch, steps)` booleans, `False` where there is only padding.

    Output shape:
        `(batch, features)`.

    Example:

    >>> x = keras.ops.array([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]])
    >>> mask = keras.ops.array([[True, True, False], [True, True, True]])
    >>> keras.ops.convert_to_numpy(LastStep()(x, mask=mask)).tolist()
    [[2.0], [6.0]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x: Tensor, mask: Any = None) -> Any:
        if mask is None:
            return x[:, -1]
        steps = ops.cumsum(ops.ones_like(mask, dtype="int32"), axis=1) - 1
        last = ops.max(ops.where(mask, steps, 0), axis=1)
        return ops.take_along_axis(x, ops.reshape(last, (-1, 1, 1)), axis=1)[:, 0]

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return None

    def compute_output_shape(self, shape: Shape) -> Any:
        return (shape[0], shape[2])

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes stock operations."""
        return self.call(x, call.mask)
