"""Gradients inside a training step, which every backend takes in its own way."""

from typing import Any

import keras
from keras import ops


def jacobian(function: Any, values: Any) -> Any:
    """Returns for each value the gradients of all numbers that a function makes of the values.

    Args:
        function: Takes the values and returns `(count,)` numbers.
        values: List of tensors. What they were made from is left out of the gradient.

    Returns:
        List of tensors of shape `(count, *value.shape)`, zeros where there is no gradient.
    """
    values = [ops.stop_gradient(value) for value in values]
    if keras.backend.backend() == "jax":
        import jax

        return jax.jacrev(function)(values)
    if keras.backend.backend() == "torch":
        import torch

        values = [value.requires_grad_() for value in values]
        by_number = [
            torch.autograd.grad(number, values, retain_graph=True, materialize_grads=True)
            for number in ops.unstack(function(values))
        ]
    else:
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as tape:
            tape.watch(values)
            numbers = ops.unstack(function(values))
        by_number = [
            tape.gradient(number, values, unconnected_gradients="zero") for number in numbers
        ]
    return [ops.stack([*map(ops.convert_to_tensor, by)]) for by in zip(*by_number, strict=True)]


def with_gradient(loss: Any, variables: Any, gradients: Any) -> Any:
    """Returns a loss whose gradient is the given one, and no other."""
    linear = 0.0
    for variable, gradient in zip(variables, gradients, strict=True):
        gradient = ops.stop_gradient(ops.cast(gradient, "float32"))
        linear = linear + ops.sum(gradient * ops.cast(variable, "float32"))
    return ops.stop_gradient(loss) + (linear - ops.stop_gradient(linear))
