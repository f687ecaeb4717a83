"""The check that a network answers step by step as it answers whole sequences."""

from typing import Any

import keras
import numpy as np

from keras_mtl.serving.networks import leaves, named_answers, run_through
from keras_mtl.serving.streams.stream_graph import STATES
from keras_mtl.serving.trial_inputs import NUM_STEPS, trial_inputs


def check_stream(frozen: keras.Model, stream: Any, states: Any, calls: Any) -> None:
    """Raises a `ValueError` when a stream answers otherwise than the network it is made of.

    Args:
        frozen: The network that reads whole sequences.
        stream: What it became.
        states: Dict, name -> first state of the stream, for some sequences.
        calls: List of `(layer, outputs)` that the stream calls, in order.
    """
    trial = _Trial(frozen, stream, states)
    answers = named_answers(frozen, frozen.output)
    task = trial.first_difference([(name, answers[name], stream.output[name]) for name in answers])
    if task is None:
        return
    whole: list[Any] = []

    def record(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        whole.extend((layer, output) for output in keras.tree.flatten(outputs))
        return outputs

    run_through(frozen, frozen.input, record)
    pieces = keras.tree.flatten([outputs for _, outputs in calls])
    layer = trial.first_difference(
        [(*made, piece) for made, piece in zip(whole, pieces, strict=True)]
    )
    is_recurrent = type(layer) in STATES
    fault = "reads other steps than the input's" if is_recurrent else "does not take steps singly"
    raise ValueError(
        f"Task {task!r} is answered otherwise step by step than on whole sequences: layer "
        f"{layer.name!r} ({type(layer).__name__}) {fault}. In a network that streams, only LSTM, "
        "GRU and SimpleRNN that read forwards may carry something from one step to the next."
    )


class _Trial:
    """Random sequences for two networks, which one reads whole and the other in steps."""

    def __init__(self, frozen: keras.Model, stream: Any, states: Any) -> None:
        self._frozen = frozen
        self._stream = stream
        self._states = states
        self._sequences = [name for name, x in stream.input.items() if None in x.shape[1:2]]
        x = trial_inputs(frozen, number=len(next(iter(states.values()))), least_id=1)
        names = [tensor.name for tensor in keras.tree.flatten(frozen.input)]
        self._x = dict(zip(names, keras.tree.flatten(x), strict=True))
        in_16_bits = any(layer.compute_dtype.endswith("float16") for layer in leaves(frozen))
        self._tolerances = (1e-1, 1e-2) if in_16_bits else (1e-2, 2e-6)

    def first_difference(self, compared: Any) -> Any:
        """Returns the name of the first tensor that differs in the two networks, or `None`.

        Args:
            compared: List of `(name, tensor, the same tensor of the stream)`.
        """
        names, whole, pieces = zip(*compared, strict=True)
        x = keras.tree.map_structure(lambda tensor: self._x[tensor.name], self._frozen.input)
        expected = _answers(keras.Model(self._frozen.input, list(whole)), x)
        for name, y, piece, steps in zip(
            names, expected, pieces, self._step_by_step(pieces), strict=True
        ):
            joined = np.concatenate(steps, axis=1) if None in piece.shape[1:2] else steps[-1]
            if "float" in piece.dtype and self._differ(y, joined):
                return name
        return None

    def _step_by_step(self, pieces: Any) -> Any:
        """Returns lists of what each tensor of the stream is at every step."""
        after = [self._stream.output[name] for name in self._states]
        network = keras.Model(self._stream.input, [*pieces, *after])
        lengths = [self._x[name].shape[1] for name in self._sequences]
        states, found = self._states, []
        for step in range(max(lengths, default=NUM_STEPS)):
            x = {
                name: values[:, step : step + 1] if name in self._sequences else values
                for name, values in self._x.items()
            }
            answers = _answers(network, {**x, **states})
            states = dict(zip(states, answers[len(pieces) :], strict=True))
            found.append(answers[: len(pieces)])
        return zip(*found, strict=True)

    def _differ(self, first: Any, second: Any) -> Any:
        """Tells whether most examples differ; in one a decision may turn by rounding."""
        if first.shape != second.shape:
            return True
        first = first.astype("float64").reshape(len(first), -1)
        change = np.abs(first - second.astype("float64").reshape(first.shape)).max(axis=1)
        of_spread, of_largest = self._tolerances
        tolerance = of_spread * np.ptp(first, axis=0).max() + of_largest * np.abs(first).max()
        return np.median(change) > tolerance


def _answers(network: Any, x: Any) -> list[Any]:
    compiles_anew = keras.backend.backend() == "jax"  # every layer that loops, at every call
    call = network.predict_on_batch if compiles_anew else network
    try:
        return [keras.ops.convert_to_numpy(answer) for answer in keras.tree.flatten(call(x))]
    except Exception as error:  # each backend has its own
        raise ValueError(
            "A network that streams must read any number of steps, from one on. Reading random "
            f"steps failed: {error}"
        ) from error
