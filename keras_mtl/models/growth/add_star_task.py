"""A new task on trained LSTMs that communicate over a shared one: an LSTM of its own."""

from typing import Any

import keras

from keras_mtl.layers import CommunicatingLSTM
from keras_mtl.models.graph import Network
from keras_mtl.models.growth.settled import settled, with_one_more_head
from keras_mtl.tasks import Task


def is_star(model: keras.Model) -> bool:
    """Returns whether a model was made by `build_communicating` with a star graph."""
    by_name = {layer.name: layer for layer in model.layers}
    return "shared_lstm" in by_name and isinstance(by_name.get("lstm_1"), CommunicatingLSTM)


def add_star_task(model: keras.Model, name: str, task: Task) -> Any:
    """Returns a copy of a trained star of LSTMs with one more task.

    The new task has an LSTM, which listens to the shared one, and a head of its own. All else is
    frozen.
    """
    tasks = {**model.tasks, name: task}
    shared = model.get_layer("shared_lstm")
    old = [model.get_layer(f"lstm_{number}") for number in range(1, len(tasks))]
    read = keras.tree.flatten(shared.input)[0]  # its mask may stand behind it
    below = keras.Model(model.input, [read, shared.output, *(lstm.output for lstm in old)])
    below = keras.models.clone_model(below, clone_function=settled)
    features, messages, *streams = below.output
    network = Network.on(below.input, tasks, model.task_data)
    streams.append(CommunicatingLSTM(old[0].units, name=f"lstm_{len(tasks)}")(features, messages))
    return with_one_more_head(model, network, streams)
