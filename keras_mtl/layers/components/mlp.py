"""A small network of dense layers."""

from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class MLP(keras.layers.Layer):
    """Dense ReLU layers, one after the other: a sub-encoder, a sub-decoder, a policy.

    Args:
        units: Sizes of the layers.
        activation: Of the last layer; the others have ReLU. Defaults to `"relu"`.

    Input shape:
        `(batch, ..., features)`.

    Output shape:
        `(batch, ..., units[-1])`.

    Weights:
        dense_1, dense_2, ...: as of `keras.layers.Dense`.

    Raises:
        ValueError: No layer.

    Example:

    >>> tuple(MLP((8, 2))(keras.ops.ones((5, 7, 4))).shape)
    (5, 7, 2)
    """

    def __init__(self, units: Any, activation: str = "relu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = checks.sizes("units", units, length=1)
        self.activation = activation
        checks.known_to_keras("activation", activation, keras.activations.get)
        self.supports_masking = True
        activations = ["relu"] * (len(self.units) - 1) + [activation]
        self.dense = [
            keras.layers.Dense(size, function, dtype=self.dtype_policy, name=f"dense_{depth}")
            for depth, (size, function) in enumerate(
                zip(self.units, activations, strict=True), start=1
            )
        ]

    def build(self, shape: Shape) -> None:
        for dense in self.dense:
            dense.build(shape)
            dense.input_spec = None  # a step and a sequence of them are both welcome
            shape = dense.compute_output_shape(shape)

    def call(self, x: Tensor) -> Any:
        for dense in self.dense:
            x = dense(x)
        return x

    def compute_output_shape(self, shape: Shape) -> Any:
        return (*shape[:-1], self.units[-1])

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes stock layers."""
        call = call.inside(self)
        for dense in self.dense:
            x = call(dense, x)
        return x

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(keras.activations.get(self.activation)),
        }
