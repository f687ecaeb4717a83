"""Low supervision: simpler tasks are predicted from lower layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.layers import FixedAllocation
from keras_mtl.models.construction import check_lists, made_layers, seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.task_stream import TaskStream
from keras_mtl.models.towers.sluice_presets import is_level
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_low_supervision(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    levels: Any,
    combine: str = "mean",
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds one network for all tasks, some of which are predicted before its end.

    Hard parameter sharing, but an auxiliary task such as part-of-speech tagging shapes the
    lower layers only: its loss has no gradient above its level.

    Source: Søgaard and Goldberg, "Deep multi-task learning with low level tasks supervised at
    lower layers", 2016, https://aclanthology.org/P16-2038, section 2.

    Args:
        layers: List of callables that return a new Keras layer, and of lists of these. A list
            holds parallel components, whose outputs every task averages.
        levels: Dict, task -> how many entries of `layers` its head comes after, 1 or more.
            Tasks that are not named come after all.
        combine: `"mean"` or `"sum"` of a list's components. Defaults to `"mean"`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does.

    Raises:
        ValueError: A level that is no entry of `layers`, an unknown task; with separate data
            levels whose features have different shapes.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_low_supervision(
    ...     keras.Input((None, 6)),
    ...     {"chunk": keras_mtl.Task("tagging", 5), "pos": keras_mtl.Task("tagging", 9)},
    ...     [partial(keras_mtl.layers.BiLSTM, 4)] * 3, levels={"pos": 1})
    >>> model.output["pos"].shape
    (None, None, 9)
    """
    check_lists(stem=stem, layers=layers)
    checks.word("combine", combine, ("mean", "sum"))
    names = list(as_tasks(tasks))
    _check_levels(levels, names, len(layers))
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        stream, after_entries = TaskStream(network), []
        for index, made in made_layers(stem, layers):
            if len(made) == 1:
                stream.apply(made[0])
            else:
                ones = FixedAllocation(np.ones((len(names), len(made))), name=f"allocation_{index}")
                stream.route(made, ones, combine, f"modular_{index}")
            after_entries.append(stream.features)
        last = len(layers)
        streams = [after_entries[len(stem) + levels.get(task, last) - 1] for task in names]
        return network.finish(streams, name, seed, tower_units)


def _check_levels(levels: Any, names: Sequence[str], num_entries: Any) -> None:
    checks.mapping("levels", levels, "task -> how many entries of `layers` its head comes after")
    for task, level in levels.items():
        if task not in names:
            raise ValueError(f"levels names {task!r}, which is no task. Tasks: {', '.join(names)}")
        if not is_level(level, num_entries):
            raise ValueError(
                f"levels gives task {task!r} the level {level!r}, but `layers` has {num_entries} "
                f"entries: give a number from 1 to {num_entries}."
            )
