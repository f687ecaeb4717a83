"""Tasks whose LSTMs send each other messages, directly or through a shared one."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers import CommunicatingLSTM
from keras_mtl.models.construction import seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.recurrent.sequences import sequence_after
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks


def build_communicating(
    inputs: Any,
    tasks: Tasks,
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    graph: keras.Model = "complete",
    units: int = 50,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds an LSTM for each task, which attends to messages at every step.

    In the complete graph (DC-MTL) messages come from the LSTMs of all other tasks, which read
    the same input. In the star graph (IC-MTL) they are the states of one more LSTM that all
    tasks share, at all steps of the sequence. Without messages this is `build_no_sharing` with
    an LSTM per task; one LSTM for all tasks is `build_shared_bottom`.

    Source: Liu et al., "Multi-task learning over graph structures", AAAI 2019,
    https://arxiv.org/abs/1811.10211. Differs from the paper: see
    `keras_mtl.layers.CommunicatingLSTM`.

    `keras_mtl.add_task` puts a new task on a trained star: an LSTM of its own, which listens to the
    shared one. `partial(keras_mtl.build_communicating, graph="star")` may be the base of
    `keras_mtl.build_recurrent_modular`.

    A frozen network still holds that layer, in the complete graph those of all tasks, so its
    `.keras` file needs keras_mtl; a SavedModel needs nothing.

    Args:
        graph: `"complete"` or `"star"`. Defaults to `"complete"`.
        units: Units of every LSTM. Defaults to 50.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `lstm_1`, `lstm_2`, ...
        are the tasks' `keras_mtl.layers.CommunicatingLSTM`, `shared_lstm` is the star's middle.

    Raises:
        ValueError: An unknown graph, one task in a complete graph, no sequence after the stem.

    Example:

    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_communicating(
    ...     keras.Input((None, 6)), {"books": "binary", "films": "binary"},
    ...     task_data="separate", graph="star")
    >>> model.get_layer("shared_lstm").output.shape
    (None, None, 50)
    """
    checks.word("graph", graph, ("complete", "star"))
    units = checks.count("units", units)
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        if graph == "complete" and len(network.tasks) == 1:
            raise ValueError(
                f"In a complete graph tasks send messages to each other, but {list(network.tasks)} "
                'is one task. Give more tasks, or use graph="star".'
            )
        x = sequence_after(stem, network.inputs)
        lstms = [
            CommunicatingLSTM(units, name=f"lstm_{index}")
            for index in range(1, len(network.tasks) + 1)
        ]
        if graph == "star":
            shared = keras.layers.LSTM(units, return_sequences=True, name="shared_lstm")(x)
            streams = [lstm(x, shared) for lstm in lstms]
        else:
            sent = [lstm(x) for lstm in lstms]
            streams = [
                lstm(x, sent[:index] + sent[index + 1 :]) for index, lstm in enumerate(lstms)
            ]
        return network.finish(streams, name, seed, sequences=True)
