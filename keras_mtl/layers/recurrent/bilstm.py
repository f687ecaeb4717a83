"""A bidirectional LSTM that keeps its two directions apart."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.types import Tensor

DIRECTIONS = 2


@keras.saving.register_keras_serializable("keras_mtl")
class BiLSTM(keras.layers.Layer):
    """An LSTM forwards and an LSTM backwards in time, side by side.

    The output has an axis for the direction, so that what follows can treat both alike: a
    `Sluice` splits the units of each direction into subspaces, never forwards from
    backwards. Both directions stand in the order of time: step t of the backward half has
    read the sequence from its end to t. `JoinDirections` puts the halves side by side.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142, section 5, which does not say how directions meet between
    layers; its code keeps them apart, which is `direction="separate"`. Differs from that
    code: the directions have weights of their own, and each keeps its order of time in every
    layer (there the backward states enter the second layer reversed).

    Args:
        units: Units of each direction.
        direction: What a layer reads of the two directions of a layer before it:
            `"separate"`: its own; `"concat"`: both, as a stack of `keras.layers.Bidirectional`
            does. Defaults to `"separate"`.
        kernel_regularizer: Of the weights of the input, in both directions. Defaults to
            `None`.
        recurrent_regularizer: Of the weights of the state, in both directions. Defaults to
            `None`.

    Call arguments:
        x: `(batch, steps, features)`, read by both directions, or the output of a `BiLSTM`,
            `(batch, steps, 2, features)`.
        mask: `(batch, steps)` booleans, `False` where there is only padding. The state stays
            as it is there, and so does the output.

    Output shape:
        `(batch, steps, 2, units)`, index 0 = forwards.

    Weights:
        forward/lstm_cell, backward/lstm_cell: kernel `(features, 4 * units)`,
            recurrent_kernel `(units, 4 * units)`, bias `(4 * units,)`; gates in Keras's
            order: input, forget, candidate, output.

    Raises:
        ValueError: An unknown `direction`, an input that is no sequence.

    Example:

    >>> x = keras.ops.ones((3, 7, 5))
    >>> tuple(BiLSTM(4)(BiLSTM(6)(x)).shape)
    (3, 7, 2, 4)
    """

    def __init__(
        self,
        units: Any,
        direction: str = "separate",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = checks.count("units", units)
        self.direction = checks.word("direction", direction, ("separate", "concat"))
        self.kernel_regularizer = checks.known_to_keras(
            "kernel_regularizer", kernel_regularizer, keras.regularizers.get
        )
        self.recurrent_regularizer = checks.known_to_keras(
            "recurrent_regularizer", recurrent_regularizer, keras.regularizers.get
        )
        self.supports_masking = True

    def build(self, shape: Any) -> None:
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[2] != DIRECTIONS):
            raise ValueError(
                f"{self.name!r} reads a sequence, (batch, steps, features), or the output of "
                f"another BiLSTM, (batch, steps, 2, features). Received: {tuple(shape)}"
            )
        features = shape[-1]
        if len(shape) == 4 and self.direction == "concat":
            features *= DIRECTIONS
        self.forward_layer = self._new_lstm("forward", go_backwards=False)
        self.backward_layer = self._new_lstm("backward", go_backwards=True)
        for layer in (self.forward_layer, self.backward_layer):
            layer.build((shape[0], shape[1], features))

    def _new_lstm(self, name: str, go_backwards: Any) -> Any:
        return keras.layers.LSTM(
            self.units,
            return_sequences=True,
            go_backwards=go_backwards,
            kernel_regularizer=self.kernel_regularizer,
            recurrent_regularizer=self.recurrent_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, x: Tensor, mask: Any = None) -> Any:
        return self._both(x, mask, self.forward_layer, self.backward_layer)

    def _both(self, x: Tensor, mask: Any, forward: Any, backward: Any) -> Tensor:
        first = last = x
        if len(x.shape) == 4:
            first, last = x[:, :, 0], x[:, :, 1]
            if self.direction == "concat":
                first = last = ops.concatenate([first, last], axis=-1)
        states = [forward(first, mask=mask), ops.flip(backward(last, mask=mask), axis=1)]
        return ops.stack(states, axis=2)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:2], DIRECTIONS, self.units)

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes two stock LSTMs."""
        call = call.inside(self)
        forward, backward = partial(call, self.forward_layer), partial(call, self.backward_layer)
        return self._both(x, call.mask, forward, backward)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "direction": self.direction,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "recurrent_regularizer": keras.regularizers.serialize(self.recurrent_regularizer),
        }


@keras.saving.register_keras_serializable("keras_mtl")
class JoinDirections(keras.layers.Layer):
    """Puts the directions of a `BiLSTM` side by side, as one vector per step.

    Input shape:
        `(batch, steps, 2, units)`.

    Output shape:
        `(batch, steps, 2 * units)`: forwards, then backwards.

    Example:

    >>> x = keras.ops.reshape(keras.ops.arange(4), (1, 1, 2, 2))
    >>> keras.ops.convert_to_numpy(JoinDirections()(x)).tolist()
    [[[0, 1, 2, 3]]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x: Tensor) -> Any:
        return ops.concatenate([x[:, :, 0], x[:, :, 1]], axis=-1)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:2], shape[2] * shape[3])

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes stock operations."""
        return self.call(x)
