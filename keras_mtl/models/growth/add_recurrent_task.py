"""A new task on a trained recurrent modular network: its own LSTM and decoder."""

from typing import Any

import keras

from keras_mtl.layers import Allocation, ModularDecoder, RoutedLSTM
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.models.graph import Network
from keras_mtl.models.growth.settled import settled, with_one_more_head
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
    below = keras.models.clone_model(below, clone_function=settled)
    features, encoded, *streams = below.output

    network = Network.on(below.input, tasks, model.task_data)
    units = streams[0].shape[-1]  # as wide as the base network's
    lstm = keras.layers.LSTM(units, return_sequences=True, name=f"lstm_{len(tasks)}")
    streams.append(lstm(features))
    own = {"name": f"decoder_{len(tasks)}", "seed": None, "trainable": True}
    new_decoder = new_layer_like(old_decoders[0], own)
    decoders = [*map(settled, old_decoders), new_decoder]
    old_penalty = model.get_layer("decoder_sparsity_penalty")
    penalty = new_layer_like(old_penalty, {"num_tasks": len(tasks)})
    reads_base = old_decoders[0].projection is not None
    read = connect(network, encoded, streams, decoders, penalty, reads_base)
    return with_one_more_head(model, network, read)


def _check_base(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, Allocation | RoutedLSTM):
            raise ValueError(
                f"add_task knows recurrent modular networks on an LSTM for each task, or on "
                f"towers. The base of this one gives components to tasks in {layer.name!r}, which "
                "has no row for a new one."
            )
