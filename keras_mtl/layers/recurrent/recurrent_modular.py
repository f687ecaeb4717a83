"""A modular encoder over whole sequences: the cell's answers, several times as fast."""

from typing import Any, Self

import keras
from keras import ops

from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.recurrent.recurrent_modular_cell import RecurrentModularCell
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class RecurrentModular(keras.layers.Layer):
    """Runs a `RecurrentModularCell` over sequences, everything but the LSTM at once.

    No decision enters the recurrence: after the LSTM cells have read the sequence, policies
    and sub-encoders run on all time steps together.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, Eqs. 1 to 5.

    Args:
        cell: A `RecurrentModularCell`.

    Call arguments:
        x: `(batch, steps, features)`.
        mask: `(batch, steps)` booleans, `False` where there is only padding. The LSTM states
            stay as they are there.
        training: Whether decisions are drawn.

    Output shape:
        A pair: outputs of all sub-encoders, layer by layer,
        `(batch, steps, sum(num_sub_encoders), units[-1])`; and the decisions, 1 where a
        connection is open, `(batch, steps, connections)`.

    Weights:
        cell: as of `RecurrentModularCell`.

    Example:

    >>> from keras_mtl.layers import RecurrentModularCell
    >>> encoder = RecurrentModular(RecurrentModularCell(2, 4, (3, 3), (6,), seed=0))
    >>> outputs, decisions = encoder(keras.ops.ones((5, 7, 8)))
    >>> tuple(outputs.shape), tuple(decisions.shape)
    ((5, 7, 6, 6), (5, 7, 15))
    """

    def __init__(self, cell: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(cell, RecurrentModularCell):
            raise ValueError(f"cell must be a RecurrentModularCell. Received: {cell!r}")
        self.cell = cell
        self.seen: Any = None
        self.seen_mask: Any = None
        self.supports_masking = True

    def build(self, shape: Shape) -> None:
        if len(shape) != 3:
            raise ValueError(
                f"{self.name!r} reads sequences, (batch, steps, features). Received: {tuple(shape)}"
            )
        if not self.cell.built:
            self.cell.build((shape[0], shape[2]))

    def call(self, x: Tensor, mask: Any = None, training: bool = False) -> Any:
        answer = self.cell.encode(self._sources(x, mask), training=training)
        self.seen, self.seen_mask, self.cell.seen = self.cell.seen, mask, None
        return answer

    def log_odds(self, x: Tensor, mask: Any = None) -> Tensor:
        """Returns the log-odds of all connections, of the shape of the decisions."""
        return self.cell.log_odds(self._sources(x, mask))

    def _sources(self, x: Tensor, mask: Any) -> Tensor:
        return ops.stack([lstm(x, mask=mask) for lstm in self.cell.lstms], axis=-2)

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return [previous_mask, previous_mask]

    def compute_output_shape(self, shape: Shape) -> Any:
        outputs = (*shape[:2], sum(self.cell.num_sub_encoders), self.cell.units[-1])
        return outputs, (*shape[:2], self.cell.num_connections)

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes stock LSTMs, and stock layers that decide without randomness."""
        call = call.inside(self)
        sources = [call(lstm, x, mask=call.mask) for lstm in self.cell.lstms]
        return self.cell.frozen(call, ops.stack(sources, axis=-2))

    def get_config(self) -> dict[str, Any]:
        cell = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": cell}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "cell": keras.saving.deserialize_keras_object(config["cell"])})
