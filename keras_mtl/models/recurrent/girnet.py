"""GIRNet: a primary task that takes its steps with the LSTMs of auxiliary tasks."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers import CompositeLSTM
from keras_mtl.models.construction import seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.recurrent.sequences import sequence_after
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks


def build_girnet(
    inputs: Any,
    tasks: Tasks,
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    primary: Any,
    units: int = 100,
    gate_units: int = 32,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds an LSTM for each auxiliary task, between which the primary task switches.

    Auxiliary tasks read their own LSTM. The primary task has none: at each step a
    bidirectional LSTM weighs which auxiliary LSTM makes the next step of a composite state, or
    whether that stays as it is. So a word of a mixed sentence can be read by the LSTM that
    learned its language.

    Source: Gupta et al., "GIRNet: interleaved multi-task recurrent state sequence models",
    AAAI 2019, https://ojs.aaai.org/index.php/AAAI/article/view/4615. Differs from its code:
    the primary task reads the composite state alone in classification too, as in tagging
    there.

    `keras_mtl.freeze(model, task)` leaves a stock LSTM of an auxiliary task. What is left of the
    primary task holds the layer `composite`, so its `.keras` file needs keras_mtl; a SavedModel
    needs nothing. Frozen for all tasks, auxiliary LSTMs are stored in both.

    Args:
        primary: Name of the primary task. All others are auxiliary.
        units: Units of each auxiliary LSTM. Defaults to 100.
        gate_units: Units of the LSTM that weighs, in each direction. Defaults to 32.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `composite` is the
        `keras_mtl.layers.CompositeLSTM` with the auxiliary LSTMs in the order of the tasks,
        `gates` answers with their weights: first that of standing still.

    Raises:
        ValueError: An unknown primary task, no auxiliary task, no sequence after the stem.

    Example:

    >>> import keras, keras_mtl
    >>> tasks = {name: keras_mtl.Task("tagging", 5) for name in ("hindi", "english", "mixed")}
    >>> model = keras_mtl.build_girnet(
    ...     keras.Input((None, 6)), tasks, task_data="separate", primary="mixed")
    >>> model.get_layer("gates").output.shape
    (None, None, 3)
    """
    units = checks.count("units", units)
    gate_units = checks.count("gate_units", gate_units)
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        if not isinstance(primary, str) or primary not in network.tasks:
            raise ValueError(
                f"primary names {primary!r}, which is no task. Tasks: {', '.join(network.tasks)}"
            )
        num_auxiliary = len(network.tasks) - 1
        if not num_auxiliary:
            raise ValueError(
                f"GIRNet needs auxiliary tasks beside the primary task {primary!r}, because that "
                "has no LSTM of its own. Received one task."
            )
        x = sequence_after(stem, network.inputs)
        composite = CompositeLSTM(units, num_auxiliary, name="composite")
        alone = iter(composite(x))
        weigh = keras.layers.LSTM(gate_units, return_sequences=True)
        weighed = keras.layers.Bidirectional(weigh, name="gate_states")(x)
        gates = keras.layers.Dense(1 + num_auxiliary, activation="softmax", name="gates")(weighed)
        together = composite(x, gates)
        streams = [together if task == primary else next(alone) for task in network.tasks]
        return network.finish(streams, name, seed, sequences=True)
