"""Writes a frozen network as a TensorFlow SavedModel."""

from functools import partial
from typing import Any

import keras

from keras_mtl.keras_internals import with_inner_layers
from keras_mtl.serving.exports.warmup import write_warmup
from keras_mtl.serving.manifest import ASSETS, STREAM
from keras_mtl.serving.networks import (
    input_signature,
    leaves,
    state_names,
    task_networks,
)


def write_saved_model(
    frozen: keras.Model, tasks: Any, folder: Any, preprocessing: Any = None, stream: Any = None
) -> None:
    """Writes one signature per task and `serving_default`, which answers all tasks.

    Weights that signatures share are stored once. With `preprocessing`, an encoder, signatures take
    what it encodes. With `stream`, what `keras_mtl.streaming` makes of the network,
    there is a signature for that too.
    """
    archive = keras.export.ExportArchive()
    lookups = [] if preprocessing is None else preprocessing.lookups.values()
    for resource in [*_resources(frozen), *(table for each in lookups for table in _tables(each))]:
        archive.track(resource)
    networks = {"serving_default": frozen, **task_networks(frozen, tasks)}
    signature = input_signature(frozen) if preprocessing is None else [preprocessing.raw_inputs()]
    signatures = dict.fromkeys(networks, signature)
    for name, network in networks.items():
        archive.add_endpoint(name, _endpoint(network, preprocessing), signature)
    if stream is not None:
        encode = None if preprocessing is None else partial(_beside_states, preprocessing)
        signatures[STREAM] = _stream_signature(stream, preprocessing)
        archive.add_endpoint(STREAM, _endpoint(stream, encode), signatures[STREAM])
    archive.write_out(str(folder), verbose=False)
    assets = folder / ASSETS
    assets.mkdir()
    write_warmup(assets, {name: keras.tree.flatten(specs) for name, specs in signatures.items()})


def _endpoint(network: Any, preprocessing: Any) -> Any:
    def answer(inputs):
        if preprocessing is not None:
            inputs = preprocessing(inputs)
        return network(inputs, training=False)

    return answer


def _stream_signature(stream: Any, preprocessing: Any) -> list[Any]:
    (specs,) = input_signature(stream)
    if preprocessing is not None:
        states = {name: specs[name] for name in state_names(stream)}
        specs = {"inputs": preprocessing.raw_inputs(), **states}
    return [specs]


def _beside_states(preprocessing: Any, inputs: Any) -> dict[str, Any]:
    """Returns the inputs of a stream, of which some are sentences so far."""
    states = {name: state for name, state in inputs.items() if name != "inputs"}
    encoded = preprocessing(inputs["inputs"])
    return {**(encoded if isinstance(encoded, dict) else {"inputs": encoded}), **states}


def _resources(frozen: keras.Model) -> list[Any]:
    """Returns what an archive must be told of, beside the endpoints.

    With TensorFlow it finds the weights itself, and writes those of a tracked layer twice;
    but it does not find tables of lookups. With JAX it knows only what is tracked: other weights
    become constants, in every signature anew.
    """
    if keras.backend.backend() == "jax":
        return [frozen]
    layers = {id(layer): layer for leaf in leaves(frozen) for layer in with_inner_layers(leaf)}
    return [found for layer in layers.values() for found in _tables(layer)]


def _tables(layer: keras.Layer) -> Any:
    """Returns the tables of TensorFlow among a layer's attributes."""
    import tensorflow as tf

    kind, found, waiting = tf.saved_model.experimental.TrackableResource, [], [vars(layer)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, kind):
            found.append(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set):
            waiting.extend(value)
    return found
