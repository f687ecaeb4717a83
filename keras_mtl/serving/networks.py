"""The networks of an export: one for each task, what each takes, what is in them."""

from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_mtl.keras_internals import graph_of, run_graph


def task_networks(frozen: keras.Model, tasks: Any) -> dict[Any, Any]:
    """Returns a dict, task -> the part of a frozen network that answers `{task: output}`.

    The networks share their layers with `frozen` and with each other.
    """
    return {task: keras.Model(frozen.input, {task: frozen.output[task]}) for task in tasks}


def input_signature(network: Any) -> list[Any]:
    """Returns the arguments of a network: one `keras.InputSpec`, or a dict of them."""
    return [
        keras.tree.map_structure(
            lambda tensor: keras.InputSpec(
                shape=(None, *tensor.shape[1:]), dtype=tensor.dtype, name=tensor.name
            ),
            network.input,
        )
    ]


def named_answers(network: Any, outputs: Any) -> Any:
    """Returns outputs of a frozen network as a dict, task -> output."""
    return outputs if isinstance(outputs, dict) else {network.name: outputs}


def state_names(stream: Any) -> list[Any]:
    """Returns the names of the states of a network that streams, which go in and come out."""
    return [name for name in stream.input if name in stream.output]


def leaves(network: Any) -> Iterator[Any]:
    """Yields the layers of a network and of the networks in it."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def run_through(network: Any, inputs: Any, call: Callable[..., Any]) -> Any:
    """Runs the graph of a network and of the networks in it on symbolic inputs.

    `keras.models.clone_model` does the same, but leaves the networks inside closed.

    Args:
        network: A functional `keras.Model`.
        inputs: Symbolic tensors in the structure of its input.
        call: Function `(layer, *args, **kwargs)` that calls a layer or operation.

    Returns:
        Its outputs.
    """

    def step(layer, *args, **kwargs):
        graph = graph_of(layer)
        if graph is not None:
            return run_through(graph, args[0], call)
        return call(layer, *args, **kwargs)

    return run_graph(network, inputs, step)
