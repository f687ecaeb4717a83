"""PLE: experts of each task's own next to shared ones, extracted level by level."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.keras_internals import with_inner_layers
from keras_mtl.layers import ExpertStreams, OwnRows, StreamGates
from keras_mtl.models.construction import (
    check_different_starts,
    check_has_list,
    made_layers,
    seeded,
)
from keras_mtl.models.experts.gated import keeps_steps
from keras_mtl.models.graph import Network, each_once
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, Tensor, TowerUnits


def build_ple(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    task_experts: int = 1,
    tower_units: TowerUnits = (),
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network whose tasks have experts of their own beside those that all share.

    In each list the first `task_experts` components belong to the first task, the next to the
    second, and so on; the rest are shared. A task's gate reads the task's own features and
    weighs its own experts and the shared ones. Between lists there are shared features too,
    which the shared experts of the next list read: their gate weighs all experts. One list is
    customized gate control (CGC), several are progressive layered extraction (PLE).

    Source: Tang et al., "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL)
    Model for Personalized Recommendations", RecSys 2020, sections 4.2 and 4.3. Differs from the
    paper: gates have a bias.

    Args:
        layers: List of callables that return a new Keras layer, and of lists of these. A list
            holds experts, at least one of them shared; one expert alone, as a bare layer, is
            passed by all tasks.
        task_experts: How many experts each task has of its own in each list. Defaults to 1.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`. With separate data the
    features of all tasks are computed for every example, as in other networks of towers.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does.

    Raises:
        ValueError: A list without an expert for each task and a shared one, wrong tasks, layers
            or settings.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_ple(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 6, [dense] * 3])
    >>> keras_mtl.sharing_report(model).components  # of the first list all, through what is shared
    {'a': 8, 'b': 8}
    """
    check_has_list(layers, "experts", "weigh", "[[dense] * (number of tasks + 1)]")
    task_experts = checks.count("task_experts", task_experts)
    num_levels = sum(isinstance(entry, list | tuple) and len(entry) > 1 for entry in layers)
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        names, level, streams = list(network.tasks), 0, [network.inputs]
        for index, made in made_layers(stem, layers):
            if len(made) == 1:
                streams = each_once(made[0], streams)
                continue
            level += 1
            closed = closed_to(names, len(made), task_experts, index)
            reads = np.argmin(closed, axis=0)  # the first gate that an expert is open to
            reads[np.logical_not(closed[:-1].any(axis=0))] = len(names)
            task_id = None
            if level == num_levels:
                closed, task_id = closed[:-1], network.task_id
            streams = _level(streams, made, closed, reads, index, task_id)
        streams = streams * len(names) if len(streams) == 1 else streams
        return network.finish(streams, name, seed, tower_units)


def _level(
    streams: Sequence[Tensor], experts: Any, closed: Any, reads: Any, index: int, task_id: Tensor
) -> Any:
    """Returns the streams after a list of experts, one for each row of `closed`.

    In earlier lists every example passes all experts, through what they share. Where the list is
    the last, and an example belongs to one task, experts of others do not count it.
    """
    per_step = keeps_steps(experts[0], streams[0].shape)
    weights = StreamGates(closed, per_step, name=f"gates_{index}")(streams[: len(closed)])
    if task_id is not None and any(map(_normalizes, experts)):
        weights = OwnRows(name=f"own_rows_{index}")(weights, task_id)
    streams = ExpertStreams(experts, reads.tolist(), name=f"experts_{index}")(streams, weights)
    check_different_starts(experts)
    return streams


def _normalizes(expert: Any) -> bool:
    inner = with_inner_layers(expert)
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in inner)


def closed_to(names: Sequence[str], num_experts: int, task_experts: Any, index: int) -> Any:
    """Returns which experts are closed to each task, and in a last row to what they share."""
    num_own = len(names) * task_experts
    if num_experts <= num_own:
        raise ValueError(
            f"List {index} of `layers` has {num_experts} experts, but {len(names)} tasks with "
            f"{task_experts} of their own each (task_experts) need {num_own}, and at least one "
            f"shared: {num_own + 1} or more."
        )
    owner = np.concatenate([np.arange(num_own) // task_experts, np.full(num_experts - num_own, -1)])
    rows = [(owner != -1) & (owner != task) for task in range(len(names))]
    return np.array([*rows, np.zeros(num_experts)], int)
