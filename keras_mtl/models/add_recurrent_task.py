"""A new task on a trained recurrent modular network: its own LSTM and decoder."""

import keras
import numpy as np

from keras_mtl.layers import Allocation, ModularDecoder
from keras_mtl.models.graph import Network
from keras_mtl.models.making import copied_layer
from keras_mtl.models.recurrent_modular import connect


def is_recurrent_modular(model):
    """Whether a model was made by `build_recurrent_modular`."""
    return any(isinstance(layer, ModularDecoder) for layer in model.layers)


def add_recurrent_task(model, name, task):
    """Returns a copy of a trained recurrent modular network with one more task.

    The new task has an LSTM, a decoder with a policy and a head of its own. All else is
    frozen, and decides as in inference.
    """
    _check_base(model)
    tasks = {**model.tasks, name: task}
    encoder, encoder_penalty = (
        model.get_layer("encoder"),
        model.get_layer("encoder_sparsity_penalty"),
    )
    old_decoders = [model.get_layer(f"decoder_{n}") for n in range(1, len(tasks))]
    reads = [model.get_layer(f"read_{n}").input for n in range(1, len(tasks))]
    copies = _FrozenCopies()
    below = keras.Model(
        model.input, [encoder.input, encoder_penalty.output, *(r[0] for r in reads)]
    )
    below = keras.models.clone_model(below, clone_function=copies)
    features, encoded, *streams = below.output

    network = Network.on(below.input, tasks, model.task_data)
    units = encoder.cell.cell_units
    lstm = keras.layers.LSTM(units, return_sequences=True, name=f"lstm_{len(tasks)}")
    streams.append(lstm(features))
    own = {"name": f"decoder_{len(tasks)}", "seed": None, "trainable": True}
    new_decoder = copied_layer(old_decoders[0], own)
    decoders = [*(copies(decoder) for decoder in old_decoders), new_decoder]
    penalty = copied_layer(model.get_layer("decoder_sparsity_penalty"))
    reads_base = old_decoders[0].projection is not None
    read = connect(network, encoded, streams, decoders, penalty, reads_base)
    if network.separate:
        network.num_added_tasks = model.get_layer("heads").num_added_tasks + 1
    grown = network.finish(read, model.name, sequences=True)
    copies.copy_weights()
    _copy_heads(model, grown)
    return grown


def _check_base(model):
    for layer in model.layers:
        if isinstance(layer, Allocation):
            raise ValueError(
                f"add_task knows recurrent modular networks on an LSTM for each task, or on "
                f"towers. The base of this one gives components to tasks in {layer.name!r}, which "
                "has no row for a new one."
            )


class _FrozenCopies:
    """Copies layers without their training, and their weights when the copies are built."""

    def __init__(self):
        self._pairs = []

    def __call__(self, layer):
        if not isinstance(layer, keras.layers.Layer):
            return layer
        copy = copied_layer(layer)
        copy.trainable = False
        self._pairs.append((layer, copy))
        return copy

    def copy_weights(self):
        for layer, copy in self._pairs:
            copy.set_weights(layer.get_weights())


def _copy_heads(model, grown):
    """Gives the old tasks their heads, which train no more."""
    if model.task_data == "separate":
        old, new = model.get_layer("heads").blocks, grown.get_layer("heads").blocks
        for old_block, new_block in zip(old, new, strict=False):
            for source, target in zip(old_block, new_block, strict=True):
                target.assign(np.array(source.numpy()))  # a copy: JAX may give the buffer away
        return
    for name in model.tasks:
        grown.get_layer(name).set_weights(model.get_layer(name).get_weights())
        grown.get_layer(name).trainable = False
