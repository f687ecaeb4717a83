"""Identity forwards, a gradient with the other sign backwards."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.freezing import passes_through
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class GradientReversal(keras.layers.Layer):
    """Passes features on as they are and their gradient times `-scale`.

    What is behind it, such as a classifier of tasks, learns to do well, and what is before it
    learns to make that hard. Both forward value and sign are exact: no arithmetic touches the
    features.

    Source: Ganin and Lempitsky, "Unsupervised domain adaptation by backpropagation", 2015,
    https://arxiv.org/abs/1409.7495, section 3.1.

    Args:
        scale: Factor of the reversed gradient, at least 0. Defaults to 1.0.

    Output shape:
        That of the input.

    Raises:
        ValueError: A scale that is no number of at least 0.

    Example:

    >>> layer = GradientReversal(0.5)
    >>> keras.ops.convert_to_numpy(layer(keras.ops.array([1.0, -2.0]))).tolist()
    [1.0, -2.0]
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = float(checks.number("scale", scale, least=0))
        self.supports_masking = True

    def call(self, x: Tensor) -> Any:
        @ops.custom_gradient
        def reverse(x):
            def backwards(*args, upstream=None):
                upstream = args[0] if upstream is None else upstream  # torch gives x, then this
                return -self.scale * upstream

            return x, backwards

        return reverse(x)

    def compute_output_shape(self, shape: Shape) -> Any:
        return shape

    frozen = passes_through  # only a gradient is reversed

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
