"""Masks of padding after layers that run side by side."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.keras_internals import graph_of, mask_of, num_outputs, run_graph
from keras_mtl.types import Tensor

_ANY_LENGTH = 4096  # stands for a number of steps that is not known


def call_in_inference(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer, or an operation, as it answers outside of training."""
    if isinstance(layer, keras.layers.Layer):
        kwargs["training"] = False
    return layer(*args, **kwargs)


def mask_beside(
    layers: Sequence[Any], x: Tensor, mask: Any, call: Callable[..., Any] = call_in_inference
) -> Any:
    """Returns the mask of what layers answer that read one input side by side, or `None`.

    A step is valid where the input is, as long as the layers keep its steps, whether they know
    masks or not: what one of them drops, the others need. Where layers make masks, all of them
    must find it valid. It does not depend on which of the layers a task uses.

    Args:
        layers: List of layers whose outputs have one shape.
        x: Their input, a tensor or a structure of tensors.
        mask: Its mask, in the same structure, or `None`.
        call: Function that calls a layer where its answer is needed to know its mask.
    """
    masks = [output_mask(layer, x, mask, call) for layer in layers]
    dropped = mask is not None and any(one is not mask for one in masks)
    if dropped and keeps_steps(layers[0], x):
        masks.append(mask)
    return joint_mask(masks)


def joint_mask(masks: Any) -> Any:
    """Returns where all of some masks are valid; `None` if none of them says anything."""
    given = {id(mask): mask for mask in keras.tree.flatten(masks) if mask is not None}
    return functools.reduce(ops.logical_and, given.values()) if given else None


def output_mask(
    layer: keras.Layer, x: Tensor, mask: Any, call: Callable[..., Any] = call_in_inference
) -> Any:
    """Returns the mask that a layer gives its output, or `None`; also of a nested model."""
    graph = graph_of(layer)
    if graph is not None:
        return _mask_through(graph, x, mask, call)
    return layer.compute_mask(x, mask) if layer.supports_masking else None


def keeps_steps(layer: keras.Layer, x: Tensor) -> Any:
    """Returns whether a layer answers at the steps of its input; structures have none."""
    if keras.tree.is_nested(x):
        return False
    steps = _ANY_LENGTH if x.shape[1] is None else x.shape[1]
    after = layer.compute_output_shape((x.shape[0], steps, *x.shape[2:]))
    return len(after) > 2 and after[1] == steps


class _Masked:
    """A tensor inside a nested model, by its mask; what it is gets computed where it is needed."""

    def __init__(self, mask: Any, value: Any) -> None:
        self.mask = mask
        self.value = value


def _mask_through(graph: keras.Model, x: Tensor, mask: Any, call: Callable[..., Any]) -> Any:
    """Returns the mask that passes through the graph of a nested model."""
    masks = keras.tree.flatten(mask)
    inputs = [
        _Masked(masks[index] if len(masks) > index else None, lambda leaf=leaf: leaf)
        for index, leaf in enumerate(keras.tree.flatten(x))
    ]

    def masked_call(layer, *args, **kwargs):
        answer = functools.cache(lambda: call(layer, *_values(args), **_values(kwargs)))
        mask = _mask_of_call(layer, args, kwargs, call)
        number = num_outputs(layer)
        masks = keras.tree.flatten(mask) if keras.tree.is_nested(mask) else [mask] * number
        parts = [
            _Masked(one, lambda index=index: keras.tree.flatten(answer())[index])
            for index, one in enumerate(masks)
        ]
        return parts[0] if number == 1 else parts

    outputs = run_graph(graph, inputs, masked_call)
    return outputs.mask if isinstance(outputs, _Masked) else [one.mask for one in outputs]


def _mask_of_call(layer: keras.Layer, args: Any, kwargs: Any, call: Callable[..., Any]) -> Any:
    """Returns the mask, or the masks, of what one call inside a nested model answers."""
    if not isinstance(layer, keras.layers.Layer):
        return None  # operations drop masks
    mask = keras.tree.map_structure(lambda tensor: tensor.mask, args[0])
    if isinstance(kwargs.get("mask"), _Masked):
        mask = kwargs["mask"].value()
    if graph_of(layer) is None and not layer.supports_masking:
        return None
    if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
        return layer.compute_mask(None, mask)  # which reads masks alone
    if graph_of(layer) is None and type(layer).compute_mask is keras.layers.Layer.compute_mask:
        return mask
    return output_mask(layer, _values(args[0]), mask, call)


def _values(structure: Any) -> Any:
    return keras.tree.map_structure(
        lambda leaf: leaf.value() if isinstance(leaf, _Masked) else leaf, structure
    )


def explicit_masks(layer: keras.Layer, args: Any, kwargs: Any) -> Any:
    """Returns call arguments with the masks that Keras would hand over unseen.

    They must be seen in the graph, because operations, which stand for layers of this package,
    hand nothing over.
    """
    parameters = inspect.signature(layer.call).parameters
    if kwargs.get("mask") is None:
        kwargs.pop("mask", None)
    positional = dict(zip(parameters, args, strict=False))
    for name, value in positional.items():
        for given in ("mask",) if len(args) == 1 else (f"{name}_mask",):
            if given in parameters and given not in positional and kwargs.get(given) is None:
                mask = keras.tree.map_structure(mask_of, value)
                if any(part is not None for part in keras.tree.flatten(mask)):
                    kwargs[given] = mask
    return kwargs
