"""Gradients of a scalar with respect to Keras variables, on whichever backend runs."""

import keras
import numpy as np


def gradients(function, variables):
    """Returns the gradients of `function()` as NumPy arrays; zeros where it has none."""
    found = _BACKENDS[keras.backend.backend()](function, variables)
    return [
        np.zeros(variable.shape, "float32")
        if gradient is None
        else keras.ops.convert_to_numpy(gradient)
        for gradient, variable in zip(found, variables, strict=True)
    ]


def gradient(function, variable):
    """Returns the gradient of `function()` with respect to one variable."""
    return gradients(function, [variable])[0]


def _tensorflow(function, variables):
    import tensorflow as tf

    values = [variable.value for variable in variables]
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = function()
    return [
        None if found is None else tf.convert_to_tensor(found)  # a gather's gradient is sparse
        for found in tape.gradient(loss, values)
    ]


def _jax(function, variables):
    import jax

    def stateless(values):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            return function()

    return jax.grad(stateless)([variable.value for variable in variables])


def _torch(function, variables):
    import torch

    return torch.autograd.grad(
        function(), [variable.value for variable in variables], allow_unused=True
    )


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
