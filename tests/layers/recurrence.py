"""What the tests of recurrent layers share: sequences, an LSTM in NumPy, random weights."""

import numpy as np
from keras import layers, ops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 6)).astype("float32")  # B = 3, 5 steps, D = 6
LENGTHS = [5, 3, 1]
MASK = np.arange(5) < np.array(LENGTHS)[:, None]
PADDED = np.where(MASK[..., None], X, 99.0).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def randomized(layer, *inputs):
    """Calls a layer and gives every weight, biases too, a random value."""
    layer(*inputs)
    for variable in layer.trainable_variables:
        variable.assign(0.5 * RNG.normal(size=variable.shape))
    return layer


def lstm(weights, x=X, mask=None):
    """Returns what a stock LSTM of these weights answers."""
    layer = layers.LSTM(weights[1].shape[0], return_sequences=True)
    layer.build((None, None, x.shape[-1]))
    layer.set_weights(weights)
    return array(layer(x, mask=mask))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(weights, x, hidden, cell):
    """Returns an LSTM's new cell state and its output gate."""
    kernel, recurrent_kernel, bias = weights
    projected = x @ kernel + hidden @ recurrent_kernel + bias
    write, keep, candidate, output = np.split(projected, 4, axis=-1)
    cell = sigmoid(keep) * cell + sigmoid(write) * np.tanh(candidate)
    return cell, sigmoid(output)


def assert_close(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
