"""Kernels of equal components, each applied to the rows of those who chose it."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.layers.fusion import applied
from keras_mtl.types import Tensor


def in_blocks(
    components: Sequence[keras.Layer], x: Tensor, indices: Any, num_blocks: Any, alone: bool = False
) -> Tensor:
    """Applies the kernel of the component at an index to each block of rows.

    Args:
        components: List of equal Dense or convolutions.
        x: Rows, block after block.
        indices: The component of each block, a list or a tensor.
        num_blocks: How many blocks there are.
        alone: Whether `x` is one block, which all tasks read. Defaults to `False`.
    """
    kernels, biases = kernels_at(components, indices)
    if isinstance(components[0], keras.layers.Dense):
        rows = ops.reshape(x, (1 if alone else num_blocks, -1, x.shape[-1]))
        biases = None if biases is None else biases[:, None]
        outputs = with_kernel(components[0], rows, kernels, biases)
        return ops.reshape(outputs, (-1, *ops.shape(x)[1:-1], outputs.shape[-1]))
    rows = [x] * num_blocks if alone else ops.split(x, num_blocks)
    return ops.concatenate(
        [
            with_kernel(
                components[0], block, kernels[index], None if biases is None else biases[index]
            )
            for index, block in enumerate(rows)
        ]
    )


def with_kernel(component: keras.Layer, x: Tensor, kernel: Any, bias: Any) -> Any:
    """Returns what a component like the given one answers, with another kernel and bias."""
    outputs = applied(component, x, kernel)
    if bias is not None:
        outputs = outputs + bias
    return outputs if component.activation is None else component.activation(outputs)


def kernels_at(components: Sequence[keras.Layer], indices: Any) -> Any:
    """Returns stacked kernels and biases (or `None`) of the components at indices."""
    known = isinstance(indices, list)
    chosen = [components[index] for index in indices] if known else components
    found = []
    for name in ["kernel", "bias"] if components[0].use_bias else ["kernel"]:
        weights = [getattr(one, name) for one in chosen]
        stack = ops.concatenate(weights, axis=0)  # TensorFlow stacks no variables
        stack = ops.reshape(stack, (len(weights), *weights[0].shape))
        found.append(stack if known else ops.take(stack, indices, axis=0))
    return found if len(found) == 2 else [*found, None]
