"""Vocabularies of inputs: how many ids each one knows."""

from typing import Any

import keras

from keras_mtl.keras_internals import graph_of, places_read
from keras_mtl.serving.networks import task_networks
from keras_mtl.types import Tensor


def task_vocabularies(frozen: keras.Model, tasks: Any) -> dict[Any, Any]:
    """Returns a dict, task -> `vocabulary_sizes` of the part of a network that answers it."""
    networks = task_networks(frozen, tasks)
    return {task: vocabulary_sizes(network) for task, network in networks.items()}


def vocabulary_sizes(network: Any) -> dict[Any, Any]:
    """Returns how many ids a network knows, of the inputs that embeddings read as they are.

    Args:
        network: A frozen network.

    Returns:
        Dict, input name -> number of ids, 0 among them.
    """
    sizes = {tensor.name: _sizes(network, tensor) for tensor in network.inputs}
    return {name: min(found) for name, found in sizes.items() if found}


def _sizes(network: Any, tensor: Tensor) -> Any:
    """Returns the sizes of the embeddings of a network, and of networks in it, on a tensor."""
    found = []
    for layer in network.operations:
        if type(layer).__name__ == "Cast" and layer.input is tensor:
            found += _sizes(network, layer.output)
        graph = graph_of(layer)
        if graph is None and not isinstance(layer, keras.layers.Embedding):
            continue
        indices = places_read(layer, tensor)
        if graph is not None:
            found += [size for index in indices for size in _sizes(graph, graph.inputs[index])]
        elif indices:
            found.append(layer.input_dim)
    return found
