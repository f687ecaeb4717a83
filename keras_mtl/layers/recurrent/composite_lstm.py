"""GIRNet's recurrence: several LSTMs that take turns on one state."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.recurrent.scan import check_sequence, lstm_gates, masked_scan
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class CompositeLSTM(keras.layers.Layer):
    """Runs LSTMs side by side, or as one whose steps they make together.

    Without gates every LSTM reads the sequence on its own. With gates there is one composite
    state: at each step every LSTM makes its step from it, and the next one is `gates[0] *
    the state as it was + sum of gates[i] * the state of LSTM i`, for the hidden and the cell
    state alike. Both uses share their weights.

    Source: Gupta et al., "GIRNet: interleaved multi-task recurrent state sequence models",
    AAAI 2019, https://ojs.aaai.org/index.php/AAAI/article/view/4615.

    Args:
        units: Units of each LSTM.
        num_lstms: Number of LSTMs.

    Call arguments:
        x: `(batch, steps, features)`.
        gates: `(batch, steps, 1 + num_lstms)`, numbers that sum to 1 at each step, or `None`
            for LSTMs that run alone.
        mask: `(batch, steps)` booleans, `False` where there is only padding. States stay as
            they are there. `x_mask` is the same: Keras fills it when there are gates.

    Output shape:
        List of `num_lstms` tensors `(batch, steps, units)`; with gates one such tensor.

    Weights:
        lstm_1/lstm_cell, lstm_2/lstm_cell, ...: as of a `keras.layers.LSTM`.

    Raises:
        ValueError: An input that is no sequence, gates of another width.

    Example:

    >>> layer = CompositeLSTM(4, num_lstms=2)
    >>> x = keras.ops.ones((3, 7, 5))
    >>> [tuple(states.shape) for states in layer(x)]
    [(3, 7, 4), (3, 7, 4)]
    >>> second = keras.ops.tile(keras.ops.array([0.0, 0.0, 1.0]), (3, 7, 1))
    >>> bool(keras.ops.all(abs(layer(x, second) - layer(x)[1]) < 1e-6))
    True
    """

    def __init__(self, units: Any, num_lstms: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units = checks.count("units", units)
        self.num_lstms = num_lstms = checks.count("num_lstms", num_lstms)
        self.lstms = [
            keras.layers.LSTM(
                units, return_sequences=True, dtype=self.dtype_policy, name=f"lstm_{index}"
            )
            for index in range(1, num_lstms + 1)
        ]
        self.supports_masking = True

    def build(self, x_shape: Any, gates_shape: Shape | None = None) -> None:
        check_sequence(self.name, x_shape)
        if gates_shape is not None and gates_shape[-1] != 1 + self.num_lstms:
            raise ValueError(
                f"{self.name!r} needs {1 + self.num_lstms} gates per step, one that keeps the "
                f"state and one for each of {self.num_lstms} LSTMs. Received: {tuple(gates_shape)}"
            )
        for lstm in self.lstms:
            lstm.build(x_shape)

    def call(self, x: Tensor, gates: Any = None, mask: Any = None, x_mask: Any = None) -> Any:
        mask = x_mask if mask is None else mask
        if gates is None:
            return [lstm(x, mask=mask) for lstm in self.lstms]
        kernel, recurrent_kernel, bias = (
            ops.concatenate([getattr(lstm.cell, name) for lstm in self.lstms], axis=-1)
            for name in ("kernel", "recurrent_kernel", "bias")
        )

        def step(states, inputs):
            hidden, cell = states
            projected, keep, use = inputs
            projected = projected + ops.matmul(hidden, recurrent_kernel)
            projected = ops.reshape(projected, (-1, self.num_lstms, 4 * self.units))
            cells, outputs = lstm_gates(projected, ops.expand_dims(cell, axis=1))
            return [
                keep * hidden + ops.sum(use * outputs * ops.tanh(cells), axis=1),
                keep * cell + ops.sum(use * cells, axis=1),
            ]

        keep, use = gates[..., :1], ops.expand_dims(gates[..., 1:], axis=-1)
        projected = ops.matmul(x, kernel) + bias
        return masked_scan(step, [self.units, self.units], [projected, keep, use], mask)

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return [previous_mask] * self.num_lstms

    def compute_output_shape(self, x_shape: Any, gates_shape: Shape | None = None) -> Any:
        shape = (*x_shape[:2], self.units)
        return [shape] * self.num_lstms if gates_shape is None else shape

    def frozen(self, call: FrozenCall, x: Tensor, gates: Any = None) -> Any:
        """LSTMs that run alone become stock ones; the composite stays what it is."""
        if gates is not None:
            return call.copy(self, x, gates)
        call = call.inside(self)
        return [call(lstm, x, mask=call.mask) for lstm in self.lstms]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "num_lstms": self.num_lstms}
