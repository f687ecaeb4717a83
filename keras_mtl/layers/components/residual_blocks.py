"""Residual blocks of convolutions, for images and sequences."""

from functools import partial
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers.components.residual import ResidualBlock
from keras_mtl.types import Shape


class _Convolutions(ResidualBlock):
    """Two convolutions and, where the shape changes, a third that projects."""

    def __init__(self, filters: Any, strides: int, kernel_size: Any, **kwargs: Any) -> None:
        super().__init__(strides, **kwargs)
        self.filters = checks.count("filters", filters)
        several = isinstance(kernel_size, list | tuple)
        check = checks.sizes if several else checks.count
        self.kernel_size = check("kernel_size", kernel_size)

    def _convolve(self, kind: Any, **settings: Any) -> None:
        """Makes the convolutions."""
        self._convolution = partial(
            kind,
            self.filters,
            data_format="channels_last",
            use_bias=False,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            **settings,
        )
        self.residual_layers = self.normalized(
            self._convolution(self.kernel_size, self.strides, name="conv_1"),
            self._convolution(self.kernel_size, name="conv_2"),
        )

    def new_projection(self) -> Any:
        return self._convolution(1, self.strides, name="projection")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "kernel_size": self.kernel_size,
        }


@keras.saving.register_keras_serializable("keras_mtl")
class ResidualConv2D(_Convolutions):
    """The residual block of images: two convolutions, as in ResNet-18.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
    https://arxiv.org/abs/1512.03385, Fig. 2 left. Differs from the paper: where padding is
    uneven, as for an even size with `strides=2`, the extra zeros stand at the end.

    Args:
        filters: Number of channels of the output.
        strides: Step of the first convolution and of the projection. Defaults to 1.
        kernel_size: Of both convolutions. Defaults to 3.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters)`, height and width divided by `strides`, rounded up.

    Weights:
        conv_1, conv_2: as of `keras.layers.Conv2D`, no bias.
        projection: where the shape changes, kernel `(1, 1, channels, filters)`.
        conv_1_norm, conv_2_norm, projection_norm: as of `keras.layers.BatchNormalization`.

    Raises:
        ValueError: `strides` below 1, an input that is no image.

    Example:

    >>> tuple(ResidualConv2D(6, strides=2)(keras.ops.ones((5, 9, 8, 3))).shape)
    (5, 5, 4, 6)
    """

    def __init__(self, filters: Any, strides: int = 1, kernel_size: int = 3, **kwargs: Any) -> None:
        super().__init__(filters, strides, kernel_size, **kwargs)
        self._convolve(keras.layers.Conv2D, padding="same")

    def build(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise ValueError(
                f"{self.name!r} reads images, (batch, height, width, channels). Received: "
                f"{tuple(shape)}. For sequences take ResidualConv1D, for tables ResidualDense."
            )
        super().build(shape)


@keras.saving.register_keras_serializable("keras_mtl")
class ResidualConv1D(_Convolutions):
    """The residual block of sequences: two convolutions in time that look back only.

    Output step i has read input steps up to `i * strides`, so a chain of blocks can answer
    at every step. With `causal=False` a step also reads those after it: a network whose labels
    at a step may depend on the past alone then sees what it must not.

    Source: Bai et al., "An Empirical Evaluation of Generic Convolutional and Recurrent Networks
    for Sequence Modeling", 2018, https://arxiv.org/abs/1803.01271, section 3, for causal and
    dilated convolutions in a residual block. Differs from the paper: batch normalization in
    place of weight normalization, one ReLU in the residual, no dropout, and strides, all as in
    `ResidualConv2D`.

    Args:
        filters: Number of channels of the output.
        strides: Step of the first convolution and of the projection. Defaults to 1.
        kernel_size: Of both convolutions. Defaults to 3.
        dilation_rate: Distance of the steps that a convolution reads, in both. Defaults to 1.
        causal: Whether a step reads itself and those before it (`True`), or those around it
            (`False`). Defaults to `True`.

    Call arguments:
        x: `(batch, steps, channels)`.
        mask: `(batch, steps)` booleans, `False` where there is only padding.
        training: As in `ResidualBlock`.

    Output shape:
        `(batch, steps, filters)`, steps divided by `strides`, rounded up.

    Weights:
        conv_1, conv_2: as of `keras.layers.Conv1D`, no bias.
        projection: where the shape changes, kernel `(1, channels, filters)`.
        conv_1_norm, conv_2_norm, projection_norm: as of `keras.layers.BatchNormalization`.

    Raises:
        ValueError: `strides` below 1, or above 1 with a dilation; an input that is no sequence.

    Example:

    >>> tuple(ResidualConv1D(6, strides=2)(keras.ops.ones((5, 7, 3))).shape)
    (5, 4, 6)
    """

    def __init__(
        self,
        filters: Any,
        strides: int = 1,
        kernel_size: int = 3,
        dilation_rate: int = 1,
        causal: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, strides, kernel_size, **kwargs)
        self.dilation_rate = checks.count("dilation_rate", dilation_rate)
        self.causal = checks.flag("causal", causal)
        if strides > 1 and dilation_rate > 1:
            raise ValueError(
                f"{self.name!r} can skip steps or spread its reading over them, not both: set "
                f"strides or dilation_rate to 1. Received: strides={strides}, "
                f"dilation_rate={dilation_rate}"
            )
        padding = "causal" if causal else "same"
        self._convolve(keras.layers.Conv1D, padding=padding, dilation_rate=dilation_rate)

    def build(self, shape: Shape) -> None:
        if len(shape) != 3:
            raise ValueError(
                f"{self.name!r} reads sequences, (batch, steps, channels). Received: "
                f"{tuple(shape)}. For images take ResidualConv2D, for tables ResidualDense."
            )
        super().build(shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dilation_rate": self.dilation_rate,
            "causal": self.causal,
        }
