"""Ways to run parallel components of which every row uses one.

A way is a function `(layer, x, weights, training)` that returns what `layer.mixture` would, `layer`
a `RoutedModular`. It leaves out what nobody asked for, as far as that can be known.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_mtl.layers.components.block_kernels import (
    in_blocks,
    in_parts,
    kernels_at,
    with_kernel,
)
from keras_mtl.layers.components.component_state import has_state, kept_where
from keras_mtl.layers.components.row_blocks import row_blocks, sorted_rows
from keras_mtl.types import Tensor


def all_on_all_rows(layer: keras.Layer, x: Tensor, weights: Any, training: bool) -> Any:
    """Runs every component on every row."""
    return layer.mixture(x, weights, training)


def one_kernel_or(otherwise: Any) -> Any:
    """Returns a way for equal components: one kernel, if all rows chose it, else another way."""

    def way(layer, x, weights, training):
        return ops.cond(
            ops.all(weights == weights[:1]),  # a NaN is not the same as itself
            lambda: with_kernel(
                layer.components[0], x, *kernels_at(layer.components, _choice_of(weights, axis=0))
            ),
            lambda: otherwise(layer, x, weights, training),
        )

    return way


def kernels_of_routes(layer: keras.Layer, x: Tensor, weights: Any, training: bool) -> Any:
    """Applies to each block of rows the kernel on its route."""
    return _by_block(layer, x, layer.routes)


def kernels_of_blocks(layer: keras.Layer, x: Tensor, weights: Any, training: bool) -> Any:
    """Applies to each block of rows the kernel that was drawn for it."""
    drawn = ops.reshape(weights, (layer.num_blocks, -1, len(layer.components)))
    return _by_block(layer, x, _choice_of(drawn, axis=1))


def _by_block(layer: keras.Layer, x: Tensor, indices: Any) -> Any:
    alone = layer.num_repeats == layer.num_blocks
    return in_blocks(layer.components, x, indices, layer.num_blocks, alone)


def along_routes(layer: keras.Layer, x: Tensor, weights: Any, training: bool) -> Tensor:
    """Calls each component once, on the rows of its tasks."""
    if layer.num_repeats == layer.num_blocks:
        outputs = {index: layer.components[index](x) for index in set(layer.routes)}
        blocks = [outputs[index] for index in layer.routes]
        return ops.cast(ops.concatenate(blocks), layer.compute_dtype)
    rows = keras.tree.map_structure(lambda leaf: ops.split(leaf, layer.num_blocks), x)
    blocks = [None] * layer.num_blocks
    for index in dict.fromkeys(layer.routes):
        own = [block for block, other in enumerate(layer.routes) if other == index]
        joined = keras.tree.map_structure_up_to(
            x, lambda parts, own=own: ops.concatenate([parts[block] for block in own]), rows
        )
        outputs = ops.split(layer.components[index](joined), len(own))
        for block, output in zip(own, outputs, strict=True):
            blocks[block] = output
    return ops.cast(ops.concatenate(blocks), layer.compute_dtype)


def each_on_its_rows(layer: keras.Layer, x: Tensor, weights: Any, training: bool) -> Any:
    """Runs each component on its own rows, however many chose it."""
    indices = ops.argmax(weights, axis=-1)
    chosen = [ops.nonzero(indices == index)[0] for index in range(len(layer.components))]
    answers = [_on_rows(c, x, r) for c, r in zip(layer.components, chosen, strict=True)]
    answers = [ops.cast(answer, layer.compute_dtype) for answer in answers]
    return _in_order(ops.concatenate(answers), ops.argsort(ops.concatenate(chosen)), weights)


def equals_on_their_rows(layer: keras.Layer, x: Tensor, weights: Any, training: bool) -> Any:
    """Runs equal components without state, each on its own rows, however many chose it."""
    indices = ops.cast(ops.argmax(weights, axis=-1), "int32")
    rows, components, slots = sorted_rows(indices, len(layer.components))
    return _in_order(in_parts(layer.components, x, rows, components), slots, weights)


def in_sorted_blocks(layer: keras.Layer, x: Tensor, weights: Any, training: bool) -> Any:
    """Runs equal components on rows that are sorted into blocks of one component, of fixed size.

    A block costs a copy of a kernel, and computes its empty rows too. So it has rows with about as
    many places as a kernel has outputs: with convolutions as a rule one row.
    """
    components, num_rows = layer.components, weights.shape[0]
    indices = ops.cast(ops.argmax(weights, axis=-1), "int32")
    *places, num_outputs = components[0].compute_output_shape(x.shape)[1:]
    most = -(-num_rows // len(components))
    size = max(1, min(most, num_outputs // max(1, math.prod(places))))
    if size == 1:
        outputs = in_blocks(components, x, indices, num_rows)
        return _in_order(outputs, None, weights)
    rows, slots, of_blocks = row_blocks(indices, len(components), size)
    outputs = in_blocks(components, ops.take(x, rows, axis=0), of_blocks, of_blocks.shape[0])
    return _in_order(outputs, slots, weights)


def _in_order(outputs: Any, slots: Any, weights: Any) -> Any:
    """Puts what was answered for rows back in their order, which `None` says they have."""
    total = ops.sum(weights, axis=-1)  # 1, or NaN
    total = ops.reshape(total, (-1, *[1] * (len(outputs.shape) - 1)))
    return (outputs if slots is None else ops.take(outputs, slots, axis=0)) * total


def _on_rows(component: keras.Layer, x: Tensor, rows: Any) -> Any:
    """Runs a component on some rows; TensorFlow convolves no empty batch."""

    def taken(rows):
        return keras.tree.map_structure(lambda leaf: ops.take(leaf, rows, axis=0), x)

    if not has_state(component):
        with_first = ops.concatenate([ops.zeros((1,), rows.dtype), rows])
        return component(taken(with_first))[1:]
    number = ops.shape(rows)[0]
    or_first = ops.concatenate([rows, ops.zeros((1,), rows.dtype)])[: ops.maximum(number, 1)]
    with kept_where(ops.equal(number, 0), component):
        return component(taken(or_first))[:number]


def _choice_of(weights: Any, axis: Any) -> Tensor:
    """Returns the component that equal rows along an axis have chosen; of no rows, the first."""
    return ops.argmax(ops.sum(weights, axis=axis), axis=-1)
