"""A residual block of dense layers, for tables."""

from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers.components.residual import ResidualBlock
from keras_mtl.types import Shape


@keras.saving.register_keras_serializable("keras_mtl")
class ResidualDense(ResidualBlock):
    """The residual block of tables: two dense layers.

    Source: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021,
    https://arxiv.org/abs/2106.11959, section 3.2, for residual networks of tables. Differs from
    the paper: as in `ResidualConv2D`, every dense layer is followed by a batch normalization and
    the sum by a ReLU; no dropout.

    Args:
        units: Number of features of the output.

    Input shape:
        `(batch, ..., features)`.

    Output shape:
        `(batch, ..., units)`.

    Weights:
        dense_1, dense_2: as of `keras.layers.Dense`, no bias.
        projection: where the width changes, kernel `(features, units)`.
        dense_1_norm, dense_2_norm, projection_norm: as of `keras.layers.BatchNormalization`.

    Raises:
        ValueError: An input without an axis of features.

    Example:

    >>> tuple(ResidualDense(6)(keras.ops.ones((5, 3))).shape)
    (5, 6)
    """

    def __init__(self, units: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = checks.count("units", units)
        self.residual_layers = self.normalized(self._dense("dense_1"), self._dense("dense_2"))

    def _dense(self, name: str) -> Any:
        return keras.layers.Dense(
            self.units,
            use_bias=False,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name=name,
        )

    def new_projection(self) -> Any:
        return self._dense("projection")

    def build(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise ValueError(
                f"{self.name!r} reads rows of features, (batch, features). Received: "
                f"{tuple(shape)}. Give a column an axis of its own, as in x[:, None]."
            )
        super().build(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
