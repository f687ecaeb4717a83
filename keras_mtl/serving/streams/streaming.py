"""`streaming`: a network that goes on where it stopped, from one that reads whole sequences."""

from typing import Any

import keras
import numpy as np

from keras_mtl.serving.networks import leaves, named_answers, run_through, state_names
from keras_mtl.serving.streams.check_stream import check_stream
from keras_mtl.serving.streams.stream_graph import STATES, StreamGraph


def streaming(frozen: keras.Model) -> Any:
    """Returns a frozen recurrent network in a form that reads sequences piece by piece.

    The result takes the next steps of each sequence together with the states that the network
    was in, and returns its answers together with its new states. Answers are those of `frozen`
    to the whole sequence: tasks per step are answered at the new steps, other tasks as of the
    last of them. The weights are those of `frozen`, not copies. LSTM, GRU and SimpleRNN hand
    over their states; everything else must treat each step by itself.

    A step that `Masking` or `Embedding(mask_zero=True)` takes for padding leaves the states as
    they are, and recurrent layers say again what they said last.

    Whether each step is treated by itself is tried on random inputs: answers to single steps
    must be those to whole sequences, up to a hundredth of how much they differ between examples.
    Not found is what does not show there: a look ahead of smaller effect, or one that needs
    padding or the inputs of practice.

    Args:
        frozen: What `keras_mtl.freeze` returns, for all tasks or for one.

    Returns:
        A functional `keras.Model` of stock layers. It takes a dict: the inputs of `frozen`, with
        any number of steps, at least one; and the states, `state_<layer>_h` and, for an LSTM,
        `state_<layer>_c`, `(batch, units)` each. It returns a dict: the answer of each task,
        and the new states under the names they came with. The first states are those of
        `keras_mtl.serving.initial_states`.

    Raises:
        ValueError: A network that is not frozen, or has no recurrent layer; a recurrent layer
            that reads backwards, or is none of these three; a layer that does not treat each
            step by itself.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> lstm = partial(keras.layers.LSTM, 8, return_sequences=True)
    >>> model = keras_mtl.build_shared_bottom(
    ...     keras.Input((None, 5)), {"state": keras_mtl.Task("tagging", 3)}, [lstm])
    >>> stream = keras_mtl.streaming(keras_mtl.freeze(model))
    >>> states = keras_mtl.serving.initial_states(stream, batch_size=2)
    >>> sorted(states)
    ['state_layer_1_c', 'state_layer_1_h']
    >>> outputs = stream.predict_on_batch({"inputs": np.ones((2, 1, 5)), **states})
    >>> states = {name: outputs[name] for name in states}  # for the next piece
    >>> outputs["state"].shape
    (2, 1, 3)
    """
    if hasattr(frozen, "tasks") or not hasattr(frozen, "operations"):
        raise ValueError(
            "Only a frozen network streams: keras_mtl.streaming(keras_mtl.freeze(model)). "
            f"Received: {frozen!r}"
        )
    inputs = _inputs_of_any_length(frozen)
    named = {tensor.name: tensor for tensor in keras.tree.flatten(inputs)}
    graph = StreamGraph(taken=[*named, *named_answers(frozen, frozen.output)])
    answers = named_answers(frozen, run_through(frozen, inputs, graph.call))
    if not graph.states:
        raise ValueError(
            f"{frozen.name!r} has no recurrent layer, so nothing is to be handed over from one "
            "piece of a sequence to the next. Send the pieces to the frozen network itself."
        )
    stream = keras.Model(
        {**named, **graph.states}, {**answers, **graph.new_states}, name=frozen.name
    )
    check_stream(frozen, stream, initial_states(stream, 5), graph.calls)
    return stream


def initial_states(stream: Any, batch_size: int) -> dict[Any, Any]:
    """Returns the states of a network before the first step of its sequences.

    Args:
        stream: What `keras_mtl.streaming` returns.
        batch_size: Number of sequences.

    Returns:
        Dict, name of a state -> zeros `(batch_size, units)`.
    """
    return {
        name: np.zeros((batch_size, stream.input[name].shape[1]), "float32")
        for name in state_names(stream)
    }


def _inputs_of_any_length(network: Any) -> Any:
    """Returns inputs like those of a network, whose sequences have any number of steps."""
    recurrent = [layer for layer in leaves(network) if type(layer) in STATES]
    lengths = {keras.tree.flatten(layer.input)[0].shape[1] for layer in recurrent}

    def like(tensor):
        shape = list(tensor.shape)
        if shape[1:2] and shape[1] in lengths:
            shape[1] = None
        return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=tensor.name)

    return keras.tree.map_structure(like, network.input)
