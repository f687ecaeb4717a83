"""Parts of recurrent layers: a loop over time, the gates of an LSTM."""

import itertools
import math
from typing import Any

import keras
from keras import ops

from keras_mtl.types import Shape, Tensor


def masked_scan(step: Any, units: Any, sequences: Any, mask: Any = None) -> Any:
    """Runs a recurrence over time and returns its first state after every step.

    `step(states, inputs)` gets lists of tensors `(batch, ...)`, the states and what every
    sequence holds at one time step, and returns the list of the next states. Whatever needs
    no state is cheaper outside of it, for all steps at once.

    Args:
        step: Function as above.
        units: List of the sizes of the states, which start at 0.
        sequences: List of tensors `(batch, steps, ...)`.
        mask: `(batch, steps)` booleans, `False` where the states stay as they are, or `None`.
            Defaults to `None`.

    Returns:
        Tensor `(batch, steps, units[0])`.

    Example:

    >>> x = keras.ops.reshape(keras.ops.arange(4.0), (1, 4, 1))
    >>> mask = keras.ops.array([[False, True, False, True]])
    >>> sums = masked_scan(lambda states, inputs: [states[0] + inputs[0]], [1], [x], mask)
    >>> keras.ops.convert_to_numpy(sums[0, :, 0]).tolist()
    [0.0, 1.0, 1.0, 4.0]
    """
    num_steps = ops.shape(sequences[0])[1]
    shapes = [tuple(sequence.shape[2:]) for sequence in sequences]
    flat = [
        ops.reshape(sequence, (-1, num_steps, math.prod(shape)))
        for sequence, shape in zip(sequences, shapes, strict=True)
    ]
    cell = _Cell(step, units, shapes, dtype=flat[0].dtype, name="cell")
    loop = keras.layers.RNN(cell, return_sequences=True, dtype=flat[0].dtype, name="loop")
    return loop(ops.concatenate(flat, axis=-1), mask=mask)


class _Cell(keras.layers.Layer):
    """A step in the form that `keras.layers.RNN` reads: one input tensor, no weights.

    `keras.ops.scan` in its place cannot be compiled by XLA for sequences of unknown length.
    """

    def __init__(self, step: Any, units: Any, shapes: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_size = tuple(units)
        self._step = step
        self._shapes = shapes
        self._ends = [0, *itertools.accumulate(math.prod(shape) for shape in shapes)]

    def call(self, x: Tensor, states: Any) -> Any:
        inputs = [
            ops.reshape(x[:, start:end], (-1, *shape)) if len(shape) > 1 else x[:, start:end]
            for shape, (start, end) in zip(
                self._shapes, itertools.pairwise(self._ends), strict=True
            )
        ]
        states = self._step(list(states), inputs)
        return states[0], states


def lstm_gates(preactivation: Any, cell: Any) -> tuple[Any, Any]:
    """Returns an LSTM's new cell state and its output gate; gates in Keras's order."""
    write, keep, candidate, output = ops.split(preactivation, 4, axis=-1)
    cell = ops.sigmoid(keep) * cell + ops.sigmoid(write) * ops.tanh(candidate)
    return cell, ops.sigmoid(output)


def check_sequence(name: str, shape: Shape) -> None:
    """Raises a `ValueError` when a recurrent layer is called on what is no sequence."""
    if len(shape) != 3:
        raise ValueError(
            f"{name!r} reads sequences, (batch, steps, features). Received: {tuple(shape)}"
        )
