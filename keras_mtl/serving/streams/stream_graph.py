"""Calls the layers of a network with the states of the recurrent ones coming in and going out."""

import itertools
import re
from typing import Any

import keras
from keras import ops

from keras_mtl.keras_internals import mask_of, set_mask

STATES = {keras.layers.LSTM: "hc", keras.layers.GRU: "h", keras.layers.SimpleRNN: "h"}
_OVER_PLACES = ("Mean", "Sum", "Max", "Min", "Cumsum", "Cumprod")


class StreamGraph:
    """Calls the layers of a network on pieces of sequences.

    Attributes:
        states: Dict, name -> input for a state before the piece.
        new_states: Dict, name -> the same state after it.
        calls: List of `(layer, outputs)`, in order.
    """

    def __init__(self, taken: Any) -> None:
        self.states: dict[Any, Any] = {}
        self.new_states: dict[Any, Any] = {}
        self.calls: list[Any] = []
        self._taken = set(taken)
        self._with_state: dict[Any, Any] = {}

    def call(self, layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        _check_layer(layer)
        _check_operation(layer, *args)
        call = self._go_on if type(layer) in STATES else _step_by_step
        outputs = call(layer, *args, **kwargs)
        self.calls.append((layer, outputs))
        return outputs

    def _go_on(
        self,
        layer: keras.Layer,
        x: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Calls a recurrent layer from the states that come in."""
        if initial_state is not None:
            raise ValueError(
                f"Layer {layer.name!r} begins with states that another layer makes, so a stream "
                "cannot hand over its own."
            )
        mask = mask_of(x) if mask is None else mask
        call = self._new_name(layer)
        names = [f"{call}_{state}" for state in STATES[type(layer)]]
        before = [
            keras.Input((layer.cell.units,), dtype=layer.compute_dtype, name=name) for name in names
        ]
        returning_states = self._returning_states(layer, call.removeprefix("state_"))
        output, *after = returning_states(x, initial_state=before, mask=mask)
        if mask is not None:
            output = _kept_in_padding(output, mask, before[0], after[0])
        self.states |= zip(names, before, strict=True)
        self.new_states |= zip(names, after, strict=True)
        return [output, *after] if layer.return_state else output

    def _returning_states(self, layer: keras.Layer, name: str) -> Any:
        """Returns a layer with the cell of `layer`, and so its weights, that returns states."""
        if id(layer) not in self._with_state:
            self._with_state[id(layer)] = keras.layers.RNN(
                layer.cell,
                return_sequences=layer.return_sequences,
                return_state=True,
                dtype=layer.dtype_policy,
                name=name,
            )
        return self._with_state[id(layer)]

    def _new_name(self, layer: keras.Layer) -> Any:
        """Returns the name that the states of one call of a layer begin with."""
        name = "state_" + re.sub(r"\W", "_", layer.name)
        for number in itertools.count(1):
            call = name if number == 1 else f"{name}_{number}"
            if not self._taken.intersection({call, f"{call}_h", f"{call}_c"}):
                self._taken.add(call)
                return call


def _kept_in_padding(output: Any, mask: Any, before: Any, after: Any) -> Any:
    """Returns the output of a layer, which padding leaves as it is.

    Keras does that too, but takes zeros where a piece begins with padding.
    """
    if len(output.shape) == 2:
        return after
    begun = ops.expand_dims(ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0, axis=-1)
    output = ops.where(begun, output, ops.expand_dims(before, axis=1))
    set_mask(output, mask)
    return output


def _check_layer(layer: keras.Layer) -> None:
    described = f"Layer {layer.name!r} ({type(layer).__name__})"
    if isinstance(layer, keras.layers.Bidirectional) or getattr(layer, "go_backwards", False):
        raise ValueError(
            f"{described} reads sequences from their end, which a stream has not seen yet. Only "
            "networks that read forwards can stream: build it with keras.layers.LSTM."
        )
    kept = isinstance(layer, keras.layers.RNN) or type(layer).__module__.startswith("keras_mtl.")
    if kept and type(layer) not in STATES:
        raise ValueError(
            f"{described} keeps states that cannot be handed over. Those of keras.layers.LSTM, "
            "GRU and SimpleRNN can."
        )
    if getattr(layer, "zero_output_for_mask", False):
        raise ValueError(
            f"{described} answers padding with zeros, a stream as at the step before. Build it "
            "without zero_output_for_mask."
        )


def _check_operation(operation: Any, *args: Any) -> None:
    """Refuses what trials on fresh weights may not show: nearly all gates are open there."""
    axes = keras.tree.flatten(getattr(operation, "axis", None))
    over_places = type(operation).__name__ in _OVER_PLACES and 1 in axes
    if over_places and len(args[0].shape) > 2 and args[0].shape[1] is None:  # no mask
        raise ValueError(
            f"Layer {operation.name!r} ({type(operation).__name__}) reads several steps at once, "
            "as gates of sequences in networks of keras_mtl.build_dynashare do. In a network that "
            "streams, only LSTM, GRU and SimpleRNN may carry something from one step to the next."
        )


def _step_by_step(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
    try:
        return layer(*args, **kwargs)
    except ValueError as error:
        raise ValueError(
            f"Layer {layer.name!r} cannot read an unknown number of steps, and so it cannot "
            f"stream: {error}"
        ) from error
