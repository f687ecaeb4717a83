"""Recursive routing networks: an LSTM whose input goes through functions a task chooses."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.layers import RoutedLSTM
from keras_mtl.models.construction import seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.recurrent.sequences import sequence_after
from keras_mtl.models.task_stream import TaskStream
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Setting, Tasks


def build_recursive_routing(
    inputs: Any,
    tasks: Tasks,
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    units: int = 50,
    num_functions: int = 4,
    depth: int = 2,
    temperature: Setting = 1.0,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds one LSTM whose input each task sends through functions of its choice (RRN).

    All tasks share the functions and the recurrence. A table that is learned says which
    function a task applies first, which to the answer of that one, and so on.

    Source: Cases et al., "Recursive routing networks: learning to compose modules for language
    understanding", NAACL 2019, https://aclanthology.org/N19-1365. Differs from the paper: see
    `keras_mtl.layers.RoutedLSTM`.

    `keras_mtl.add_task` gives a new task routes of its own through trained functions. With
    `depth=1` the network may be the base of `keras_mtl.build_recurrent_modular` on any stem.

    `keras_mtl.freeze` leaves stock layers: for each task the functions on its most likely route
    and an LSTM. Tasks share what they have in common up to where their routes part.

    Args:
        units: Units of the LSTM. Defaults to 50.
        num_functions: Number of functions. Defaults to 4.
        depth: How many functions an input passes. Above 1 the sequence after the stem must have
            width `4 * units`. Defaults to 2.
        temperature: Number above 0; shapes the gradient, not the choices. Defaults to 1.0.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `routed_lstm` is the
        `keras_mtl.layers.RoutedLSTM` with the table as `.logits`.

    Raises:
        ValueError: A sequence of another width after the stem, or none, a temperature that is
            not above 0.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_recursive_routing(
    ...     keras.Input((None, 6)), {"books": "binary", "films": "binary"}, units=8,
    ...     stem=[partial(keras.layers.Dense, 32)])
    >>> tuple(model.get_layer("routed_lstm").logits.shape)  # tasks, depth, functions
    (2, 2, 4)
    """
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        stream = TaskStream(network)
        stream.features = sequence_after(stem, network.inputs)
        stream.separate_rows()
        routed = RoutedLSTM(
            units, len(network.tasks), num_functions, depth, temperature, seed, name="routed_lstm"
        )
        stream.features = routed(stream.features, stream.task_id)
        return network.finish(stream.by_task(), name, seed, sequences=True)
