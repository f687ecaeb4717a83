"""Parallel components on one input: what they are, and how their outputs meet."""

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.components.component_state import has_state, moved_by, rows_in_use
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.fusion import fused_call, fused_groups
from keras_mtl.layers.masks import mask_beside
from keras_mtl.layers.mixing.expert_mixture import OpenExperts, mixture_by_task, weighted_sum
from keras_mtl.layers.weighted_sums import stock_sum
from keras_mtl.types import Shape, Tensor


class ParallelComponents(keras.layers.Layer):
    """Abstract: holds components, and combines what they make of one input by weights.

    A final class answers in `call` as `mixture` does.

    Args:
        components: As of `Modular`.
        combine: As of `Modular`. Defaults to `"mean"`.
        num_repeats: As of `Modular`. Defaults to 1.
    """

    def __init__(
        self,
        components: Sequence[keras.Layer],
        combine: str = "mean",
        num_repeats: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.components = checked_components(components)
        self.combine = checks.word("combine", combine, ("mean", "sum"))
        self.num_repeats = checks.count("num_repeats", num_repeats)

    def build(self, x_shape: Any, weights_shape: Shape) -> None:
        for component in self.components:
            if not component.built:
                component.build(x_shape)
        check_one_output_shape(self, self.components, [x_shape] * len(self.components))
        self._with_state = [has_state(component) for component in self.components]

    def mixture(self, x: Tensor, weights: Any, training: bool = False) -> Any:
        """Returns what all components make of all rows, combined by their weights."""
        weights = ops.cast(weights, self.compute_dtype)
        used = self._used(weights) if training and any(self._with_state) else None
        if self.combine == "mean":
            total = ops.sum(weights, axis=-1, keepdims=True)
            weights = weights / at_least_one(total)
        groups = fused_groups(self.components, self.compute_dtype)
        if len(groups) == 1:
            return self._weighted_sum(self._answers(groups[0], x, used), weights)
        return sum(
            self._weighted_sum(self._answers(group, x, used), ops.take(weights, group, axis=-1))
            for group in groups
        )

    def _used(self, weights: Any) -> Any:
        """Returns which components each row of x is used by: of all tasks that read the row."""
        used = rows_in_use(weights)
        if self.num_repeats == 1:
            return used
        return ops.any(ops.reshape(used, (self.num_repeats, -1, *ops.shape(used)[1:])), axis=0)

    def _answers(self, group: Any, x: Tensor, used: Any) -> Any:
        """Returns the outputs of a group of components, stacked before the last axis."""
        components = [self.components[position] for position in group]
        if len(components) > 1:
            return fused_call(components, x)
        counts = used is not None and self._with_state[group[0]]
        with moved_by(used[..., group[0]] if counts else None, components[0]):
            return ops.expand_dims(components[0](x), axis=-2)

    def _weighted_sum(self, outputs: Any, weights: Any) -> Any:
        outputs = ops.cast(outputs, self.compute_dtype)
        if self.num_repeats > 1:
            return mixture_by_task(outputs, weights, self.num_repeats)
        return weighted_sum(outputs, weights)

    def compute_mask(self, x: Tensor, previous_mask: Any) -> Any:
        mask = mask_beside(self.components, x, previous_mask)
        if mask is None or self.num_repeats == 1:
            return mask
        return ops.tile(mask, (self.num_repeats, *[1] * (len(mask.shape) - 1)))

    def compute_output_shape(self, x_shape: Any, weights_shape: Shape) -> Any:
        shape = self.components[0].compute_output_shape(x_shape)
        return (weights_shape[0], *shape[1:])

    def frozen(self, call: FrozenCall, x: Tensor, row: Any) -> Any:
        """Calls only the components with a weight in `row`, as stock layers."""
        if isinstance(row, OpenExperts):
            return row.mixture([call(self.components[index], x) for index in row.indices])
        active = [call(c, x) for c, weight in zip(self.components, row, strict=True) if weight]
        if not active:
            return zeros_like_output(x, self.components[0])
        weights = row[row != 0]
        if self.combine == "mean":
            weights = weights / max(weights.sum(), 1.0)
        if len(active) > 1 and np.all(weights == 1 / len(active)):
            return keras.layers.Average()(active)
        return stock_sum(active, weights)

    def frozen_mask(self, call: FrozenCall, x: Tensor, row: Any) -> Any:
        return mask_beside(self.components, x, call.mask, call)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "components": [keras.saving.serialize_keras_object(c) for c in self.components],
            "combine": self.combine,
            "num_repeats": self.num_repeats,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        components = [keras.saving.deserialize_keras_object(c) for c in config["components"]]
        return cls(**{**config, "components": components})


def checked_components(components: Sequence[keras.Layer]) -> Any:
    """Returns a list of components, after a check that they are layers."""
    some = isinstance(components, list | tuple) and components
    if not some or not all(isinstance(each, keras.layers.Layer) for each in components):
        raise ValueError(
            f"components must be a list of at least one Keras layer. Received: {components!r}"
        )
    return list(components)


def check_one_output_shape(
    layer: keras.Layer, components: Sequence[keras.Layer], input_shapes: Any
) -> None:
    """Raises a `ValueError` for components whose outputs cannot be combined."""
    shapes = [
        tuple(component.compute_output_shape(shape))
        for component, shape in zip(components, input_shapes, strict=True)
    ]
    if len(set(shapes)) > 1:
        described = ", ".join(
            f"{component.name}: {shape}"
            for component, shape in zip(components, shapes, strict=True)
        )
        raise ValueError(
            f"The components of layer {layer.name!r} must have one output shape, because "
            f"their outputs are combined. Received: {described}. Give them the same units, "
            "filters, strides and padding."
        )


def zeros_like_output(x: Tensor, component: keras.Layer) -> Tensor:
    """Returns symbolic zeros in the shape of a component's output, without its weights."""
    first = keras.tree.flatten(x)[0]
    shape = component.compute_output_shape(keras.tree.map_structure(lambda leaf: leaf.shape, x))
    if None in shape[1:]:
        if tuple(shape[1:-1]) != tuple(first.shape[1:-1]):
            raise ValueError(
                f"A task has no component in a layer whose output has no known size {shape}, so "
                "its zeros cannot be frozen. Give the model's input a fixed size."
            )
        return ops.tile(ops.zeros_like(first[..., :1]), (1,) * (len(shape) - 1) + (shape[-1],))
    zero = ops.zeros_like(ops.reshape(first, (-1, int(np.prod(first.shape[1:]))))[:, :1])
    return ops.reshape(ops.tile(zero, (1, int(np.prod(shape[1:])))), (-1, *shape[1:]))
