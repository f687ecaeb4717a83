"""A block that adds what it computes to what it read, so that it can be left out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.types import Shape, Tensor


class ResidualBlock(keras.layers.Layer):
    """Answers `relu(shortcut(x) + residual(x))`: abstract, use one of its subclasses.

    The residual is two layers with weights, each normalized, with a ReLU between them. The
    shortcut is the input itself, or a projection of it where the block changes the shape, so
    `shortcut` alone is what is left of a block that is skipped. Both can be called on their own
    once the block is built.

    A subclass makes `residual_layers` in its constructor and says in `new_projection` what
    projects. Where there is a mask, padding is read as zeros, as what lies beyond the ends of a
    sequence is, and batch statistics leave it out.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
    https://arxiv.org/abs/1512.03385, section 3.2, Eqs. 1 and 2; the projection with a batch
    normalization is option B of section 3.3.

    Args:
        strides: Number of positions from one output to the next. Defaults to 1.

    Call arguments:
        x: `(batch, ..., features)`.
        mask: `(batch, ...)` booleans, `False` where there is only padding.
        training: Whether batch normalization uses the statistics of the batch (`True`) or
            those of training (`False`). `residual` and `shortcut` take it from the layer that
            calls them unless given.

    Output shape:
        `(batch, ..., features)`, positions divided by `strides` and rounded up. A mask keeps
        every position that is read for an output, `mask[:, ::strides]`.

    Raises:
        ValueError: `strides` that are no integer of at least 1.
    """

    def __init__(self, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strides = checks.count("strides", strides)
        self.residual_layers: list[keras.Layer] = []
        self.projection_layers: list[keras.Layer] = []
        self.supports_masking = True

    def new_projection(self) -> Any:
        """Returns the layer that gives the shortcut the shape of the residual."""
        raise NotImplementedError

    def normalized(self, *layers: Any) -> list[Any]:
        """Returns these layers, each followed by a batch normalization."""
        own = {"dtype": self.dtype_policy}
        pairs = [
            (layer, keras.layers.BatchNormalization(name=f"{layer.name}_norm", **own))
            for layer in layers
        ]
        return [layer for pair in pairs for layer in pair]

    def build(self, shape: Shape) -> None:
        output_shape = self.compute_output_shape(shape)
        if self.strides > 1 or shape[-1] != output_shape[-1]:
            self.projection_layers = self.normalized(self.new_projection())
        for layers in (self.residual_layers, self.projection_layers):
            for layer, its_shape in zip(layers, [shape] + [output_shape] * 3, strict=False):
                layer.build(its_shape)

    def shortcut(self, x: Tensor, mask: Any = None, training: bool | None = None) -> Any:
        """Returns the input, or its projection where the block changes the shape."""
        return self._shortcut(x, mask, self._own(x, mask, training))

    def residual(self, x: Tensor, mask: Any = None, training: bool | None = None) -> Any:
        """Returns what the block adds to the shortcut."""
        return self._residual(x, mask, self._own(x, mask, training))

    def call(self, x: Tensor, mask: Any = None, training: bool = False) -> Any:
        shortcut = self.shortcut(x, mask, training)
        return ops.relu(shortcut + self.residual(x, mask, training))

    def frozen_shortcut(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes nothing, or stock layers."""
        return self._shortcut(x, call.mask, self._frozen(call))

    def frozen_residual(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes stock layers."""
        return self._residual(x, call.mask, self._frozen(call))

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes stock layers, their sum and its ReLU."""
        return ops.relu(self.frozen_shortcut(call, x) + self.frozen_residual(call, x))

    def _frozen(self, call: FrozenCall) -> Callable[..., Any]:
        return lambda layer: partial(call.inside(self), layer)

    def _own(self, x: Tensor, mask: Any, training: bool | None) -> Any:
        settings = {"mask": self.compute_mask(x, mask)}
        if training is not None:  # a None that is passed on would hide what the caller knows
            settings["training"] = training

        def own(layer):
            if isinstance(layer, keras.layers.BatchNormalization):
                return partial(layer, **settings)
            return layer

        return own

    def _shortcut(self, x: Tensor, mask: Any, own: Any) -> Any:
        if not self.projection_layers:
            return x
        project, normalize = map(own, self.projection_layers)
        return normalize(project(_without_padding(x, mask)))

    def _residual(self, x: Tensor, mask: Any, own: Any) -> Any:
        first, normalize_first, second, normalize_second = map(own, self.residual_layers)
        hidden = ops.relu(normalize_first(first(_without_padding(x, mask))))
        hidden = _without_padding(hidden, self.compute_mask(x, mask))
        return normalize_second(second(hidden))

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        if previous_mask is None or self.strides == 1:
            return previous_mask
        positions = len(previous_mask.shape) - 1
        return previous_mask[(slice(None), *[slice(None, None, self.strides)] * positions)]

    def compute_output_shape(self, shape: Shape) -> Any:
        return tuple(self.residual_layers[0].compute_output_shape(shape))


def _without_padding(x: Tensor, mask: Any) -> Any:
    """Returns zeros in place of padding, without the mask, of which convolutions would warn."""
    if mask is None:
        return x
    return ops.where(ops.expand_dims(mask, -1), x, ops.zeros_like(x))
