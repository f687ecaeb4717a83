"""One step of a modular encoder: LSTM cells, and sub-encoders that choose what they read."""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.recurrent.sub_encoders import SubEncoders, side_by_side
from keras_mtl.schedules import HalvingSchedule, deserialize_setting, serialize_setting
from keras_mtl.seeds import seed_of
from keras_mtl.types import Setting, Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class RecurrentModularCell(keras.layers.Layer):
    """One time step of a recurrent modular encoder.

    Several LSTM cells read the input, each on its own. Above them stand layers of sub-encoders,
    which choose anew at every step and for every example what they read of the layer below.
    In `keras.layers.RNN` the cell steps through sequences, takes states and returns them;
    `RecurrentModular(cell)` does the same several times as fast, because no decision enters the
    recurrence. On JAX a cell that draws in training, or reads padding, needs
    `keras.layers.RNN(cell, unroll=True)`: a scan cannot advance a random generator, and takes
    the first state for the output.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, Eqs. 1 to 5, 8, 9.
    Differs from the paper: see `SubEncoders`; at inference, of which the paper does not
    speak, decisions are the most likely ones.

    Args:
        num_cells: Number of LSTM cells.
        cell_units: Units of each.
        num_sub_encoders: Number of sub-encoders in each layer above the cells. Defaults to
            `(3, 3)`.
        units: Sizes of the ReLU layers of each sub-encoder. Defaults to `(32, 32)`.
        policy_units: Sizes of the ReLU layers of each policy network. `None` takes `units`.
            Defaults to `None`.
        tie_layers: Whether all layers of sub-encoders are the same one, applied again and
            again (rrn-RMN). Cells of another width than sub-encoders go through one projection
            first. Defaults to `False`.
        temperature: As in `GumbelRouter`. `None` takes `HalvingSchedule()`. Defaults to `None`.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.
        normalize_policies: Whether what policies see is brought to mean 0 and variance 1, source by
            source. Without, as in the paper, log-odds stay within a fraction of the noise of their
            draws: a connection is a coin flip in training, and open or closed for all in
            inference. Files that do not say were trained without. Defaults to `True`.

    Call arguments:
        x: `(batch, features)`, one time step.
        states: List of the states h and c of every LSTM cell, `(batch, cell_units)` each.
        training: Whether decisions are drawn.

    Output shape:
        `(batch, sum(num_sub_encoders) * units[-1])`, the outputs of all sub-encoders side by
        side, and the new states.

    Weights:
        lstm_1, ...: as of `keras.layers.LSTM`; sub_encoders_1, ...: as of `SubEncoders`;
        projection: kernel `(cell_units, units[-1])`, where tied layers need one.

    Raises:
        ValueError: No cell or no layer of sub-encoders, tied layers of different sizes.

    Example:

    >>> cell = RecurrentModularCell(2, 4, (3, 3), (6,), seed=0)
    >>> x = keras.ops.ones((5, 7, 8))
    >>> outputs, *states = keras.layers.RNN(cell, return_state=True)(x)
    >>> tuple(outputs.shape), len(states)
    ((5, 36), 4)
    """

    def __init__(
        self,
        num_cells: int,
        cell_units: int,
        num_sub_encoders: Any = (3, 3),
        units: Any = (32, 32),
        policy_units: Any = None,
        tie_layers: bool = False,
        temperature: Setting | None = None,
        seed: int | None = None,
        normalize_policies: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.normalize_policies = checks.flag("normalize_policies", normalize_policies)
        self.num_cells = num_cells = checks.count("num_cells", num_cells)
        self.cell_units = cell_units = checks.count("cell_units", cell_units)
        self.num_sub_encoders = checks.sizes("num_sub_encoders", num_sub_encoders, length=1)
        self.units = checks.sizes("units", units, length=1)
        self.policy_units = self.units
        if policy_units is not None:
            self.policy_units = checks.sizes("policy_units", policy_units)
        self.tie_layers = checks.flag("tie_layers", tie_layers)
        self.temperature = HalvingSchedule() if temperature is None else temperature
        self.seed = checks.seed("seed", seed)
        self.state_size = [cell_units, cell_units] * num_cells
        self.output_size = sum(self.num_sub_encoders) * self.units[-1]
        self.lstms = [
            keras.layers.LSTM(
                cell_units, return_sequences=True, dtype=self.dtype_policy, name=f"lstm_{number}"
            )
            for number in range(1, num_cells + 1)
        ]
        self.seen: Any = None
        self._check_tied()
        self.projection: Any = None
        if tie_layers and cell_units != self.units[-1]:
            self.projection = keras.layers.Dense(
                self.units[-1], use_bias=False, dtype=self.dtype_policy, name="projection"
            )
        num_made = 1 if tie_layers else len(self.num_sub_encoders)
        made = [self._sub_encoders(index) for index in range(num_made)]
        self.sub_encoders = made * (len(self.num_sub_encoders) // num_made)

    def _check_tied(self) -> None:
        if self.tie_layers and len(set(self.num_sub_encoders)) > 1:
            raise ValueError(
                "tie_layers applies one layer of sub-encoders again and again, so every layer must "
                f"have as many of them. Received: num_sub_encoders={self.num_sub_encoders}"
            )

    def _sub_encoders(self, index: int) -> Any:
        return SubEncoders(
            self.num_sub_encoders[index],
            self.units,
            self.policy_units,
            self.temperature,
            seed_of(self.seed, index),
            self.normalize_policies,
            dtype=self.dtype_policy,
            name=f"sub_encoders_{index + 1}",
        )

    def build(self, shape: Shape) -> None:
        for lstm in self.lstms:
            lstm.build((shape[0], None, shape[-1]))
        sources = (shape[0], self.num_cells, self.cell_units)
        if self.projection:
            self.projection.build(sources)
            sources = self.projection.compute_output_shape(sources)
        for layer in self.sub_encoders:
            if not layer.built:
                layer.build(sources)
            sources, _ = layer.compute_output_shape(sources)

    def call(self, x: Tensor, states: Any, training: bool = False) -> Any:
        pairs = zip(states[::2], states[1::2], strict=True)
        stepped = [
            lstm.cell(x, list(pair))[1] for lstm, pair in zip(self.lstms, pairs, strict=True)
        ]
        sources = ops.stack([h for h, _ in stepped], axis=-2)
        outputs, _ = self.encode(sources, training=training)
        new_states = [state for pair in stepped for state in pair]
        return side_by_side(outputs), new_states

    def encode(self, sources: Any, training: bool = False) -> Any:
        """Sends what the LSTM cells say through all layers of sub-encoders.

        Args:
            sources: `(batch, ..., num_cells, cell_units)`.
            training: Whether decisions are drawn. Defaults to `False`.

        Returns:
            Outputs of all sub-encoders `(batch, ..., sum(num_sub_encoders), units[-1])`, and
            all decisions `(batch, ..., connections)`: for each layer, for each of its
            sub-encoders, the sources.
        """
        seen = []

        def call(layer, x):
            answer = layer(x, training=training)
            seen.append(layer.seen)
            layer.seen = None
            return answer

        answer = self._encoded(self._projected(sources), call)
        is_seen = all(odds is not None for odds in seen)
        self.seen = ops.concatenate([*map(side_by_side, seen)], axis=-1) if is_seen else None
        return answer

    def _projected(self, sources: Any) -> Any:
        return self.projection(sources) if self.projection else sources

    def _encoded(self, sources: Any, call: Callable[..., Any]) -> tuple[Any, Any]:
        outputs, decisions = [], []
        for layer in self.sub_encoders:
            sources, opened = call(layer, sources)
            outputs.append(sources)
            decisions.append(side_by_side(opened))
        return ops.concatenate(outputs, axis=-2), ops.concatenate(decisions, axis=-1)

    def log_odds(self, sources: Any) -> Tensor:
        """Returns the log-odds of all connections, where each layer reads what is most likely."""
        odds, sources = [], self._projected(sources)
        for layer in self.sub_encoders:
            odds.append(side_by_side(layer.log_odds(sources)))
            sources, _ = layer(sources)
        return ops.concatenate(odds, axis=-1)

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        return [ops.zeros((batch_size, size), self.compute_dtype) for size in self.state_size]

    @property
    def num_connections(self) -> Any:
        """Number of connections between all layers."""
        below = (self.num_cells, *self.num_sub_encoders)
        return sum(a * b for a, b in zip(below, self.num_sub_encoders, strict=False))

    def frozen(self, call: Callable[..., Any], sources: Any) -> Any:
        """Does what `encode` does with stock layers, without randomness."""
        projected = call(self.projection, sources) if self.projection else sources
        return self._encoded(projected, call)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_cells": self.num_cells,
            "cell_units": self.cell_units,
            "num_sub_encoders": self.num_sub_encoders,
            "units": self.units,
            "policy_units": self.policy_units,
            "tie_layers": self.tie_layers,
            "temperature": serialize_setting(self.temperature),
            "seed": self.seed,
            "normalize_policies": self.normalize_policies,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        temperature = deserialize_setting(config["temperature"])
        return cls(**{"normalize_policies": False, **config, "temperature": temperature})
