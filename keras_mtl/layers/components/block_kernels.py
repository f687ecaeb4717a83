"""Kernels of equal components, each applied to the rows of those who chose it."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.layers.components.drawn_shapes import may_depend_on_draws
from keras_mtl.layers.components.patches import patches
from keras_mtl.layers.fusion import applied
from keras_mtl.types import Tensor


def in_blocks(
    components: Sequence[keras.Layer], x: Tensor, indices: Any, num_blocks: Any, alone: bool = False
) -> Tensor:
    """Applies the kernel of the component at an index to each block of rows.

    Dense layers are one product of all blocks. On JAX convolutions are too, of what they read at
    each place: it compiles every convolution that it is given by itself, minutes for a few hundred.

    Args:
        components: List of equal Dense or convolutions.
        x: Rows, block after block.
        indices: The component of each block, a list or a tensor.
        num_blocks: How many blocks there are.
        alone: Whether `x` is one block, which all tasks read. Defaults to `False`.
    """
    first = components[0]
    kernels, biases = kernels_at(components, indices)
    dense = isinstance(first, keras.layers.Dense)
    if dense or not may_depend_on_draws():
        read = x if dense else patches(first, x)
        rows = ops.reshape(read, (1 if alone else num_blocks, -1, read.shape[-1]))
        outputs = ops.matmul(rows, ops.reshape(kernels, (num_blocks, read.shape[-1], -1)))
        outputs = finished(first, outputs, None if biases is None else biases[:, None])
        return ops.reshape(outputs, (-1, *ops.shape(read)[1:-1], outputs.shape[-1]))
    rows = [x] * num_blocks if alone else ops.split(x, num_blocks)
    return ops.concatenate(
        [
            with_kernel(first, block, kernels[index], None if biases is None else biases[index])
            for index, block in enumerate(rows)
        ]
    )


def in_parts(components: Sequence[keras.Layer], x: Tensor, rows: Any, indices: Any) -> Tensor:
    """Applies kernels of equal components, each to rows of its own, where sizes need not be known.

    Args:
        components: List of equal Dense or convolutions.
        x: What rows are taken of.
        rows: Places of rows in `x`, those of a component one after the other.
        indices: The component of each row, rising.
    """
    first, ends = components[0], ops.cumsum(ops.bincount(indices, minlength=len(components)))
    starts = ops.concatenate([ops.zeros_like(ends[:1]), ends[:-1]])
    parts = [
        applied(component, ops.take(x, rows[starts[at] : ends[at]], axis=0), component.kernel)
        for at, component in enumerate(components)
    ]
    outputs = ops.concatenate(parts)
    if not first.use_bias:
        return finished(first, outputs, None)
    biases = ops.take(stacked([component.bias for component in components]), indices, axis=0)
    between = (1,) * (len(outputs.shape) - 2)
    return finished(first, outputs, ops.reshape(biases, (-1, *between, outputs.shape[-1])))


def with_kernel(component: keras.Layer, x: Tensor, kernel: Any, bias: Any) -> Any:
    """Returns what a component like the given one answers, with another kernel and bias."""
    return finished(component, applied(component, x, kernel), bias)


def finished(component: keras.Layer, outputs: Any, bias: Any) -> Any:
    """Returns the answer of a component, of what its kernel has made."""
    if bias is not None:
        outputs = outputs + bias
    return outputs if component.activation is None else component.activation(outputs)


def kernels_at(components: Sequence[keras.Layer], indices: Any) -> Any:
    """Returns stacked kernels and biases (or `None`) of the components at indices."""
    known = isinstance(indices, list)
    chosen = [components[index] for index in indices] if known else components
    found = []
    for name in ["kernel", "bias"] if components[0].use_bias else ["kernel"]:
        stack = stacked([getattr(one, name) for one in chosen])
        found.append(stack if known else ops.take(stack, indices, axis=0))
    return found if len(found) == 2 else [*found, None]


def stacked(weights: Sequence[keras.Variable]) -> Any:
    """Returns equal weights, one after the other along a new first axis."""
    stack = ops.concatenate(weights, axis=0)  # TensorFlow stacks no variables
    return ops.reshape(stack, (len(weights), *weights[0].shape))
