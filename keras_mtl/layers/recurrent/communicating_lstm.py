"""An LSTM that listens to others while it reads."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.recurrent.scan import check_sequence, lstm_gates, masked_scan
from keras_mtl.types import Shape, Tensor

_CLOSED = -1e9  # score of a padded step


@keras.saving.register_keras_serializable("keras_mtl")
class CommunicatingLSTM(keras.layers.Layer):
    """Reads a sequence as an LSTM, with messages from the states of other LSTMs.

    At each step the layer attends to messages `m_i`, with weights that depend on its own last
    state h and its input x: `softmax over i of score . tanh(W [m_i; h; x])`. Their weighted
    sum r goes into the output: with the LSTM's new cell c and its output gate o,
    `h = o * tanh(c + sigmoid(U [r; c]) * V r)`. Without messages it is a plain LSTM, of the
    same weights, whose states may be the messages of others.

    Source: Liu et al., "Multi-task learning over graph structures", AAAI 2019,
    https://arxiv.org/abs/1811.10211. Differs from the paper: the equations are those of a
    public sketch of its cell, not checked against the paper's; a task that sends runs without
    messages, so that tasks do not wait for each other.

    Args:
        units: Units of the LSTM, of its messages and of the attention.

    Call arguments:
        x: `(batch, steps, features)`.
        messages: List of tensors `(batch, steps, units)`, one per sender: at each step the
            layer attends to what they send at that step. One such tensor: at each step it
            attends to all steps of that sender. `None`: no messages.
        mask: `(batch, steps)` booleans, `False` where there is only padding, which nobody
            attends to. States stay as they are there. `x_mask` is the same: Keras fills it
            when there are messages.

    Output shape:
        `(batch, steps, units)`.

    Weights:
        lstm/lstm_cell: as of a `keras.layers.LSTM`.
        attention_kernel: `(2 * units + features, units)`, W; rows for message, state, input.
        attention_score: `(units, 1)`.
        gate_kernel: `(2 * units, units)`, U; rows for message, cell.
        message_kernel: `(units, units)`, V.

    Raises:
        ValueError: An input that is no sequence, messages of another width.

    Example:

    >>> x = keras.ops.ones((3, 7, 5))
    >>> first, second = CommunicatingLSTM(4), CommunicatingLSTM(4)
    >>> tuple(second(x, [first(x)]).shape)
    (3, 7, 4)
    """

    def __init__(self, units: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units = checks.count("units", units)
        self.lstm = keras.layers.LSTM(
            units, return_sequences=True, dtype=self.dtype_policy, name="lstm"
        )
        self.supports_masking = True

    def build(self, x_shape: Any, messages_shape: Shape | None = None) -> None:
        check_sequence(self.name, x_shape)
        for shape in _each(messages_shape):
            if len(shape) != 3 or shape[-1] != self.units:
                raise ValueError(
                    f"{self.name!r} needs messages of shape (batch, steps, {self.units}), the "
                    f"units of its own LSTM. Received: {tuple(shape)}"
                )
        self.lstm.build(x_shape)
        units = self.units
        self.attention_kernel = self.add_weight(
            shape=(2 * units + x_shape[-1], units), name="attention_kernel"
        )
        self.attention_score = self.add_weight(shape=(units, 1), name="attention_score")
        self.gate_kernel = self.add_weight(shape=(2 * units, units), name="gate_kernel")
        self.message_kernel = self.add_weight(shape=(units, units), name="message_kernel")

    def call(self, x: Tensor, messages: Any = None, mask: Any = None, x_mask: Any = None) -> Any:
        mask = x_mask if mask is None else mask
        if messages is None:
            return self.lstm(x, mask=mask)
        units, weights = self.units, self.lstm.cell
        at_each_step = isinstance(messages, list | tuple)
        if at_each_step:
            messages = ops.stack(messages, axis=2)
        of_message, of_state, of_input = ops.split(
            ops.convert_to_tensor(self.attention_kernel), [units, 2 * units], axis=0
        )
        keys = ops.matmul(messages, of_message)

        def step(states, inputs):
            hidden, cell = states
            projected, query, *said = inputs
            now_keys, now_messages = said or (keys, messages)
            cell, output = lstm_gates(
                projected + ops.matmul(hidden, weights.recurrent_kernel), cell
            )
            query = ops.expand_dims(query + ops.matmul(hidden, of_state), axis=1)
            scores = ops.matmul(ops.tanh(now_keys + query), self.attention_score)
            attention = self._attention(scores, None if said else mask)
            message = ops.sum(attention * now_messages, axis=1)
            gate = ops.matmul(ops.concatenate([message, cell], axis=-1), self.gate_kernel)
            heard = ops.sigmoid(gate) * ops.matmul(message, self.message_kernel)
            return [output * ops.tanh(cell + heard), cell]

        sequences = [ops.matmul(x, weights.kernel) + weights.bias, ops.matmul(x, of_input)]
        if at_each_step:
            sequences += [keys, messages]
        return masked_scan(step, [units, units], sequences, mask)

    def _attention(self, scores: Any, mask: Any) -> Tensor:
        """Returns weights `(batch, messages, 1)` that sum to 1; padding has none."""
        scores = ops.cast(scores, "float32")
        if mask is not None:
            scores = ops.where(ops.expand_dims(mask, axis=-1), scores, _CLOSED)
        attention = ops.exp(ops.log_softmax(scores, axis=1))  # softmax warns of one message
        return ops.cast(attention, self.compute_dtype)

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return previous_mask

    def compute_output_shape(self, x_shape: Any, messages_shape: Shape | None = None) -> Any:
        return (*x_shape[:2], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def _each(shapes: Any) -> Any:
    """Returns the shapes of one tensor, of a list of tensors, or of none, as a list."""
    if shapes is None:
        return []
    return list(shapes) if isinstance(shapes[0], list | tuple) else [shapes]
