"""Writes a frozen network as a TensorFlow SavedModel."""

import keras

from keras_mtl.serving.networks import input_signature, task_networks
from keras_mtl.serving.warmup import write_warmup

ASSETS = "assets.extra"  # TensorFlow leaves this folder of a SavedModel to others
SENTENCES = [keras.InputSpec(shape=(None,), dtype="string", name="inputs")]


def write_saved_model(frozen, tasks, folder, preprocessing=None):
    """Writes one signature per task and `serving_default`, which answers all tasks.

    Weights that signatures share are stored once. With `preprocessing`, a `SentenceEncoder`,
    signatures take sentences.
    """
    archive = keras.export.ExportArchive()
    lookups = [] if preprocessing is None else preprocessing.lookups.values()
    for resource in [*_resources(frozen), *(lookup.lookup_table for lookup in lookups)]:
        archive.track(resource)
    networks = {"serving_default": frozen, **task_networks(frozen, tasks)}
    signature = input_signature(frozen) if preprocessing is None else SENTENCES
    for name, network in networks.items():
        archive.add_endpoint(name, _endpoint(network, preprocessing), signature)
    archive.write_out(str(folder), verbose=False)
    assets = folder / ASSETS
    assets.mkdir()
    write_warmup(assets, networks, keras.tree.flatten(signature))


def _endpoint(network, preprocessing):
    def answer(inputs):
        if preprocessing is not None:
            inputs = preprocessing(inputs)
        return network(inputs, training=False)

    return answer


def _resources(frozen):
    """Returns what an archive must be told of, beside the endpoints.

    With TensorFlow it finds the weights itself, and writes those of a tracked layer twice;
    but it does not find the tables of lookup layers, which have no weights. With JAX it
    knows only what is tracked: other weights become constants, in every signature anew.
    """
    if keras.backend.backend() == "jax":
        return [frozen]
    return [layer for layer in _leaves(frozen) if not layer.weights]


def _leaves(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer
