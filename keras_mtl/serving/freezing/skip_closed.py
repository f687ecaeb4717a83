"""Serving that really skips: a block runs on the examples whose gate is open, and on no others."""

from typing import Any, Self

import keras

from keras_mtl.layers import SkippableBlock


@keras.saving.register_keras_serializable("keras_mtl")
class SkipClosed(keras.layers.Layer):
    """Runs a network on the examples whose gate is open; the others go on as they are.

    The open ones are gathered, computed, and put back in their places. With one example and a
    closed gate nothing is computed. Where gates decide at every step, an example is computed if
    its gate is open at any; closed steps then go on as they are. TensorFlow only: other backends
    know no number of examples that depends on the data.

    Args:
        network: A `keras.Model` of `[x, shortcut]` that returns a tensor like the shortcut.

    Call arguments:
        x: `(batch, ...)`, what the block reads.
        shortcut: `(batch, ...)`, what goes on without the block.
        gate: `(batch, 1)` or `(batch, steps, 1)`, 1 where an example, or a step of it, executes
            the block, else 0.

    Output shape:
        That of the shortcut.

    Example:

    >>> x, shortcut = keras.Input((2,)), keras.Input((2,))
    >>> layer = SkipClosed(keras.Model([x, shortcut], shortcut + 10 * x))
    >>> ones = keras.ops.ones((2, 2))
    >>> layer(ones, ones, keras.ops.array([[0.0], [1.0]])).numpy().tolist()
    [[1.0, 1.0], [11.0, 11.0]]
    """

    def __init__(self, network: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network

    def call(self, x: Any, shortcut: Any, gate: Any) -> Any:
        import tensorflow as tf

        per_step = len(gate.shape) == 3
        rows = tf.where(tf.reduce_any(gate > 0, axis=[1, 2] if per_step else [1]))

        def with_open_rows():
            own_shortcut = tf.gather_nd(shortcut, rows)
            answers = self.network([tf.gather_nd(x, rows), own_shortcut])
            if per_step:
                own_gate = tf.gather_nd(gate, rows)
                answers = SkippableBlock.interpolated(own_gate, answers, own_shortcut)
            return tf.tensor_scatter_nd_update(shortcut, rows, answers)

        # Not even an empty batch may pass: its convolutions answer in the shape of their input.
        return tf.cond(tf.size(rows) > 0, with_open_rows, lambda: shortcut)

    def compute_output_shape(self, x_shape: Any, shortcut_shape: Any, gate_shape: Any) -> Any:
        return shortcut_shape

    def get_config(self) -> dict[str, Any]:
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})
