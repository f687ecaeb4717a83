"""A new task on a trained recurrent modular network: its own LSTM and decoder."""

from typing import Any

import keras
import numpy as np

from keras_mtl.layers import Allocation, ConnectionPenalty, ModularDecoder
from keras_mtl.layers.copying import copied_layer, new_layer_like
from keras_mtl.models.graph import Network
from keras_mtl.models.recurrent.recurrent_modular import connect
from keras_mtl.tasks import Task


def is_recurrent_modular(model: keras.Model) -> bool:
    """Returns whether a model was made by `build_recurrent_modular`."""
    return any(isinstance(layer, ModularDecoder) for layer in model.layers)


def add_recurrent_task(model: keras.Model, name: str, task: Task) -> Any:
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
    encoded_from = keras.tree.flatten(encoder.input)[0]  # its mask may stand behind it
    below = keras.Model(model.input, [encoded_from, encoder_penalty.output, *(r[0] for r in reads)])
    below = keras.models.clone_model(below, clone_function=_settled)
    features, encoded, *streams = below.output

    network = Network.on(below.input, tasks, model.task_data)
    units = encoder.cell.cell_units
    lstm = keras.layers.LSTM(units, return_sequences=True, name=f"lstm_{len(tasks)}")
    streams.append(lstm(features))
    own = {"name": f"decoder_{len(tasks)}", "seed": None, "trainable": True}
    new_decoder = new_layer_like(old_decoders[0], own)
    decoders = [*map(_settled, old_decoders), new_decoder]
    old_penalty = model.get_layer("decoder_sparsity_penalty")
    penalty = new_layer_like(old_penalty, {"num_tasks": len(tasks)})
    reads_base = old_decoders[0].projection is not None
    read = connect(network, encoded, streams, decoders, penalty, reads_base)
    if network.separate:
        network.num_added_tasks = model.get_layer("heads").num_added_tasks + 1
    grown = network.finish(read, model.name, sequences=True)
    _copy_heads(model, grown)
    return grown


def _check_base(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, Allocation):
            raise ValueError(
                f"add_task knows recurrent modular networks on an LSTM for each task, or on "
                f"towers. The base of this one gives components to tasks in {layer.name!r}, which "
                "has no row for a new one."
            )


def _settled(layer: keras.Layer) -> Any:
    """Returns a copy of a layer that learns no more, or an operation as it is."""
    if not isinstance(layer, keras.layers.Layer):
        return layer
    one_more = {"num_tasks": layer.num_tasks + 1} if isinstance(layer, ConnectionPenalty) else ()
    copy = copied_layer(layer, one_more)
    copy.trainable = False
    return copy


def _copy_heads(model: keras.Model, grown: Any) -> None:
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
